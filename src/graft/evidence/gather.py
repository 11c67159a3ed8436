"""What the arms' outputs on the same locked rows say together: the content of evidence.json."""

from collections.abc import Callable, Mapping

import numpy as np

from ..metrics.bootstrap import intervals
from .stats import Difference, difference, metric_difference
from .verdict import judge

PAIRS = (
    ("chosen", "scratch"), ("chosen", "probe"), ("probe", "scratch"),
    ("chosen", "majority"), ("probe", "majority"), ("scratch", "majority"),
)  # fmt: skip
"""Differences that are looked at, of the first less the second."""

SHOWN = (("chosen", "scratch"), ("chosen", "probe"), ("chosen", "majority"))


def gather(
    arms: Mapping[str, np.ndarray],
    told: Mapping[str, dict],
    targets: np.ndarray,
    metrics_fn: Callable,
    metric: str,
    higher: bool = True,
    groups: np.ndarray | None = None,
    equal_time: bool = True,
    folds: int = 0,
    unit: str = "images",
) -> dict:
    """The arms with their scores, the paired differences and the verdict.

    arms: name -> decoded outputs [seeds, n, k] on the same n rows ("chosen", "probe", "scratch", "majority"; those that do not
    depend on a seed have one). told: what else is known of each arm, "label" at least. metrics_fn(decoded, targets) -> {name: float}.
    folds: of a cross-validation that predicted these rows; they are then not independent.
    """
    seeds = max(len(decoded) for decoded in arms.values())
    rows = [_row(name, decoded, told[name], targets, metrics_fn, metric, groups) for name, decoded in arms.items()]
    found = {
        (of, less): compare(arms[of], arms[less], targets, metrics_fn, metric, groups, folds)
        for of, less in PAIRS
        if of in arms and less in arms
    }
    verdict = judge(rows, found, metric, len(targets), higher=higher, equal_time=equal_time, seeds=seeds, unit=unit)
    return {
        "metric": metric, "higher_is_better": higher, "n": len(targets), "seeds": seeds, "equal_time": equal_time, "arms": rows,
        "differences": [found[pair].row(*pair) for pair in SHOWN if pair in found], "verdict": verdict,
    }  # fmt: skip


def compare(
    a: np.ndarray, b: np.ndarray, targets: np.ndarray, metrics_fn: Callable, metric: str, groups: np.ndarray | None = None, folds: int = 0
) -> Difference:
    """Of a's score less b's, both decoded outputs [seeds, n, k]; an arm with one seed stands beside each of the other's."""
    seeds = max(len(a), len(b))
    a, b = (np.broadcast_to(x, (seeds, *x.shape[1:])) for x in (a, b))
    if metric == "accuracy" and targets.ndim == 1:
        return difference(*((x.argmax(2) == targets).astype(float) for x in (a, b)), groups, folds=folds)
    return metric_difference(a, b, targets, metrics_fn, metric, groups, folds=folds)


def majority(targets: np.ndarray, target: str, outputs: int, centre: float = 0.0) -> np.ndarray:
    """What an arm that never looks at its input says, [1, outputs]: how often each class (or label) was learnt, or the mean number.

    targets: the learning rows', as the task encodes them."""
    if target == "class":
        return np.bincount(targets, minlength=outputs)[None] / len(targets)
    return np.asarray(targets, float).mean(0, keepdims=True) if target == "labels" else np.full((1, outputs), centre)


def _row(
    name: str, decoded: np.ndarray, told: dict, targets: np.ndarray, metrics_fn: Callable, metric: str, groups: np.ndarray | None
) -> dict:
    """An arm as the report shows it; with several seeds, score and interval are the means of theirs."""
    each = [intervals(one, targets, metrics_fn, groups=groups)[metric] for one in decoded]
    value = float(np.mean([one[0] for one in each]))
    interval = [float(np.mean([one[1] for one in each])), float(np.mean([one[2] for one in each]))]
    return {"name": name, **told, "value": value, "interval": interval, "each": [one[0] for one in each]}
