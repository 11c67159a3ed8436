"""Rows are found exactly as they were added: against a plain dict, between processes, after kills, on a full disk."""

import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from graft.engine import shelf as module
from graft.engine.shelf import Shelf, in_use, row_key
from graft.engine.store import Store

FORK = multiprocessing.get_context("fork")


def key(number):
    # Zeros at both ends, because keys are compared as numpy's strings, which know no zero at their end.
    return bytes(7) + number.to_bytes(4, "little") + bytes(5)


def state(numbers, width=6, version=0):
    """Rows that are a function of their key, so that a row can be judged by itself."""
    x = torch.tensor(numbers, dtype=torch.float32)[:, None] + torch.arange(width) / 8 + 1000 * version
    return {"x": x, "tap0": (x[:, :2] % 64).bfloat16()}


def same(found, numbers, **how):
    return all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in state(numbers, **how).items())


def keys(numbers):
    return [key(number) for number in numbers]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "BUFFER_ROWS", 5)


def test_rows_come_back_before_and_after_a_flush_and_in_a_new_shelf(tmp_path, small):
    shelf, numbers = Shelf(tmp_path / "k", {"body": "b"}), list(range(12))
    assert shelf.rows == shelf.row_bytes == 0 and shelf.add(keys(numbers), state(numbers))
    before = shelf.find(keys(numbers))
    assert len(list((tmp_path / "k").glob("*.safetensors"))) == 2 and same(shelf.take(before), numbers)
    assert shelf.flush() and (shelf.rows, shelf.row_bytes) == (12, 16 + 6 * 4 + 2 * 2)
    # A position stays good when its row moves from the buffer to the disk.
    assert np.array_equal(shelf.find(keys(numbers)), before) and same(shelf.take(before), numbers)
    shelf.close()
    assert same(shelf.take(before), numbers)
    again = Shelf(tmp_path / "k", {})
    mixed = [11, 0, 0, 7, 99, 3]
    found = again.find(keys(mixed))
    assert found.dtype == np.int64 and (found < 0).tolist() == [False, False, False, False, True, False]
    assert same(again.take(found[found >= 0]), [11, 0, 0, 7, 3])
    assert same(again.take(again.find(keys([1, 1, 3]))), [1, 1, 3])
    assert (tmp_path / "k" / "about.json").read_text() == '{"body": "b"}' and again.nbytes == 12 * again.row_bytes


def test_nothing_is_added_twice_and_nothing_is_written_for_nothing(tmp_path):
    shelf = Shelf(tmp_path / "k", {})
    assert shelf.add([], state([])) and shelf.flush() and not (tmp_path / "k").exists()
    assert shelf.add(keys([1, 2, 1]), state([1, 2, 1])) and shelf.add(keys([2, 3]), state([2, 3], version=1)) and shelf.rows == 3
    assert shelf.flush() and shelf.add(keys([1, 2, 3]), state([1, 2, 3], version=2)) and shelf.rows == 3
    assert same(shelf.take(shelf.find(keys([1, 2]))), [1, 2]) and same(shelf.take(shelf.find(keys([3]))), [3], version=1)
    assert shelf.find([]).shape == (0,) and len(shelf.take(np.array([], np.int64))["x"]) == 0


def test_what_is_taken_is_a_copy_that_may_learn(tmp_path):
    shelf, x = Shelf(tmp_path / "k", {}), torch.ones(2, 3)
    with torch.inference_mode():
        shelf.add(keys([0, 1]), {"x": x})
        x.zero_()
        rows = [shelf.take(shelf.find(keys([0, 1])))["x"]]
        shelf.flush()
        rows += [one.take(one.find(keys([0, 1])))["x"] for one in (shelf, Shelf(tmp_path / "k", {}))]
    for row in rows:
        assert torch.equal(row, torch.ones(2, 3)) and not row.is_inference()
        (row.requires_grad_() * 2).sum().backward()
    rows[1].data.zero_()
    assert shelf.take(shelf.find(keys([0])))["x"].eq(1).all()


def test_wrong_use_is_named(tmp_path):
    shelf = Shelf(tmp_path / "k", {})
    with pytest.raises(ValueError, match="16 bytes"):
        shelf.find([b"short"])
    with pytest.raises(ValueError, match="as many rows"):
        shelf.add(keys([1]), state([1, 2]))
    with pytest.raises(ValueError, match="'keys'"):
        shelf.add(keys([1]), {"keys": torch.zeros(1)})
    with pytest.raises(IndexError, match="missing"):
        shelf.take(np.array([-1]))


def test_rows_of_another_shape_are_not_kept_and_do_no_harm(tmp_path):
    shelf = Shelf(tmp_path / "k", {})
    assert shelf.add(keys([1]), state([1])) and not shelf.add(keys([2]), state([2], width=9))
    assert "another shape" in shelf.trouble and same(shelf.take(shelf.find(keys([1]))), [1])


def test_torn_and_foreign_files_are_ignored(tmp_path):
    first = Shelf(tmp_path, {})
    first.add(keys(range(8)), state(range(8)))
    first.flush()
    (good,) = tmp_path.glob("*.safetensors")
    (tmp_path / "0-torn.safetensors").write_bytes(good.read_bytes()[:-7])
    (tmp_path / "1-empty.safetensors").touch()
    (tmp_path / "2-half.part").write_bytes(good.read_bytes()[:-7])
    save_file({"weight": torch.zeros(4, 4)}, tmp_path / "3-foreign.safetensors")
    other = {"keys": torch.zeros(1, 16, dtype=torch.uint8), "x": torch.zeros(1, 2)}
    save_file(other, tmp_path / "4-other.safetensors")
    again = Shelf(tmp_path, {})
    assert again.rows == 8 and same(again.take(again.find(keys(range(8)))), list(range(8)))
    first.refresh()
    assert first.rows == 8


def test_refresh_sees_what_others_added_and_survives_what_they_removed(tmp_path):
    one, two = Shelf(tmp_path, {}), Shelf(tmp_path, {})
    one.add(keys([1, 2]), state([1, 2]))
    two.add(keys([2, 3]), state([2, 3]))
    kept = two.find(keys([2, 3]))
    one.flush()
    assert two.find(keys([1]))[0] < 0
    two.refresh()
    assert same(two.take(two.find(keys([3, 1, 2]))), [3, 1, 2]) and same(two.take(kept), [2, 3])
    two.flush()
    shutil.rmtree(tmp_path)
    one.refresh()
    assert same(one.take(one.find(keys([2, 1]))), [2, 1]) and one.find(keys([3]))[0] < 0 and Shelf(tmp_path, {}).rows == 0
    assert one.add(keys([7]), state([7])) and one.flush() and Shelf(tmp_path, {}).rows == 1


def test_rows_wait_ten_seconds_at_most(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    shelf = Shelf(tmp_path, {})
    shelf.add(keys([1]), state([1]))
    now[0] += 9.0
    shelf.add(keys([2]), state([2]))
    assert Shelf(tmp_path, {}).rows == 0
    now[0] += 1.5
    shelf.add(keys([3]), state([3]))
    assert Shelf(tmp_path, {}).rows == 3


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")]
)
def test_a_full_disk_is_no_error_and_loses_no_row_of_this_process(tmp_path, monkeypatch, small, error):
    shelf = Shelf(tmp_path, {})
    shelf.add(keys(range(5)), state(range(5)))

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", full)
        assert not shelf.add(keys(range(5, 17)), state(range(5, 17)))
        assert not shelf.flush() and not shelf.add(keys([30]), state([30])) and shelf.add(keys([7]), state([7]))
    assert "is full" in shelf.trouble and shelf.trouble.endswith("GRAFT_CACHE.")
    assert not list(tmp_path.glob("*.part"))
    found = shelf.find(keys(range(17)))
    assert (found >= 0).sum() == 10 and same(shelf.take(found[:10]), list(range(10)))
    # Once there is room again, what waited is written.
    assert shelf.flush() and shelf.add(keys([30]), state([30])) and Shelf(tmp_path, {}).rows == 10


def test_lost_permission_and_a_refusing_store_are_said(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path, {}, lambda nbytes: f"no room for {nbytes} bytes")
    shelf.add(keys([1, 2]), state([1, 2]))
    assert not shelf.flush() and shelf.trouble == f"no room for {2 * shelf.row_bytes} bytes" and not list(tmp_path.iterdir())

    def lost(tensors, path):
        raise PermissionError(13, "Permission denied")

    shelf = Shelf(tmp_path, {})
    shelf.add(keys([1]), state([1]))
    monkeypatch.setattr(module, "save_file", lost)
    assert not shelf.flush() and "Permission denied" in shelf.trouble


def test_a_segment_that_vanishes_before_it_is_mapped_still_serves_its_writer(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path, {})
    shelf.add(keys([1, 2]), state([1, 2]))
    monkeypatch.setattr(Shelf, "_mapped", lambda self, path: path.unlink())
    assert shelf.flush() and same(shelf.take(shelf.find(keys([2, 1]))), [2, 1])


def test_a_closed_shelf_is_no_longer_in_use(tmp_path):
    shelf = Shelf(tmp_path, {})
    shelf.add(keys([1]), state([1]))
    # Only of this folder, because other tests' shelves may not be collected yet.
    used = lambda: {path for path in in_use() if path.is_relative_to(tmp_path)}  # noqa: E731
    assert not used()
    shelf.flush()
    assert used() == set(tmp_path.glob("*.safetensors"))
    shelf.close()
    assert not used()


def test_a_key_is_of_the_content_and_the_view():
    every = {row_key(content, view) for content in (b"", b"a", b"ab") for view in ("", "a", "b", "ab")}
    assert len(every) == 12 and all(len(one) == 16 for one in every) and row_key(b"a", "ü") == row_key(b"a", "ü")


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 40), max_size=12), st.integers(0, 1)),
        st.tuples(st.sampled_from(["flush", "find", "new", "other", "trim", "refresh", "release", "close"])),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(OPS)
def test_a_shelf_is_a_dict(operations):
    """Two shelves of one key take turns; what one has added it always finds, and the other after a flush and a refresh."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUFFER_ROWS", 4)
        patch.setattr(os, "fsync", lambda number: None)
        store, added, durable = Store(Path(folder)), {}, set()
        shelves = [store.shelf("0" * 16, {}), store.shelf("0" * 16, {})]
        own = [set(), set()]
        for name, *rest in operations:
            if name == "add":
                numbers, version = rest
                assert shelves[0].add(keys(numbers), state(numbers, version=version))
                for number in numbers:
                    added.setdefault(number, set()).add(version)
                own[0] |= set(numbers)
            elif name == "other":
                shelves, own = shelves[::-1], own[::-1]
            elif name == "trim":
                store.trim()
            elif name == "find":
                check(shelves[0], added, own[0])
            else:
                if name != "release":
                    shelves[0].flush()
                    durable |= own[0]
                if name == "new":
                    shelves[0] = store.shelf("0" * 16, {})
                elif name != "flush":
                    getattr(shelves[0], name)()
                own[0] |= durable if name in ("new", "refresh") else set()
                check(shelves[0], added, own[0])
        for shelf in shelves:
            shelf.close()
        check(store.shelf("0" * 16, {}), added, set(added))


def check(shelf, added, must):
    found = shelf.find(keys(range(45)))
    assert {int(i) for i in np.flatnonzero(found >= 0)} >= must
    for number in np.flatnonzero(found >= 0).tolist()[::-1]:
        row = shelf.take(found[[number]])
        assert any(same(row, [number], version=version) for version in added[number])


def _worker(folder, order, start, seed):
    """Add and read in turn; leaves with 0 when every row found was right."""
    module.BUFFER_ROWS = 37
    shelf, rng = Shelf(folder, {}), np.random.default_rng(seed)
    start.wait()
    for first in range(0, len(order), 16):
        numbers = order[first : first + 16]
        if not shelf.add(keys(numbers), state(numbers, width=50)):
            os._exit(2)
        shelf.refresh()
        asked = rng.integers(0, 1000, 64)
        found = shelf.find(keys(asked.tolist()))
        if not same(shelf.take(found[found >= 0]), asked[found >= 0].tolist(), width=50):
            os._exit(3)
    shelf.close()
    os._exit(0)


def test_two_processes_share_a_shelf(tmp_path):
    start, order = FORK.Barrier(3), list(range(1000))
    workers = [FORK.Process(target=_worker, args=(tmp_path, part, start, i)) for i, part in enumerate((order[:700], order[:200:-1]))]
    for worker in workers:
        worker.start()
    start.wait()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    shelf = Shelf(tmp_path, {})
    assert same(shelf.take(shelf.find(keys(order))), order, width=50) and not list(tmp_path.glob("*.part"))


def _write_for_ever(folder, first, told):
    module.BUFFER_ROWS = 100
    shelf, number = Store(folder).shelf("0" * 16, {}), first
    while True:
        numbers = list(range(number, number + 50))
        shelf.add(keys(numbers), state(numbers, width=5000))
        number += 50
        if (number - first) % 100 == 0:
            told.send(number)


def test_a_kill_while_writing_leaves_only_whole_rows(tmp_path):
    store, promised, rng = Store(tmp_path), [], np.random.default_rng(0)
    for kill in range(6):
        heard, told = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_write_for_ever, args=(tmp_path, 10_000 * kill, told))
        child.start()
        for _ in range(1 + kill % 3):
            assert heard.poll(60)
            number = heard.recv()
        time.sleep(float(rng.uniform(0, 0.02)))
        os.kill(child.pid, signal.SIGKILL)
        child.join(60)
        promised += range(10_000 * kill, number)
        shelf = store.shelf("0" * 16, {})
        assert (shelf.find(keys(promised)) >= 0).all()
        possible = [n for run in range(kill + 1) for n in range(10_000 * run, 10_000 * run + 2000)]
        found = shelf.find(keys(possible))
        assert len(found[found >= 0]) == shelf.rows
        for first in range(0, len(possible), 500):
            there = found[first : first + 500] >= 0
            right = [n for n, yes in zip(possible[first : first + 500], there) if yes]
            assert same(shelf.take(found[first : first + 500][there]), right, width=5000)
    store.trim()
    assert not list(tmp_path.rglob("*.part")) and store.held()[0]["rows"] == shelf.rows


def _resident(folder):
    """Bytes of the files of a folder that are resident in this process."""
    lines, total, inside = Path("/proc/self/smaps").read_text().splitlines(), 0, False
    for line in lines:
        inside = str(folder) in line if "-" in line.split(" ")[0] else inside
        total += int(line.split()[1]) * 1024 if inside and line.startswith("Rss:") else 0
    return total


@pytest.mark.skipif(not os.path.isfile("/proc/self/smaps"), reason="reads the resident size from /proc")
def test_reading_a_large_shelf_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUFFER_BYTES", 4_000_000)
    writer = Shelf(tmp_path, {})
    for first in range(0, 1600, 400):
        numbers = list(range(first, first + 400))
        writer.add(keys(numbers), {"x": state(numbers, width=10_000)["x"]})
    writer.close()
    shelf, rng, most = Shelf(tmp_path, {}), np.random.default_rng(0), []
    assert shelf.nbytes > 60e6 and _resident(tmp_path) < 1e6
    found = shelf.find(keys(range(1600)))
    monkeypatch.setattr(module, "RESIDENT_BYTES", 2**40)
    shelf.take(found[::2])
    assert _resident(tmp_path) > 50e6, "the measure sees nothing"
    shelf.release()
    monkeypatch.setattr(module, "RESIDENT_BYTES", 8 * 2**20)
    for i, rows in enumerate((*found.reshape(-1, 100), *rng.permuted(found).reshape(-1, 100), *rng.choice(found, (50, 3)))):
        assert torch.equal(shelf.take(rows)["x"][-1, :2], state([np.flatnonzero(found == rows[-1])[0]])["x"][0, :2])
        most += [_resident(tmp_path)] if i % 5 == 0 else []
    # The budget, and the one segment that was being read when it was passed.
    assert max(most) < 8 * 2**20 + 5e6
    shelf.release()
    assert _resident(tmp_path) < 1e6
