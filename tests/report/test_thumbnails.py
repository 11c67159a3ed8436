import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from graft.report import thumbnails
from graft.report.thumbnails import Thumbnails


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def noise(path, size=(300, 200), mode="RGB"):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(mode).save(path)
    return str(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.gif", "a.webp", "a.tiff"])
def test_any_image_becomes_a_small_one_of_the_same_shape(tmp_path, name):
    picture = opened(Thumbnails(side=96).of(noise(tmp_path / name)))
    assert picture.size == (96, 64) and picture.mode == "RGB"


def test_an_image_is_upright_and_transparency_is_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert opened(Thumbnails().of(str(tmp_path / "turned.jpg"))).size == (20, 40)
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert opened(Thumbnails().of(str(tmp_path / "clear.png"))).getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bits_of_grey_keep_their_upper_half(tmp_path):
    Image.fromarray(np.full((30, 30), 128 << 8, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert abs(opened(Thumbnails().of(str(tmp_path / "deep.png"))).getpixel((9, 9))[0] - 128) < 4


def test_what_is_no_image_is_nothing(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    noise(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "evil.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    thumbs = Thumbnails(str(tmp_path))
    for name in ("text.jpg", "cut.png", "pipe.png", "evil.eps", "gone.png", ".", "", None, 3, "a\0b", "x" * 5000):
        assert thumbs.of(name) == "", name


def test_a_file_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, "PIXELS", 200 * 300 - 1)
    assert Thumbnails().of(noise(tmp_path / "a.png")) == ""


def test_relative_paths_start_from_the_source(tmp_path):
    noise(tmp_path / "a.png")
    assert Thumbnails(str(tmp_path)).of("a.png") == Thumbnails().of(str(tmp_path / "a.png")) != ""


def test_the_allowance_ends_by_number_and_by_bytes(tmp_path):
    files = [noise(tmp_path / f"{i}.png", (60 + i, 60)) for i in range(6)]
    few = Thumbnails(most=3)
    assert [bool(few.of(file)) for file in (files[0], *files)] == [True] * 3 + [False] * 4, "each time it is shown it takes its place"
    assert few.of(str(tmp_path / "gone.png")) == ""
    size = len(Thumbnails().of(files[0]))
    assert sum(bool(one.of(file)) for one in [Thumbnails(total=3 * size)] for file in files) in (2, 3)
