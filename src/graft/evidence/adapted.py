"""What a model is worth on another domain: what can be said without its labels, and whether adapting to it helped."""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from ..metrics import label_free
from .stats import Difference

ALPHA = 0.05
FIRST, DRAWN = 20, 50
"""Rows that a person is asked to label: the least certain ones, to learn from, and those that are drawn, to score."""
SOURCE = "source-only"
TEACH = "Labels of the target usually give more than further adaptation"


def numbers(outputs: np.ndarray, decoded: np.ndarray, target: str) -> dict[str, float]:
    """What is known without labels of outputs [n, k] and of what they decode to; {} for numbers.

    confidence: the mean probability of what is predicted; and where each row has one class, of metrics.label_free: entropy (nats),
    information (nats, more is better) and evenness of the predicted classes (1 / k to 1).
    """
    if target not in ("class", "labels") or not len(decoded):
        return {}
    sure = decoded.max(1) if target == "class" else np.maximum(decoded, 1 - decoded).mean(1)
    found = {"confidence": float(sure.mean())}
    if target == "class":
        found |= {"entropy": label_free.mean_entropy(outputs), "information": label_free.information(outputs)}
        found |= {"evenness": label_free.evenness(outputs)}
    return found


def agreement(decoded: np.ndarray, other: np.ndarray, target: str) -> float | None:
    """The share of rows of which both say the same; None for numbers, which hardly ever are the same."""
    if target not in ("class", "labels") or not len(decoded):
        return None
    if target == "class":
        return label_free.agreement(decoded, other)
    return float(((decoded >= 0.5) == (other >= 0.5)).all(1).mean())


def least_certain(decoded: np.ndarray, target: str) -> np.ndarray:
    """Row numbers [n], the least certain first: by the lead of the best class over the second (margin sampling, Scheffer et al.,
    2001), of several labels by the one nearest to 0.5. Numbers state no doubt, so their rows stay in order."""
    if target == "class" and decoded.shape[1] > 1:
        two = np.partition(decoded, -2, 1)[:, -2:]
        return np.argsort(two[:, 1] - two[:, 0], kind="stable")
    if target == "labels":
        return np.argsort(np.abs(decoded - 0.5).min(1), kind="stable")
    return np.arange(len(decoded))


def verdict(
    metric: str, value: float, source: float | None, found: Difference | None, n: int, *, adapts: bool = True, same: bool = False,
    higher: bool = True, unit: str = "images", left: int = 0,
) -> dict:  # fmt: skip
    """{"kind", "text", "advice"} of a target of which n rows have labels. value: the shipped model's score; source: that of a model
    that never saw the target; found: the first less the second; same: both say the same of every row.

    kind: "helped" or "negative" (the whole interval on that side, p <= 0.05), "none", or "plain" where nothing was adapted or
    there is nothing to compare with. left: target rows without labels, which a person could label next.
    """
    more = f"{TEACH}: label {'those in label_these.csv' if left else 'more of it'}, and learn from them too."
    if metric == "accuracy" and value < 0.5:
        more = f"Most of its answers there are wrong, so do not rely on them. {more}"
    scored = f"{metric.replace('_', ' ')} {value:.3f} on the target"
    if not adapts:
        text = f"Nothing was adapted: {scored} ({n:,} {unit})."
        return {"kind": "plain", "text": text, "advice": f"--method uda tries what adapts without labels. {more}"}
    if found is None or source is None:
        text = f"{scored[0].upper()}{scored[1:]} ({n:,} {unit}); there is no {SOURCE} model to compare it with."
        return {"kind": "plain", "text": text, "advice": more}
    if same:
        text = f"No difference: the model that is shipped says the same as {SOURCE} of every row ({scored}, {n:,} {unit})."
        return {"kind": "none", "text": text, "advice": more}
    told = f"{scored} against {source:.3f} of {SOURCE}, {_gap(found)} on {n:,} {unit}{'' if higher else ', less being better'}"
    if found.p > ALPHA or found.low <= 0 <= found.high:
        width = max(found.high - found.value, found.value - found.low)
        few = f" With {n:,} labelled {unit} a difference below about {width:.2g} cannot be shown." if isfinite(width) else ""
        return {"kind": "none", "text": f"No difference shown: {told}.{few}", "advice": more}
    if (found.low > 0) == higher:
        return {"kind": "helped", "text": f"Adaptation helped: {told}.", "advice": more}
    advice = f"Do not use this model there: fit again without adaptation (--method extract or finetune). {more}"
    return {"kind": "negative", "text": f"Negative transfer: adaptation did harm, {told}.", "advice": advice}


def unscored(n: int, target: str, known: Mapping[str, float], changed: float | None, unit: str = "images") -> dict:
    """{"kind": "unknown", "text", "advice"} of a target whose n rows have no labels: what that means, what is known all the same, and
    how to check by hand. known: `numbers`; changed: the share of rows of which a model that never saw them says something else."""
    text = f"The target has no labels, so nothing on its {n:,} {unit} can be scored, and a score on the source says little about them."
    if "confidence" in known:
        text += f" The model states a probability of {known['confidence']:.2f} on average, which on another domain is mostly too high."
    if changed is not None:
        text += f" Adaptation changed what it says of {changed:.0%} of them."
    drawn = min(DRAWN, n)
    # Half the width of a 95 % interval of a rate of one half.
    within = f" within about {0.98 / max(drawn, 1) ** 0.5:.2f}" if target == "class" else ""
    advice = f"Fill in the labels of score_these.csv ({drawn} {unit}, drawn at random), and fit again with"
    advice += f" --target-labels RUN/score_these.csv: that scores the model{within}."
    if target in ("class", "labels"):
        advice += f" The {min(FIRST, n)} of label_these.csv are the least certain ones: their labels teach most."
    return {"kind": "unknown", "text": text, "advice": advice}


def _gap(found: Difference) -> str:
    low, high = (f"{end:+.3f}" if isfinite(end) else "unbounded" for end in (found.low, found.high))
    return f"{found.value:+.3f} [{low}, {high}]"
