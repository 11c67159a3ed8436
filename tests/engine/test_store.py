"""The store stays under its limit, evicts what was used longest ago, and never fails a run."""

import os
import shutil
import time
from collections import namedtuple

import numpy as np
import pytest
import torch

from graft.engine import shelf as shelves
from graft.engine import store as module
from graft.engine.segment import _HOST
from graft.engine.store import Store, find, row_key, shown, size, why_not
from graft.errors import OptionError, OutputError

Usage = namedtuple("Usage", "total used free")
A, B, C = ("a" * 16, "b" * 16, "c" * 16)


def keys(numbers):
    return [row_key(b"%d" % number, "") for number in numbers]


def fill(store, key, rows=10, body="net", close=True, width=1000, first=0):
    shelf = store.shelf(key, {"body": body, "depth": 3})
    numbers = range(first, first + rows)
    kept = shelf.add(keys(numbers), {"x": torch.tensor(numbers)[:, None].expand(-1, width).float()}) and shelf.flush()
    if close:
        shelf.close()
    return shelf, kept


def aged(store, key, seconds):
    """Make what is held of a key look as if it had last been used so long ago."""
    for path in store.folder.rglob("*"):
        if path.suffix in (".safetensors", ".bin") and key in str(path):
            os.utime(path, (time.time() - seconds,) * 2)


def held(store):
    return {one["key"]: one for one in store.held()}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """One with a limit of 100 kB; the disk has always room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    monkeypatch.setattr(module, "_USED", set())
    store = Store(tmp_path / "store")
    store.set_limit(100_000)
    return store


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("GRAFT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_where_it_is(home, tmp_path, monkeypatch):
    assert find().folder == home / ".cache" / "graft" and (find().folder.stat().st_mode & 0o777) == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert find().folder == home / ".cache" / "graft"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert find().folder == tmp_path / "xdg" / "graft"
    monkeypatch.setenv("GRAFT_CACHE", "~/kept")
    assert find().folder == home / "kept" and why_not() == ""


def test_why_there_is_none(home, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", "off")
    assert find() is None and "GRAFT_CACHE is off" in why_not()
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "file" / "below"))
    assert find() is None and "cannot be written" in why_not() and why_not().endswith("GRAFT_CACHE.")


def test_sizes_are_read_and_shown():
    for text, nbytes in {"500MB": 5e8, "20 GB": 2e10, "1.5tb": 1.5e12, "2g": 2e9, " 300 kB": 3e5}.items():
        assert size(text) == nbytes
    for text in ("", "20", "GB", "-1GB", "0GB", "1e3GB", "20 XB", "nan GB", "20GBs"):
        with pytest.raises(OptionError, match="20GB"):
            size(text)
    for nbytes, text in {0: "0 kB", 12_000: "12 kB", 34 * 10**7: "340 MB", 1_260_000_000: "1.26 GB", 10**12: "1 TB"}.items():
        assert shown(nbytes) == text


def test_the_limit_is_kept_for_all_and_has_a_default(tmp_path, monkeypatch):
    free = [40 * 10**9]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free[0]))
    store = Store(tmp_path)
    assert store.limit == 8 * 10**9
    free[0] = 10**12
    assert store.limit == 20 * 10**9
    store.set_limit(5000)
    assert Store(tmp_path).limit == 5000
    (tmp_path / "limit.json").write_text("{")
    assert store.limit == 20 * 10**9
    shutil.rmtree(tmp_path)
    with pytest.raises(OutputError, match="not set"):
        store.set_limit(1)


def test_what_the_disk_and_the_limit_allow(store, monkeypatch):
    fill(store, A)
    assert store.fits(99_000) and not store.fits(101_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9 + 20_000))
    assert store.fits(59_000) and not store.fits(70_000), "40 kB could be evicted, 20 kB are free beside the gigabyte that stays"


def test_keys_are_digests(store):
    for key in ("../../etc", "", "abc", "A" * 16, "g" * 16, "a" * 200):
        with pytest.raises(ValueError, match="hex"):
            store.shelf(key, {})


def test_the_least_recently_used_goes_first(store):
    for age, key in enumerate((A, B)):
        assert fill(store, key)[1]
        aged(store, key, 1000 - age)
    store.shelf(A, {}).take(store.shelf(A, {}).find(keys([0])))
    assert set(held(store)) == {A, B} and fill(store, C)[1] and set(held(store)) == {A, C}
    assert held(store)[A]["used"] > time.time() - 100 and [one["key"] for one in store.held()] == [C, A]


def test_what_is_open_is_never_evicted(store):
    shelf, _ = fill(store, A, rows=20, close=False)
    aged(store, A, 9000)
    other, kept = fill(store, B, rows=10)
    assert not kept and "its limit is 100 kB" in other.trouble and "graft cache --limit 200kB" in other.trouble
    assert set(held(store)) == {A} and not other.add(keys([77]), {"x": torch.zeros(1, 1000)})
    store.set_limit(1000)
    assert store.trim() == 0 and set(held(store)) == {A}
    shelf.close()
    assert store.trim() > 80_000 and held(store) == {}
    # What was evicted is still there for whoever had it mapped.
    assert shelf.take(shelf.find(keys(range(20))))["x"][:, 999].tolist() == list(range(20))


def test_nothing_is_evicted_for_what_would_not_fit_anyway(store):
    fill(store, A)
    shelf, kept = fill(store, B, rows=30)
    assert not kept and shelf.trouble and set(held(store)) == {A}
    assert (shelf.find(keys(range(30))) >= 0).all(), "the rows that waited are still this run's"


def test_a_run_larger_than_the_limit_keeps_its_first_rows(store, monkeypatch):
    monkeypatch.setattr(shelves, "BUFFER_ROWS", 5)
    shelf = store.shelf(A, {})
    kept = [shelf.add(keys([i]), {"x": torch.full((1, 1000), float(i))}) for i in range(60)]
    first = kept.index(False)
    assert 20 <= first <= 25 and not any(kept[first:]) and sum(one["bytes"] for one in store.held()) <= 100_000
    assert shelf.take(shelf.find(keys(range(first))))["x"][:, 5].tolist() == list(range(first))


def test_a_disk_that_is_nearly_full_is_left_alone(store, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9))
    shelf, kept = fill(store, A)
    assert not kept and "nearly full" in shelf.trouble and held(store) == {}


def test_a_folder_that_was_removed_while_in_use_is_made_again(store):
    shelf, _ = fill(store, A, close=False)
    shutil.rmtree(store.folder)
    assert shelf.add(keys([50]), {"x": torch.zeros(1, 1000)}) and shelf.flush() and held(store)[A]["rows"] == 1


def test_compiled_forms_are_kept_and_marked(store):
    assert store.file(A) is None
    path = store.put(A, b"one", {"body": "net", "precision": "bf16"})
    assert path.read_bytes() == b"one" and store.put(B, lambda part: part.write_bytes(b"two" * 5), {}).read_bytes() == b"two" * 5
    assert store.put(A, b"uno", {"body": "net"}) == path and path.read_bytes() == b"uno"
    aged(store, A, 5000)
    assert store.held()[-1]["key"] == A
    assert store.file(A) == path and time.time() - path.stat().st_mtime < 100
    assert held(store)[A] | {"used": 0} == {"kind": "compiled", "key": A, "about": {"body": "net"}, "bytes": 3, "rows": None, "used": 0}


def test_a_compiled_form_that_cannot_be_kept_is_none(store, monkeypatch):
    assert store.put(A, b"0" * 200_000, {}) is None and "limit" in store.trouble

    def full(part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    assert store.put(A, full, {}) is None and "is full" in store.trouble and store.file(A) is None
    assert not [path for path in (store.folder / "compiled").iterdir() if path.suffix != ".json"] and held(store) == {}
    with pytest.raises(ZeroDivisionError):
        store.put(A, lambda part: 1 / 0, {})


def test_compiled_forms_make_room_too_but_not_those_in_use(store, monkeypatch):
    store.put(A, b"0" * 60_000, {})
    store.put(B, b"0" * 30_000, {})
    aged(store, A, 500)
    assert not fill(store, C, rows=20)[1]
    monkeypatch.setattr(module, "_USED", set())
    assert fill(store, C)[1] and set(held(store)) == {B, C}


def test_clear_takes_what_was_named(store):
    def filled():
        fill(store, A, rows=3)
        fill(store, B, rows=3, body="other")
        store.put(C, b"compiled", {"body": "net"})

    for what, left in (("all", set()), ("activations", {C}), ("compiled", {A, B}), ("net", {B}), ("nothing", {A, B, C})):
        filled()
        before = sum(one["bytes"] for one in store.held())
        freed = store.clear(what)
        assert set(held(store)) == left and freed == before - sum(one["bytes"] for one in store.held())
    store.clear("all")
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == sorted([".lock", "limit.json"])


def test_trim_removes_what_killed_writers_left(store):
    fill(store, A, rows=3)
    folder = store.folder / "activations" / A
    gone, alive = folder / f"{_HOST}-{2**22 + 9}-0.part", folder / f"{_HOST}-{os.getpid()}-0.part"
    for path in (gone, alive, folder / "torn.safetensors"):
        path.write_bytes(b"0" * 500)
    assert store.trim() == 1000 and alive.exists() and held(store)[A]["rows"] == 3
    os.utime(alive, (0, 0))
    assert store.trim() == 500 and np.array_equal(store.shelf(A, {}).find(keys([5])), [-1])
