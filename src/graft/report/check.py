"""FOLDER/check.html: what an inspection found, a pure function of FOLDER/check.json and of the images that are still there.

Of texts the examples carry "texts", the beginning of each, which stands in the place of a picture.
"""

import os
from pathlib import Path

from . import charts, tables
from .layout import fill, parts, put
from .record import Record, listed, phrases, rows, texts
from .thumbnails import Thumbnails

LEVELS = {"problem": ("Problem", "■"), "warning": ("Warning", "▲"), "note": ("Note", "○")}
"""Each level's word and mark: what tells them apart without colour."""

WORDS = {"p_label": "probability of what is given", "p_suggested": "of what is suggested", "chance_wrong": "chance of a wrong label"}
"""What is said of an example, by its keys; other keys speak for themselves, and of "what" the value does."""

LISTED = 200
"""So many files of a finding are named on the page; check.json has them all."""


def write(folder: Path) -> Path:
    """Write folder/check.html from folder/check.json, whole or not at all, and return its path.

    At most 160 thumbnails of 96 px stand in the page; a file that is gone is named without one. Raises OSError where the
    page cannot be written.
    """
    folder = Path(folder)
    return put(folder / "check.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML."""
    record = Record(Path(folder))
    made = parts(record, {"head": _head, "found": _found, "gap": _gap, "ways": _ways})
    return fill("check.html", record, **made)


def summary(run: Record) -> dict | None:
    """For the page of a run: the findings with up to 4 examples each, 40 thumbnails in all; None where nothing was checked."""
    check = run.json("check.json", {})
    if not check:
        return None
    thumbnails = Thumbnails(source(check), most=40)
    return {
        "findings": findings(check | {"modality": run.modality}, thumbnails, 4),
        "looked_for": phrases(check.get("looked_for")),
        "left_out": phrases(check.get("left_out")),
    }


def findings(check: dict, thumbnails: Thumbnails, each: int) -> list[dict]:
    """Problems first, then warnings, then notes, with up to `each` examples; the thumbnails go round the findings in turn, so
    that the first does not spend them all."""
    known = rows(check.get("findings"))
    known.sort(key=lambda row: [*LEVELS, str(row.get("level"))].index(str(row.get("level"))))
    found = [_finding(row, source(check), each, check.get("modality") == "text") for row in known]
    for turn in range(each if check.get("modality") != "text" else 0):
        for one in found:
            for shot in one["examples"][turn]["shots"] if turn < len(one["examples"]) else ():
                shot["image"] = thumbnails.of(shot["path"])
    return found


def _finding(row: dict, root: str, each: int, texts: bool) -> dict:
    word, mark = LEVELS.get(str(row.get("level")), ("Note", "○"))
    files = [str(file) for file in listed(row.get("files"))]
    total = max(int(row["count"]) if tables.number(row.get("count")) != "–" else 0, 0)
    return {
        "level": word.lower(), "word": word, "mark": mark, "title": str(row.get("kind") or "").replace("_", " ").capitalize(),
        "count": total, **{key: str(row.get(key) or "") for key in ("text", "effect", "repair")},
        "examples": [_example(one, root) for one in rows(row.get("examples"))[:each]],
        "files": [inside(file, root) for file in files[:LISTED]], "n": len(files),
        "unit": "text" if texts else "file", "pictures": not texts,
    }  # fmt: skip


def _example(row: dict, root: str) -> dict:
    """{"shots": an image or a text each with what is said of it alone, "given", "suggested", "said": what is said of them all}."""
    files, alone, said = [str(file) for file in listed(row.get("files"))], {}, []
    for name, value in row.items():
        if name in ("files", "texts", "label", "suggested") or value is None:
            continue
        if isinstance(value, list) and len(value) == len(files) > 1:
            alone[name] = value
        else:
            said.append(tables.said(value) if name == "what" else f"{WORDS.get(name) or name.replace('_', ' ')} {tables.said(value)}")
    quotes = [str(text) for text in listed(row.get("texts"))] + [""] * len(files)
    shots = [
        {"path": file, "name": Path(file).name or file, "inside": inside(file, root), "image": "", "text": quotes[i],
         "under": [tables.said(values[i]) for values in alone.values()]}
        for i, file in enumerate(files[:6])
    ]  # fmt: skip
    given, suggested = (tables.said(row[key]) if row.get(key) is not None else "" for key in ("label", "suggested"))
    return {"shots": shots, "given": given, "suggested": suggested, "said": said, "more": max(len(files) - 6, 0)}


def source(check: dict) -> str:
    return check["source"] if isinstance(check.get("source"), str) else ""


def inside(file: str, root: str) -> str:
    """The path from the data folder where the file lies in it."""
    return os.path.relpath(file, root) if root and file.startswith(root.rstrip(os.sep) + os.sep) else file


def _head(record: Record) -> dict | None:
    check = record.json("check.json", {})
    if not check:
        return None
    levels = [row.get("level") for row in rows(check.get("findings"))]
    said = [(levels.count(level), word.lower()) for level, (word, _) in LEVELS.items()]
    counts = {str(k): tables.total(v) for k, v in (check.get("counts") or {}).items()}
    classes, root, total = check.get("classes"), source(check), sum(counts.values())
    each = ", ".join(f"{n} {tables.number(v)}" for n, v in counts.items())
    many = len(classes) if isinstance(classes, list | dict) else classes
    named = ", ".join(map(str, list(classes)[:6])) + (" …" if many > 6 else "") if isinstance(classes, list | dict) else ""
    facts = [
        ("Data", Path(root).name or root, root if Path(root).name != root else ""),
        (tables.noun(record.modality).capitalize(), tables.number(total) if counts else "", each),
        ("Classes", tables.number(many) if many else "", named),
        ("Looked at with", check.get("backbone") or "", ""),
        ("Took", tables.duration(check.get("seconds")).replace("–", ""), ""),
    ]  # fmt: skip
    return {
        "said": [(n, word) for n, word in said if n], "name": Path(root).name or root, "total": total,
        "facts": [(name, str(value), small) for name, value, small in facts if value],
    }  # fmt: skip


def _found(record: Record) -> list[dict]:
    check = record.json("check.json", {})
    found = findings(check, Thumbnails(source(check), most=160, total=2_000_000), 12)
    groups = [(f"{word}s", [row for row in found if row["word"] == word]) for word, _ in LEVELS.values()]
    return [{"title": title, "rows": some} for title, some in groups if some]


def _gap(record: Record) -> dict | None:
    """Both domains on the first two principal axes of their features; None where there is no target."""
    gap = record.json("check.json", {}).get("gap")
    if not isinstance(gap, dict):
        return None
    source, target = (_points(gap.get(side)) for side in ("source", "target"))
    if not source or not target:
        return None
    known = [value for value in listed(gap.get("shares")) if tables.number(value) != "–"]
    share = f"these two axes hold {100 * sum(known):.0f} % of what varies" if known else ""
    return {"chart": charts.domains(source, target, "Source and target in the features of the body"), "share": share}


def _points(value) -> list[tuple[float, float]]:
    points = [tuple(point) for point in listed(value) if isinstance(point, list) and len(point) == 2]
    return [point for point in points if all(tables.number(one) != "–" for one in point)]


def _ways(record: Record) -> dict | None:
    check = record.json("check.json", {})
    made = {key: texts(check.get(key)) for key in ("looked_for", "left_out")}
    return made if any(made.values()) else None
