"""The end of a fit in a few lines: the score, what it was measured on, where things are and what to do next."""

import json
from pathlib import Path

from .findings import evidence_lines
from .words import clock, count, number, table


def summary(scores: dict, folder: Path | str) -> str:
    """scores: the content of scores.json. folder: the run's."""
    file = Path(folder) / "evidence.json"
    told = evidence_lines(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []
    return "\n".join([*score_lines(scores), *(["", *told] if told else []), "", places(folder)])


def score_lines(scores: dict) -> list[str]:
    """The primary score with its interval, in words what it was measured on, and the other scores below."""
    split = scores.get("scored") or ("test" if scores.get("test") else "val")
    measured, primary = scores.get(split) or {}, scores.get("primary", "score")
    head = measured.get(primary) or {}
    interval = head.get("interval")
    lines = [
        f"{primary} {number(head.get('value'))}" + (f"  (95 % interval {number(interval[0])} to {number(interval[1])})" if interval else "")
    ]
    rows = (scores.get("n") or {}).get(split)
    lines.append(f"measured on {scores.get('scored_as') or split}" + (f", {rows:,} samples" if rows else "") + _chosen(scores))
    others = [
        (name, number(one.get("value"), one.get("interval"))) for name, one in measured.items() if name != primary and isinstance(one, dict)
    ]
    if others:
        lines += ["", table(others)]
    facts = [str(scores[name]) for name in ("method", "backbone") if scores.get(name)]
    facts += [f"{count(scores['trainable_params'])} parameters learnt"] if scores.get("trainable_params") else []
    facts += [clock(scores["seconds"])] if scores.get("seconds") is not None else []
    facts += [f"{scores['peak_memory_mb']:,.0f} MB at most"] if scores.get("peak_memory_mb") else []
    return [*lines, "", ", ".join(facts)] if facts else lines


def _chosen(scores: dict) -> str:
    if scores.get("optimistic"):
        return "; optimistic, for the same samples have also selected"
    return f"; chosen on {scores['select']}" if scores.get("select") else ""


def places(folder: Path | str) -> str:
    """Where the model and the report are, and the next commands."""
    folder = Path(folder)
    what = _TAKES.get(_modality(folder), "PHOTOS...")
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    return table([
        ("model", str(folder / "model")), ("report", str(folder / "report.html")),
        ("next", f"graft predict {folder / 'model'} {what}"), ("", f"graft show {folder}"),
    ])  # fmt: skip


_TAKES = {"text": "'A TEXT'...", "spans": "'A QUESTION' --context TEXT.txt"}


def _modality(folder: Path) -> str:
    """What the run learnt from, by its data.json: the key of what its model takes."""
    try:
        schema = json.loads((folder / "data.json").read_text(encoding="utf-8"))["schema"]
        return schema["target"] if schema["target"] in _TAKES else schema["modality"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
