"""How much the data resemble what a body was trained on, from statistics and features that somebody else has computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..heads import logistic
from .references import Reference

EPSILON = 1e-5
"""Added to running variances, as BatchNorm itself adds it: a channel that never varied says nothing when it does not vary."""
ROWS = 1000
"""Rows of each side that are compared; more of them change little and cost their square."""
PERMUTATIONS = 200
BATCH_NORM = "batch_norm_frechet"
LIMITS = {BATCH_NORM: (0.10, 0.20), "mmd": (0.06, 0.15), "frechet": (0.75, 0.95), "proxy_a_distance": (1.6, None)}
"""Up to the first value the data count as similar, from the second as different; in between nothing is said.

Measured with an ImageNet MobileNetV2 and with graft-mini on 200 images a set (docs/decisions/0008-similarity.md). The median
BatchNorm distance parts photos and paintings (at most 0.06) from sketches, microscopy and text (at least 0.24), with cartoons
and leaves on one grey cloth between (0.15 to 0.23). The other three compare last-layer features with a sample of the source,
where a narrow subject counts like another kind of image: with MobileNetV2, insects and cartoons come out alike. A linear
classifier tells nearly any two collections apart (photos of another collection: 1.56), so a large proxy A-distance means nothing.
"""
_SHOWN = {
    BATCH_NORM: "BatchNorm statistics of the data against those of what the body was trained on",
    "mmd": "the maximum mean discrepancy of the last features to a sample of the source",
    "frechet": "the Frechet distance of the last features to a sample of the source",
    "proxy_a_distance": "the proxy A-distance of the last features to a sample of the source",
}


@dataclass(frozen=True)
class Resemblance:
    """layers: the distance at each BatchNorm layer, first to last. 0 is the source data themselves.

    median: over layers, what `judge` wants. mean: over layers; one late layer with channels that hardly ever fire can carry it.
    """

    layers: tuple[float, ...]
    median: float
    mean: float


def batch_norm_frechet(
    batch_mean: Sequence[np.ndarray],
    batch_var: Sequence[np.ndarray],
    running_mean: Sequence[np.ndarray],
    running_var: Sequence[np.ndarray],
) -> Resemblance:
    """Per layer the mean over channels of (m - M)^2 / V + (sqrt(v / V) - 1)^2: the squared Frechet distance (Dowson & Landau,
    1982) between Gaussians with diagonal covariance, in units of what the source data vary (M, V: the running statistics).

    Every body with BatchNorm carries M and V of what it was trained on. Without a unit, so layers and bodies compare.
    running_*: [c] a layer. batch_*: what the data give at the same layer's input, over rows and pixels: [c], or [parts, c]
    of disjoint parts drawn at random. With one row of statistics, few images look farther away than they are; with parts,
    deviations are multiplied between different parts only, which has no such bias in the mean and hardly any in the spread
    (a value under 0 is then noise, and is given as 0). Raises DataError where layers do not match or are not finite.
    """
    groups = (batch_mean, batch_var, running_mean, running_var)
    if not len(running_mean) or len({len(group) for group in groups}) != 1:
        raise DataError("BatchNorm statistics need a mean and a variance for each layer of the body; count the layers again.")
    layers = []
    for number, (m, v, mean, var) in enumerate(zip(*groups, strict=True)):
        m, v = (np.atleast_2d(np.asarray(a, np.float64)) for a in (m, v))
        mean, var = np.asarray(mean, np.float64), np.asarray(var, np.float64)
        if m.shape != v.shape or mean.shape != var.shape or m.shape[1:] != mean.shape:
            raise DataError(f"BatchNorm layer {number + 1} has statistics of different widths; take all of them at the same layer.")
        if not all(np.isfinite(a).all() for a in (m, v, mean, var)) or min(v.min(), var.min()) < -EPSILON:
            raise DataError(f"BatchNorm layer {number + 1} has statistics that are not finite; look at the images and the weights.")
        v, scale = np.maximum(v, 0), np.sqrt(np.maximum(var, 0) + EPSILON)
        # A part's own variance leaves out how its mean differs from the others'; around the common mean nothing is left out.
        v = np.maximum(v + m**2 - _square(m), 0)
        layers.append(max(0.0, float((_square((m - mean) / scale) + _square(np.sqrt(v + EPSILON) / scale - 1)).mean())))
    return Resemblance(tuple(layers), float(np.median(layers)), float(np.mean(layers)))


def _square(deviations: np.ndarray) -> np.ndarray:
    """The square of what deviations [parts, c] share, without their noise: the mean product of two different parts."""
    parts = len(deviations)
    if parts == 1:
        return deviations[0] ** 2
    return (deviations.sum(0) ** 2 - (deviations**2).sum(0)) / (parts * (parts - 1))


def frechet(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) >= 0, the squared Frechet distance of two Gaussians (Dowson & Landau, 1982;
    FID in Heusel et al., 2017). means [d], covariances [d, d], singular ones too."""
    mean1, cov1, mean2, cov2 = (np.asarray(a, np.float64) for a in (mean1, cov1, mean2, cov2))
    values, vectors = np.linalg.eigh(cov1)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov2 @ root), 0)).sum()
    return float(max(0.0, ((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * cross))


def frechet_rows(x: np.ndarray, y: np.ndarray, seed: int = 0) -> float:
    """`frechet` of features x [n, d] and y [m, d], as a share of y's total variance, and corrected for the number of rows.

    Covariances have the rank that their rows give, for tr (C1 C2)^(1/2) is the sum of the singular values of the centred
    X Y' / sqrt(n m), so no [d, d] matrix is needed. The distance falls with 1 / rows (Chong & Forsyth, "Effectively unbiased
    FID", 2020), so twice the distance minus that of random halves is what infinitely many rows would give, to first order:
    with fewer rows than features some of the bias is left. At least 0. Raises DataError for other shapes.
    """
    x, y = _pair(x, y, seed)
    if min(len(x), len(y)) < 4:
        raise DataError("A Frechet distance needs four rows on each side; add images.")
    rng = np.random.default_rng(seed)
    whole, halves = _distance(x, y), []
    for _ in range(2):
        a, b = rng.permutation(len(x)), rng.permutation(len(y))
        for i in range(2):
            halves.append(_distance(x[a[i::2]], y[b[i::2]]))
    total = y.var(0).sum()
    return float(max(0.0, 2 * whole - np.mean(halves)) / max(total, np.finfo(float).tiny))


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    a, b = x - x.mean(0), y - y.mean(0)
    spread = (a * a).sum() / len(a) + (b * b).sum() / len(b)
    # With more rows than features the triangular factor has the same products and fewer rows.
    a, b = (np.linalg.qr(c, "r") / np.sqrt(len(c)) if len(c) > c.shape[1] else c / np.sqrt(len(c)) for c in (a, b))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + spread - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum())


@dataclass(frozen=True)
class Discrepancy:
    """value: the unbiased squared MMD (under 0 where the two are alike); p: of a permutation test, small where they differ;
    bandwidth: of the Gaussian kernel, in units of the features."""

    value: float
    p: float
    bandwidth: float


def mmd(x: np.ndarray, y: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> Discrepancy:
    """The unbiased estimate of MMD^2 (Gretton et al., JMLR 2012, eq. 3) of x [n, d] and y [m, d] with the kernel
    exp(-|a - b|^2 / (2 h^2)), h the median distance between any two rows. Of more than 1000 rows a side, a drawn part.

    p = (1 + permutations with as large a value) / (1 + permutations), so never 0 (Phipson & Smyth, 2010). A small p only says
    that two samples differ, which for photos of two collections is nearly always true; the value says by how much.
    Raises DataError for other shapes.
    """
    x, y = _pair(x, y, seed)
    rows, n, m = np.concatenate([x, y]), len(x), len(y)
    lengths = (rows * rows).sum(1)
    squares = np.maximum(lengths[:, None] + lengths - 2 * rows @ rows.T, 0)
    bandwidth = float(np.median(np.sqrt(squares[np.triu_indices(n + m, 1)])))
    kernel = np.exp(-squares / (2 * bandwidth**2)) if bandwidth > 0 else np.ones_like(squares)
    np.fill_diagonal(kernel, 0)
    rng = np.random.default_rng(seed)
    sides = np.zeros((n + m, permutations + 1))
    sides[:n, 0] = 1
    for i in range(permutations):
        sides[rng.permutation(n + m)[:n], i + 1] = 1
    to_x, own = kernel @ sides, kernel.sum(1)
    xx, xy = (sides * to_x).sum(0), ((1 - sides) * to_x).sum(0)
    yy = own.sum() - xx - 2 * xy
    values = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    # Rounding must not make a permutation of equal rows look different from the rows themselves.
    larger = int((values[1:] >= values[0] - 1e-12).sum())
    return Discrepancy(float(values[0]), (1 + larger) / (1 + permutations), bandwidth)


def proxy_a_distance(x: np.ndarray, y: np.ndarray, seed: int = 0) -> float:
    """2 (1 - 2 e) in [0, 2], e the error of a linear classifier that tells x [n, d] from y [m, d] on rows it did not learn
    from, both sides counting the same; 0 where it cannot (Ben-David et al., "Analysis of representations for domain
    adaptation", NIPS 2006). Of more than 1000 rows a side, a drawn part. Raises DataError for other shapes."""
    x, y = _pair(x, y, seed)
    side = np.repeat([0, 1], [len(x), len(y)])
    held = logistic.solve(np.concatenate([x, y]).astype(np.float32), side, seed, balance=True).outputs
    if held is None:
        raise DataError("A proxy A-distance needs two rows on each side; add images.")
    wrong = held.argmax(1) != side
    error = (wrong[side == 0].mean() + wrong[side == 1].mean()) / 2
    return float(np.clip(2 * (1 - 2 * error), 0, 2))


def _pair(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, of at most ROWS drawn rows each, checked."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise DataError(f"Two sets of features compare with one width and two rows each, not {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("Some features are not finite; look at the images and the weights that they come from.")
    rng = np.random.default_rng(seed)
    return tuple(a if len(a) <= ROWS else a[np.sort(rng.permutation(len(a))[:ROWS])] for a in (x, y))


def compare(features: np.ndarray, reference: Reference, seed: int = 0) -> dict[str, float]:
    """{"proxy_a_distance", "mmd", "mmd_p", "frechet"} of features [n, d] and a reference's, in its basis. Raises DataError for another
    width."""
    features, other = reference.reduce(features), reference.rows.astype(np.float32)
    found = mmd(features, other, seed=seed)
    return {
        "proxy_a_distance": proxy_a_distance(features, other, seed),
        "mmd": found.value,
        "mmd_p": found.p,
        "frechet": frechet_rows(features, other, seed),
    }


def judge(measures: Mapping[str, float | None]) -> tuple[str, str]:
    """("similar", "different" or "unknown", one sentence) from measures by name, as `batch_norm_frechet` (its median) and
    `compare` give them; None or left out where there is none.

    BatchNorm statistics decide alone where there are any; else the other measures do, where those that say something agree.
    """
    there = {name: measures[name] for name in LIMITS if measures.get(name) is not None}
    if not there:
        return "unknown", "Nothing was measured: the body has no BatchNorm statistics, and no sample of its source is kept with it."
    if BATCH_NORM in there:
        there = {BATCH_NORM: there[BATCH_NORM]}
    levels = {name: _level(name, value) for name, value in there.items()}
    said = {level for level in levels.values() if level != "unknown"}
    level = said.pop() if len(said) == 1 else "unknown"
    shown = [name for name in there if level == "unknown" or levels[name] == level]
    words = "; ".join(f"{_SHOWN[name]}: {there[name]:.2f} ({_limits(name)})" for name in shown)
    return level, f"{words[0].upper()}{words[1:]}."


def beside(measures: Mapping[str, float | None], reference: Reference | None, body: str) -> str:
    """What the measures on features say beside those that `judge` listens to, or that there are none; "" where neither is of interest."""
    if reference is not None and "mmd" in measures:
        found = f"proxy A-distance {measures['proxy_a_distance']:.2f} of 2, MMD {measures['mmd']:.3f}, Frechet {measures['frechet']:.2f}"
        return f"Features against {len(reference.rows)} kept rows of {reference.name}: {found}."
    if BATCH_NORM in measures:
        return f"No sample of what {body} was trained on is kept, so its features are not compared with any."
    return ""


def _level(name: str, value: float) -> str:
    low, high = LIMITS[name]
    return "similar" if value <= low else "different" if high is not None and value >= high else "unknown"


def _limits(name: str) -> str:
    low, high = LIMITS[name]
    return f"up to {low:g} is similar, " + (f"from {high:g} different" if high is not None else "more says nothing")
