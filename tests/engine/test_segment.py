"""A segment is whole or ignored, and what is mapped outlives its file."""

import json
import os
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from graft.engine import segment
from graft.engine.segment import Segment, abandoned, header, sound, write_whole


def write(path, rows=5, width=3, **others):
    tensors = {"keys": torch.arange(rows * 16, dtype=torch.uint8).view(rows, 16), "x": torch.randn(rows, width), **others}
    save_file(tensors, path)
    return tensors


def test_tensors_of_all_types_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "a.safetensors"
    others = {"b": torch.randn(5, 2, 2).bfloat16(), "mask": torch.tensor([True, False, True, True, False]), "n": torch.arange(5)}
    tensors = write(path, **others)
    one = Segment(path, header(path))
    assert one.rows == 5 and one.nbytes == path.stat().st_size
    assert one.layout == (("b", "BF16", (2, 2)), ("mask", "BOOL", ()), ("n", "I64", ()), ("x", "F32", (3,)))
    assert np.array_equal(one.keys, tensors["keys"].numpy())
    assert all(torch.equal(one.tensors[name], tensors[name]) for name in ("x", *others))


def test_a_map_goes_on_after_release_and_without_its_file(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = write(path, rows=2000, width=500)
    one = Segment(path, header(path))
    assert torch.equal(one.tensors["x"], tensors["x"])
    path.unlink()
    one.release()
    assert torch.equal(one.tensors["x"], tensors["x"])


def test_a_map_keeps_no_file_open(tmp_path):
    write(tmp_path / "a.safetensors")
    head = header(tmp_path / "a.safetensors")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("needs /proc")
    held = [Segment(tmp_path / "a.safetensors", head) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before and len(held) == 50


def spoil(path, how):
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    content = {
        "cut": whole[:-1], "longer": whole + b"\0", "half its header": whole[: 8 + length // 2], "empty": b"", "a word": b"hello",
        "no header": (2**60).to_bytes(8, "little") + whole[8:], "no JSON": whole[:8] + b"x" * length + whole[8 + length :],
        "a list": (8).to_bytes(8, "little") + b"[1,2,3] ",
    }  # fmt: skip
    path.write_bytes(content[how])


@pytest.mark.parametrize("how", ["cut", "longer", "half its header", "empty", "a word", "no header", "no JSON", "a list"])
def test_what_is_torn_has_no_header(tmp_path, how):
    path = tmp_path / "a.safetensors"
    write(path)
    assert header(path) is not None
    spoil(path, how)
    assert header(path) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["x"].update(shape=[4, 3]),
        lambda about: about["x"].update(dtype="F8_E5M2"),
        lambda about: about["x"].update(data_offsets=[-60, 0]),
        lambda about: about["x"].update(shape=["5", 3]),
        lambda about: about["keys"].update(shape=[5, 4, 4]),
        lambda about: about.pop("keys"),
        lambda about: about.pop("x"),
        lambda about: about.update(x=None),
    ],
)
def test_a_header_that_says_nonsense_is_none(tmp_path, change):
    path = tmp_path / "a.safetensors"
    write(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    about = json.loads(whole[8 : 8 + length])
    change(about)
    said = json.dumps(about).encode()
    said += b" " * (-len(said) % 8)
    path.write_bytes(len(said).to_bytes(8, "little") + said + whole[8 + length :])
    assert header(path) is None


def test_a_folder_and_an_absent_file_have_no_header(tmp_path):
    assert header(tmp_path) is None and header(tmp_path / "none") is None


def test_most_rows_say_what_a_shelf_holds(tmp_path):
    write(tmp_path / "a.safetensors", rows=2, width=7)
    write(tmp_path / "b.safetensors", rows=5)
    write(tmp_path / "c.safetensors", rows=1)
    (tmp_path / "d.safetensors").write_bytes(b"torn")
    good, bad = sound(tmp_path)
    assert [path.stem for path in good] == ["b", "c"] and [path.stem for path in bad] == ["a", "d"]
    assert sound(tmp_path / "none") == ({}, [])


def test_a_failed_write_leaves_the_former_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, lambda part: part.write_text("1"))

    def fail(part):
        part.write_text("2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_text() == "1" and os.listdir(tmp_path) == ["a.json"]


def test_a_part_is_abandoned_when_its_writer_is_gone_or_it_is_old(tmp_path):
    mine, gone = tmp_path / f"{segment.writer()}.part", tmp_path / f"{segment._HOST}-{2**22 + 7}-ab.part"
    elsewhere = tmp_path / f"00000000-{2**22 + 7}-ab.part"
    for path in (mine, gone, elsewhere):
        path.touch()
    assert [abandoned(path) for path in (mine, gone, elsewhere)] == [False, True, False]
    os.utime(elsewhere, (time.time() - 4000,) * 2)
    assert abandoned(elsewhere) and not abandoned(tmp_path / "none.part")
