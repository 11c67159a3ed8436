"""The end of a fit in a few lines: the score, what it was measured on, where things are and what to do next."""

import json
import tomllib
from pathlib import Path

from .findings import evidence_lines
from .words import amount, clock, count, number, table


def summary(scores: dict, folder: Path | str) -> str:
    """scores: the content of scores.json. folder: the run's."""
    told, target = evidence_lines(_json(Path(folder) / "evidence.json")), target_lines(scores, _json(Path(folder) / "target.json"))
    first = [*target, "", "on the source, which says little about the target:"] if target else []
    return "\n".join([*first, *score_lines(scores), *(["", *told] if told else []), "", places(folder)])


def target_lines(scores: dict, found: dict) -> list[str]:
    """The score on the target domain, or that it has no labels, and what to make of it; [] for a fit without a target.

    scores: the content of scores.json; found: that of target.json, of which any key may be absent."""
    known, primary = scores.get("target_domain") or {}, scores.get("primary", "score")
    if not known:
        return []
    rows, labelled, said = known.get("rows") or 0, known.get("labelled") or 0, found.get("verdict") or {}
    told = [str(said[key]) for key in ("text", "advice") if said.get(key)]
    head = known.get(primary)
    if not isinstance(head, dict):
        return told or [f"no score on the target: {labelled:,} of its {rows:,} samples have labels"]
    interval, part = head.get("interval"), "" if labelled == rows else f" of {rows:,}"
    return [
        _headline(f"{primary} on the target", head.get("value"), interval),
        f"measured on its {labelled:,} labelled samples{part}, once, after everything was chosen", *(["", *told] if told else []),
    ]  # fmt: skip


def _headline(name: str, value: object, interval: list | None) -> str:
    return f"{name} {number(value)}" + (f"  (95 % interval {number(interval[0])} to {number(interval[1])})" if interval else "")


def score_lines(scores: dict) -> list[str]:
    """The primary score with its interval, in words what it was measured on, and the other scores below."""
    if scores.get("target") == "none":
        return [*_changes(scores), "", ", ".join(_facts(scores))]
    split = scores.get("scored") or ("test" if scores.get("test") else "val")
    measured, primary = scores.get(split) or {}, scores.get("primary", "score")
    head = measured.get(primary) or {}
    lines = [_headline(primary, head.get("value"), head.get("interval"))]
    rows = (scores.get("n") or {}).get(split)
    lines.append(f"measured on {scores.get('scored_as') or split}" + (f", {rows:,} samples" if rows else "") + _chosen(scores))
    others = [
        (name, number(one.get("value"), one.get("interval"))) for name, one in measured.items() if name != primary and isinstance(one, dict)
    ]
    if others:
        lines += ["", table(others)]
    facts = _facts(scores)
    return [*lines, "", ", ".join(facts)] if facts else lines


def _facts(scores: dict) -> list[str]:
    facts = [str(scores[name]) for name in ("method", "backbone") if scores.get(name)]
    facts += [f"{count(scores['trainable_params'])} parameters learnt"] if scores.get("trainable_params") else []
    facts += [clock(scores["seconds"])] if scores.get("seconds") is not None else []
    facts += [f"{scores['peak_memory_mb']:,.0f} MB at most"] if scores.get("peak_memory_mb") else []
    return facts


def _changes(scores: dict) -> list[str]:
    """Of a run without labels: what its features were before and after, on which rows, and whether they collapsed."""
    split, before = scores.get("scored") or "val", scores.get("before") or {}
    rows = [(name.replace("_", " "), number(before.get(name)), number(one["value"])) for name, one in (scores.get(split) or {}).items()]
    n = (scores.get("n") or {}).get(split)
    where = f"on {scores.get('scored_as') or split}" + (f", {amount(n, 'sample')}" if n else "")
    return [table(rows, ("features", "before", "after")), where, *([scores["collapse"]] if scores.get("collapse") else [])]


def _chosen(scores: dict) -> str:
    if scores.get("optimistic"):
        return "; optimistic, for the same samples have also selected"
    return f"; chosen on {scores['select']}" if scores.get("select") else ""


def _json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def places(folder: Path | str) -> str:
    """Where the model and the report are, and the next commands."""
    folder = Path(folder)
    what = _TAKES.get(_modality(folder), "PHOTOS...")
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    then = f"graft predict {folder / 'model'} {what}" if what else f"graft fit LABELLED -b run:{folder}"
    return table(
        [
            ("model", str(folder / "model")),
            ("report", str(folder / "report.html")),
            ("next", then),
            ("", f"graft show {folder}"),
        ]
    )


_TAKES = {
    "text": "'A TEXT'...",
    "pair": "'A TEXT' --context 'ANOTHER'",
    "spans": "'A QUESTION' --context TEXT.txt",
    "none": "",
    "masked": "",
}
"""What a model is asked with; nothing where it only serves as a body."""


def _modality(folder: Path) -> str:
    """What the run learnt from, by its data.json: the key of what its model takes."""
    try:
        schema = json.loads((folder / "data.json").read_text(encoding="utf-8"))["schema"]
        if schema["target"] == "language" and _spec(folder).get("task", {}).get("kind") == "masked":
            return "masked"
        if schema.get("pair"):
            return "pair"
        return schema["target"] if schema["target"] in _TAKES else schema["modality"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _spec(folder: Path) -> dict:
    """The content of spec.toml, {} where there is none."""
    file = folder / "spec.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
