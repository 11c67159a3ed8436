"""The decision table, how much data x how similar, as data; and whether the measurements say the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

LARGE_CLASS, LARGE_TOTAL = 100, 1000
"""From so many rows a class (the median class) and so many in all the data count as large; a number has rows in all only.

Convention, not a law: no study gives a boundary. A class needs some tens of rows before a part of them can choose an epoch
without choosing noise, and 1,000 rows in all is what the field calls little data (VTAB-1k, Zhai et al., 2019). Both are asked
for, because 1,000 rows in 200 classes are five a class, and 100 rows in each of two classes are one small batch's worth of
gradients an epoch. Here, on 244 rows in two classes, fine-tuning showed no difference to a linear head (docs/benchmarks.md).
"""
SIMILARITIES = ("similar", "different", "unknown")
CS231N = "Stanford CS231n, notes on transfer learning"


@dataclass(frozen=True)
class Rule:
    """cell: "small, similar". method: a name of the catalogue. layers: "last" or "best earlier". freeze: as the methods take
    it ("none": everything learns), None where the method has no such option. strategy, why, source: words for the user."""

    cell: str
    method: str
    layers: str
    freeze: str | None
    strategy: str
    why: str
    source: str

    def as_dict(self) -> dict:
        """JSON-able."""
        return asdict(self)


TABLE = {
    ("small", "similar"): Rule(
        "small, similar", "extract", "last", None,
        "a linear head on the last layer's features, the body frozen",
        "few rows would overfit a whole body, and its top features already suit data like its own",
        f"{CS231N}; Sharif Razavian et al. (2014), who did so with an SVM on many tasks",
    ),
    ("large", "similar"): Rule(
        "large, similar", "lp_ft", "last", "none",
        "train a linear head, then fine-tune everything from there",
        "with many rows fine-tuning the whole network rarely overfits and is usually better than frozen features; a trained "
        "head first keeps it from distorting features that are good already",
        f"{CS231N}; Kornblith et al. (2019), who found fine-tuning better than a linear head in nearly all pairs of network and data set; "
        "Kumar et al. (2022) for the head first",
    ),
    ("small", "different"): Rule(
        "small, different", "extract", "best earlier", None,
        "a linear head on the features of an earlier layer, the body frozen",
        "few rows ask for a linear head, and top features are specific to what the body was trained on, while earlier ones are general",
        f"{CS231N}; Yosinski et al. (2014) on features becoming specific with depth; Evci et al. (2022) on earlier layers for "
        "data far from the source",
    ),
    ("large", "different"): Rule(
        "large, different", "finetune", "last", "none",
        "fine-tune everything, starting from the pre-trained weights",
        "many rows can move all features to another kind of data, and pre-trained weights are a better or faster start than random ones; "
        "compare with training from scratch, for the gain may be small",
        f"{CS231N}; Yosinski et al. (2014), where even features of distant tasks were a better start than random ones; "
        "Raghu et al. (2019), who found little gain in accuracy on medical images",
    ),
    ("small", "unknown"): Rule(
        "small, unknown", "extract", "last", None,
        "a linear head on the last layer's features; look at the earlier layers' scores",
        "few rows ask for a linear head; how far the data are from the source is not known, so the layers' own scores decide",
        f"{CS231N} for the linear head",
    ),
    ("large", "unknown"): Rule(
        "large, unknown", "lp_ft", "last", "none",
        "train a linear head, then fine-tune everything from there, keeping the better",
        "with many rows fine-tuning is advised for similar and for different data alike; with the head first, the head alone "
        "stays a candidate",
        f"{CS231N}; Kumar et al. (2022)",
    ),
}  # fmt: skip


def size(rows_per_class: Sequence[int]) -> str:
    """ "small" or "large" of the rows of each class (of all rows, where the target is a number): see LARGE_CLASS."""
    counts = np.asarray(rows_per_class)
    if not counts.size or counts.min() < 0:
        raise ValueError("rows_per_class needs a count for each class")
    return "large" if np.median(counts) >= LARGE_CLASS and counts.sum() >= LARGE_TOTAL else "small"


def cell(rows_per_class: Sequence[int], similarity: str) -> Rule:
    """The row of the table for the rows of each class and a similarity: "similar", "different" or "unknown"."""
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity '{similarity}' is not one of {', '.join(SIMILARITIES)}")
    return TABLE[size(rows_per_class), similarity]


def agreement(rule: Rule, measured: Mapping[str, tuple[float, float, float]]) -> tuple[bool, str]:
    """(whether the probes leave the rule standing, one or two sentences with both sides).

    measured: {layer: (probe, low, high)}, first layer to last, the interval 95 %. Layers differ where each one's score is outside
    of the other's interval; the best of several earlier layers is looked for, which favours it a little. A rule to
    fine-tune is not put to the test by frozen features: it stands, and that is said.
    """
    if not measured:
        return True, f"The rule says: {rule.strategy}. No layer was measured."
    *earlier, last = measured
    best = max(earlier, key=lambda name: measured[name][0], default=None)
    said = f"The rule says: {rule.strategy}."
    if rule.method != "extract":
        top = last if best is None or measured[best][0] <= measured[last][0] else best
        return True, f"{said} Frozen features do not put that to the test; the best of them have {_shown(measured, top)}."
    if best is None:
        return rule.layers == "last", f"{said} Only one layer was measured: {_shown(measured, last)}."
    both = f"the best earlier layer has {_shown(measured, best)}, the last {_shown(measured, last)}"
    earlier_wins = measured[best][0] > measured[last][2] and measured[last][0] < measured[best][1]
    last_wins = measured[last][0] > measured[best][2] and measured[best][0] < measured[last][1]
    if earlier_wins or last_wins:
        agrees = earlier_wins == (rule.layers == "best earlier")
        return agrees, f"{said} The measurement {'agrees' if agrees else 'does not agree'}: {both}."
    return True, f"{said} The measurement does not tell the layers apart: {both}."


def _shown(measured: Mapping[str, tuple[float, float, float]], name: str) -> str:
    value, low, high = measured[name]
    return f"{value:.3f} [{low:.3f}, {high:.3f}] ({name})"
