import math

import pytest
import torch

from graft.backbones import gabor
from graft.backbones.gabor import Options, load
from graft.errors import OptionError
from graft.testing import check_backbone


def test_contract():
    check_backbone(load, "gabor", Options(image_size=64, kernel=31))


def _grating(frequency, angle, size=128):
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float32)] * 2, indexing="ij")
    wave = 0.5 + 0.5 * torch.cos(2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle)))
    return wave.expand(1, 3, size, size)


def test_each_filter_answers_most_to_its_own_grating_with_half_its_amplitude():
    options = Options()
    bank = gabor.Bank(options)
    for i in (1, 3, 4):
        frequency = options.low * (options.high / options.low) ** (i / 4)
        for j in (0, 3, 6):
            energy = bank(_grating(frequency, math.pi * j / 8))[0, :, 20:-20, 20:-20].mean((1, 2))
            assert int(energy.argmax()) == i * 8 + j
            assert float(energy.max()) == pytest.approx(0.25, rel=0.05)  # the amplitude of the grating is 0.5


def test_the_bank_is_blind_to_a_constant_and_to_colour_of_equal_luminance():
    bank = gabor.Bank(Options())
    assert bank(torch.full((1, 3, 128, 128), 0.7)).max() < 1e-4


def test_filters_against_the_formula_written_out():
    options = Options(frequencies=3, orientations=4, kernel=31, low=0.1, high=0.4)
    filters = gabor.kernels(options)
    f, t, s = 0.2, math.pi / 4, 0.56 / 0.2
    raw = [
        [
            (math.exp(-(x * x + y * y) / (2 * s * s)), 2 * math.pi * f * (x * math.cos(t) + y * math.sin(t)))
            for x in range(-15, 16)
        ]
        for y in range(-15, 16)
    ]  # fmt: skip
    z = sum(e for row in raw for e, _ in row)
    dc = sum(e * math.cos(w) for row in raw for e, w in row) / z
    for row, column in ((15, 15), (12, 20), (3, 9)):
        e, w = raw[row][column]
        assert float(filters[5, 0, row, column]) == pytest.approx(e / z * (math.cos(w) - dc), abs=1e-7)
        assert float(filters[5, 1, row, column]) == pytest.approx(e / z * math.sin(w), abs=1e-7)


def test_nothing_learns():
    body = load("gabor", Options(image_size=64, kernel=31), seed=3)
    assert list(body.stages.parameters()) == [] and body.origin.trained_on == "nothing"


@pytest.mark.parametrize("wrong", [{"frequencies": 0}, {"kernel": 10}, {"low": 0.4, "high": 0.1}, {"high": 0.7}, {"image_size": 10}])
def test_impossible_options_are_one_sentence(wrong):
    with pytest.raises(OptionError) as caught:
        load("gabor", Options(**wrong))
    assert "\n" not in str(caught.value)
