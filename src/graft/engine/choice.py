"""Which way frozen passes run: by rule where the rule is sure, else by a short trial that also measures what is lost."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..core import Net, State
from . import device, prefix, ways
from .device import Machine
from .store import Store
from .ways import FLOAT, SHORT, Inputs, Way

AGREE = 0.995
"""Least share of held-out decisions that must be the same with bfloat16 features as with float32 ones, unless:"""
SMALL = 0.05
"""A change is small if bfloat16 changes at most this part of the decisions that other rows to learn from would change (decision 0022)."""
WORTH_COMPILING = 30.0
"""Multiply-adds (in thousand millions) of a whole pass from which a conversion of two seconds pays: 100 images of MobileNetV2."""
WORTH_SHORTENING = 1000.0
"""The same for bfloat16: some ten seconds of float32 on two cores. Below, there is nothing to win."""
TRIED = 512
"""Samples of the trial, half of them held out by turns."""


@dataclass(frozen=True)
class Choice:
    """exact: the float32 way; `short` itself where no float32 is asked for, so that no form is made that nobody runs. short: the
    bfloat16 one that is taken or tried, None where float32 it is. reason: in words. tried: whether a trial is to confirm `short`."""

    exact: Way
    short: Way | None
    reason: str
    tried: bool = False


@dataclass
class Forms:
    """What is known of one prefix: its multiply-adds and its compiled forms, which need not be read from disk for every table.

    Those of another prefix are let go when it comes, because a form takes as much memory as the network."""

    store: Store | None = None
    _digest: str = ""
    _cells: int = 0
    _work: float = 0.0
    _ways: dict[tuple, Way] = field(default_factory=dict)

    def work(self, net: Net, stop: int, digest: str, cells: int = 0) -> float:
        """Multiply-adds of an image, or of a text of so many tokens, in thousand millions."""
        if (digest, cells) != (self._digest, self._cells):
            self._ways = self._ways if digest == self._digest else {}
            self._digest, self._cells, self._work = digest, cells, prefix.work(net, stop, cells)
        return self._work

    def compiled(self, net: Net, stop: int, dtype: torch.dtype, digest: str, shown: Inputs) -> Way:
        """Raises RuntimeError as ways.compiled does."""
        key = dtype, tuple(shown) if isinstance(shown, dict) else ()
        if key not in self._ways:
            self._ways[key] = ways.compiled(net, stop, dtype, self.store, digest, shown)
        return self._ways[key]


def by_rule(
    net: Net, stop: int, rows: int, machine: Machine, precision: str, forms: Forms, digest: str, shown: Inputs, cells: int = 0
) -> Choice:
    """What is known without a trial, for `rows` images, or texts of so many tokens, up to depth `stop`; shown: see ways.example.

    precision: "exact" is float32, "fast" bfloat16 where the machine multiplies it natively, "auto" as above.
    """
    total = forms.work(net, stop, digest, cells) * rows
    about = machine, forms, digest, shown
    native = ways.short_is_native() if machine.device.type == "cpu" else torch.cuda.is_bf16_supported(False)  # not emulated
    if precision == "fast" and native:
        short, why = _fastest(net, stop, total, SHORT, *about)
        return Choice(short, short, f"fast was asked for{why}")
    exact, why = _fastest(net, stop, total, FLOAT, *about)
    if precision == "exact":
        return Choice(exact, None, f"exact was asked for{why}")
    if not native:
        return Choice(exact, None, f"this machine has no native bfloat16{why}")
    if total < WORTH_SHORTENING:
        return Choice(exact, None, f"at {total:,.0f} thousand million multiply-adds there is no time to win with bfloat16{why}")
    short, why = _fastest(net, stop, total, SHORT, *about)
    return Choice(exact, short, why, tried=True)


def _fastest(
    net: Net, stop: int, total: float, dtype: torch.dtype, machine: Machine, forms: Forms, digest: str, shown: Inputs
) -> tuple[Way, str]:
    """The fastest way in this precision, and what there is to say about it."""
    if machine.device.type == "cuda":
        return ways.direct(net, stop, machine, dtype, shown), ""
    if total < WORTH_COMPILING:
        return ways.direct(net, stop, machine, dtype, shown), "; too little work for a compiled form to pay"
    why = ways.why_not_compiled()
    if not why:
        try:
            return forms.compiled(net, stop, dtype, digest, shown), ""
        except RuntimeError as error:
            why = str(error)
    return ways.direct(net, stop, machine, dtype, shown), f"; {why}, so torch runs it"


def key(digest: str, way: Way, cells: int = 0) -> str:
    """The name of the shelf for the states that a way makes of a prefix, of texts for those of one length. Ways have shelves of
    their own, because their last bits differ, and a run that is resumed must find what it would have computed."""
    return device.short_digest(digest, way.name, *((way.rows(cells), cells) if cells else (way.batch,)))


def spread(rows: int) -> np.ndarray:
    """Row numbers of the trial, evenly over the table, which is often sorted by class."""
    return np.unique(np.linspace(0, rows - 1, min(rows, TRIED)).astype(int))


def verdict(exact: State, short: State, targets: Tensor, faster: float | None) -> tuple[bool, str]:
    """Whether bfloat16 is taken, and why. faster: how many times, None where it was not timed."""
    vectors, n = _vectors(exact), len(targets)
    decisions = _decisions(targets, vectors)
    same = agreement(vectors, _vectors(short), decisions)
    error = float((exact["x"] - short["x"].float()).norm() / exact["x"].norm().clamp(min=1e-12))
    words = f"features differ by {error:.1%}, and {same:.1%} of {n} held-out decisions are the same"
    if same < AGREE:
        others = chance(vectors, decisions)
        if 1 - same > SMALL * (1 - others):
            return False, f"bfloat16 would change decisions: {words} (at least {AGREE:.1%} are asked for)"
        words += f" ({others:.1%} with other rows to learn from)"
    if faster is not None and faster < 1.2:
        return False, f"bfloat16 is not faster here ({faster:.1f} times)"
    return True, words + (f"; {faster:.1f} times as fast as float32" if faster is not None else "")


def _vectors(state: State) -> np.ndarray:
    x = state["x"].float()
    if x.ndim == 4:
        x = x.mean((2, 3))
    elif x.ndim == 3:
        real = state.get("mask", torch.ones(x.shape[:2])).to(x.dtype)[..., None]
        x = (x * real).sum(1) / real.sum(1).clamp(min=1) if real.shape[1] == x.shape[1] else x.mean(1)
    return x.numpy().astype(np.float64)


def _decisions(targets: Tensor, vectors: np.ndarray) -> np.ndarray:
    """What a trial tells apart: the targets, or where a row has many (a tag a word), whether the first of them is the commonest. Of
    rows without labels, whose targets are float zeros [n], on which side of the median they lie along their first principal axis."""
    if targets.ndim == 1 and targets.is_floating_point():
        centred = vectors - vectors.mean(0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        return (along > np.median(along)).astype(np.int64)
    if targets.ndim == 2 and not targets.is_floating_point():
        first = targets[:, 0]
        return (first == first.mode().values).long().numpy()
    return targets.numpy()


def agreement(exact: np.ndarray, short: np.ndarray, targets: np.ndarray) -> float:
    """The share of decisions on held-out rows that are the same with a ridge head learnt on float32 features and scored on
    them as with one learnt on bfloat16 features, scored on either; the lesser of the two.

    exact, short: [n, d]. targets: class numbers [n], labels [n, k], or numbers [n, 1], where a decision is the same if it
    moves by less than a twentieth of the spread. Two halves, each held out once.
    """
    if len(exact) < 4:
        return 0.0
    hot, spread = _hot(targets)
    # Drawn, because a table may name its classes by turns.
    halves, same = np.random.default_rng(0).permutation(len(exact)) % 2, []
    for held in (0, 1):
        learn, rest = halves != held, halves == held
        wanted = _ridge(exact[learn], hot[learn])(exact[rest])
        head = _ridge(short[learn], hot[learn])
        same.append([_alike(wanted, head(x[rest]), targets.ndim, spread) for x in (exact, short)])
    return float(np.min(np.mean(same, 0)))


def chance(exact: np.ndarray, targets: np.ndarray) -> float:
    """The share of decisions on held-out rows that are the same with two heads, each learnt on rows of its own: what is left to chance
    anyhow. Arguments, heads and decisions as for `agreement`; of three parts one is held out by turns, and the other two are learnt from.
    """
    if len(exact) < 6:
        return 1.0
    hot, spread = _hot(targets)
    parts, same = np.random.default_rng(1).permutation(len(exact)) % 3, []
    for held in range(3):
        a, b = (_ridge(exact[parts == p], hot[parts == p])(exact[parts == held]) for p in range(3) if p != held)
        same.append(_alike(a, b, targets.ndim, spread))
    return float(np.mean(same))


def _hot(targets: np.ndarray) -> tuple[np.ndarray, float]:
    """What a ridge head is to give for each row, and the spread of numbers (0.0: there are none)."""
    hot = np.eye(int(targets.max()) + 1)[targets] if targets.ndim == 1 else np.asarray(targets, np.float64)
    return hot, hot.std() if targets.ndim == 2 and targets.shape[1] == 1 else 0.0


def _alike(a: np.ndarray, b: np.ndarray, ndim: int, spread: float) -> float:
    if ndim == 1:
        return float((a.argmax(1) == b.argmax(1)).mean())
    if spread:
        return float((np.abs(a - b) < 0.05 * spread).mean())
    return float(((a > 0.5) == (b > 0.5)).all(1).mean())


def _ridge(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Ridge regression on standardised features, with as much shrinkage as a feature has variance a row (dual form)."""
    mean, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-6 * (1e-6 + np.abs(x).max()))
    z, centre = (x - mean) * scale, y.mean(0)
    weight = z.T @ np.linalg.solve(z @ z.T + 0.1 * z.shape[1] * np.eye(len(z)), y - centre)
    return lambda other: (other - mean) * scale @ weight + centre
