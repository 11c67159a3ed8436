"""FOLDER/advice.html: which transfer to try and why, a pure function of FOLDER/advice.json."""

import shlex
from pathlib import Path

from . import curves, tables
from .layout import fill, parts, put
from .record import Record, rows, texts

MEASURES = {"probe": "Probe", "knn": "Nearest neighbours", "logme": "LogME", "h_score": "H-score", "leep": "LEEP", "nce": "NCE"}
"""The scores of a layer, by their keys; more is better for each of them."""

DISTANCES = {
    "batch_norm_frechet": "Batch-norm statistics (Fréchet)", "frechet": "Features (Fréchet)",
    "proxy_a_distance": "Proxy A-distance", "mmd": "Maximum mean discrepancy", "mmd_p": "p of no discrepancy",
}  # fmt: skip
LIKENESS = {"similar": ("Similar to the source", "≈"), "different": ("Different from the source", "≠")}


def write(folder: Path) -> Path:
    """Write folder/advice.html from folder/advice.json, whole or not at all, and return its path. Raises OSError."""
    folder = Path(folder)
    return put(folder / "advice.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML."""
    record = Record(Path(folder))
    made = parts(record, {"head": _head, "strategies": _strategies, "rule": _rule, "bodies": _bodies})
    return fill("advice.html", record, **made)


def _advice(record: Record) -> dict:
    return record.json("advice.json", {})


def _head(record: Record) -> dict | None:
    found = _advice(record)
    if not found:
        return None
    source, classes, balance = str(found.get("source") or ""), found.get("classes"), found.get("balance")
    many = len(classes) if isinstance(classes, list | dict) else classes
    name, bodies = Path(source).name or source, rows(found.get("bodies"))
    facts = [
        ("Data", name, source if source != name else ""),
        ("Labelled rows", tables.number(found.get("rows")).replace("–", ""), ""),
        ("Classes", tables.number(many).replace("–", ""), tables.said(balance) if isinstance(balance, dict) and len(balance) <= 6 else ""),
        ("Bodies looked at", tables.number(len(bodies)) if bodies else "", ", ".join(str(body.get("name", "")) for body in bodies[:4])),
    ]  # fmt: skip
    first, left = next(iter(_strategies(record)), None), [_why(row) for row in rows(found.get("left_out"))]
    return {
        "name": name, "facts": [fact for fact in facts if fact[1]], "first": first, "command": _command(record, source),
        "metric": tables.metric(str(found.get("metric") or "score")), "left_out": left,
    }  # fmt: skip


def _why(row: dict) -> str:
    return ": ".join(str(row[key]).rstrip(" .") for key in ("name", "why") if row.get(key))


def _command(record: Record, source: str) -> str:
    """The line that does what stands first: with the file of the advice where it is there, else with the options."""
    file, ranked = record.folder / "advice.toml", _ranked(_advice(record))
    if file.is_file():
        return shlex.join(["graft", "fit", source, "--advice", str(file)])
    if not ranked or not source:
        return ""
    words, best = ["graft", "fit", source], ranked[0]
    for flag, key in (("--backbone", "backbone"), ("--method", "method"), ("--layers", "layers"), ("--freeze", "freeze")):
        value = best.get(key)
        if value not in (None, "", []):
            words += [flag, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return shlex.join(words)


def _ranked(found: dict) -> list[dict]:
    known = rows(found.get("strategies"))
    return sorted(known, key=lambda row: row["rank"] if tables.number(row.get("rank")) != "–" else len(known) + 1)


def _strategies(record: Record) -> list[dict]:
    made = []
    for place, row in enumerate(_ranked(_advice(record)), start=1):
        details = [f"layers {tables.said(row['layers'])}" if row.get("layers") else ""]
        frozen = row.get("freeze")
        details += ["everything learns" if frozen == "none" else f"frozen up to {frozen}" if frozen not in (None, "") else ""]
        made.append({
            "rank": place, "method": str(row.get("method") or ""), "backbone": str(row.get("backbone") or ""),
            "details": ", ".join(filter(None, details)), "expected": tables.scored({**row, "value": row.get("expected")}), "how": _how(row),
            "seconds": tables.duration(row.get("seconds")), "memory": tables.megabytes(row.get("memory_mb")),
            "licence": str(row.get("licence") or ""), "reasons": texts(row.get("reasons")),
        })  # fmt: skip
    return made


def _how(row: dict) -> str:
    """Whether the score was measured, where the file says so."""
    said = row.get("measured")
    return said if isinstance(said, str) else "" if said is None else "measured" if said else "expected, not measured"


def _rule(record: Record) -> dict | None:
    found = _advice(record)
    rule = found.get("rule") if isinstance(found.get("rule"), dict) else {}
    made = {key: str(rule.get(key) or "") for key in ("cell", "strategy", "why", "source")}
    made["agreement"] = str(found.get("agreement") or "")
    return made if any(made.values()) else None


def _bodies(record: Record) -> list[dict]:
    made, noun = [], tables.noun(record.modality)
    for body in rows(_advice(record).get("bodies")):
        facts = [
            ("Weights", body.get("weights")), ("Trained on", body.get("trained_on")), ("Licence", body.get("licence")),
            ("Image size" if noun == "images" else "Length", tables.extent(body.get("size"), record.modality)),
            ("Parameters", tables.count(body.get("parameters"))),
            (f"Time for 1,000 {noun}", tables.duration(body.get("seconds_per_1000"))),
        ]  # fmt: skip
        layers = rows(body.get("layers"))
        columns, table = _layers(layers, str(body.get("best_layer") or ""))
        made.append({
            "name": str(body.get("name") or ""), "facts": [(k, str(v)) for k, v in facts if v and v != "–"],
            "similarity": _similarity(body),
            "columns": columns, "layers": table, "best": str(body.get("best_layer") or ""),
            "chart": curves.depth(layers, str(body.get("best_layer") or ""), f"Score of a probe by layer of {body.get('name', '')}", noun),
        })  # fmt: skip
    return made


def _similarity(body: dict) -> dict | None:
    found = body.get("similarity")
    if not isinstance(found, dict) or not found:
        return None
    word, mark = LIKENESS.get(str(found.get("level")), ("Likeness to the source not known", "?"))
    measures = found.get("measures") if isinstance(found.get("measures"), dict) else {}
    pairs = [(DISTANCES.get(k, str(k).replace("_", " ")), tables.said(v)) for k, v in measures.items() if v is not None]
    return {"word": word, "mark": mark, "words": f"{found.get('words') or ''} {found.get('beside') or ''}".strip(), "measures": pairs}


def _layers(layers: list[dict], best: str) -> tuple[list[str], list[dict]]:
    """The names of the scores that any layer has, and for each layer its cells, shaded by rank of size within the column."""
    others = [k for row in layers for k in row if k not in (*MEASURES, "name", "width", "interval")]
    keys = [k for k in dict.fromkeys((*MEASURES, *others)) if any(tables.number(row.get(k)) != "–" for row in layers)]
    ends = {k: _ends([row[k] for row in layers if tables.number(row.get(k)) != "–"]) for k in keys}
    made = []
    for row in layers:
        cells = [_cell(row.get(key), ends[key], row.get("interval") if key == "probe" else None) for key in keys]
        name = str(row.get("name") or "")
        made.append({"name": name, "width": tables.number(row.get("width")), "cells": cells, "best": bool(best) and name == best})
    return [MEASURES.get(key, key.replace("_", " ")) for key in keys], made


def _cell(value, ends: tuple[float, float], interval) -> dict:
    """warmth: 0 for the least of the column, 1 for the most."""
    told, (low, high) = tables.scored({"value": value, "interval": interval}), ends
    if told is None:
        return {"value": "–", "low": "", "high": "", "warmth": 0.0, "most": False}
    return told | {"warmth": round((value - low) / (high - low), 2) if high > low else 0.0, "most": value == high > low}


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)
