"""How alike two texts are, by the pieces of five signs that they share, and which of many are copies with small edits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .copies import SAMPLE, Copies, Threshold
from .passages import normal

SIGNS = 5
"""Of a piece: a word that is put in, taken out or replaced then spoils hardly more than its own length."""
ALIKE = 0.7
"""The Jaccard index from which two texts count as copies: one word in eight replaced in a sentence of twenty words leaves about that.
Fixed, not calibrated: what is below depends on the topic, and sentences from one template come near it."""
SHORT = 30
"""Signs, normalised, below which a text has too few pieces: "great phone, works well" resembles many that are no copies."""
BANDS, ROWS = 24, 4
"""Of the signatures. A pair of Jaccard index s is looked at with probability 1 - (1 - s^4)^24: 0.9986 at 0.7, 0.79 at 0.5, 0.04 at 0.2."""
CROWD = 32
"""Texts of one bucket up to which all pairs are looked at; in a larger one each only with the first and with its neighbour."""
DOUBT = 0.25
"""How far below ALIKE the share of equal minima may lie for a pair to be measured: five standard deviations of its 96 draws."""
CHUNK = 4_000_000  # pieces hashed at a time
FLOOR = 1e-4  # added to distances before the logarithm, as copies.FLOORS


@dataclass(frozen=True)
class Passages:
    """n texts, to be looked through for copies by `duplicates.find` as copies.Pictures are for images. beside: what stands beside each
    (the context of a question), which has to be alike too: one question about two contexts is no copy."""

    texts: Sequence[str]
    beside: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> "Passages":
        return Passages([self.texts[i] for i in rows], None if self.beside is None else [self.beside[i] for i in rows])

    def near(self, seed: int = 0) -> Copies:
        """Pairs whose pieces have a Jaccard index of ALIKE or more; texts of fewer than SHORT signs are in none.

        Candidates are found by MinHash (Broder, "On the resemblance and containment of documents", 1997) with banding (Leskovec,
        Rajaraman and Ullman, "Mining of massive datasets", section 3.4), and each is then measured exactly. Time and memory grow
        with the texts' total length. The threshold's recall is that of copies which are made here of SAMPLE of the texts.
        """
        squeezed = [normal(text) for text in self.texts]
        usable = np.array([i for i, text in enumerate(squeezed) if len(text) >= SHORT], np.int64)
        if len(usable) < 2:
            return Copies(why=f"near duplicates: {len(usable)} texts of {SHORT} signs or more are too few to compare")
        kept = [squeezed[i] for i in usable]
        signs = signatures(kept, seed)
        pairs = candidates(signs)
        close = (signs[pairs[:, 0]] == signs[pairs[:, 1]]).mean(1) >= ALIKE - DOUBT if len(pairs) else np.empty(0, bool)
        pairs = pairs[close]
        index = measured(kept, pairs)
        if self.beside is not None:
            close = index >= ALIKE
            pairs = pairs[close]
            index = np.minimum(index[close], measured([normal(self.beside[i]) for i in usable], pairs))
        passed = index >= ALIKE
        scores = np.log10(1 - index[passed] + FLOOR)
        return Copies(usable[pairs[passed]], scores, np.zeros(int(passed.sum()), bool), _threshold(kept, seed))


def pieces(text: str) -> np.ndarray:
    """The distinct hashes uint64, sorted, of all SIGNS neighbouring signs of a text with a blank at each end."""
    return np.unique(_hashed(_codes([text]))) if text else np.empty(0, np.uint64)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|a and b| / |a or b| of two sets as sorted arrays; 0 for two empty ones."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(len(a) + len(b) - both, 1)


def signatures(texts: Sequence[str], seed: int = 0) -> np.ndarray:
    """uint32 [n, BANDS x ROWS]: for each of so many random orders of all pieces, the upper half of the text's first piece.

    Two texts agree in each with the probability of their Jaccard index. Each text has SIGNS signs or more.
    """
    rng = np.random.default_rng([seed, 5])
    factors = rng.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    out = np.empty((len(texts), len(factors)), np.uint32)
    for rows in _chunks(texts):
        part = texts[rows]
        hashes = _hashed(_codes(part))
        # Every text has as many pieces as signs, with its two blanks, less SIGNS - 1; those across two texts are cut out.
        sizes = np.array([len(text) + 2 for text in part])
        inside = np.ones(len(hashes), bool)
        ends = np.cumsum(sizes)
        for back in range(1, SIGNS):
            inside[ends[:-1] - back] = False
        kept = hashes[inside]
        starts = np.cumsum(sizes - SIGNS + 1) - (sizes - SIGNS + 1)
        for k, factor in enumerate(factors):
            out[rows, k] = np.minimum.reduceat(kept * factor, starts) >> np.uint64(32)
    return out


def candidates(signs: np.ndarray) -> np.ndarray:
    """Pairs of rows int64 [m, 2], each once and the smaller first, that agree in all ROWS orders of some band."""
    found = []
    for band in range(BANDS):
        part = signs[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        key = part[:, 0] << np.uint64(32) | part[:, 1]
        key = _mixed(_mixed(key) + (part[:, 2] << np.uint64(32) | part[:, 3]))
        order = np.argsort(key, kind="stable")
        cuts = np.flatnonzero(np.diff(key[order])) + 1
        starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(order)]])
        for start, end in zip(starts[ends - starts > 1].tolist(), ends[ends - starts > 1].tolist(), strict=True):
            found.append(_joined(order[start:end]))
    return np.unique(np.sort(np.concatenate(found), 1), axis=0) if found else np.empty((0, 2), np.int64)


def _joined(rows: np.ndarray) -> np.ndarray:
    """Pairs of the rows of one bucket."""
    if len(rows) <= CROWD:
        return np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], 1)
    first = np.column_stack([np.full(len(rows) - 1, rows[0]), rows[1:]])
    return np.concatenate([first, np.column_stack([rows[1:-1], rows[2:]])])


def measured(texts: Sequence[str], pairs: np.ndarray) -> np.ndarray:
    """The Jaccard index [m] of each pair of rows; what is hashed once is kept while its pairs last."""
    kept: dict[int, np.ndarray] = {}
    out, last = np.empty(len(pairs)), {row: i for i, pair in enumerate(pairs.tolist()) for row in pair}
    for i, (a, b) in enumerate(pairs.tolist()):
        for row in (a, b):
            if row not in kept:
                kept[row] = pieces(texts[row])
        out[i] = jaccard(kept[a], kept[b])
        for row in (a, b):
            if last[row] == i:
                kept.pop(row, None)
    return out


def _threshold(texts: Sequence[str], seed: int) -> Threshold:
    drawn = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]]
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for number, text in enumerate(drawn):
        rng = np.random.default_rng((seed, number))
        for kind, change in KINDS.items():
            words = text.split()
            found[kind].append(jaccard(pieces(text), pieces(" ".join(change(words, rng)))) >= ALIKE)
    recall = {kind: float(np.mean(hits)) for kind, hits in found.items()}
    return Threshold((1.0,), float(np.log10(1 - ALIKE + FLOOR)), recall, None, None, sum(map(len, found.values())))


def _slip(words: list[str], rng: np.random.Generator) -> list[str]:
    """Two neighbouring letters swapped in one word."""
    at = int(np.argmax([len(word) for word in words])) if len(words) else 0
    word = words[at]
    k = int(rng.integers(max(len(word) - 1, 1)))
    return [*words[:at], word[:k] + word[k : k + 2][::-1] + word[k + 2 :], *words[at + 1 :]]


def _dropped(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words)))
    return [*words[:at], *words[at + 1 :]]


def _replaced(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words)))
    return [*words[:at], "something", *words[at + 1 :]]


def _cut(words: list[str], rng: np.random.Generator) -> list[str]:
    return words[: max(1, round(0.85 * len(words)))]


KINDS: dict[str, Callable[[list[str], np.random.Generator], list[str]]] = {
    "a typing slip": _slip,
    "a word left out": _dropped,
    "a word replaced": _replaced,
    "words put before": lambda words, rng: ["rt", "user", *words],
    "the end cut off": _cut,
}
"""Makes a copy of a text's words, in lower case and without punctuation as they are compared."""


def _chunks(texts: Sequence[str]) -> Iterator[slice]:
    first, total = 0, 0
    for i, text in enumerate(texts):
        total += len(text) + 2
        if total > CHUNK and i > first:
            yield slice(first, i)
            first, total = i, len(text) + 2
    if first < len(texts):
        yield slice(first, len(texts))


def _codes(texts: Sequence[str]) -> np.ndarray:
    """The signs of the texts one after the other, each text between two blanks, as uint64 code points."""
    joined = "".join(f" {text} " for text in texts)
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def _hashed(codes: np.ndarray) -> np.ndarray:
    """uint64 [n - SIGNS + 1]: the hash of each SIGNS neighbouring code points; they take 21 bits each, so two are rarely one."""
    total = np.zeros(max(len(codes) - SIGNS + 1, 0), np.uint64)
    for k in range(SIGNS):
        total = _mixed(total + codes[k : len(total) + k] + np.uint64(k + 1))
    return total


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit depends on every other (the finaliser of splitmix64; Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
