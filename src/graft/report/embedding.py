"""FOLDER/embedding.html: a map of the samples with pictures on hover, and the groups among them, from FOLDER's files alone."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from . import tables
from .charts import Frame, padded
from .layout import fill, parts, put
from .record import Record, rows
from .thumbnails import Thumbnails

MOST = 1500
"""Samples that are drawn: more of them hide each other, and each has a picture in the page."""
COLOURS = ("#1a6aa8", "#cf5d06", "#3f8f4f", "#8a4fb0", "#b8860b", "#c2416b", "#2a9d9d", "#7a5c3e", "#5b6fd6", "#6b7280")
MARKS = ("circle", "square", "triangle")
"""Beyond ten groups colours come again with another mark; both tell a group apart."""


def write(folder: Path) -> Path:
    """Write folder/embedding.html, whole or not at all, and return its path. Raises OSError where it cannot be written."""
    folder = Path(folder)
    return put(folder / "embedding.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML. Parts whose data are missing are left out."""
    record = Record(Path(folder))
    about = record.json("embedding.json", {})
    table = _table(record)
    builders = {
        "head": lambda run: _head(about), "map": lambda run: _map(about, table), "groups": lambda run: _groups(about, table),
        "stable": lambda run: _stable(about),
    }  # fmt: skip
    made = parts(record, builders)
    return fill("embedding.html", record, notes=about.get("notes") or [], **made)


def _table(record: Record) -> pa.Table | None:
    """The rows without their features."""
    for name in ("features.parquet", "rows.parquet"):
        file = record.folder / name
        if file.is_file():
            return pq.read_table(file, columns=[one for one in pq.read_schema(file).names if one != "features"])
    return None


def _head(about: dict) -> dict:
    clusters = about.get("clusters") or {}
    agree = clusters.get("agreement") or {}
    facts = [
        ("Body", about.get("body", ""), ", ".join(about.get("layers") or [])),
        ("Samples", tables.number(about.get("rows")) if about.get("rows") else "", f"{tables.number(about.get('width'))} numbers each"),
        ("Groups", tables.number(clusters["number"]) if clusters else "", _left_out(clusters)),
        (
            "Agreement with the labels",
            f"{agree['nmi']:.3f}" if agree else "",
            f"NMI; adjusted Rand index {agree['ari']:.3f}" if agree else "",
        ),
    ]
    return {
        "name": Path(about.get("source") or "").name, "facts": [fact for fact in facts if fact[1]], "why": clusters.get("why", ""),
        "number": clusters.get("number"), "map": about.get("map", ""),
    }  # fmt: skip


def _left_out(clusters: dict) -> str:
    return f"{tables.number(clusters['left_out'])} samples belong to none" if clusters.get("left_out") else str(clusters.get("how", ""))


def _map(about: dict, table: pa.Table | None) -> dict | None:
    """Points in the unit square, from the left and from the top, each with its group, words and picture."""
    if table is None or "x" not in table.column_names or not len(table):
        return None
    every = max(1, -(-len(table) // MOST))
    some = table.take(pa.array(range(0, len(table), every)))
    by = "cluster" if "cluster" in some.column_names else "label" if "label" in some.column_names else None
    cells = [str(cell) for cell in some[by].to_pylist()] if by else [""] * len(some)
    names = sorted(set(cells), key=lambda cell: (len(cell), cell) if by == "cluster" else (0, cell))
    x, y = _unit(some["x"].to_pylist()), _unit(some["y"].to_pylist())
    pictures = Thumbnails("", most=MOST, side=64, total=4_000_000) if about.get("modality") == "image" else None
    columns = {name: some[name].to_pylist() for name in ("path", "label", "text") if name in some.column_names}
    points = []
    for i, cell in enumerate(cells):
        number = names.index(cell)
        colour, mark = number % len(COLOURS), MARKS[number // len(COLOURS) % 3]
        words = [columns[name][i] for name in columns if name != "path" and columns[name][i] is not None]
        points.append({
            "x": round(1000 * x[i]), "y": round(1000 - 1000 * y[i]), "colour": colour, "mark": mark,
            "name": Path(str(columns["path"][i])).name if "path" in columns else "", "words": " · ".join(str(word)[:120] for word in words),
            "group": cell, "picture": pictures.of(columns["path"][i]) if pictures else "",
        })  # fmt: skip
    key = [{"name": _named(name, by), "colour": i % len(COLOURS), "mark": MARKS[i // len(COLOURS) % 3]} for i, name in enumerate(names)]
    shown = "" if every == 1 else f"one sample in {every} is drawn"
    return {"points": points, "key": key if by else [], "colours": COLOURS, "shown": shown}


def _named(name: str, by: str | None) -> str:
    return ("none" if name == "-1" else f"group {name}") if by == "cluster" else name


def _unit(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [0.02 + 0.96 * (value - low) / (high - low) if high > low else 0.5 for value in values]


def _groups(about: dict, table: pa.Table | None) -> list[dict] | None:
    """Each group with its size, its commonest labels and some of its samples."""
    if table is None or "cluster" not in table.column_names:
        return None
    pictures = Thumbnails("", most=8 * 24, side=96) if about.get("modality") == "image" else None
    found = []
    for number in sorted(set(table["cluster"].to_pylist()), key=lambda one: (one < 0, one)):
        members = [i for i, one in enumerate(table["cluster"].to_pylist()) if one == number]
        counted: dict[str, int] = {}
        labels = [table["label"][i].as_py() for i in members] if "label" in table.column_names else []
        for label in labels:
            counted[str(label)] = counted.get(str(label), 0) + 1
        commonest = sorted(counted.items(), key=lambda item: -item[1])[:4]
        some = members[:: max(1, len(members) // 8)][:8]
        shown = [{"picture": pictures.of(table["path"][i].as_py()) if pictures else "", "text": _text(table, i)} for i in some]
        found.append({
            "name": _named(str(number), "cluster"), "size": len(members), "samples": shown,
            "labels": ", ".join(f"{label} {count}" for label, count in commonest),
        })  # fmt: skip
    return found


def _text(table: pa.Table, i: int) -> str:
    return str(table["text"][i].as_py())[:160] if "text" in table.column_names else Path(str(table["path"][i].as_py())).name


def _stable(about: dict) -> Markup | None:
    """How well two draws agree on each number of groups."""
    clusters = about.get("clusters") or {}
    tried = rows(clusters.get("tried"))
    if len(tried) < 2:
        return None
    values = [*(one["stability"] for one in tried), clusters.get("null") or 0.0]
    frame = Frame(
        "Stability",
        (tried[0]["k"] - 0.5, tried[-1]["k"] + 0.5),
        padded(values),
        "Number of groups",
        high=240,
    )
    frame.ticks(across=[(one["k"], str(one["k"])) for one in tried])
    frame.line([(one["k"], one["stability"]) for one in tried], "strong")
    return frame.svg()
