import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from graft.core import Prepare
from graft.data import images
from graft.errors import DataError, OptionError

torch.set_num_threads(1)
SMALL = Prepare(size=28, crop=0.875, interpolation="bilinear")


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth random colours, so that resizing has something to keep."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(tmp_path, image: Image.Image, name: str, **how) -> str:
    image.save(tmp_path / name, **how)
    return str(tmp_path / name)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_png_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((4, 6), 40000, np.uint16)) if mode == "I;16" else photo(6, 4).convert(mode)
    array = images.decode(saved(tmp_path, image, "a.png"))
    assert array.shape == (4, 6, 3) and array.dtype == np.uint8


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    values = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    assert images.decode(saved(tmp_path, Image.fromarray(values), "a.png"))[0, :, 0].tolist() == [0, 0, 1, 255]
    assert images.decode(saved(tmp_path, Image.fromarray(values), "a.tif"))[0, :, 1].tolist() == [0, 0, 1, 255]


def test_integers_and_floats(tmp_path):
    integers = Image.fromarray(np.array([[-5, 256, 65535]], dtype=np.int32))
    assert images.decode(saved(tmp_path, integers, "a.tif"))[0, :, 0].tolist() == [0, 1, 255]
    floats = Image.fromarray(np.array([[0, 0.5, 1, np.nan]], dtype=np.float32))
    assert images.decode(saved(tmp_path, floats, "b.tif"))[0, :, 0].tolist() == [0, 128, 255, 0]


def test_cmyk_and_transparency(tmp_path):
    white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert images.decode(saved(tmp_path, white, "a.jpg")).min() >= 250
    clear = Image.new("RGBA", (2, 2), (200, 0, 0, 0))
    assert (images.decode(saved(tmp_path, clear, "a.png")) == 255).all()
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert abs(int(images.decode(saved(tmp_path, half, "b.png"))[0, 0, 0]) - 127) <= 1
    palette = photo(9, 9).quantize(4)
    array = images.decode(saved(tmp_path, palette, "c.png", transparency=2))
    clear = np.asarray(palette) == 2
    assert clear.any() and (array[clear] == 255).all()
    assert np.array_equal(array[~clear], np.asarray(palette.convert("RGB"))[~clear])


def test_orientation_and_first_frame(tmp_path):
    image, exif = photo(12, 6), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert images.decode(saved(tmp_path, image, "a.jpg", exif=exif)).shape == (12, 6, 3)
    red, blue = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    first = images.decode(saved(tmp_path, red, "a.gif", save_all=True, append_images=[blue]))
    assert first[0, 0].tolist() == [255, 0, 0]


def test_bad_files_are_named(tmp_path):
    saved(tmp_path, photo(200, 100), "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    bad = {"short.jpg": content[:300], "empty.jpg": b"", "text.jpg": b"this is no image" * 9}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    for name in [*bad, "folder.jpg", "gone.jpg"]:
        with pytest.raises(DataError, match=name):
            images.decode(tmp_path / name)


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="format"):
        images.decode(tmp_path / "a.eps")


@pytest.mark.parametrize("side", [10_001, 20_000])
def test_huge_images_are_refused_from_the_header(tmp_path, side):
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:26] = struct.pack("<ii", side, side)
    (tmp_path / "huge.bmp").write_bytes(data)
    with pytest.raises(DataError, match=r"huge\.bmp.* 100 million"):
        images.decode(tmp_path / "huge.bmp")


def test_mutated_files_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    for form in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        photo(24, 17).save(buffer, form)
        for _ in range(15):
            data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
            places = rng.integers(0, len(data), 6)
            data[places] = rng.integers(0, 256, 6)
            (tmp_path / "mutated").write_bytes(data.tobytes()[: rng.integers(len(data) // 2, len(data) + 1)])
            try:
                assert images.decode(tmp_path / "mutated").ndim == 3
            except DataError as error:
                assert "mutated" in str(error)


def test_shrink_sizes():
    for height, width in [(1, 1), (3, 500), (500, 3), (40, 100), (640, 480), (32, 32)]:
        shape = images.shrink(np.zeros((height, width, 3), np.uint8), SMALL).shape
        assert min(shape[:2]) == 32 and max(shape[:2]) <= 8 * 32
        if max(height, width) <= 8 * min(height, width):
            assert max(shape[:2]) == int(32 * max(height, width) / min(height, width))
    with pytest.raises(OptionError, match="bicubic"):
        images.shrink(np.zeros((2, 2, 3), np.uint8), Prepare(interpolation="sinc"))


@pytest.mark.parametrize("width,height", [(300, 211), (97, 150), (20, 20)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_recipe_is_that_of_torchvision(width, height, interpolation):
    prepare = Prepare(size=56, interpolation=interpolation)
    image = photo(width, height)
    mode = v2.InterpolationMode(interpolation)
    reference = v2.Compose(
        [
            v2.Resize(prepare.resize, interpolation=mode), v2.CenterCrop(prepare.size), v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize(prepare.mean, prepare.std),
        ]
    )(image)  # fmt: skip
    shrunk = images.shrink(np.asarray(image), prepare)
    top, left = round((shrunk.shape[0] - 56) / 2), round((shrunk.shape[1] - 56) / 2)
    whole = torch.from_numpy(shrunk[top : top + 56, left : left + 56]).permute(2, 0, 1)
    torch.testing.assert_close(images.normalise(whole[None], prepare)[0], reference, atol=1e-5, rtol=1e-5)
    # Only the crop is resampled, which may round a few values in a hundred differently, by two levels of 255 at most.
    levels = (images.load_images([image], prepare)[0].int() - whole.int()).abs()
    assert levels.max() <= 2 and (levels > 0).float().mean() < 0.05


def test_recipe_is_that_of_timm(tmp_path):
    from timm.data import create_transform

    prepare = Prepare(size=56, crop=0.875)
    path = saved(tmp_path, photo(180, 130), "a.png")
    reference = create_transform((3, 56, 56), interpolation="bicubic", crop_pct=0.875, mean=prepare.mean, std=prepare.std)
    ours = images.normalise(images.load_images([path], prepare), prepare)
    torch.testing.assert_close(ours[0], reference(Image.open(path)), atol=1e-5, rtol=1e-5)


def test_large_jpeg_by_its_reduced_decoding(tmp_path):
    path = saved(tmp_path, photo(1600, 1200), "a.jpg", quality=95)
    reduced, full = images.small(path, SMALL), images.shrink(images.decode(path), SMALL)
    assert images.decode(path, 64).shape == (150, 200, 3)
    assert reduced.shape == full.shape and np.abs(reduced.astype(int) - full).max() <= 6


def test_normalise_is_the_formula_and_channels_last():
    batch = torch.randint(0, 256, (3, 3, 5, 5), dtype=torch.uint8)
    ours = images.normalise(batch, SMALL)
    mean, std = torch.tensor(SMALL.mean).view(3, 1, 1), torch.tensor(SMALL.std).view(3, 1, 1)
    torch.testing.assert_close(ours, (batch / 255 - mean) / std, atol=1e-5, rtol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last) and ours.dtype == torch.float32
    assert images.normalise(batch[:0], SMALL).shape == (0, 3, 5, 5)


def test_load_images_takes_all_kinds(tmp_path):
    image = photo(40, 30)
    array = np.asarray(image)
    kinds = [
        saved(tmp_path, image, "a.png"), tmp_path / "a.png", image, array, array / 255.0, (array / 255).astype(np.float32),
        torch.tensor(array), torch.tensor(array).permute(2, 0, 1), torch.tensor(array).permute(2, 0, 1) / 255,
    ]  # fmt: skip
    batch = images.load_images(kinds, SMALL)
    assert batch.dtype == torch.uint8 and batch.shape == (len(kinds), 3, 28, 28)
    assert (batch == batch[:1]).all()
    grey = images.load_images([array[..., 0], array[..., :1], array[..., 0].astype(np.uint16) * 256, array[..., 0] > 99], SMALL)
    assert (grey[0] == grey[1]).all() and (grey[0] == grey[2]).all() and grey.shape == (4, 3, 28, 28)
    assert images.load_images([], SMALL).shape == (0, 3, 28, 28)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8), np.full((2, 2), 7.0), np.full((2, 2), np.nan), np.zeros((2, 2), int), 3],
)
def test_bad_arrays_are_numbered(bad):
    with pytest.raises(DataError, match="Image 1 "):
        images.load_images([np.zeros((2, 2), np.uint8), bad], SMALL)
