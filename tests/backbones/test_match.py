import json
import time

import numpy as np
import pytest
import torch
from PIL import Image

from graft.backbones import gabor, match
from graft.backbones.from_timm import Options, load


def _gabor(sigma, theta, frequency, phase, aspect, x0, y0, k=9):
    y, x = np.mgrid[0:k, 0:k] - (k - 1) / 2
    along = (x - x0) * np.cos(theta) + (y - y0) * np.sin(theta)
    across = (y - y0) * np.cos(theta) - (x - x0) * np.sin(theta)
    return np.exp(-(along**2 + (aspect * across) ** 2) / (2 * sigma**2)) * np.cos(2 * np.pi * frequency * along + phase)


TRUE = [(2.0, 0.4, 0.22, 0.7, 1.2, 0.5, -0.3), (1.6, 2.2, 0.3, -1.1, 0.9, -0.4, 0.2), (2.4, 1.3, 0.15, 0.0, 1.0, 0.0, 0.0)]


def test_known_gabor_filters_are_found_again():
    filters = np.stack([3.0 * _gabor(*p) + 0.1 for p in TRUE])[:, None]
    result = match.match(filters)
    assert min(result["r2"]) > 0.99
    for true, fit in zip(TRUE, result["fits"]):
        assert fit["frequency"] == pytest.approx(true[2], abs=0.02)
        assert abs((fit["theta"] - true[1] + np.pi / 2) % np.pi - np.pi / 2) < 0.1


def test_the_fit_reported_is_the_filter_drawn_and_r2_is_its_own_definition():
    rng = np.random.default_rng(0)
    filters = rng.standard_normal((4, 3, 7, 7))
    result = match.match(filters)
    for i, fit in enumerate(result["fits"]):
        drawn = _gabor(*(fit[n] for n in ("sigma", "theta", "frequency", "phase", "aspect", "x0", "y0")), k=7)
        drawn = fit["amplitude"] * drawn + fit["offset"]
        assert np.allclose(drawn, result["gabors"][i], atol=1e-2 * np.abs(drawn).max())
        grey = np.tensordot([0.299, 0.587, 0.114], filters[i], 1)
        r2 = 1 - ((grey - drawn) ** 2).sum() / ((grey - grey.mean()) ** 2).sum()
        assert result["r2"][i] == pytest.approx(r2, abs=0.01)


def test_noise_fits_badly_and_real_gabors_well():
    bank = gabor.kernels(gabor.Options(frequencies=2, orientations=4, kernel=7, low=0.15, high=0.35))[:, :1]
    result = match.match(bank)
    assert result["noise_r2"] < 0.6 < 0.99 < min(result["r2"])


def test_flat_filters_and_json():
    result = match.match(np.stack([np.zeros((3, 5, 5)), np.full((3, 5, 5), 0.3)]))
    assert result["r2"] == [0.0, 0.0]
    json.dumps(result)
    with pytest.raises(ValueError, match="count"):
        match.match(np.zeros((2, 5, 5)))


def test_it_is_quick():
    filters = np.random.default_rng(0).standard_normal((64, 3, 7, 7))
    start = time.process_time()
    match.match(filters)
    assert time.process_time() - start < 10


def test_first_filters():
    body = load("test_resnet", Options(weights="none"))
    filters = match.first_filters(body)
    assert filters.shape[1:] == (3, 3, 3) and filters.dtype == torch.float32
    assert match.first_filters(gabor.load("gabor", gabor.Options())) is None


def test_picture(tmp_path):
    match.picture(match.match(np.random.default_rng(0).standard_normal((5, 3, 5, 5))), tmp_path / "filters.png")
    with Image.open(tmp_path / "filters.png") as image:
        image.load()
        assert image.format == "PNG" and image.width > 300
