"""Statistics of a source's features: what the reduced rows hold, files, and those that come with graft."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from graft.advisor import references, similarity
from graft.advisor.references import Reference
from graft.backbones import embedded
from graft.errors import DataError, OutputError


def rows(n: int = 50, d: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 2.0


def test_reduced_rows_are_their_loop():
    """Projections on the leading eigenvectors of one half's covariance, and the distance to the plane that they span, row by row."""
    y, x = rows(), rows(7, seed=1)
    kept = Reference.of("photos", y, rank=2, seed=3)
    half = y[np.random.default_rng(3).permutation(50)[:25]]
    assert kept.mean == pytest.approx(half.mean(0), rel=1e-5)
    vectors = np.linalg.eigh(np.cov(half.T))[1]
    first, second = vectors[:, -1], vectors[:, -2]
    for row, found in zip(x, kept.reduce(x), strict=True):
        a, b = (row - half.mean(0)) @ first, (row - half.mean(0)) @ second
        assert abs(found[0]) == pytest.approx(abs(a), rel=0.01, abs=0.01) and abs(found[1]) == pytest.approx(abs(b), rel=0.01, abs=0.01)
        far = np.sqrt(((row - half.mean(0) - a * first - b * second) ** 2).sum())
        assert found[2] == pytest.approx(far, rel=0.01, abs=0.02)


def test_the_source_itself_is_near_although_directions_are_many_for_its_rows():
    """Rows that made the basis would lie nearer to it than new ones: kept rows are others."""
    rng = np.random.default_rng(0)
    kept, new = Reference.of("noise", rng.normal(size=(400, 120)), rank=60), rng.normal(size=(200, 120))
    assert kept.reduce(new)[:, -1].mean() == pytest.approx(kept.rows[:, -1].astype(float).mean(), rel=0.02)
    assert similarity.compare(new, kept)["proxy_a_distance"] < 0.5


def test_a_reference_comes_back_as_it_was_saved(tmp_path):
    kept = Reference.of("photos", rows(), rank=3)
    assert kept.basis.shape == (6, 3) and kept.rows.shape == (25, 4)
    again = Reference.load(kept.save(tmp_path / "photos.safetensors"))
    assert again.name == "photos" and all((getattr(again, one) == getattr(kept, one)).all() for one in ("mean", "basis", "rows"))
    assert [p.name for p in tmp_path.iterdir()] == ["photos.safetensors"]
    assert (Reference.of("photos", rows(), rank=3).rows == kept.rows).all(), "the same features give the same file"


def test_what_is_no_reference_is_refused(tmp_path):
    from safetensors.numpy import save_file

    y = rows()
    good = Reference.of("x", y, rank=2)
    for broken in ((good.mean[:2], good.basis, good.rows), (good.mean, good.basis, good.rows[:, :1]), (y.mean(0), good.basis, good.rows)):
        with pytest.raises(DataError, match="float16"):
            Reference("x", *broken)
    with pytest.raises(DataError, match="too large for float16"):
        Reference.of("x", 1e6 * y)
    with pytest.raises(DataError, match="one width"):
        good.reduce(y[:, :2])
    with pytest.raises(DataError, match="missing or damaged"):
        Reference.load(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(DataError, match="missing or damaged"):
        Reference.load(tmp_path / "torn.safetensors")
    save_file({"features": y}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="not a reference"):
        Reference.load(tmp_path / "weights.safetensors")
    with pytest.raises(OutputError, match="name a folder"):
        good.save(tmp_path / "nowhere" / "x.safetensors")


def test_every_reference_that_comes_with_graft_is_sound_and_small():
    folder = Path(references.__file__).parent
    cards = references.cards()
    assert {card["file"] for card in cards} == {file.name for file in folder.glob("*.safetensors")}
    for card in cards:
        file = folder / card["file"]
        assert file.stat().st_size < 600_000 and hashlib.sha256(file.read_bytes()).hexdigest() == card["sha256"]
        found = references.find(card["weights_sha256"], card["size"])
        assert found.name == card["source"] and len(found.rows) == card["rows"] and card["licence"] and card["made_by"]


def test_a_reference_belongs_to_the_weights_and_the_size_that_it_was_made_with():
    body = embedded.load("graft-mini", embedded.Options())
    assert references.find(body.origin.sha256, body.prepare.size).rows.shape == (500, 97)
    assert references.find(body.origin.sha256, 64) is None and references.find("0" * 64, 96) is None and references.find("", 96) is None
