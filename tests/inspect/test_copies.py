import math

import numpy as np
import pytest
from PIL import Image

from graft.errors import DataError
from graft.inspect import copies
from graft.inspect.copies import Pictures


def scene(seed, size=96):
    """Coloured blots, uint8 [size, size, 3]."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.array(small, float) + rng.normal(0, 6, (size, size, 1)), 0, 255).astype(np.uint8)


def embed(images):
    """A stand-in for a frozen body: mean colours in a 5 x 5 grid."""
    return np.array([np.array(Image.fromarray(image).resize((5, 5), Image.Resampling.BOX), np.float32).ravel() for image in images])


def pictured(images):
    return Pictures(np.stack([copies.thumbnail(image) for image in images]), embed(images), embed([image[:, ::-1] for image in images]))


def test_distances_are_one_minus_the_correlation_and_the_cosine():
    images = [scene(seed) for seed in range(12)]
    pictures, pairs = pictured(images), np.array([[0, 1], [4, 2]])
    got = 10.0 ** copies.measure(pictures, pairs)
    flat = pictures.thumbnails.astype(float)
    centred, turned = (x.astype(float) - pictures.embeddings.mean(0) for x in (pictures.embeddings, pictures.mirrored))

    def cosine(a, b):
        return a @ b / math.sqrt((a @ a) * (b @ b))

    for row, (a, b) in enumerate(pairs):
        plain = np.corrcoef(flat[a].ravel(), flat[b].ravel())[0, 1]
        mirror = np.corrcoef(flat[a].ravel(), flat[b][:, ::-1].ravel())[0, 1]
        both = (cosine(turned[a], centred[b]) + cosine(centred[a], turned[b])) / 2
        expected = [[1 - plain + 1e-4, 1 - cosine(centred[a], centred[b]) + 1e-3], [1 - mirror + 1e-4, 1 - both + 1e-3]]
        np.testing.assert_allclose(got[row], expected, rtol=1e-3)


@pytest.mark.parametrize("block", [7, 512])
def test_candidates_are_the_nearest_of_all_pairs_found_one_by_one(monkeypatch, block):
    monkeypatch.setattr(copies, "BLOCK", block)
    images = [scene(seed) for seed in range(30)]  # Fewer than axes, so that nothing is lost on them.
    small = np.stack([copies.thumbnail(image) for image in [*images, images[0][:, ::-1], images[7]]])
    pairs = copies.candidates(Pictures(small), near=2)
    halves = small.reshape(32, 16, 2, 16, 2, 3).mean((2, 4))
    closeness = np.full((32, 32), -2.0)
    for a in range(32):
        for b in range(32):
            if a != b:
                closeness[a, b] = max(np.corrcoef(x.ravel(), halves[b].ravel())[0, 1] for x in (halves[a], halves[a][:, ::-1]))
    expected = {tuple(sorted((a, int(b)))) for a in range(32) for b in np.argsort(-closeness[a])[:2]}
    # Rows 7 and 31 are one picture: which of them is the nearer to a third is up to the last bit.
    named = lambda some: {tuple(sorted(7 if row == 31 else row for row in pair)) for pair in some}  # noqa: E731
    assert named(pairs.tolist()) == named(expected) and len(pairs) == len(expected)
    more = copies.candidates(pictured(images), near=2)
    assert set(more.ravel()) == set(range(30)) and (more[:, 0] < more[:, 1]).all()


def test_strays_are_what_the_tail_leads_one_to_expect():
    """Distances that fall off exponentially, cut off at the level: the number below it is known from the formula."""
    nearest = -np.random.default_rng(0).exponential(0.5, 20000)
    for level in (-2.0, -3.0):
        expected = 20000 * math.exp(level / 0.5)
        assert copies.strays(nearest[nearest > level], level, 20000) == pytest.approx(expected, rel=0.5)
        assert copies.strays(nearest[nearest > level], level, 20000) > expected, "in favour of more"
    assert copies.strays(np.linspace(-3, 0, 1000), -3.0, 1000) == math.inf, "no thinning out: neighbours reach down to the copies"
    assert copies.strays(nearest[:50], -3.0, 20000) == math.inf, "nearly all images have copies, and the others say nothing"


def test_the_limit_is_the_loosest_that_keeps_strays_out():
    rng = np.random.default_rng(0)
    pairs = np.arange(4000).reshape(-1, 2)
    others = 2 - rng.exponential(0.2, 2000)
    level, stray = copies.limit(rng.normal(-4, 0.3, 200), pairs, others, 4000)
    assert level > -4 + 0.5 and stray < 0.5, "far apart: nearly all known copies are below it"
    known = np.concatenate([rng.normal(-3, 0.2, 150), rng.normal(1.5, 0.2, 50)])
    level, stray = copies.limit(known, pairs, np.concatenate([rng.normal(-3, 0.2, 50), others[50:]]), 4000)
    assert -2.5 < level < 1.3 and stray <= 0.05 * 100, "of two kinds, the one that lies among the neighbours is given up"
    assert copies.limit(rng.normal(2, 0.1, 200), pairs, others, 4000) is None


def test_the_weights_are_those_that_recognise_most_copies():
    """Thumbnails that say nothing of one kind of copy, embeddings that say nothing of another."""
    rng = np.random.default_rng(0)
    pairs = np.array([(a, (a + step) % 300) for a in range(300) for step in (1, 2, 3)])
    measured = np.repeat((-rng.exponential(0.08, (900, 1, 2))), 2, 1)
    clear = rng.normal(-3, 0.1, (50, 2))
    blind = np.column_stack([rng.normal(0, 0.05, 50), rng.normal(-3, 0.1, 50)])
    found = copies.calibrate(pairs, measured, {"resized": clear, "cropped": blind}, 300)
    assert found.weights[1] > 0 and min(found.recall.values()) > 0.9 and found.precision is None
    alone = copies.calibrate(pairs, measured[:, :, :1], {"resized": clear, "cropped": blind}, 300)
    assert alone is None or alone.recall["cropped"] < 0.1
    twice = copies.calibrate(pairs, measured, {"resized": clear}, 300)
    assert twice.weights == (1.0, 0.0), "nothing to gain from embeddings"
    scores, mirrored = twice.scores(np.array([[[-1.0, 5.0], [-2.0, 5.0]]]))
    assert scores.tolist() == [-2.0] and mirrored.tolist() == [True]


def test_known_copies_are_of_every_kind_and_unreadable_files_are_passed_over():
    images = {f"{i}": scene(i) for i in range(8)}

    def read(path):
        if path not in images:
            raise DataError("gone")
        return images[path]

    made = copies.known([*images, "gone"], read, embed, embed(list(images.values())).mean(0))
    assert set(made) == set(copies.KINDS) and sum(map(len, made.values())) == 16
    assert all(rows.shape[1] == 2 for rows in made.values())
    alone = copies.known([*images], read, None, None)
    np.testing.assert_allclose(alone["flipped"][:, 0], made["flipped"][:, 0])
    # The same copies every time, and each is nearer to its original than that is to the other images.
    np.testing.assert_array_equal(alone["resized"], copies.known([*images], read, None, None)["resized"])
    small = Pictures(np.stack([copies.thumbnail(image) for image in images.values()]))
    apart = copies.measure(small, np.array([(a, b) for a in range(8) for b in range(a)])).min()
    assert max(rows.max() for kind, rows in alone.items() if kind != "cropped") < apart
