"""What an inspection found, and what transfer was worth, as lines of plain text."""

import os
from collections.abc import Mapping

from .words import amount, clock, count, label_text, noun, number, some, table

LEVELS = ("problem", "warning", "note")
VERDICTS = {
    "helped": "Transfer helped", "none": "No difference shown", "negative": "Negative transfer",
    "unknown": "Whether transfer helped is not known",
}  # fmt: skip
NAMED = 3
"""So many files of a finding are named; the page and check.json have the others."""


def lines(check: Mapping) -> list[str]:
    """check: the content of check.json, of which any key may be absent. Problems come first; names are made fit for a terminal."""
    rows = sorted(_rows(check.get("findings")), key=lambda row: LEVELS.index(_level(row)))
    root = check.get("source") if isinstance(check.get("source"), str) else ""
    out = [_sentence(check, rows, root)]
    for row in rows:
        out += ["", *_finding(row, root, "text" if check.get("modality") == "text" else "file")]
    told = [(word, _texts(check.get(key))) for word, key in (("looked for", "looked_for"), ("left out", "left_out"))]
    left = [
        (word, "; ".join(text.rstrip(" .") for text in texts) if word == "left out" else ", ".join(texts)) for word, texts in told if texts
    ]
    return out + (["", *table(left).splitlines()] if left else [])


def evidence_lines(evidence: Mapping) -> list[str]:
    """evidence: the content of evidence.json, of which any key may be absent; [] where it has nothing to say."""
    parts = [_verdict(evidence), _arms(evidence), _differences(evidence), _told(evidence)]
    out: list[str] = []
    for part in parts:
        out += ([""] if out and part else []) + part
    return out


def _sentence(check: Mapping, rows: list[Mapping], root: str) -> str:
    counted = [amount(n, level) for level in LEVELS if (n := sum(_level(row) == level for row in rows))]
    counts = check.get("counts")
    samples = sum(map(_total, counts.values())) if isinstance(counts, Mapping) else 0
    where = " of ".join(filter(None, (amount(samples, noun(check.get("modality"))) if samples else "", _plain(root))))
    said = " and ".join(filter(None, (", ".join(counted[:-1]), *counted[-1:]))) or "nothing was found"
    took = f", in {clock(check['seconds'])}" if _known(check.get("seconds")) else ""
    return said + (f" in {where}" if where else "") + took


def _finding(row: Mapping, root: str, unit: str) -> list[str]:
    """level, text, effect and repair, each on a line; the files, or texts, on a last one."""
    texts = {key: _plain(row.get(key) or "") for key in ("text", "effect", "repair")}
    texts["text"] = texts["text"] or _plain(row.get("kind") or "").replace("_", " ")
    found = [(_level(row), texts["text"]), *(("  " + key, texts[key]) for key in ("effect", "repair") if texts[key])]
    files = [_plain(_inside(file, root)) for file in _texts(row.get("files"))]
    if files:
        found.append((f"  {unit}s", f"{amount(len(files), unit)}: {some(files, most=NAMED)}" if len(files) > NAMED else some(files)))
    if suggested := _suggested(row, root):
        found.append(("  such as", suggested))
    return [f"{label:<11}{text}" for label, text in found]


def _suggested(row: Mapping, root: str) -> str:
    """The first label that something else was proposed for: "ants/1.jpg: ants, suggested bees"."""
    for one in _rows(row.get("examples")):
        files = _texts(one.get("files"))
        if files and one.get("suggested") is not None:
            labels = (_plain(label_text(one.get(key))) for key in ("label", "suggested"))
            return "{}: {}, suggested {}".format(_plain(_inside(files[0], root)), *labels)
    return ""


def _verdict(evidence: Mapping) -> list[str]:
    verdict = evidence.get("verdict")
    if not isinstance(verdict, Mapping) or not verdict:
        return []
    text = _plain(verdict.get("text") or "") or VERDICTS.get(str(verdict.get("kind")), VERDICTS["unknown"])
    return [text]


def _arms(evidence: Mapping) -> list[str]:
    """A table of the arms; columns that no arm has anything for are left out."""
    arms = _rows(evidence.get("arms"))
    if not arms:
        return []
    columns = [
        ("", [_plain(arm.get("label") or arm.get("name") or "") for arm in arms]),
        (_plain(evidence.get("metric") or "score").replace("_", " "), [_scored(arm) for arm in arms]),
        ("on its own rows", [number(arm["learning_value"]) if _known(arm.get("learning_value")) else "" for arm in arms]),
        ("training", [clock(arm["seconds"]) if _known(arm.get("seconds")) else "" for arm in arms]),
        ("memory", [f"{arm['peak_memory_mb']:,.0f} MB" if _known(arm.get("peak_memory_mb")) else "" for arm in arms]),
        ("learnt", [count(int(arm["trainable"])) if _known(arm.get("trainable")) else "" for arm in arms]),
    ]
    kept = [(title, cells) for title, cells in columns if any(cells)]
    return table(list(zip(*(cells for _, cells in kept), strict=True)), [title for title, _ in kept]).splitlines()


def _differences(evidence: Mapping) -> list[str]:
    names = {str(arm.get("name")): _plain(arm.get("label") or arm.get("name") or "") for arm in _rows(evidence.get("arms"))}
    rows = []
    for row in _rows(evidence.get("differences")):
        of, less = (names.get(str(row.get(key))) or _plain(row.get(key) or "") for key in ("of", "less"))
        p = ("p < 0.001" if row["p"] < 0.001 else f"p {row['p']:.3f}") if _known(row.get("p")) else ""
        rows.append((f"{of} less {less}", _scored(row, signed=True), p, _plain(row.get("test") or "")))
    return table(rows).splitlines() if rows else []


def _told(evidence: Mapping) -> list[str]:
    """Labels saved, notices, what was left out, and what to do next."""
    curve, verdict = evidence.get("curve"), evidence.get("verdict")
    saved = curve.get("saved") if isinstance(curve, Mapping) else None
    rows = [("labels", _plain(saved.get("text") or ""))] if isinstance(saved, Mapping) else []
    rows += [("notice", _plain(text)) for text in _texts(evidence.get("notices"))]
    rows += [("left out", _plain(text)) for text in _texts(evidence.get("cut"))]
    rows += [("advice", _plain(verdict.get("advice") or ""))] if isinstance(verdict, Mapping) else []
    rows = [row for row in rows if row[1]]
    return table(rows).splitlines() if rows else []


def _scored(row: Mapping, signed: bool = False) -> str:
    """0.940 [0.900, 0.970]; with a plus for a difference; an end that nothing bounds is -inf or inf."""
    if not _known(row.get("value")):
        return ""
    shown = _signed if signed else number
    ends = row.get("interval")
    if not (isinstance(ends, list | tuple) and len(ends) == 2 and any(map(_known, ends))):
        return shown(float(row["value"]))
    low, high = (shown(float(end)) if _known(end) else side for end, side in zip(ends, ("-inf", "inf"), strict=True))
    return f"{shown(float(row['value']))} [{low}, {high}]"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _level(row: Mapping) -> str:
    return row["level"] if row.get("level") in LEVELS else "note"


def _inside(file: str, root: str) -> str:
    """The path from the data folder where the file lies in it."""
    return os.path.relpath(file, root) if root and file.startswith(root.rstrip(os.sep) + os.sep) else file


def _plain(text: object) -> str:
    """On one line, without the control characters by which a file's name could command the terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(text))


def _known(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def _total(value: object) -> int:
    return sum(map(_total, value.values())) if isinstance(value, Mapping) else int(value) if _known(value) else 0


def _rows(value: object) -> list[Mapping]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else [str(one) for one in value if one] if isinstance(value, list | tuple) else []
