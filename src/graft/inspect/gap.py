"""How far a target domain lies from the source in the features of a body: in numbers, in words and as a picture."""

from collections.abc import Sequence

import numpy as np

from .finding import Finding

MOST = 1000
"""Rows of each domain that are compared; more of them change little and cost their square."""
AXES = 32  # principal axes in which neighbours are looked for
POINTS = 300  # of each domain that are drawn
CLOSE, FAR = 1.15, 1.4
"""Reach, the larger median of both directions, up to which domains are near, and from which they are far. Halves of six sets have
0.93 to 1.05. With an ImageNet MobileNetV2 the pairs of photos, paintings, cartoons and sketches have 1.45 (photos and paintings) to 3.7
(photos and sketches), and in 10 of these 12 directions a linear head lost 0.24 to 0.76 of accuracy; from paintings and cartoons to
photos it lost next to nothing. A small body sees less of it: with graft-mini photos and paintings have 1.18, and 0.41 was lost."""
ALIKE = 0.5  # proxy A-distance up to which domains are alike: a linear classifier tells five rows of eight apart


def plane(source: np.ndarray, target: np.ndarray, axes: int = AXES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(source [n, p], target [m, p], shares [p]) on the leading principal axes of features [n, d] and [m, d] taken together, each
    standardised; both domains count the same, however many rows they have. shares: of the whole variance, 0 to 1; p <= axes."""
    sides = [np.asarray(side, np.float64) for side in (source, target)]
    mean = sum(side.mean(0) for side in sides) / 2
    spread = np.sqrt(sum(((side - mean) ** 2).mean(0) for side in sides) / 2)
    scale = np.where(spread > 1e-6 * (1e-6 + np.abs(mean)), spread, np.inf)
    sides = [(side - mean) / scale for side in sides]
    rows = np.concatenate([side / np.sqrt(2 * len(side)) for side in sides])
    few = len(rows) < rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    kept = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-12))[::-1][:axes]
    directions = rows.T @ vectors[:, kept] / np.sqrt(values[kept]) if few else vectors[:, kept]
    return sides[0] @ directions, sides[1] @ directions, values[kept] / max(float(values.clip(0).sum()), 1e-12)


def reach(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Of each target row [m, p] the distance to its nearest source row [n, p], as a multiple of the median distance of a source row
    to its nearest other one; float [m]. 1 is what new rows of the source would have; infinite where the source's rows are all one."""
    own = _nearest(source, source, itself=True)
    usual = float(np.median(own))
    far = _nearest(target, source)
    return far / usual if usual > 0 else np.where(far > 0, np.inf, 1.0)


def _nearest(rows: np.ndarray, among: np.ndarray, itself: bool = False) -> np.ndarray:
    squares, found = (among**2).sum(1), np.empty(len(rows))
    for first in range(0, len(rows), 512):
        some = rows[first : first + 512]
        table = (some**2).sum(1)[:, None] + squares - 2 * some @ among.T
        if itself:
            table[np.arange(len(some)), first + np.arange(len(some))] = np.inf
        found[first : first + 512] = table.min(1)
    return np.sqrt(np.maximum(found, 0))


def picture(source: np.ndarray, target: np.ndarray, shares: np.ndarray, seed: int = 0) -> dict:
    """For the page: at most POINTS rows a side on the first two axes, {"source": [[x, y], ...], "target", "shares": [of x, of y]}."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, side in (("source", source), ("target", target)):
        two = np.zeros((len(side), 2))
        two[:, : min(2, side.shape[1])] = side[:, :2]
        drawn[name] = np.round(two[np.sort(rng.permutation(len(two))[:POINTS])], 3).tolist()
    return drawn | {"shares": [round(float(share), 3) for share in shares[:2]]}


def finding(distance: float, far: np.ndarray, back: np.ndarray, paths: Sequence[str], noun: str = "images") -> Finding:
    """What the gap means. distance: the proxy A-distance, 0 to 2 (Ben-David et al., 2007); far: `reach` of the target's rows [m],
    whose names are `paths`; back: that of the source's rows [n] from the target.

    A linear classifier tells nearly any two collections apart, so the distance alone raises no alarm: a warning needs the
    nearest rows across the domains to lie far apart too. A narrow domain lies near a broad one and not the other way round, so the
    larger direction counts. By how much a score falls it cannot say.
    """
    middle, told = float(max(np.median(far), np.median(back))), (1 + distance / 2) / 2
    level = "near" if middle <= CLOSE or distance <= ALIKE else "far" if middle >= FAR else "between"
    word = {"near": "looks like the source", "between": "differs from the source", "far": "differs strongly from the source"}[level]
    text = (
        f"The target {word}: the nearest {noun} across the domains lie {middle:.2f} times as far apart as within one, and a linear "
        f"classifier tells the domains apart in {told:.0%} of cases (proxy A-distance {distance:.2f} of 2)."
    )
    effect, repair = {
        "near": ("A score on the source says about what to expect there.", "Nothing; labels of a few of its samples would make sure."),
        "between": (
            "A score on the source may be too high for it; by how much, only labels of the target can say.",
            "Try what adapts: graft fit SOURCE --target TARGET --method uda; a few labels (--target-labels) say whether it helps.",
        ),
        "far": (
            "What learns from the source alone may do far worse there than its score says.",
            "Adapt to it: graft fit SOURCE --target TARGET --method uda; label some of it (--target-labels) to know the score.",
        ),
    }[level]
    order = np.argsort(-far, kind="stable")
    examples = [
        {"files": [paths[i]], "what": f"{far[i]:.1f} times as far from the source as usual"} for i in order[:6] if np.isfinite(far[i])
    ]
    return Finding(
        "domain_gap", "warning" if level == "far" else "note", len(far), text, effect, repair, (), tuple(examples),
        {"proxy_a_distance": distance, "told_apart": told, "reach": middle, "forth": float(np.median(far)), "back": float(np.median(back))},
    )  # fmt: skip
