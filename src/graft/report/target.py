"""The part of a run's page about the domain that counts: RUN/target.json and RUN/target_predictions.parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import charts, tables
from .evidence import signed, spans, verdict
from .record import Record, rows
from .thumbnails import Thumbnails

VERDICTS = {
    "helped": ("Adaptation helped", "▲"), "none": ("No difference shown", "="), "negative": ("Negative transfer", "▼"),
    "plain": ("Scored", "·"), "unknown": ("Not scored", "?"),
}  # fmt: skip
"""Each verdict's words and mark: what tells them apart without colour."""

MODELS = {"shipped": "This model", "source_only": "Source only"}
COUNTS = {"source": "Learnt from, source", "predicted": "Predicted, target", "labelled": "Labelled, target"}
LESS = ("entropy", "mean_entropy", "class_confusion", "confusion")
"""Label-free numbers of which less is better."""
MATRIX = 20
SHOWN = 18
"""Images, or texts, that are shown of those that the model doubts most."""


def target(run: Record) -> dict | None:
    """What target.json holds, ready to be shown; None where a run has no target. Any of its keys may be absent."""
    found = run.json("target.json", {})
    if not found:
        return None
    told = tables.scored((found.get("score") or {}).get(found.get("metric")))
    n, labelled = (found[key] if isinstance(found.get(key), int) else 0 for key in ("rows", "labelled"))
    predicted, made = _predicted(run), rows(found.get("models"))
    said = verdict(found, VERDICTS)
    metric = tables.metric(str(found.get("metric") or "score"))
    return {
        "head": told and {"metric": metric, **told}, "metric": metric, "lower": found.get("higher_is_better") is False, "rows": n,
        "labelled": labelled, "counted": bool(labelled), "opened": str(found.get("opened") or ""),
        "verdict": said and said | {"style": "unknown" if said["kind"] == "plain" else said["kind"]}, "why": str(found.get("why") or ""),
        "chosen": str(found.get("chosen") or ""), "models": _models(found, made), "columns": _columns(made), "oracle": _oracle(found),
        "classes": _classes(found), "mistakes": _mistakes(run, predicted, found), "doubtful": _doubtful(run, predicted, found),
        "rounds": _rounds(found), "lists": list((found.get("to_label") or {}).items()), "name": Path(str(found.get("target") or "")).name,
        "labels": found.get("kind") == "labels", "sure": _sure(found),
    }  # fmt: skip


def _predicted(run: Record) -> pa.Table | None:
    path = run.folder / "target_predictions.parquet"
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        run.unread.append("target_predictions.parquet")
        return None
    return table if table.num_rows and {"path", "label", "predicted", "probability"} <= set(table.column_names) else None


def name(model: str) -> str:
    return MODELS.get(model) or model.replace("_", " ")


def _numbers(model: dict) -> dict[str, float]:
    """What is known of a model without labels: what the method itself wrote down, else what every run counts."""
    told = model.get("told") if isinstance(model.get("told"), dict) else {}
    told = {key: value for key, value in told.items() if isinstance(value, float)}
    counted = model.get("label_free") if isinstance(model.get("label_free"), dict) else {}
    return told | {key: value for key, value in counted.items() if key not in told and isinstance(value, float)}


def _columns(models: list[dict]) -> list[dict]:
    """The label-free numbers that most models have, three at most: {"key", "title", "less"}."""
    keys = [key for model in models for key in _numbers(model)]
    # The information holds the entropy.
    usual = [key for key in dict.fromkeys(keys) if 2 * keys.count(key) > len(models) and not (key == "entropy" and "information" in keys)]
    return [{"key": key, "title": key.replace("_", " ").capitalize(), "less": key in LESS} for key in usual[:3]]


def _models(found: dict, models: list[dict]) -> list[dict]:
    """A row a model; the bars of scores are on one scale, those of differences on another that has zero in it."""
    columns, best = _columns(models), (found.get("oracle") or {}).get("name")
    differences = [row["difference"] if isinstance(row.get("difference"), dict) else {} for row in models]
    scores, gaps, made = spans(models), spans(differences, zero=True), []
    for row, gap, score_span, gap_span in zip(models, differences, scores, gaps, strict=True):
        numbers, own = _numbers(row), str(row.get("name"))
        notes = [str(row.get("what") or "")] if own in MODELS else []
        notes += ["chosen by the method, without labels"] if own == found.get("chosen") else []
        notes += ["best by the labels, which chose nothing"] if own == best and len(models) > 1 else []
        made.append({
            "name": name(own), "first": own == "shipped", "notes": [note for note in notes if note], "score": tables.scored(row),
            "span": score_span, "difference": signed(gap) if gap else None, "gap": gap_span,
            "agreement": _percent(row.get("agreement")), "numbers": [tables.number(numbers.get(one["key"])) for one in columns],
        })  # fmt: skip
    return made


def _percent(value) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, float | int) and tables.number(value) != "–" else ""


def _oracle(found: dict) -> str:
    """In words, what choosing without labels cost; "" where the best one was shipped or no label is known."""
    best = found.get("oracle") if isinstance(found.get("oracle"), dict) else {}
    gap = signed(best["difference"]) if isinstance(best.get("difference"), dict) else None
    if not gap:
        return ""
    said = f"{gap['value']} [{gap['low']}, {gap['high']}]" if gap["low"] else gap["value"]
    best = name(str(best.get("name")))
    return f"By the labels, {best[:1].lower()}{best[1:]} comes out best: {said} beside this model. Chosen by them, it flatters."


def _sure(found: dict) -> str:
    """In words, that the stated probabilities are not to be believed there; "" where they are, or where nothing is known."""
    stated = (found.get("label_free") or {}).get("confidence")
    right = ((found.get("score") or {}).get("accuracy") or {}).get("value")
    if found.get("kind") != "class" or "–" in (tables.number(stated), tables.number(right)) or abs(stated - right) < 0.1:
        return ""
    told = "it is too sure of itself there" if stated > right else "it is not sure enough there"
    return f"It states a probability of {tables.number(stated)} on average and is right in {tables.number(right)} of cases: {told}."


def _classes(found: dict) -> dict | None:
    """How often each class was learnt from, is predicted and is labelled: counts and shares of each side, bars on one scale."""
    counts = found.get("counts") if isinstance(found.get("counts"), dict) else {}
    sides = [side for side in COUNTS if isinstance(counts.get(side), dict) and counts[side]]
    if "predicted" not in sides:
        return None
    totals = {side: max(sum(map(tables.total, counts[side].values())), 1) for side in sides}
    classes = list(dict.fromkeys(str(key) for side in sides for key in counts[side]))
    known = [[tables.total(counts[side].get(key, 0)) for side in sides] for key in classes]
    shares = [[n / totals[side] for n, side in zip(row, sides, strict=True)] for row in known]
    most = max(max(row) for row in shares) or 1.0
    made = [
        {"name": key, "cells": [{"n": n, "share": share, "wide": share / most} for n, share in zip(row, part, strict=True)]}
        for key, row, part in zip(classes, known, shares, strict=True)
    ]
    return {"titles": [COUNTS[side] for side in sides], "rows": made}


def _mistakes(run: Record, predicted: pa.Table | None, found: dict) -> dict | None:
    """Confusion, pairs and scores by class of the labelled rows; None without labels, or where a row has not one class."""
    if predicted is None or found.get("kind") != "class":
        return None
    pairs = zip(predicted["label"].to_pylist(), predicted["predicted"].to_pylist(), strict=True)
    pairs = [(str(true), str(said)) for true, said in pairs if true is not None]
    if not pairs:
        return None
    true, said = map(list, zip(*pairs, strict=True))
    classes = list(dict.fromkeys([*run.classes, *sorted({*true, *said})]))
    counts = tables.confusion(true, said, classes)
    matrix = charts.confusion(counts, classes, "Confusion matrix on the target") if len(classes) <= MATRIX else None
    return {
        "matrix": matrix, "pairs": tables.confused_pairs(counts, classes, 6 if matrix else 15), "small": len(classes) <= 12,
        "classes": tables.by_class(counts, classes), "wrong": int(counts.sum() - np.trace(counts)), "n": int(counts.sum()),
    }  # fmt: skip


def _doubtful(run: Record, predicted: pa.Table | None, found: dict) -> list[dict]:
    """The rows that the model is least sure of, each with its image or the beginning of its text."""
    if predicted is None:
        return []
    sure = np.array(predicted["probability"].to_pylist(), dtype=float)
    order = [int(i) for i in np.argsort(sure, kind="stable") if np.isfinite(sure[i])][: 3 * SHOWN]
    thumbnails = Thumbnails(str(found.get("target") or ""), most=SHOWN, side=144, total=400_000)
    made = []
    for row in predicted.take(pa.array(order, pa.int64())).to_pylist():
        text = str(row.get("text") or "")
        image = "" if text else thumbnails.of(row["path"])
        if not (text or image) or len(made) == SHOWN:
            continue
        label = "" if row["label"] is None else tables.said(row["label"])
        unknown = "?" if found.get("labelled") else ""
        made.append({
            "image": image, "text": f"{text[:160]}…" if len(text) > 160 else text, "heat": "", "path": row["path"],
            "name": Path(row["path"]).name, "label": label or unknown, "predicted": tables.said(row["predicted"]),
            "right": row["label"] == row["predicted"] if label else None, "probability": tables.number(row["probability"], 2),
        })  # fmt: skip
    return made


def _rounds(found: dict) -> dict | None:
    """The rounds of self-training as a table: titles and rows of words."""
    known = rows(found.get("rounds"))
    titles = list(dict.fromkeys(key for row in known for key in row))
    if not known:
        return None
    words = [[tables.said(row.get(key, "–")) for key in titles] for row in known]
    return {"titles": [key.replace("_", " ").capitalize() for key in titles], "rows": words}
