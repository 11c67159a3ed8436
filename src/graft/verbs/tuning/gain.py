"""What a search came to: judged on the selecting rows, then scored once on the locked rows against the defaults, and written down."""

import csv
import shutil
from dataclasses import asdict, dataclass, replace
from math import sqrt
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from torch import Tensor

from ...core import Task
from ...engine import forward
from ...engine.execute import Outcome
from ...evidence import scores, stats
from ...fits import fitting
from ...spec import Part, Spec
from . import folder as files
from .trial import Search, leader, train

WORDS = {"accuracy": "accuracy", "mae": "mean absolute error", "mean_average_precision": "mean average precision"}


@dataclass(frozen=True)
class Locked:
    """The locked rows with a net's outputs on them, calibrated."""

    table: pa.Table
    outputs: Tensor
    targets: Tensor


def finish(search: Search) -> dict:
    """Choose between the best trial and the defaults on the selecting rows, score on the locked rows what remains, and write
    tuned.toml, trials.csv and tune.json, whose content is returned. Where the defaults stay, they alone are scored."""
    rows, task, spec = search.rows, search.task, search.parts.spec
    best = leader(rows)
    base, _ = train(search, 0, rows[0]["setting"], search.narrow)
    top = train(search, best["number"], best["setting"], search.narrow)[0] if best["number"] else base
    tried = sum(row["state"] in ("done", "pruned") for row in rows) - 1
    selection = judge(task, top, base, tried, scores.groups_of(search.selects))
    arms = {"defaults": rows[0]} | ({"tuned": best} if selection["better"] else {})
    locked = {name: score(search, name, row) for name, row in arms.items()}
    gain = gained(task, locked["tuned"][0], locked["defaults"][0]) if "tuned" in arms else None
    data = search.parts.data
    result = {
        "source": data.source, "backbone": spec.backbone.name, "method": spec.method.name, "seed": spec.seed,
        "primary": task.primary, "higher_is_better": task.higher, "scored_as": data.plan.score, "selected_on": data.plan.select,
        "n": {"train": len(data.train), "select": len(search.selects), "score": len(data.test)},
        "space": {name: asdict(knob) for name, knob in search.knobs.items()}, "trials": rows, "best": best["number"],
        "tuned": arms["tuned"]["setting"] if "tuned" in arms else {}, "selection": selection,
        "scored": {name: measured for name, (_, measured) in locked.items()}, "difference": gain,
        "verdict": verdict(search, selection, gain), "seconds": round(search.journal.seconds, 2), "budget": search.asked.budget,
        "cut": search.cut, "folder": str(search.folder),
    }  # fmt: skip
    write(search, result, arms.get("tuned"))
    return result


def judge(task: Task, top: Outcome, base: Outcome, tried: int, groups: np.ndarray | None) -> dict:
    """Whether the best of `tried` settings beats the defaults on the selecting rows by more than noise.

    value: of the best less the defaults, above 0 where the best is better, whatever the metric's direction. standard_error: of it,
    on the same rows. needed: that error times `factor`, what the best of so many equals stands above them by chance (Blom, 1958:
    the normal quantile of (n - 0.375) / (n + 0.25)), at least 1.
    """
    factor = max(1.0, NormalDist().inv_cdf((max(tried, 1) - 0.375) / (max(tried, 1) + 0.25)))
    found = {"value": 0.0, "standard_error": None, "factor": factor, "needed": None, "tried": tried, "better": False}
    if top is base or len(top.targets) != len(base.targets) or not bool((top.targets == base.targets).all()):
        return found
    groups = groups if groups is not None and len(groups) == len(base.targets) else None
    targets, a, b = base.targets.numpy(), task.decode(top.outputs).numpy(), task.decode(base.outputs).numpy()
    gap = difference(task, a, b, targets, groups)
    value = gap.value if task.higher else -gap.value
    error = standard_error(right(a, targets) - right(b, targets), groups) if task.primary == "accuracy" else _from_interval(gap)
    return found | {"value": value, "standard_error": error, "needed": factor * error, "better": value > factor * error}


def standard_error(gap: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Of the mean of gap [n] if nothing but chance made it differ from 0: sqrt(sum over groups (sum of gap in the group)^2) / n, rows
    being groups of one without `groups`. For right or wrong that is McNemar's: one row won of a hundred is one such error."""
    home = np.arange(len(gap)) if groups is None else groups
    return float(sqrt((np.bincount(home, gap) ** 2).sum()) / len(gap))


def _from_interval(gap: stats.Difference) -> float:
    return (gap.high - gap.low) / (2 * NormalDist().inv_cdf(0.975))


def right(decoded: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 where the likeliest class is the right one, else 0; float [n]."""
    return (decoded.argmax(1) == targets).astype(float)


def difference(task: Task, a: np.ndarray, b: np.ndarray, targets: np.ndarray, groups: np.ndarray | None) -> stats.Difference:
    """The primary score of decoded outputs a less that of b, on the same rows."""
    if task.primary == "accuracy":
        return stats.difference(right(a, targets), right(b, targets), groups)
    return stats.metric_difference(a, b, targets, task.metrics, task.primary, groups)


def score(search: Search, name: str, row: dict) -> tuple[Locked, dict]:
    """The locked rows with the net of a trial, and its scores with intervals: the only place where a search opens them, and each
    arm does once. As in any fit, a probe that nothing selects any more learns from the selecting rows too before."""
    data, task, split = search.parts.data, search.task, f"{search.parts.data.plan.score} ({name})"
    outcome, net = train(search, row["number"], row["setting"], replace(data, test=None))
    search.journal.write("opened", split=split, rows=len(data.test))
    outputs, targets = forward.scored(search.passes, net, data.test, outcome.frozen, task.summarise), task.encode(data.test)
    degrees, _ = scores.temperature(task, outcome.outputs, outcome.targets)
    measured = scores.with_intervals(task, outputs, targets, degrees, scores.groups_of(data.test))
    search.journal.write("scored", split=split, metrics=measured)
    return Locked(data.test, outputs / degrees, targets), measured


def gained(task: Task, tuned: Locked, base: Locked) -> dict:
    """The paired difference on the locked rows, as in "differences" of evidence.json."""
    a, b = (task.decode(one.outputs).numpy() for one in (tuned, base))
    return difference(task, a, b, base.targets.numpy(), scores.groups_of(base.table)).row("tuned", "defaults")


def verdict(search: Search, selection: dict, gain: dict | None) -> dict:
    """kind ("helped", "none", "negative" or "unknown"), text and advice."""
    words, sign = WORDS.get(search.task.primary, search.task.primary), 1 if search.task.higher else -1
    if not selection["tried"]:
        text = "No setting but the defaults was tried to the end, so nothing is known of what tuning is worth."
        return {"kind": "unknown", "text": text, "advice": "Give a longer --budget, or more --trials."}
    if gain is None:
        tried = f"{selection['tried']} other settings were" if selection["tried"] != 1 else "1 other setting was"
        text = f"Tuning gained nothing: {tried} tried, and none was better than the defaults by more than noise on the selecting rows"
        if selection["value"] > 0:
            text += f" (the best by {selection['value']:.3g}, with {selection['needed']:.3g} needed)"
        return {"kind": "none", "text": f"{text}.", "advice": f"Keep the defaults: graft fit --spec {search.folder}/tuned.toml fits them."}
    ends = zip(gain["interval"], (-np.inf, np.inf), strict=True)
    low, high = sorted(sign * (none if end is None else end) for end, none in ends)
    value = sign * gain["value"]
    told = f"{abs(value):.3g} in {words} on the locked rows (95 % interval of the gain {low:.3g} to {high:.3g})"
    if low > 0:
        return {"kind": "helped", "text": f"Tuning gained {told}.", "advice": f"Fit with it: graft fit --spec {search.folder}/tuned.toml"}
    if high < 0:
        return {
            "kind": "negative",
            "text": f"Tuning lost {told}: the setting fits the selecting rows alone.",
            "advice": "Keep the defaults.",
        }
    text = f"Tuning {'gained' if value >= 0 else 'lost'} {told}, which cannot be told from nothing."
    return {"kind": "none", "text": text, "advice": "Keep the defaults; only more locked rows would tell such a gain from none."}


def tuned(search: Search, row: dict | None) -> Spec:
    """The spec of a fit with the best setting, or with the defaults, on the same roles of the rows."""
    named = {name: Part(getattr(search.parts.spec, name).name, getattr(search.asked, name).values) for name in _PARTS}
    base = replace(search.asked, budget=None, **named)
    sets = [f"{name}={value}" for name, value in (row["setting"] if row else {}).items()]
    sets += [f"augment.{name}={value}" for name, value in search.asked.augment.values.items()]
    sets += [f"method.seconds={search.limit}"] if row and row["limited"] else []
    return Spec.make(base=base, sets=sets)


_PARTS = ("data", "backbone", "task", "method", "augment")


def write(search: Search, result: dict, row: dict | None) -> None:
    """tuned.toml, trials.csv and, last, tune.json, which says that the search is over; the snapshots go."""
    (search.folder / "tuned.toml").write_text(tuned(search, row).to_toml(), encoding="utf-8")
    with (search.folder / "trials.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial", "state", search.task.primary, "epochs", "seconds", *search.knobs, "reason"])
        for one in result["trials"]:
            values = (one["setting"][name] for name in search.knobs)
            table.writerow([one["number"], one["state"], one["value"], one["epochs"], one["seconds"], *values, one["reason"]])
    fitting.write_json(search.folder / files.RESULT, result)
    shutil.rmtree(search.folder / "trials", ignore_errors=True)
    search.journal.write("done", seconds=result["seconds"])
