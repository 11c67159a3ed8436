"""How alike two images are, and from where on they are copies: measured on copies made of the user's own images."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from ..errors import DataError

SIDE = 32
"""Pixels a side of a thumbnail."""
FLAT = 3.0
"""Levels of 255 that a thumbnail must vary by (standard deviation): below it, noise alone would decide what is alike."""
NEAR = 4
"""Neighbours of each image, by thumbnail and by embedding, that are looked at closely."""
WIDTH, BLOCK, CHUNK = 96, 512, 4096
"""Principal axes in which neighbours are searched for; rows of a block of that search; pairs measured at a time."""
FLOORS = (1e-4, 1e-3)
"""Distances below which only rounding differs, of thumbnails and of embeddings; added before the logarithm."""
SAMPLE = 100
"""Images of which known copies are made, two of each."""
WEIGHTS = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Of the thumbnails, where there are embeddings: these tell copies from neighbours less well, but bear being cropped better."""
FALSE = 0.05
"""The largest share of the images found that may be expected to be no copies."""
FEWEST = 10
"""Images, and known copies, that a threshold needs."""

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
"""uint8 [h, w, 3] each -> float32 [m, d]: a frozen body, whichever it is."""


@dataclass(frozen=True)
class Pictures:
    """n whole images as arrays: thumbnails uint8 [n, 32, 32, 3], upright and squashed; from a frozen body, embeddings
    float32 [n, d] and those of the mirror images, both or none."""

    thumbnails: np.ndarray
    embeddings: np.ndarray | None = None
    mirrored: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.thumbnails)

    @cached_property
    def centre(self) -> np.ndarray:
        """The mean embedding [d]: what all images share says nothing about two of them."""
        return self.embeddings.mean(0, dtype=np.float64).astype(np.float32)

    def take(self, rows: np.ndarray) -> "Pictures":
        return Pictures(self.thumbnails[rows], *(None if x is None else x[rows] for x in (self.embeddings, self.mirrored)))


@dataclass(frozen=True)
class Threshold:
    """Where copies end.

    weights: of the logarithms of the distances. limit: the weighted sum up to which a pair counts as copies. recall: the
    share of known copies below it, by kind. precision: the expected share of true copies among the images found (None
    where none was). stray: how many are expected below the limit that have no copy (None where nothing says). made: known copies.
    """

    weights: tuple[float, ...]
    limit: float
    recall: dict[str, float]
    precision: float | None
    stray: float | None
    made: int

    def scores(self, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(weighted sum [m], whether the one is the other's mirror image [m]) of what `measure` gives."""
        both = measured[:, :, : len(self.weights)] @ np.asarray(self.weights)
        return both.min(1), both.argmin(1) == 1


@dataclass(frozen=True)
class Copies:
    """Near-copies among n images or texts: pairs of rows [m, 2], their scores [m] (lower is more alike), whether one is
    mirrored [m], and the threshold they passed; why: what was not looked for, in words."""

    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    mirrored: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    threshold: Threshold | None = None
    why: str = ""


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] -> uint8 [32, 32, 3]: the whole image, squashed; averaged over whole blocks first, as photos.gather does."""
    picture = Image.fromarray(image)
    factor = (max(1, picture.width // (2 * SIDE)), max(1, picture.height // (2 * SIDE)))
    return np.array(picture.reduce(factor).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def busy(thumbnails: np.ndarray) -> np.ndarray:
    """Whether there is anything to compare, [n]: two blank images are alike without being copies."""
    out = np.zeros(len(thumbnails), bool)
    for rows in _chunks(len(thumbnails)):
        out[rows] = thumbnails[rows].reshape(rows.stop - rows.start, -1).std(1, dtype=np.float32) >= FLAT
    return out


def candidates(pictures: Pictures, near: int = NEAR) -> np.ndarray:
    """Pairs of rows [m, 2], each once and the smaller first: every image with its `near` nearest by thumbnail and by
    embedding, each as it is or mirrored. Memory grows with n, not with n x n."""
    n = len(pictures)
    if n < 2:
        return np.empty((0, 2), np.int64)
    spaces = [_reduced(lambda rows: _coarse(pictures.thumbnails[rows]), n, lambda rows: _coarse(pictures.thumbnails[rows, :, ::-1]))]
    if pictures.embeddings is not None:
        whole, mirror, centre = pictures.embeddings, pictures.mirrored, pictures.centre
        spaces.append(_reduced(lambda rows: _unit(whole[rows], centre), n, lambda rows: _unit(mirror[rows], centre)))
    found = []
    for base, plain, turned in spaces:
        for first in range(0, n, BLOCK):
            rows = torch.arange(first, min(first + BLOCK, n))
            close = plain[rows] @ base.T
            torch.maximum(close, turned[rows] @ base.T, out=close)
            close[torch.arange(len(rows)), rows] = -2.0
            best = close.topk(min(near, n - 1), 1).indices
            found.append(torch.stack([rows[:, None].expand_as(best), best], 2).reshape(-1, 2).numpy())
    return np.unique(np.sort(np.concatenate(found), 1), axis=0)


def measure(pictures: Pictures, pairs: np.ndarray) -> np.ndarray:
    """log10 distances [m, 2, 1 or 2] of pairs [m, 2]: as they are and with one mirrored; 1 - correlation of the
    thumbnails and, where there are embeddings, 1 - cosine of the centred embeddings."""
    out = np.empty((len(pairs), 2, 1 if pictures.embeddings is None else 2), np.float32)
    small, whole, mirror = pictures.thumbnails, pictures.embeddings, pictures.mirrored
    for rows in _chunks(len(pairs)):
        a, b = pairs[rows].T
        one = _flat(small[a])
        out[rows, 0, 0], out[rows, 1, 0] = _apart(one, _flat(small[b])), _apart(one, _flat(small[b, :, ::-1]))
        if whole is not None:
            x, y = _unit(whole[a], pictures.centre), _unit(whole[b], pictures.centre)
            across = _apart(_unit(mirror[a], pictures.centre), y), _apart(x, _unit(mirror[b], pictures.centre))
            out[rows, 0, 1], out[rows, 1, 1] = _apart(x, y), np.mean(across, 0)
    return np.log10(np.maximum(out, 0) + np.asarray(FLOORS[: out.shape[2]], np.float32))


def known(
    paths: Sequence[str],
    read: Callable[[str], np.ndarray],
    embed: Embed | None,
    centre: np.ndarray | None,
    seed: int = 0,
    small: Callable[[np.ndarray], np.ndarray] = thumbnail,
) -> dict[str, np.ndarray]:
    """{kind: log10 distances [m, 1 or 2]} between images and copies that are made of them here, two of each path: one
    upright (resized, re-encoded, cropped or brightened) and one mirrored. A file that cannot be read is passed over.

    embed and centre (`Pictures.centre`): None for thumbnails alone. small: makes the thumbnails, as those of the data.
    """
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for number, path in enumerate(paths):
        rng = np.random.default_rng((seed, number))
        try:
            image = read(path)
        except DataError:
            continue
        kinds = [UPRIGHT[number % len(UPRIGHT)], MIRRORED[number % len(MIRRORED)]]
        mirror = np.ascontiguousarray(image[:, ::-1])
        images = [image, mirror, *(KINDS[kind](image if kind in UPRIGHT else mirror, rng) for kind in kinds)]
        flat = _flat(np.stack([small(one) for one in images]))
        parts = [_apart(flat[:2], flat[2:])]
        if embed is not None:
            unit = _unit(np.asarray(embed(images), np.float32), centre)
            parts.append(_apart(unit[:2], unit[2:]))
        for kind, logs in zip(kinds, np.log10(np.maximum(np.stack(parts, 1), 0) + FLOORS[: len(parts)])):
            found[kind].append(logs)
    return {kind: np.stack(rows) for kind, rows in found.items() if rows}


def calibrate(pairs: np.ndarray, measured: np.ndarray, copies: dict[str, np.ndarray], n: int) -> Threshold | None:
    """The threshold that separates known copies from the nearest images that are none. None where nothing can be
    separated: too few images or copies, or neighbours as near as copies (frames of one film).

    pairs, measured: candidates among n images, with their distances. copies: `known`'s. Of several weights of thumbnails
    against embeddings, those are taken with which most known copies are recognised, on average over the kinds.
    """
    width = min([measured.shape[2], *(rows.shape[1] for rows in copies.values())])
    made = sum(map(len, copies.values()))
    if n < FEWEST or made < FEWEST:
        return None
    best = None
    for share in WEIGHTS if width > 1 else (1.0,):
        weights = np.array([share, 1 - share][:width])
        logs = {kind: rows[:, :width] @ weights for kind, rows in copies.items()}
        scores = (measured[:, :, :width] @ weights).min(1)
        found = limit(np.concatenate(list(logs.values())), pairs, scores, n)
        if found is None:
            continue
        level, stray = found
        recall = {kind: float((rows <= level).mean()) for kind, rows in logs.items()}
        if best is None or np.mean(list(recall.values())) > np.mean(list(best.recall.values())):
            many = len(np.unique(pairs[scores <= level]))
            precision = float(np.clip(1 - stray / many, 0, 1)) if many else None
            best = Threshold(tuple(weights.tolist()), level, recall, precision, stray, made)
    return best


def limit(copies: np.ndarray, pairs: np.ndarray, scores: np.ndarray, n: int, share: float = FALSE) -> tuple[float, float] | None:
    """(threshold, how many images are expected to have a pair below it by chance), or None where no threshold does.

    copies: scores of known copies. pairs, scores: candidates among n images, some of which may be true copies. The threshold
    is the loosest between the 98 % and the 30 % quantile of the known copies below which at most `share` of the images found,
    or half an image, is expected by chance (`strays`).
    """
    for level in np.linspace(*np.quantile(copies, [0.98, 0.3]), 60):
        above = scores > level
        stray = strays(scores[above][_nearest(pairs[above], scores[above])], level, n)
        if stray <= max(share * len(np.unique(pairs[~above])), 0.5):
            return float(level), stray
    return None


def strays(nearest: np.ndarray, level: float, n: int) -> float:
    """How many of n images are expected to be nearer than `level` to one that they are no copy of.

    nearest: scores of each image and the nearest one above the level. The distance to the nearest of many points falls off
    as a power of the distance, so its logarithm falls off exponentially (the lower tail of extreme values; Hill, 1975).
    The rate is fitted by likelihood to the nearest quarter, as an exponential that is cut off at the level, and carried on
    below it, with twice the standard error of the mean in favour of more. Infinite where there is no tail to carry on: few
    images have such a neighbour, or they do not clearly thin out.
    """
    from scipy.optimize import brentq

    if len(nearest) < max(FEWEST, 0.1 * n):
        return np.inf
    tail = np.sort(nearest)[: max(FEWEST, len(nearest) // 4)]
    length = tail[-1] - level
    mean = float((tail[-1] - tail[:-1]).mean())
    mean += 2 * min(mean, length / 12**0.5) / (len(tail) - 1) ** 0.5
    if mean >= 0.499 * length:
        return np.inf
    mean = max(mean, 1e-9 * length)
    scale = brentq(lambda s: s - length / np.expm1(min(length / s, 700.0)) - mean, 0.5 * mean, 1e3 * length)
    return float((len(tail) - 1) / np.expm1(min(length / scale, 700.0)))


def _nearest(pairs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each image that is in a pair, the number of its nearest pair."""
    order = np.argsort(scores, kind="stable")
    _, first = np.unique(pairs[order].ravel(), return_index=True)
    return order[first // 2]


def _chunks(n: int) -> Iterator[slice]:
    return (slice(first, min(first + CHUNK, n)) for first in range(0, n, CHUNK))


def _flat(thumbnails: np.ndarray) -> np.ndarray:
    """Unit vectors [m, 3072] without their mean: brightness and contrast make no difference."""
    x = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    return _unit(x, x.mean(1, keepdims=True))


def _coarse(thumbnails: np.ndarray) -> np.ndarray:
    """`_flat` at half the size, [m, 768]: enough to find neighbours."""
    half = SIDE // 2
    x = thumbnails.reshape(len(thumbnails), half, 2, half, 2, 3).mean((2, 4), dtype=np.float32).reshape(len(thumbnails), -1)
    return _unit(x, x.mean(1, keepdims=True))


def _unit(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    x = x - centre
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cosine of unit vectors, row by row; from their difference, which rounding spoils less."""
    return ((a - b) ** 2).sum(-1) / 2


def _reduced(
    rows_of: Callable[[np.ndarray], np.ndarray], n: int, mirror_of: Callable[[np.ndarray], np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit vectors [n, d] as unit vectors [n, WIDTH] on the principal axes of a sample and its mirror images; and both as
    queries, whose lengths keep what the axes do not show."""
    drawn = np.unique(np.linspace(0, n - 1, min(n, 768)).astype(np.int64))
    sample = np.concatenate([rows_of(drawn), mirror_of(drawn)])
    values, vectors = np.linalg.eigh(sample @ sample.T)
    kept = np.flatnonzero(values > 1e-6 * values[-1])[-WIDTH:]
    axes = sample.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    plain, mirror = (
        np.concatenate([of(np.arange(rows.start, rows.stop)) @ axes for rows in _chunks(n)]).astype(np.float32)
        for of in (rows_of, mirror_of)
    )
    return tuple(map(torch.from_numpy, (_unit(plain, np.zeros(1, np.float32)), plain, mirror)))


def _encoded(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def _resized(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    factor = rng.uniform(0.4, 0.9)
    size = [max(SIDE, round(side * factor)) for side in image.shape[1::-1]]
    return np.array(Image.fromarray(image).resize(size, filters[rng.integers(3)]))


def _cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    top, bottom, left, right = (rng.uniform(0, 0.04, 4) * (height, height, width, width)).astype(int)
    return np.ascontiguousarray(image[top : height - bottom, left : width - right])


def _brightened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image * rng.choice([0.85, 1.15]), 0, 255).astype(np.uint8)


def _quality(rng: np.random.Generator) -> int:
    return int(rng.integers(40, 91))


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "resized": lambda image, rng: _encoded(_resized(image, rng), 90),
    "re-encoded": lambda image, rng: _encoded(image, _quality(rng)),
    "cropped": lambda image, rng: _encoded(_cropped(image, rng), 90),
    "brightened": lambda image, rng: _encoded(_brightened(image, rng), 90),
    "flipped": lambda image, rng: _encoded(image, 90),
    "flipped, resized and re-encoded": lambda image, rng: _encoded(_resized(image, rng), _quality(rng)),
}
"""Makes a copy of an image; of its mirror image, where the kind is one of MIRRORED."""
MIRRORED = ("flipped", "flipped, resized and re-encoded")
UPRIGHT = tuple(kind for kind in KINDS if kind not in MIRRORED)
