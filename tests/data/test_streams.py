import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from graft.core import Prepare, Stream
from graft.data.augment import Augment, Options
from graft.data.images import load_images, normalise
from graft.data.streams import PLAIN, Streams, named, names
from graft.errors import DataError

torch.set_num_threads(1)
PREPARE = Prepare(size=16, crop=0.8, interpolation="bilinear")
CLASSES = ("a", "b", "c")


def encode(table: pa.Table) -> torch.Tensor:
    return torch.tensor([CLASSES.index(label) for label in table.column("label").to_pylist()])


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pa.Table:
    """23 images of odd sizes, 16 of class a, 5 of b and 2 of c."""
    folder, rng, paths = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for number in range(23):
        size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)), 3)
        Image.fromarray(rng.integers(0, 256, size[: 2 if number % 5 == 0 else 3], dtype=np.uint8)).save(folder / f"{number}.png")
        paths.append(str(folder / f"{number}.png"))
    return pa.table({"path": paths, "label": ["a"] * 16 + ["b"] * 5 + ["c"] * 2})


def streams(preset: str = "strong", seed: int = 3, **how) -> Streams:
    return Streams(PREPARE, encode, Augment(Options(preset)), seed, classes=3, **how)


def drawn(source: Streams, stream: Stream, tag: tuple = ("final", 0, 1)) -> list[tuple]:
    return [(batch.inputs, batch.targets, batch.rows) for batch in source.epoch(stream, tag)]


def equal(one: list[tuple], two: list[tuple]) -> bool:
    return len(one) == len(two) and all(torch.equal(a, b) for x, y in zip(one, two) for a, b in zip(x, y))


@pytest.mark.parametrize("preset", ["light", "medium", "strong"])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_same_batches_whatever_happened_before(table, preset, balanced):
    stream = Stream(table, batch=5, augment=True, balanced=balanced)
    with streams(preset, threads=1) as source:
        first = drawn(source, stream)
        assert equal(first, drawn(source, stream))  # now from memory
    for threads, memory in ((1, 0), (2, 1500), (4, 0.01)):
        with streams(preset, threads=threads, memory_mb=memory) as other:
            drawn(other, stream, ("final", 0, 0))
            next(iter(other.epoch(stream, ("final", 7))))  # and leave it there
            assert equal(first, drawn(other, stream))


def test_seed_and_tag_matter(table):
    stream = Stream(table, batch=5, augment=True)
    with streams() as source, streams(seed=4) as other:
        first = drawn(source, stream)
        assert not equal(first, drawn(source, stream, ("final", 0, 2)))
        assert not equal(first, drawn(other, stream))


def test_each_row_once_and_the_last_row_is_not_alone(table):
    for batch in (1, 2, 4, 5, 11, 22, 23, 50):
        with streams("light") as source:
            stream = Stream(table, batch=batch, augment=True)
            sizes = [len(b.rows) for b in source.epoch(stream, ("x",))]
            rows = torch.cat([b.rows for b in source.epoch(stream, ("x",))])
        assert sorted(rows.tolist()) == list(range(23)) and len(sizes) == source.steps(stream)
        assert batch == 1 or 1 not in sizes
    with streams("light") as source:
        one = Stream(table.slice(3, 1), batch=4)
        assert [len(b.rows) for b in source.epoch(one, ("x",))] == [1] and source.steps(one) == 1
        nothing = Stream(table.slice(0, 0))
        assert list(source.epoch(nothing, ("x",))) == [] and source.steps(nothing) == 0
        assert list(source.plain(table.slice(0, 0))) == []


def test_balanced_draws_classes_equally(table):
    with streams("light") as source:
        batches = list(source.epoch(Stream(table, batch=6, augment=True, balanced=True), ("x",)))
    classes = Counter(torch.cat([b.targets for b in batches]).tolist())
    assert sum(classes.values()) == 23 and max(classes.values()) - min(classes.values()) <= 1
    rows = Counter(torch.cat([b.rows for b in batches]).tolist())
    assert rows[21] + rows[22] == classes[2] and abs(rows[21] - rows[22]) <= 1
    images = {}
    for batch in batches:
        for row, image in zip(batch.rows.tolist(), batch.inputs):
            images.setdefault(row, []).append(image)
    again = max(images.values(), key=len)
    assert len(again) > 1 and not all(torch.equal(again[0], image) for image in again[1:])


def test_plain_is_the_recipe_in_order(table):
    with streams() as source:
        batches = list(source.plain(table, batch=8))
    assert [len(b.rows) for b in batches] == [8, 8, 7]
    assert torch.equal(torch.cat([b.rows for b in batches]), torch.arange(23))
    assert torch.equal(torch.cat([b.targets for b in batches]), encode(table))
    expected = normalise(load_images(table.column("path").to_pylist(), PREPARE), PREPARE)
    assert torch.equal(torch.cat([b.inputs for b in batches]), expected)
    for batch in batches:
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last) and batch.inputs.dtype == torch.float32
        assert batch.start == 0


def test_without_augmentation_nothing_is_changed_or_mixed(table):
    with streams("strong") as source:
        whole = torch.cat([b.inputs for b in source.plain(table)])
        for batch in source.epoch(Stream(table, batch=7, augment=False), ("x",)):
            assert torch.equal(batch.inputs, whole[batch.rows]) and batch.targets.dtype == torch.int64
        for batch in source.epoch(Stream(table, batch=7, augment=True), ("x",)):
            assert batch.targets.shape == (len(batch.rows), 3) and batch.inputs.shape[1:] == (3, 16, 16)
            assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(batch.targets.sum(1), torch.ones(len(batch.rows)))


def test_numbers_and_labels(table):
    numbers = Streams(PREPARE, lambda t: torch.arange(len(t))[:, None].float(), Augment(Options(mixup=0.4)), 0)
    with numbers as source:
        for batch in source.epoch(Stream(table, batch=6, augment=True, balanced=True), ("x",)):
            assert batch.targets.shape == (len(batch.rows), 1) and batch.targets.dtype == torch.float32
    assert names(table, torch.tensor([2, 0])) == [table["path"][2].as_py(), table["path"][0].as_py()]


def test_memory_is_bounded_and_used(table, tmp_path):
    paths = []
    for number in range(4):
        Image.fromarray(np.full((20, 20, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    small = pa.table({"path": paths, "label": ["a"] * 4})
    with streams("none", threads=1, memory_mb=2.5 * 20 * 20 * 3 / 2**20) as source:
        list(source.plain(small))
        for path in paths[:2]:
            (tmp_path / path).unlink()
        assert len(torch.cat([b.inputs for b in source.plain(small)])) == 4  # the first two are in memory
        (tmp_path / paths[3]).unlink()
        with pytest.raises(DataError, match=r"3\.png"):
            list(source.plain(small))
        source.close()
        with pytest.raises(DataError, match=r"0\.png"):
            list(source.plain(small))


def test_a_damaged_file_is_named_and_the_stream_goes_on_living(table, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    bad = pa.concat_tables([table, pa.table({"path": [str(tmp_path / "bad.jpg")], "label": ["b"]})])
    with streams() as source:
        with pytest.raises(DataError, match=r"bad\.jpg"):
            list(source.epoch(Stream(bad, batch=5, augment=True), ("x",)))
        assert len(list(source.plain(table))) == 1


SLOW = """
    import signal, sys, threading, time, numpy as np, pyarrow as pa, torch
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests in the background may have it ignored
    from graft.core import Prepare, Stream
    from graft.data import images
    from graft.data.augment import Augment, Options
    from graft.data.streams import PLAIN, Streams
    def slowly(path, prepare, content=None):
        time.sleep(0.5)
        print("decoded", file=sys.stderr, flush=True)
        return np.zeros((20, 20, 3), np.uint8)
    images.small = slowly
    source = Streams(Prepare(size=16), lambda t: torch.zeros(len(t)), Augment(Options()), 0)
    table = pa.table({"path": [str(i) for i in range(200)]})
    batches = source.epoch(Stream(table, batch=2, augment=True), ("x",))
    next(batches)
    print("drawn", flush=True)
"""


@pytest.mark.parametrize("ending", ["", "import _thread; threading.Timer(0.3, _thread.interrupt_main).start(); list(batches)"])
def test_neither_the_end_nor_ctrl_c_waits_for_the_threads(ending):
    """60 images of half a second wait in the queue; the process must not wait for them."""
    code = textwrap.dedent(SLOW) + ending
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "drawn\n"
        _, errors = process.communicate(timeout=120)
    assert errors.count("decoded") < 20
    assert ("KeyboardInterrupt" in errors) == bool(ending)


def test_batches_may_be_drawn_in_inference_mode(table):
    with streams("none") as source, torch.inference_mode():
        assert sum(len(batch.rows) for batch in source.plain(table)) == len(table)


def test_digests_follow_the_content_and_not_the_name(table, tmp_path):
    first = table["path"][0].as_py()
    twin, other = tmp_path / "twin.png", tmp_path / "other.png"
    twin.write_bytes(Path(first).read_bytes())
    other.write_bytes(Path(first).read_bytes() + b"!")
    with streams() as source:
        a, b, c = source.digests(pa.table({"path": [first, str(twin), str(other)]}))
        assert a == b != c and len(a) == 16
        with pytest.raises(DataError, match=r"gone\.png"):
            source.digests(pa.table({"path": [str(tmp_path / "gone.png")]}))


def test_pixels_of_the_plain_view_are_those_that_scoring_sees(table):
    with streams() as source:
        (first, second, third) = source.inputs(table, [(row, PLAIN) for row in range(23)], 8)
        whole = torch.cat([first, second, third])
        assert whole.shape == (23, 16, 16, 3) and whole.dtype == torch.uint8 and len(third) == 7
        (plain,) = source.plain(table)
        torch.testing.assert_close(normalise(whole.permute(0, 3, 1, 2), PREPARE), plain.inputs)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_view_is_the_same_in_every_order_table_and_thread(table, threads):
    with streams("medium", threads=2) as source:
        (wanted,) = source.inputs(table, [(3, 0), (3, 1), (9, 0)], 8)
    assert not torch.equal(wanted[0], wanted[1])
    with streams("medium", threads=threads, memory_mb=0) as source:
        (found,) = source.inputs(table.take([9, 3]), [(0, 0), (1, 1), (1, 0)], 8)
    assert torch.equal(found[[2, 1, 0]], wanted)
    with streams("medium", seed=4) as source:
        assert not torch.equal(next(source.inputs(table, [(3, 0)], 8))[0], wanted[0])


def test_what_names_a_view_is_all_that_decides_it():
    light, medium, strong = (Augment(Options(preset)) for preset in ("light", "medium", "strong"))
    found = {named(view, augment, seed) for augment in (light, medium) for seed in (0, 1) for view in (0, 1)}
    assert len(found) == 8 and named(PLAIN, strong, 3) == named(PLAIN, light, 7) == "plain"
    few, many = (Augment(Options("light", views=k)) for k in (2, 8))
    assert named(1, few, 0) == named(1, many, 0)


def test_two_views_of_each_row_differ_and_stand_one_after_the_other(table):
    with streams("medium") as made:
        for batch in made.epoch(Stream(table.drop_columns(["label"]), 4, augment=True, views=2), ("x",)):
            half = len(batch.rows) // 2
            assert batch.views == 2 and torch.equal(batch.rows[:half], batch.rows[half:])
            assert all(not torch.equal(one, other) for one, other in zip(batch.inputs[:half], batch.inputs[half:], strict=True))
