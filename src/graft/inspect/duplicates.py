"""Copies of one image (byte for byte, or resized, re-encoded, mirrored, slightly cropped or brightened) or of one text (but for case,
punctuation or small edits), in a split and across splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.images import decode
from . import copies
from .copies import Copies, Embed, Pictures
from .finding import Finding
from .passage_copies import Passages

SHOWN = 12
ENOUGH = 512
"""Pixels of the shorter side that known copies are made from, at least where the file has them."""
RANK = {"test": 3, "val": 2, "train": 1}
"""Of a group across splits the copy in the highest stays; 2 and above are scored."""

_SAME = {
    "images": "byte for byte the same as another one",
    "texts": "the same as another one but for case, white space and punctuation",
}
_CHANGED = {
    "images": "a copy of another one: resized, re-encoded, mirrored or slightly changed",
    "texts": "a copy of another one with small edits",
}
_MEASURES = {"images": ["thumbnail", "embedding"], "texts": ["pieces of five signs"]}
_DOUBT = {"images": "frames of one scene look like this too", "texts": "texts from one template look like this too"}


def pixels(path: str) -> np.ndarray:
    """uint8 [h, w, 3], a large JPEG at a fraction of its size."""
    return decode(path, at_least=ENOUGH)


@dataclass(frozen=True)
class Rows:
    """What is known of the images beside their pixels, or of the texts. digests: of the files' bytes, or of the texts but for case
    and punctuation. labels: a name, a list of names, a number, or None where there is none. splits: "train", "val", "test", "target"
    or "unlabelled". noun: "images" or "texts"."""

    digests: Sequence[bytes]
    paths: Sequence[str]
    labels: Sequence[object]
    splits: Sequence[str]
    noun: str = "images"

    @property
    def files(self) -> str:
        """What stands to be removed: files, or texts, several of which may be in one file."""
        return "files" if self.noun == "images" else self.noun

    @property
    def remove(self) -> str:
        return f"Remove the listed {self.files}; one of each group stays."

    def order(self, row: int) -> tuple[int, str, int]:
        """The first of a group in this order is the one that stays."""
        return -RANK.get(self.splits[row], 0), self.paths[row], row

    def label(self, row: int) -> object:
        label = self.labels[row]
        return tuple(sorted(map(str, label))) if isinstance(label, (list, tuple, set, np.ndarray)) else label

    def agree(self, group: np.ndarray) -> bool:
        return len({label for row in group if (label := self.label(row)) is not None}) < 2

    def across(self, group: np.ndarray) -> bool:
        """Whether a scored split shares the sample with another one."""
        ranks = {RANK.get(self.splits[row], 0) for row in group}
        return len(ranks) > 1 and max(ranks) >= 2

    def example(self, group: np.ndarray) -> dict:
        shown = sorted(group.tolist(), key=self.order)[:SHOWN]
        labels = [self.label(row) for row in shown]
        return {
            "files": [self.paths[row] for row in shown],
            "labels": [", ".join(label) if isinstance(label, tuple) else label for label in labels],
            "splits": [self.splits[row] for row in shown],
        }


def find(
    rows: Rows,
    pictures: Pictures | Passages,
    embed: Embed | None = None,
    read: Callable[[str], np.ndarray] = pixels,
    small: Callable[[np.ndarray], np.ndarray] = copies.thumbnail,
    seed: int = 0,
) -> tuple[list[Finding], list[str]]:
    """Findings "exact_duplicates", "near_duplicates", "duplicates_across_splits" and "duplicates_with_other_labels" (those
    that there are), and what was not looked for, in words.

    embed: the body that made pictures.embeddings, to calibrate on known copies (up to 400 images go through it); without it
    thumbnails decide alone, which only misses more cropped copies (benchmarks/planted.py). read: a path's pixels, uint8 [h, w, 3].
    small: makes thumbnails as those of pictures. Of Passages, only the seed is used beside them.
    """
    alike = same(rows.digests)
    exact = grouped(len(pictures), alike)
    # One of each group of equal files stands for all, and it is the one that stays.
    stands = np.arange(len(pictures))
    for group in exact:
        stands[group] = min(group.tolist(), key=rows.order)
    single = np.unique(stands)
    some = pictures.take(single)
    texts = isinstance(some, Passages)
    found = some.near(seed) if texts else near(some, [rows.paths[row] for row in single], embed, read, small, seed)
    pairs = single[found.pairs]
    return findings(rows, exact, pairs, found), [found.why] if found.why else []


def same(digests: Sequence[bytes]) -> np.ndarray:
    """Pairs of rows [m, 2] that chain together all rows with the same digest."""
    first: dict[bytes, int] = {}
    pairs = [(kept, row) for row, digest in enumerate(digests) if (kept := first.setdefault(digest, row)) != row]
    return np.array(pairs, np.int64).reshape(-1, 2)


def near(
    pictures: Pictures,
    paths: Sequence[str],
    embed: Embed | None = None,
    read: Callable[[str], np.ndarray] = pixels,
    small: Callable[[np.ndarray], np.ndarray] = copies.thumbnail,
    seed: int = 0,
) -> Copies:
    """Near-copies among images that are not byte for byte the same, by a threshold calibrated on these images."""
    usable = np.flatnonzero(copies.busy(pictures.thumbnails))
    if len(usable) < copies.FEWEST:
        return Copies(why=f"near duplicates: {len(usable)} images are too few to know how alike different ones are")
    # Without the body that made them embeddings cannot be calibrated.
    kept = pictures.take(usable) if embed and pictures.embeddings is not None else Pictures(pictures.thumbnails[usable])
    pairs = copies.candidates(kept)
    measured = copies.measure(kept, pairs)
    drawn = [paths[row] for row in np.random.default_rng(seed).permutation(usable)[: copies.SAMPLE]]
    embedded = kept.embeddings is not None
    made = copies.known(drawn, read, embed if embedded else None, kept.centre if embedded else None, seed, small)
    threshold = copies.calibrate(pairs, measured, made, len(kept))
    if threshold is None:
        return Copies(why="near duplicates: different images are as alike here as copies are, so that they cannot be told apart")
    scores, mirrored = threshold.scores(measured)
    passed = scores <= threshold.limit
    return Copies(usable[pairs[passed]], scores[passed], mirrored[passed], threshold)


def grouped(n: int, pairs: np.ndarray) -> list[np.ndarray]:
    """Rows that pairs join, directly or through others; each group sorted, of two rows or more, by its first row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return []
    _, home = connected_components(coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n)), directed=False)
    order = np.argsort(home, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(home[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def findings(rows: Rows, exact: list[np.ndarray], pairs: np.ndarray, found: Copies) -> list[Finding]:
    """exact: groups of equal files. pairs: near-copies as row numbers, of which `found` says how alike they are."""
    n = len(rows.paths)
    alike = grouped(n, pairs)
    chained = [np.column_stack([group[:-1], group[1:]]) for group in exact]
    every = grouped(n, np.concatenate([*chained, pairs]))
    made = [_exact(rows, exact), _near(rows, alike, pairs, found), _across(rows, every), _differing(rows, every)]
    return [one for one in made if one is not None]


def _spare(rows: Rows, groups: list[np.ndarray]) -> list[str]:
    return [rows.paths[row] for group in groups for row in sorted(group.tolist(), key=rows.order)[1:]]


def _exact(rows: Rows, groups: list[np.ndarray]) -> Finding | None:
    # Where labels differ, nobody can say yet which file should go.
    groups = [group for group in groups if rows.agree(group)]
    files = _spare(rows, groups)
    if not files:
        return None
    return Finding(
        "exact_duplicates", "warning", len(files),
        f"{_are(len(files), rows)} {_SAME[rows.noun]} ({_groups(len(groups))}).",
        f"A copied {rows.noun[:-1]} counts several times, and may be learnt from and scored at once where rows are drawn for that.",
        rows.remove, tuple(files), tuple(map(rows.example, groups[:SHOWN])), {"groups": len(groups), "files": len(rows.paths)},
    )  # fmt: skip


def _near(rows: Rows, groups: list[np.ndarray], pairs: np.ndarray, found: Copies) -> Finding | None:
    home = {row: number for number, group in enumerate(groups) for row in group.tolist()}
    best: dict[int, int] = {}
    for pair in np.argsort(found.scores, kind="stable").tolist():
        best.setdefault(home[pairs[pair, 0]], pair)
    # The most alike first.
    order = [(number, pair) for number, pair in best.items() if rows.agree(groups[number])]
    files = _spare(rows, [groups[number] for number, _ in order])
    if not files:
        return None
    limit = found.threshold
    examples = [
        rows.example(groups[number])
        | {"distance": float(10 ** found.scores[pair])}
        | ({"mirrored": bool(found.mirrored[pair])} if rows.noun == "images" else {})
        for number, pair in order[:SHOWN]
    ]
    recall = float(np.mean(list(limit.recall.values())))
    sure = "" if limit.precision is None else f", and about {limit.precision:.0%} of those found should be copies"
    return Finding(
        "near_duplicates", "warning", len(files),
        f"{_are(len(files), rows)} {_CHANGED[rows.noun]} ({_groups(len(order))}); "
        f"of copies made for comparison {recall:.0%} were recognised{sure}.",
        f"A copied {rows.noun[:-1]} counts several times, and may be learnt from and scored at once where rows are drawn for that.",
        f"Look at the pairs: {_DOUBT[rows.noun]}. {rows.remove}", tuple(files), tuple(examples),
        {
            "groups": len(order), "pairs": len(pairs), "mirrored_pairs": int(found.mirrored.sum()), "recall": recall,
            "recall_by_kind": limit.recall, "precision": limit.precision, "expected_strays": limit.stray, "known_copies": limit.made,
            "distance_limit": float(10**limit.limit), "measures": _MEASURES[rows.noun][: len(limit.weights)],
            "weights": list(limit.weights), "files": len(rows.paths),
        },
    )  # fmt: skip


def _across(rows: Rows, groups: list[np.ndarray]) -> Finding | None:
    groups = [group for group in groups if rows.across(group)]
    if not groups:
        return None
    scored, spare, splits = [], [], set()
    for group in groups:
        top = max(RANK.get(rows.splits[row], 0) for row in group)
        high = [row for row in group.tolist() if RANK.get(rows.splits[row], 0) == top]
        low = [row for row in group.tolist() if row not in high]
        scored += high
        spare += [rows.paths[row] for row in sorted(low, key=rows.order)]
        splits |= {rows.splits[row] for row in low}
    names = sorted({rows.splits[row] for row in scored})
    total = sum(split in names for split in rows.splits)
    share = len(scored) / total
    return Finding(
        "duplicates_across_splits", "problem", len(scored),
        f"{len(scored)} of {total} {rows.noun} of {' and '.join(names)} {'have a copy' if len(scored) > 1 else 'has a copy'} "
        f"in {' and '.join(sorted(splits))}.",
        f"The score is optimistic: {share:.1%} of the scored rows can be answered from memory.",
        f"Remove the listed {rows.files}, the copies in {' and '.join(sorted(splits))}.", tuple(spare),
        tuple(map(rows.example, groups[:SHOWN])), {"groups": len(groups), "scored": total, "share": share},
    )  # fmt: skip


def _differing(rows: Rows, groups: list[np.ndarray]) -> Finding | None:
    groups = [group for group in groups if not rows.agree(group)]
    if not groups:
        return None
    files = [rows.paths[row] for group in groups for row in sorted(group.tolist(), key=rows.order)]
    return Finding(
        "duplicates_with_other_labels", "problem", len(groups),
        f"{_groups(len(groups))} of copies ({len(files)} {rows.files}) carry different labels." if len(groups) > 1
        else f"One group of copies ({len(files)} {rows.files}) carries different labels.",
        "At most one label of each group is right: they teach a contradiction, and where they are scored a right answer counts as wrong.",
        "Look at them, correct the labels, and keep one of each group.", tuple(files), tuple(map(rows.example, groups[:SHOWN])),
        {"files": len(files)},
    )  # fmt: skip


def _are(count: int, rows: Rows) -> str:
    return f"{count} {rows.files} are" if count > 1 else f"1 {rows.files[:-1]} is"


def _groups(count: int) -> str:
    return f"{count} group{'s' if count > 1 else ''}"
