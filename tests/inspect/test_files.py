import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from benchmarks.fuzz_images import png_header
from PIL import Image

from graft.data.images import MAX_PIXELS
from graft.errors import DataError
from graft.inspect.files import check, defect
from graft.readers import image_folder, split


@pytest.fixture
def folder(photos, tmp_path) -> Path:
    return Path(shutil.copytree(photos, tmp_path / "photos"))


def read(folder):
    return image_folder.read(str(folder), image_folder.Options())


def test_good_data_come_back_as_they_are(folder):
    data = read(folder)
    assert check(data) is data


def test_every_kind_of_defect_is_named(folder, tmp_path):
    good = (folder / "circle" / "circle_00.png").read_bytes()
    jpeg = tmp_path / "x.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(jpeg)
    cases = {
        "zero.png": (b"", "empty file (0 bytes)"),
        "text.png": (b"this is not an image", "not an image"),
        "cut.png": (good[: len(good) // 2], "truncated"),
        "cut.jpg": (jpeg.read_bytes()[: jpeg.stat().st_size // 2], "truncated"),
        "huge.png": (png_header(20_000, 10_000), f"too large (more than {MAX_PIXELS // 10**6} million pixels)"),
        "bomb.png": (png_header(200_000, 200_000), f"too large (more than {MAX_PIXELS // 10**6} million pixels)"),
        "edge.png": (png_header(9_000, 9_000), "truncated"),  # Within the limit, so it is decoded.
    }
    for name, (raw, why) in cases.items():
        (folder / "circle" / name).write_bytes(raw)
        assert defect(str(folder / "circle" / name)) == why, name
    (folder / "circle" / "gone.png").symlink_to(folder / "nowhere")
    assert defect(str(folder / "circle" / "gone.png")) == "missing, or a link to nowhere"
    assert defect(str(folder)) == "not a regular file"
    assert defect("a\0b.png") == "damaged"

    before = read(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = check(before, share=0.5)
    assert len(before.train) == 36 + 8 and len(after.train) == 36
    assert {note.level for note in after.notes} == {"warning"}
    assert {Path(path).name for note in after.notes for path in note.files} == {*cases, "gone.png"}


def test_decoders_are_quiet(folder, capfd, caplog):
    Image.new("RGB", (4, 4)).save(folder / "cross" / "x.tif")
    raw = bytearray((folder / "cross" / "x.tif").read_bytes())
    at = raw.index(struct.pack("<HHI", 277, 3, 1))  # The tag of the samples of a pixel.
    raw[at + 8 : at + 10] = struct.pack("<H", 1028)
    (folder / "cross" / "x.tif").write_bytes(raw)
    (folder / "cross" / "big.png").write_bytes(png_header(10_000, 10_000))
    data = check(read(folder), share=0.5)
    assert len(data.train) == 36 and caplog.records == [] and capfd.readouterr() == ("", "")
    defect(str(folder / "cross" / "x.tif"))
    assert caplog.records, "this file makes a decoder talk"


def test_the_fingerprint_is_that_of_the_rows_left(folder):
    clean = read(folder).fingerprint
    (folder / "cross" / "zero.png").write_bytes(b"")
    assert read(folder).fingerprint != clean
    assert check(read(folder)).fingerprint == clean


def test_more_than_the_share_is_refused_with_the_repair(folder):
    for i in range(4):
        (folder / "cross" / f"bad{i}.png").write_bytes(b"no")
    with pytest.raises(DataError) as caught:
        check(read(folder))
    said = str(caught.value)
    assert said.startswith("4 of 40 files cannot be used, more than the 5.0% allowed") and "bad0.png' (not an image)" in said
    assert said.count("bad") == 4 and said.endswith("--set data.bad_share=0.1.") and "\n" not in said
    # The share that the message names is enough.
    assert len(check(read(folder), share=0.1).train) == 36


def test_a_class_that_loses_all_its_rows_is_refused(folder):
    for path in (folder / "cross").iterdir():
        path.write_bytes(b"no")
    with pytest.raises(DataError, match="No usable training image is left of 'cross'"):
        check(read(folder), share=1.0)


def test_a_split_that_loses_all_its_rows_is_refused(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "p" / "train")
    for name in ("circle", "cross", "stripes"):
        (tmp_path / "p" / "val" / name).mkdir(parents=True)
    (tmp_path / "p" / "val" / "cross" / "x.png").write_bytes(b"no")
    with pytest.raises(DataError, match="No usable image is left in val"):
        check(read(tmp_path / "p"), share=1.0)


def test_it_may_run_after_the_roles_are_given(folder):
    (folder / "cross" / "zero.png").write_bytes(b"")
    data = check(split.assign(read(folder), folds=0))
    assert sum(len(t) for t in (data.train, data.val, data.test)) == 36


@pytest.mark.data
def test_real_photos_are_good(data_dir):
    data = read(data_dir / "hymenoptera")
    assert check(data) is data
