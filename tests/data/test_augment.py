import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from graft.data.augment import Augment, Options, resolve
from graft.errors import OptionError

torch.set_num_threads(1)
PRESETS = ("none", "light", "medium", "strong")


def picture(height: int = 40, width: int = 56, seed: int = 0) -> torch.Tensor:
    """Smooth, far from black and white, so that nothing clips."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(70, 180, (1, 3, 5, 7)))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0].round().to(torch.uint8)


def only(**knobs) -> Augment:
    return Augment(Options(preset="none", **knobs))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("height,width", [(1, 1), (3, 500), (500, 3), (33, 47), (24, 24), (2, 2)])
def test_any_size(preset, height, width):
    image = picture(height, width)
    for kind in (image, image[:1].expand(3, -1, -1), image.permute(1, 2, 0).contiguous().permute(2, 0, 1)):
        before = kind.clone()
        for seed in range(6):
            out = Augment(Options(preset=preset, shift=0.5, zoom=0.9) if seed > 3 else Options(preset)).image(kind, rng(seed), 24)
            assert out.shape == (3, 24, 24) and out.dtype == torch.uint8
        assert torch.equal(kind, before)


def test_same_generator_same_image_whatever_the_global_state():
    for preset in PRESETS:
        augment = Augment(Options(preset=preset, zoom=0.1))
        torch.manual_seed(1)
        np.random.seed(1)
        first = augment.image(picture(), rng(5), 24)
        state = torch.get_rng_state()
        torch.rand(3)
        torch.set_num_threads(2)
        second = augment.image(picture(), rng(5), 24)
        torch.set_num_threads(1)
        assert torch.equal(first, second)
        assert not torch.equal(torch.get_rng_state(), state)  # torch.rand moved it
        torch.set_rng_state(state)
        augment.image(picture(), rng(6), 24)
        assert torch.equal(torch.get_rng_state(), state)  # and the augmentation does not


def test_none_is_the_centre_crop():
    image = picture(40, 56)
    assert torch.equal(only().image(image, rng(), 24), image[:, 8:32, 16:40])
    assert not only().active and only().describe() == "none (centre crop)"


def test_flips():
    image, centre = picture(40, 56), picture(40, 56)[:, 8:32, 16:40]
    assert torch.equal(only(flip=1).image(image, rng(), 24), centre.flip(-1))
    assert torch.equal(only(flip_vertical=1).image(image, rng(), 24), centre.flip(-2))
    assert torch.equal(only(flip=1, flip_vertical=1).image(image, rng(), 24), centre.flip(-1, -2))
    flipped = [torch.equal(only(flip=0.5).image(image, rng(seed), 24), centre.flip(-1)) for seed in range(200)]
    assert 70 < sum(flipped) < 130


def test_flips_within_the_affine_map():
    image, centre = picture(40, 56), picture(40, 56)[:, 8:32, 16:40]
    tiny = only(flip=1, rotation=1e-6).image(image, rng(), 24)
    assert (tiny.int() - centre.flip(-1)).abs().max() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_rotation_agrees_with_torchvision(seed):
    """About the crop's middle, with real surroundings: torchvision on the whole image, then the centre crop."""
    image = picture(60, 60)
    ours = only(rotation=30).image(image, rng(seed), 24)
    draw = rng(seed)
    angle = draw.uniform(-30, 30)
    turned = functional.rotate(image.float(), angle, interpolation=functional.InterpolationMode.BILINEAR)
    assert (ours - functional.center_crop(turned, [24, 24])).abs().max() < 1
    assert not torch.equal(ours, image[:, 18:42, 18:42])


def test_shift_and_zoom_move_and_scale():
    ramp = torch.arange(80, dtype=torch.uint8).expand(3, 80, 80).contiguous()
    moved = [only(shift=0.25).image(ramp, rng(seed), 40)[0, 20].int() for seed in range(20)]
    for line in moved:  # still a ramp of slope one, displaced by at most a quarter of 40
        assert (line.diff() - 1).abs().max() <= 1 and abs(line.float().mean().item() - 39.5) <= 10.6
    assert max(line.float().mean().item() for line in moved) > 42
    slopes = [(line := only(zoom=0.5).image(ramp, rng(seed), 40)[0, 20].float())[-1].sub(line[0]).item() / 39 for seed in range(20)]
    assert 1 / 1.55 < min(slopes) < 0.9 < 1.1 < max(slopes) < 1 / 0.45


def test_no_black_corners():
    white = torch.full((3, 40, 40), 255, dtype=torch.uint8)
    for seed in range(10):
        assert (only(rotation=180, shift=0.5, shear=45, zoom=0.9).image(white, rng(seed), 32) >= 254).all()


def test_colour_agrees_with_torchvision():
    image = picture(24, 24)
    for knob, reference in (
        ("brightness", functional.adjust_brightness),
        ("contrast", functional.adjust_contrast),
        ("saturation", functional.adjust_saturation),
    ):
        for seed in range(5):
            drawn = rng(seed).uniform(0.6, 1.4, 3)  # brightness, saturation, contrast; those off draw 1 .. 1
            factor = drawn[["brightness", "saturation", "contrast"].index(knob)]
            ours = only(**{knob: 0.4}).image(image, rng(seed), 24)
            assert (ours.int() - reference(image, float(factor)).int()).abs().max() <= 2, knob


def test_hue_keeps_greys_and_luma():
    grey = torch.full((3, 24, 24), 90, dtype=torch.uint8)
    assert torch.equal(only(hue=0.5).image(grey, rng(), 24), grey)
    image, luma = picture(24, 24), torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    turned = only(hue=0.1).image(image, rng(1), 24)
    assert not torch.equal(turned, image)
    assert ((turned * luma).sum(0) - (image * luma).sum(0)).abs().max() < 1.5


def test_erasing_share():
    shares = []
    for seed in range(40):
        changed = (only(erasing=1).image(torch.zeros(3, 40, 40, dtype=torch.uint8), rng(seed), 40) > 0).any(0)
        shares.append(changed.float().mean().item())
    assert min(shares) > 0.01 and max(shares) < 0.36 and max(shares) - min(shares) > 0.15


def test_random_crop_share():
    ramp = torch.arange(200, dtype=torch.uint8).expand(3, 200, 200).contiguous()
    for seed in range(20):
        line = Augment(Options(crop=0.5, flip=0)).image(ramp, rng(seed), 50)[0, 25].float()
        assert 200 * (0.5 * 3 / 4) ** 0.5 * 0.95 <= (line[-1] - line[0]) * 50 / 49 + 1 <= 205


def test_presets_and_overrides():
    assert resolve(Options()).crop == 0.5 and resolve(Options()).flip == 0.5
    assert resolve(Options(flip=0)).flip == 0 and resolve(Options(flip=0)).crop == 0.5
    assert resolve(Options("strong", mixup=0)).mixup == 0
    assert Augment(Options("strong")).mixes and not Augment(Options("medium")).mixes
    assert only(mixup=0.2).active
    for preset in PRESETS:
        assert "\n" not in Augment(Options(preset)).describe()
    assert "rotation up to 10 degrees" in Augment(Options("medium")).describe()


@pytest.mark.parametrize(
    "knobs,words",
    [
        ({"preset": "ligth"}, "'light'"),
        ({"flip": 1.5}, "0 to 1"),
        ({"crop": 0}, "0.01 to 1"),
        ({"rotation": float("nan")}, "0 to 180"),
        ({"hue": "much"}, "0 to 0.5"),
        ({"zoom": True}, "0 to 0.9"),
    ],
)
def test_bad_values(knobs, words):
    with pytest.raises(OptionError, match=words):
        Augment(Options(**knobs))
