"""Fixtures and rules for all tests: offline, one thread, drawn images, real data only where it is there."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Set before anything imports huggingface_hub: no test may reach for the network, and none may report to anyone.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Nor may what a test does depend on the weights that its machine happens to keep.
os.environ["HF_HUB_CACHE"] = os.environ["TORCH_HOME"] = os.path.join(tempfile.gettempdir(), "graft-tests-keep-no-weights")
# Before numpy and torch are imported, for child processes too: threads that wait for each other make small sums many times slower.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an accelerator where there is none; torch is imported only if such a test was collected."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an accelerator; this machine has none"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's activations; within a session of tests they are shared, as between a user's runs."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests are small: threads only cost time, and one thread gives the same sums on every machine."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _draw(shape: str, seed: int, size: int = 48):
    """A light shape with a random place, size and colour on a dark noisy ground; PIL image, size x size, RGB."""
    import numpy as np
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 60, (size, size, 3), dtype=np.uint8))
    half = int(rng.integers(size // 5, size // 3))
    x, y = (int(v) for v in rng.integers(half + 2, size - half - 2, 2))
    colour = tuple(int(v) for v in rng.integers(150, 256, 3))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    elif shape == "cross":
        draw.line((x - half, y - half, x + half, y + half), fill=colour, width=5)
        draw.line((x - half, y + half, x + half, y - half), fill=colour, width=5)
    else:
        for offset in range(-half, half + 1, 6):
            draw.line((x - half, y + offset, x + half, y + offset), fill=colour, width=2)
    return image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class folder: circle, cross and stripes, 12 PNG images of 48 x 48 each, always the same. Read it, do not write in it."""
    folder = tmp_path_factory.mktemp("photos")
    for number, shape in enumerate(("circle", "cross", "stripes")):
        (folder / shape).mkdir()
        for i in range(12):
            _draw(shape, seed=100 * number + i).save(folder / shape / f"{shape}_{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets: $GRAFT_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("GRAFT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets; {folder} is not there: set GRAFT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The folder of real pre-trained weights: $GRAFT_WEIGHTS, or `weights` beside the folder of data sets."""
    data = Path(os.environ.get("GRAFT_DATA", ROOT.parent / "shared" / "data"))
    folder = Path(os.environ.get("GRAFT_WEIGHTS", data.parent / "weights"))
    if not folder.is_dir():
        pytest.skip(f"needs real pre-trained weights; {folder} is not there: set GRAFT_WEIGHTS to their folder")
    return folder
