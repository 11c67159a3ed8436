"""OUT/chain.html: what is kept of every task in a chain of fits, from OUT/chain.json alone."""

import shlex
from pathlib import Path

from . import tables
from .layout import fill, parts, put
from .record import Record, listed, rows, texts

NUMBERS = {
    "average": ("Average at the end", "the mean of the last row: how well one model now does all tasks"),
    "kept_first": ("Kept of the first task", "its last score as a share of what it was when it had just been learnt"),
    "backward_transfer": ("Backward transfer", "what later steps changed in earlier tasks, on average; below 0 they were forgotten"),
    "forgetting": ("Forgetting", "how far earlier tasks ended below their best, on average"),
}
SAME = 0.005
"""Changes smaller than this are not called losses or gains; intervals are wider anyway."""


def write(folder: Path) -> Path:
    """Write folder/chain.html, whole or not at all, and return its path. Raises OSError where it cannot be written."""
    folder = Path(folder)
    return put(folder / "chain.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML. Parts whose data are missing are left out."""
    record = Record(Path(folder))
    builders = {"head": _head, "facts": _facts, "matrix": _matrix, "kept": _kept, "steps": _steps, "lineage": _lineage, "again": _again}
    made = parts(record, builders)
    return fill("chain.html", record, chain=record.folder.resolve().name, notices=texts(_found(record).get("notices")), **made)


def _found(record: Record) -> dict:
    return record.json("chain.json", {})


def _cells(record: Record) -> list[list[dict | None]]:
    return [[cell if isinstance(cell, dict) else None for cell in listed(row)] for row in listed(_found(record).get("matrix"))]


def _head(record: Record) -> dict | None:
    found = _found(record)
    if not found:
        return None
    told, matrix = rows(found.get("steps")), _cells(record)
    share = (found.get("numbers") or {}).get("kept_first")
    first = matrix[0][0] if matrix and matrix[0] else None
    last = matrix[-1][0] if matrix and matrix[-1] else None
    return {
        "tasks": len(told), "of": found.get("of"), "first": str(told[0].get("task")) if told else "", "share": _percent(share),
        "before": tables.scored(first), "after": tables.scored(last), "metric": tables.metric(str((first or {}).get("metric") or "score")),
        "remedy": str(found.get("remedy") or ""), "going": len(told) < (found.get("of") or 0),
    }  # fmt: skip


def _percent(value) -> str:
    return f"{100 * value:.0f} %" if tables.number(value) != "–" else ""


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """(name, value, small print) of the forgetting numbers that are there."""
    found = _found(record).get("numbers") or {}
    made = []
    for name, (title, words) in NUMBERS.items():
        value = found.get(name)
        if tables.number(value) != "–":
            shown = _percent(value) if name == "kept_first" else _signed(value) if name == "backward_transfer" else tables.number(value, 3)
            made.append((title, shown, words))
    return made


def _signed(value) -> str:
    return ("+" if value > 0 else "") + tables.number(float(value), 3)


def _matrix(record: Record) -> dict | None:
    """The forgetting matrix as rows of cells: value, interval, a shade in 0..1, and how it stands to when its task was learnt."""
    told, matrix = rows(_found(record).get("steps")), _cells(record)
    if not told or not matrix:
        return None
    values = [cell["value"] for row in matrix for cell in row if cell and tables.number(cell.get("value")) != "–"]
    low, high = min(values, default=0.0), max(values, default=1.0)
    made = []
    for number, row in enumerate(matrix):
        cells = []
        for task in range(len(told)):
            cell = row[task] if task < len(row) else None
            learnt = matrix[task][task] if task < len(matrix) and task < len(matrix[task]) else None
            cells.append(_cell(cell, learnt, task == number, (low, high)))
        name = told[number].get("task") if number < len(told) else number + 1
        made.append({"name": f"{number + 1}. {name}", "method": told[number].get("method") if number < len(told) else "", "cells": cells})
    heads = [
        {"name": one.get("task"), "metric": tables.metric(str((matrix[i][i] or {}).get("metric") or "")).lower() if i < len(matrix) else ""}
        for i, one in enumerate(told)
    ]
    return {"heads": heads, "rows": made}


def _cell(cell: dict | None, learnt: dict | None, own: bool, ends: tuple[float, float]) -> dict | None:
    """ends: the lowest and the highest score of the matrix, between which cells are shaded; little apart, all are alike."""
    shown = tables.scored(cell)
    if shown is None:
        return None
    change = cell["value"] - learnt["value"] if learnt and not own and tables.number(learnt.get("value")) != "–" else None
    word = "" if change is None else "lost" if change < -SAME else "gained" if change > SAME else "kept"
    shade = 1 - (ends[1] - cell["value"]) / max(ends[1] - ends[0], 0.1)
    return {**shown, "shade": round(shade, 3), "own": own, "word": word, "change": "" if change is None else _signed(change)}


def _kept(record: Record) -> list[dict]:
    """For each task: when it had just been learnt, in the end, and which share that is."""
    told, matrix, made = rows(_found(record).get("steps")), _cells(record), []
    for task, one in enumerate(told):
        learnt, last = (matrix[row][task] if row < len(matrix) and task < len(matrix[row]) else None for row in (task, len(matrix) - 1))
        if learnt and last:
            share = last["value"] / learnt["value"] if learnt["value"] else None
            made.append({"name": one.get("task"), "n": learnt.get("n"), "learnt": tables.scored(learnt), "last": tables.scored(last),
                         "share": _percent(share), "change": _signed(last["value"] - learnt["value"])})  # fmt: skip
    return made


def _steps(record: Record) -> list[dict]:
    return [
        {
            "name": one.get("task"), "method": one.get("method"), "data": Path(str(one.get("data") or "")).name,
            "rows": tables.count(one.get("rows")),
            "classes": ", ".join(map(str, listed(one.get("classes")))) or "a number", "seconds": tables.duration(one.get("seconds")),
            "seed": one.get("seed"), "link": _link(one.get("folder")),
        }
        for one in rows(_found(record).get("steps"))
    ]  # fmt: skip


def _link(folder) -> str:
    """The report of a step, beside this page; "" for a name that leads elsewhere."""
    name = str(folder or "")
    return f"{name}/report.html" if name and name not in (".", "..") and not set(name) & set('/\\:"?#') else ""


def _lineage(record: Record) -> list[dict]:
    """The weights, oldest first: those that the chain began from, then what every step gave."""
    told = rows(_found(record).get("steps"))
    if not told:
        return []
    first = told[0]
    before = [*rows(first.get("parents")), {"name": first.get("body"), **{key: first.get(key) for key in ("trained_on", "started_from")}}]
    made = [
        {"name": one.get("name"), "what": one.get("trained_on"), "data": "", "sha256": one.get("sha256") or one.get("started_from")}
        for one in before
    ]
    for number, one in enumerate(told, start=1):
        made.append({"name": f"after step {number}", "what": one.get("task"), "data": one.get("fingerprint"), "sha256": one.get("sha256")})
    return made


def _again(record: Record) -> dict | None:
    found = _found(record)
    command = str(found.get("command") or "")
    if command.startswith("graft ") and "--out" not in command and " -o " not in command:
        command += f" --out {shlex.quote(str(record.folder))}"
    return {"command": command, "version": str(found.get("version") or ""), "date": str(found.get("date") or "")} if command else None
