import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from graft.data.images import decode
from graft.inspect import photos as room
from graft.inspect.files import defect
from graft.inspect.photos import LOOK, findings, gather


def scene(width, height, seed=0):
    """A smooth picture with a little noise, as photos are: RGB image."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, int) + rng.integers(-6, 7, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def save(folder, name, image, **options):
    image.save(folder / name, **options)
    return str(folder / name)


def kinds(files, size=8, labels=None):
    found = findings(gather(files), labels, size=size)
    for one in found:
        assert one.text.endswith(".") and one.effect.endswith(".") and one.repair.endswith(".")
        assert one.files[: len(one.examples)] == tuple(example["files"][0] for example in one.examples)
        json.dumps(one.as_dict())
    return {one.kind: one for one in found}


@pytest.fixture
def mixed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        save(tmp_path, "a.jpg", scene(300, 200), quality=90),
        save(tmp_path, "b.png", scene(90, 130, 1)),
        save(tmp_path, "c.jpg", scene(240, 160, 2), exif=exif),
        save(tmp_path, "d.png", scene(50, 40, 3).convert("RGBA")),
        save(tmp_path, "e.jpg", scene(100, 100, 4).convert("L")),
        save(tmp_path, "f.png", scene(100, 100, 5), exif=exif),
        save(tmp_path, "g.webp", scene(70, 80, 6)),
        save(tmp_path, "h.tif", Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80))),
        save(tmp_path, "i.png", scene(1, 1)),
    ]


def test_facts_of_each_file(mixed):
    facts = gather(mixed)
    assert list(facts.path) == mixed and len(facts) == 9 and facts.unreadable == ()
    assert facts.bytes.tolist() == [os.path.getsize(path) for path in mixed]
    stored = [Image.open(path) for path in mixed]
    assert [(w, h) for w, h in zip(facts.width, facts.height)] == [image.size for image in stored]
    assert list(facts.mode) == [image.mode for image in stored] and list(facts.format) == [image.format for image in stored]
    assert facts.orientation.tolist() == [1, 1, 6, 1, 1, 6, 1, 1, 1]
    assert list(facts.digest) == [hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest() for path in mixed]
    assert facts.kind[3:5] == ["transparent", "grey"] and facts.kind[7] == "grey of more than 8 bits"


def test_colours_and_thumbnails_are_those_of_the_whole_image_at_its_full_size(mixed):
    """Against the image decoded in full; what is averaged down first differs by a few levels at most."""
    facts = gather(mixed)
    for i, path in enumerate(mixed):
        full = decode(path).astype(float)
        height, width = full.shape[:2]
        down, across = max(1, round(0.05 * height)), max(1, round(0.05 * width))
        edge = np.concatenate([full[rows, columns].reshape(-1, 3) for rows, columns in (
            (slice(down), slice(None)), (slice(-down, None), slice(None)),
            (slice(down, -down), slice(across)), (slice(down, -down), slice(-across, None)),
        )])  # fmt: skip
        np.testing.assert_allclose(facts.colour[i], full.mean((0, 1)), atol=3, err_msg=path)
        np.testing.assert_allclose(facts.border[i], edge.mean(0), atol=8, err_msg=path)
        assert abs(facts.spread[i] - (full @ [0.299, 0.587, 0.114]).std()) < 5, path
        whole = np.asarray(Image.fromarray(full.astype(np.uint8)).resize((32, 32), Image.Resampling.BOX), float)
        assert np.abs(facts.small[i] - whole).mean() < 6, path


def test_thumbnails_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (80, 60), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 80, 30))  # White above, black below, as stored.
    facts = gather([save(tmp_path, "a.png", image, exif=exif), save(tmp_path, "b.png", ImageOps.exif_transpose(image))])
    assert facts.small[0][16, 2].mean() < 10 and facts.small[0][16, -3].mean() > 245  # Turned clockwise: white on the right.
    assert facts.width.tolist() == [80, 80]


def test_the_scale_of_decoding_does_not_show(tmp_path):
    """The same picture as a JPEG, decoded small, and as a PNG, decoded in full: the same facts."""
    image = scene(640, 480)
    facts = gather([save(tmp_path, "a.png", image), save(tmp_path, "a.jpg", image, quality=97)])
    assert np.abs(facts.small[0].astype(int) - facts.small[1]).mean() < 2
    assert abs(facts.spread[0] - facts.spread[1]) < 1 and np.abs(facts.border[0] - facts.border[1]).max() < 2


def test_threads_change_nothing_and_ticks_count_files(mixed):
    ticks = []
    one, many = gather(mixed, threads=1, tick=ticks.append), gather(mixed, threads=4)
    assert sum(ticks) == len(mixed)
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)


def test_a_file_is_decoded_once_and_a_jpeg_not_in_full(mixed, monkeypatch):
    asked = []
    monkeypatch.setattr(room, "decode", lambda path, at_least: asked.append((path, at_least)) or decode(path, at_least))
    gather(mixed, threads=1)
    assert asked == [(path, LOOK) for path in mixed]
    assert decode(mixed[0], at_least=LOOK).shape == (100, 150, 3)


def test_what_cannot_be_decoded_is_named(mixed, tmp_path):
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"this is not an image")
    (tmp_path / "cut.png").write_bytes(Path(mixed[1]).read_bytes()[:2000])
    os.mkfifo(tmp_path / "pipe.png")
    bad = [str(tmp_path / name) for name in ("zero.png", "text.png", "cut.png", "pipe.png", "gone.png")]
    facts = gather([bad[0], mixed[0], *bad[1:], mixed[1]])
    assert facts.path == (mixed[0], mixed[1])
    assert facts.unreadable == tuple((path, defect(path)) for path in bad) and all(why for _, why in facts.unreadable)
    one = findings(facts, ["x", "y"], size=8)[0]
    assert (one.kind, one.level, one.count) == ("unreadable", "problem", 5) and "data.bad_share=0.715" in one.repair
    none = gather([bad[0]])
    assert len(none) == 0 and none.small.shape == (0, 32, 32, 3) and [one.kind for one in findings(none)] == ["unreadable"]


def test_few_bad_files_do_not_stop_a_fit(photos, tmp_path):
    (tmp_path / "zero.png").write_bytes(b"")
    (one,) = findings(gather([*map(str, sorted(photos.rglob("*.png"))), str(tmp_path / "zero.png")]), size=48)
    assert (one.kind, one.level) == ("unreadable", "warning") and "--set" not in one.repair


def test_uniform_photos_say_nothing(photos):
    assert kinds([str(path) for path in sorted(photos.rglob("*.png"))], size=48) == {}


def test_mixed_files(mixed):
    found = kinds(mixed, size=30, labels=list("abcdefghi"))
    assert set(found) == {"small_images", "mixed_sizes", "deep_grey", "mixed_modes", "mixed_formats", "rotated"}
    assert found["small_images"].files == (mixed[8],) and found["small_images"].level == "warning"  # One of nine, by 30.
    assert found["small_images"].examples[0] == {"files": [mixed[8]], "what": "1 x 1", "label": "i"}
    assert found["deep_grey"].files == (mixed[7],) and found["deep_grey"].level == "warning"
    assert found["mixed_modes"].files == (mixed[3], mixed[4], mixed[7])
    assert found["mixed_formats"].numbers["counts"] == {"PNG": 4, "JPEG": 3, "WEBP": 1, "TIFF": 1}
    assert found["rotated"].files == (mixed[2], mixed[5])
    assert found["mixed_sizes"].files[0] == mixed[8] and "from 1 x 1 to 300 x 200 pixels" in found["mixed_sizes"].text


def test_slightly_small_images_are_a_note(photos):
    files = [str(path) for path in sorted(photos.rglob("*.png"))]
    assert kinds(files, size=64)["small_images"].level == "note" and "All images are" in kinds(files, size=64)["small_images"].text
    assert kinds(files, size=97)["small_images"].level == "warning"


def test_strips(tmp_path, photos):
    files = [save(tmp_path, "strip.png", scene(31, 10)), *(str(path) for path in sorted(photos.rglob("*.png")))]
    one = kinds(files)["elongated"]
    assert one.files == (files[0],) and one.level == "note" and one.numbers["longest"] == pytest.approx(3.1)


def test_damaged_exif_is_no_rotation(tmp_path):
    for number, value in enumerate((0, 9, 1)):
        exif = Image.Exif()
        exif[0x0112] = value
        raw = io.BytesIO()
        scene(40, 30).save(raw, "JPEG", exif=exif)
        (tmp_path / f"{number}.jpg").write_bytes(raw.getvalue())
    assert gather([str(tmp_path / f"{i}.jpg") for i in range(3)]).orientation.tolist() == [1, 1, 1]
