"""The figures behind the page, as plain values: numbers in words, confusion, scores by class, calibration, curves, stages."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..metrics.multilabel import average_precision

WORDS = {
    "map": "Mean average precision", "mae": "Mean absolute error", "rmse": "Root mean squared error", "mse": "Mean squared error",
    "r2": "R²", "macro_f1": "Macro-F1", "micro_f1": "Micro-F1", "f1": "F1", "log_loss": "Log loss", "ece": "Calibration error",
    "calibration_error": "Calibration error", "auc": "Area under the ROC curve", "roc_auc": "Area under the ROC curve",
    "top5": "Top-5 accuracy", "brier": "Brier score",
}  # fmt: skip

LOWER = {"log_loss", "ece", "calibration_error", "mae", "mse", "rmse", "brier"}


def metric(name: str) -> str:
    """A metric's name as a person says it."""
    return WORDS.get(name.lower()) or name.replace("_", " ").strip().capitalize()


def noun(modality: str) -> str:
    """What a page calls the samples: "texts", else "images"."""
    return "texts" if modality == "text" else "images"


def extent(size, modality: str) -> str:
    """ "224 px" of an image's side, "128 tokens" of a text's length; "" where it is not known."""
    return f"{size} {'tokens' if modality == 'text' else 'px'}" if size else ""


def number(value, decimals: int | None = None) -> str:
    """About three digits that matter, thousands apart, a true minus; a dash where there is no finite number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not math.isfinite(value):
        return "–"
    if decimals is None:
        if isinstance(value, int | np.integer):
            decimals = 0
        else:
            size = abs(value)
            decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
            if 0 < size < 0.01 or size >= 1e7:
                return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")
    return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", "−")


def scored(entry) -> dict | None:
    """{"value", "low", "high"} as text, the interval with as many digits as its width carries; None where there is no value."""
    value = entry.get("value") if isinstance(entry, dict) else entry
    if number(value) == "–":
        return None
    interval = entry.get("interval") if isinstance(entry, dict) else None
    ends = [e for e in interval if number(e) != "–"] if isinstance(interval, list | tuple) else []
    if len(ends) != 2:
        return {"value": number(float(value)), "low": "", "high": ""}
    width = ends[1] - ends[0]
    digits = min(6, max(0, math.ceil(-math.log10(width)))) if width > 0 else 2
    if max(abs(ends[0]), abs(ends[1])) <= 1:
        digits = max(2, digits)
    return {"value": number(float(value), digits + 1), "low": number(float(ends[0]), digits), "high": number(float(ends[1]), digits)}


def span(entry) -> tuple[float, float, float] | None:
    """Left end, width and value in percent of 0..1, for the drawing of an interval; None outside of 0..1."""
    if scored(entry) is None or not isinstance(entry, dict) or not scored(entry)["low"]:
        return None
    (low, high), value = entry["interval"], entry["value"]
    return (round(100 * low, 1), round(100 * (high - low), 1), round(100 * value, 1)) if 0 <= low <= high <= 1 and 0 <= value <= 1 else None


def duration(seconds) -> str:
    """1.4 s, 38 s, 3 min 12 s, 2 h 05 min."""
    if number(seconds) == "–":
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def megabytes(value) -> str:
    return "–" if number(value) == "–" else f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"


def count(value) -> str:
    """1 281, 24 k, 2.2 M."""
    if number(value) == "–":
        return "–"
    if value < 10_000:
        return number(int(value))
    return f"{value / 1e3:.0f} k" if value < 999_500 else f"{value / 1e6:.1f} M"


def said(value) -> str:
    """Any value of a JSON file on one line."""
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {said(inner)}" for name, inner in value.items())
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def total(found) -> int:
    """A count, or the sum of the counts by class."""
    return sum(map(total, found.values())) if isinstance(found, dict) else int(found) if number(found) != "–" else 0


def confusion(true: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Counts int64 [k, k]: rows are true, columns predicted."""
    place = {name: i for i, name in enumerate(classes)}
    flat = np.array([place[t] * len(classes) + place[p] for t, p in zip(true, predicted, strict=True)], dtype=np.int64)
    return np.bincount(flat, minlength=len(classes) ** 2).reshape(len(classes), len(classes))


def confused_pairs(counts: np.ndarray, classes: Sequence[str], limit: int = 10) -> list[dict]:
    """The most frequent mistakes: true, predicted, how many, and which share (0..1) of the true class."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(i), len(classes)) for i in order]
    found = [
        {"true": classes[t], "predicted": classes[p], "n": int(wrong[t, p]), "share": wrong[t, p] / counts[t].sum()}
        for t, p in pairs
        if wrong[t, p]
    ]
    # A pair that happened once among many is chance; it is shown only where nothing happened more often.
    return [pair for pair in found if pair["n"] > 1] or found


def by_class(counts: np.ndarray, classes: Sequence[str]) -> list[dict]:
    """n, precision, recall and F1 (0..1, NaN where undefined) of each class, the worst F1 first; classes never seen last."""
    hit, true, said = np.diag(counts).astype(float), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall, f1 = hit / said, hit / true, 2 * hit / (true + said)
    rows = [
        {"name": name, "n": int(true[i]), "precision": precision[i], "recall": recall[i], "f1": f1[i]} for i, name in enumerate(classes)
    ]
    return sorted(rows, key=lambda row: (row["n"] == 0, row["f1"] if math.isfinite(row["f1"]) else 2.0))


def by_label(truth: np.ndarray, said: np.ndarray, probabilities: np.ndarray | None, classes: Sequence[str]) -> list[dict]:
    """n, average precision, precision, recall and F1 of each label, the worst first; truth and said are bool [n, k]."""
    rows, precise = [], [math.nan] * len(classes) if probabilities is None else average_precision(probabilities, truth)
    for i, name in enumerate(classes):
        hit, n, called = int((truth[:, i] & said[:, i]).sum()), int(truth[:, i].sum()), int(said[:, i].sum())
        rows.append({
            "name": name, "n": n, "precision": hit / called if called else math.nan, "recall": hit / n if n else math.nan,
            "f1": 2 * hit / (n + called) if n + called else math.nan,
            "ap": float(precise[i]),
        })  # fmt: skip
    key = "ap" if probabilities is not None else "f1"
    return sorted(rows, key=lambda row: (row["n"] == 0, row[key] if math.isfinite(row[key]) else 2.0))


def membership(rows: Iterable[Sequence[str] | None], classes: Sequence[str]) -> np.ndarray:
    """Lists of labels as bool [n, k]."""
    place = {name: i for i, name in enumerate(classes)}
    rows = list(rows)
    out = np.zeros((len(rows), len(classes)), dtype=bool)
    for i, labels in enumerate(rows):
        out[i, [place[label] for label in labels or () if label in place]] = True
    return out


def as_probabilities(raw: np.ndarray, exclusive: bool) -> np.ndarray:
    """Values [n, k] as they are where they are probabilities, else through softmax (one label) or sigmoid (several)."""
    inside = raw.min() >= 0 and raw.max() <= 1
    if inside and (not exclusive or np.allclose(raw.sum(1), 1, atol=1e-3)):
        return raw
    if not exclusive:
        return 1 / (1 + np.exp(-raw))
    shifted = np.exp(raw - raw.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def curves(journal: Sequence[dict], primary: str) -> dict | None:
    """The epochs of every run of the journal on one axis.

    {"metric", "phases": [{"name", "from", "to"}], "runs": [{"name", "loss": [(x, y)], "metric": [(x, y)], "kept": [(x, y)]}]};
    x counts epochs from 1 through all phases. An epoch that a resume repeated counts once.
    """
    epochs = [e for e in journal if e.get("event") == "epoch" and isinstance(e.get("epoch"), int)]
    if not epochs:
        return None
    first = min(e["epoch"] for e in epochs)
    offered = {key for e in epochs for key in _select(e)}
    name = primary if primary in offered else next(iter(sorted(offered)), "")
    phases = list(dict.fromkeys(str(e.get("phase", "")) for e in epochs))
    length = {p: max(e["epoch"] - first + 1 for e in epochs if str(e.get("phase", "")) == p) for p in phases}
    offset = {p: sum(length[q] for q in phases[:i]) for i, p in enumerate(phases)}
    runs = {}
    for event in journal:
        if event.get("event") not in ("epoch", "kept") or not isinstance(event.get("epoch"), int):
            continue
        if (phase := str(event.get("phase", ""))) not in offset:
            continue
        run = runs.setdefault(str(event.get("run", "final")), {"loss": {}, "metric": {}, "kept": {}})
        x = offset[phase] + event["epoch"] - first + 1
        for key, value in (("loss", event.get("train_loss")), ("metric", _select(event).get(name))):
            if number(value) != "–" and event["event"] == "epoch":
                run[key][x] = value
        if event["event"] == "kept":
            run["kept"][phase] = x
    return {
        "metric": name,
        "phases": [{"name": p, "from": offset[p], "to": offset[p] + length[p]} for p in phases],
        "runs": [_points(run, parts) for run, parts in runs.items()],
    }


def _points(name: str, parts: dict) -> dict:
    kept = [(x, parts["metric"][x]) for x in parts["kept"].values() if x in parts["metric"]]
    return {"name": name, "loss": sorted(parts["loss"].items()), "metric": sorted(parts["metric"].items()), "kept": kept}


def _select(event: dict) -> dict:
    return event["select"] if isinstance(event.get("select"), dict) else {}


def rate(value) -> str:
    """A learning rate: 0.001 -> 1e-3, 0.00025 -> 2.5e-4."""
    if number(value) == "–" or value <= 0:
        return "–"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")


def freezing(backbone: dict, journal: Sequence[dict], headed: bool = True) -> list[dict]:
    """A row for each phase: {"name", "words", "why", "cells": [{"name", "state", "rate", "warmth"}], "summary"}, the head last.

    state: "frozen" (no gradient, no running statistics), "constant" (in no group), "learnt" or "solved" (the head, in one go).
    warmth: 0..1, the rate on a logarithmic scale between the run's smallest and largest. headed: False leaves the head out.
    """
    stages = backbone.get("stages") or []
    names = [str(stage.get("name", i)) for i, stage in enumerate(stages)]
    phases, solved = {}, {(e.get("run"), e.get("phase")) for e in journal if e.get("event") == "solved"}
    runs = [e.get("run") for e in journal if e.get("event") == "phase"]
    shown = "final" if "final" in runs else runs[0] if runs else None
    for event in journal:
        if event.get("event") == "phase" and event.get("run") == shown:
            phases[event.get("number", event.get("phase"))] = event
    rates = [g["lr"] for e in phases.values() for g in e.get("groups") or [] if isinstance(g, dict) and number(g.get("lr")) != "–"]
    low, high = min([r for r in rates if r > 0], default=1.0), max(rates, default=1.0)
    rows = []
    for event in phases.values():
        learning = _by_stage(event, names, [stage.get("parameters") for stage in stages])
        frozen = event.get("frozen") or 0
        cells = []
        for i, name in enumerate([*names, *(["new head" if "head" in names else "head"] if headed else [])]):
            peak, is_head = learning.get(i), i == len(names)
            state = "frozen" if i < frozen and not is_head else "learnt" if peak else "constant"
            if is_head and not peak and (not event.get("groups") or (shown, event.get("phase")) in solved):
                state = "solved"
            warmth = math.log(peak / low) / math.log(high / low) if peak and high > low else 1.0
            cells.append({"name": name, "state": state, "rate": rate(peak), "warmth": round(warmth, 3)})
        ahead = "The constant part was computed once" if event.get("constant_prefix") else "Nothing was computed ahead"
        why = f"{ahead} ({str(event['why']).strip(' .')})." if event.get("why") else ""
        rows.append(
            {"name": str(event.get("phase", "")), "words": _in_words(event), "why": why, "cells": cells, "summary": _summary(cells)}
        )
    return rows


def _summary(cells: list[dict]) -> str:
    """Runs of stages of one state in words: "stem – layer2 frozen; layer3 – head learnt at 1e-4 – 1e-3"."""
    parts, start = [], 0
    for i in range(1, len(cells) + 1):
        if i < len(cells) and cells[i]["state"] == cells[start]["state"]:
            continue
        some, state = cells[start:i], cells[start]["state"]
        names = some[0]["name"] if len(some) == 1 else f"{some[0]['name']} – {some[-1]['name']}"
        rates = list(dict.fromkeys(cell["rate"] for cell in some))
        at = "" if state != "learnt" else f" at {rates[0]}" if len(rates) == 1 else f" at {rates[0]} – {rates[-1]}"
        parts.append(f"{names} {'solved in one go' if state == 'solved' else state}{at}")
        start = i
    return f"{'; '.join(parts)}."


def _by_stage(event: dict, names: list[str], sizes: list) -> dict[int, float]:
    """The largest rate that reaches each stage (the head is number len(names)): by the tensors' names, else by the group's.

    A body may have a stage called "head" too; a group of that name is the stage's where it has the stage's size.
    """
    out: dict[int, float] = {}
    for group in event.get("groups") or []:
        peak = group.get("lr") if isinstance(group, dict) else None
        if number(peak) == "–" or peak <= 0 or group.get("parameters") == 0:  # without any in the net: it stands beside it
            continue
        tensors = next((group[k] for k in ("tensors", "parameters") if isinstance(group.get(k), list)), [])
        stages = {int(t.split(".")[1]) for t in tensors if t.startswith("stages.") and t.split(".")[1].isdigit()}
        stages |= {len(names)} if any(str(t).startswith("head") for t in tensors) else set()
        if not tensors:
            label = str(group.get("name", "")).lower()
            parts = label.replace("/", " ").replace(":", " ").split()
            stages = {i for i, name in enumerate(names) if name.lower() == label or name.lower() in parts}
            if label == "head":
                stages = {i for i in stages if sizes[i] is not None and sizes[i] == group.get("parameters")}
            if not stages:
                stages = {len(names)} if "head" in label else set(range(event.get("frozen") or 0, len(names)))
        for i in stages:
            out[i] = max(out.get(i, 0.0), peak)
    return out


def _in_words(event: dict) -> str:
    parts = []
    if event.get("epochs"):
        parts.append(f"{event['epochs']} epoch{'s' if event['epochs'] != 1 else ''}")
    if event.get("trainable") and number(event.get("trainable")) != "–" and number(event.get("total")) != "–":
        parts.append(f"{count(event['trainable'])} of {count(event['total'])} parameters learn")
    if event.get("optimizer") and event.get("epochs"):
        parts.append({"adamw": "AdamW", "sgd": "SGD"}.get(str(event["optimizer"]), str(event["optimizer"])))
    if event.get("batch") and event.get("epochs"):
        parts.append(f"batch {event['batch']}")
    return " · ".join(parts)
