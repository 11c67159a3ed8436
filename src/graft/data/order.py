"""In which order rows are drawn: a pure function of the seed and a tag, the same on every machine and in every thread."""

import hashlib

import numpy as np

from ..core import Stream


def generator(seed: int, *tag: str | int) -> np.random.Generator:
    """A random generator for this seed and tag. A digest is used because Python's own hash changes from process to process."""
    words = "\x1f".join(str(part) for part in (seed, *tag)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(words, digest_size=16).digest(), "big"))


def batches(stream: Stream, classes: np.ndarray | None, seed: int, *tag: str | int) -> list[np.ndarray]:
    """Row numbers of each batch of one epoch, shuffled.

    classes: int [n], needed where `stream.balanced`: then every class is drawn equally often, with as many rows as
    the table has, rows of small classes repeating. A last batch of one row is joined to the one before, because
    BatchNorm cannot learn from a single row.
    """
    rng, n = generator(seed, "order", *tag), len(stream.table)
    order = _balanced(classes, rng) if stream.balanced and classes is not None else rng.permutation(n)
    cuts = list(range(stream.batch, n, stream.batch))
    if cuts and n - cuts[-1] == 1:
        cuts.pop()
    return np.split(order, cuts)


def steps(stream: Stream) -> int:
    """Batches of an epoch, as `batches` cuts them: a last one of a single row is joined to the one before."""
    n = len(stream.table)
    return -(-n // stream.batch) - int(n > stream.batch and (n - 1) % stream.batch == 0)


def mean_cells(cells: np.ndarray) -> int:
    """How long rows [n] are on average, rounded up; 0 for images and for no rows."""
    return int(np.ceil(cells.mean())) if len(cells) else 0


def _balanced(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, present = len(classes), np.unique(classes)
    drawn = []
    for number, name in enumerate(present):
        members = np.flatnonzero(classes == name)
        wanted = n // len(present) + (number < n % len(present))
        rounds = [rng.permutation(members) for _ in range(-(-wanted // len(members)))]
        drawn.append(np.concatenate(rounds)[:wanted])
    return rng.permutation(np.concatenate(drawn))
