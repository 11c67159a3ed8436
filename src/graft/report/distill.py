"""OUT/distill.html: what a student learnt from its teacher, from OUT/distill.json alone."""

import shlex
from pathlib import Path

from . import tables
from .evidence import p_value
from .layout import fill, parts, put
from .record import Record, rows, texts
from .study import signed

NAMES = {"teacher": "Teacher", "student": "Student", "alone": "Student alone"}
CARRIED = (
    ("parameters", "parameters", "fewer", "more"), ("megabytes", "on disk", "less", "more"),
    ("rate", "{noun} a second", "faster", "slower"), ("memory_mb", "memory", "less", "more"),
)  # fmt: skip
"""What is compared: its key, its name, and the word where the student is ahead, or behind."""
MEANINGS = {
    ("student", "teacher"): "what the small size costs", ("student", "alone"): "what the teacher was worth",
    ("teacher", "alone"): "what there was to learn from it",
}  # fmt: skip


def write(folder: Path) -> Path:
    """Write folder/distill.html, whole or not at all, and return its path. Raises OSError where it cannot be written."""
    folder = Path(folder)
    return put(folder / "distill.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML. Parts whose data are missing are left out."""
    record = Record(Path(folder))
    builders = {"head": _head, "facts": _facts, "arms": _arms, "ratios": _ratios, "differences": _differences, "reproduce": _reproduce}
    made = parts(record, builders)
    return fill("distill.html", record, name=record.folder.resolve().name, notices=texts(_found(record).get("notices")), **made)


def _found(record: Record) -> dict:
    return record.json("distill.json", {})


def _named(record: Record) -> dict[str, dict]:
    return {str(arm.get("name")): arm for arm in rows(_found(record).get("arms"))}


def _head(record: Record) -> dict | None:
    found, arms = _found(record), _named(record)
    if not found:
        return None
    said = found.get("verdict") if isinstance(found.get("verdict"), dict) else {}
    kind, word, mark = _word(said)
    return {
        "metric": tables.metric(str(found.get("metric") or "score")), "student": tables.scored(arms.get("student")),
        "teacher": tables.scored(arms.get("teacher")), "body": str((arms.get("student") or {}).get("backbone") or "the student"),
        "text": str(said.get("text") or ""), "kind": kind, "word": word, "mark": mark, "where": str(found.get("scored_as") or ""),
        "n": found.get("n") if tables.number(found.get("n")) != "–" else None, "lower": found.get("higher_is_better") is False,
        "optimistic": bool(found.get("optimistic")),
    }  # fmt: skip


def _word(said: dict) -> tuple[str, str, str]:
    """The verdict's class, words and mark, which tell it apart without colour."""
    if said.get("taught") is False:
        return "negative", "The teacher did harm", "▼"
    if said.get("taught"):
        return "helped", "It learnt from its teacher", "▲"
    return "none", "No gain over the student alone is shown", "="


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """(name, value, small print)."""
    found, arms = _found(record), _named(record)
    source, more = str(found.get("source") or ""), found.get("unlabelled")
    noun = tables.noun(record.modality)
    facts = [
        ("Data", Path(source).name or source, f"{tables.number(found.get('learnt'))} {noun} with labels to learn from"),
        ("Without labels", tables.number(more) if more else "none", "the teacher's word alone" if more else "--unlabelled PATH adds some"),
        ("Student's training", _time(arms.get("student")), f"alone, as many steps: {_time(arms.get('alone')) or '–'}"),
    ]
    return [fact for fact in facts if fact[1] and fact[1] != "–"]


def _time(arm: dict | None) -> str:
    return tables.duration((arm or {}).get("seconds")).replace("–", "")


def _arms(record: Record) -> list[dict]:
    made = []
    for name, arm in _named(record).items():
        made.append({
            "name": NAMES.get(name, name), "body": str(arm.get("backbone") or ""), "score": tables.scored(arm), "span": tables.span(arm),
            "first": name == "student", "size": tables.extent(arm.get("size"), record.modality), "method": str(arm.get("method") or ""),
            "parameters": tables.count(arm.get("parameters")), "disk": _disk(arm.get("megabytes")), "rate": _rate(arm.get("rate")),
            "memory": tables.megabytes(arm.get("memory_mb")),
        })  # fmt: skip
    return made


def _disk(value) -> str:
    return "–" if tables.number(value) == "–" else f"{value:.1f} MB"


def _rate(value) -> str:
    return tables.number(value, 0 if tables.number(value) != "–" and value >= 10 else 1)


def _ratios(record: Record) -> list[tuple[str, str]]:
    """How much smaller and quicker the student is, measured side by side."""
    arms, made = _named(record), []
    teacher, student = arms.get("teacher") or {}, arms.get("student") or {}
    for key, words, ahead, behind in CARRIED:
        a, b = teacher.get(key), student.get(key)
        if "–" in (tables.number(a), tables.number(b)) or a <= 0 or b <= 0:
            continue
        times = b / a if key == "rate" else a / b
        said = f"{times:.1f} times {ahead}" if times >= 1 else f"{1 / times:.1f} times {behind}"
        made.append((words.format(noun=tables.noun(record.modality)).capitalize(), said))
    return made


def _differences(record: Record) -> list[dict]:
    made = []
    lower = _found(record).get("higher_is_better") is False
    for row in rows(_found(record).get("differences")):
        of, less = str(row.get("of")), str(row.get("less"))
        apart = tables.number(row.get("p")) != "–" and row["p"] <= 0.05 and tables.number(row.get("value")) != "–"
        better = apart and (row["value"] < 0) == lower
        made.append({
            "of": NAMES.get(of, of), "less": NAMES.get(less, less).lower(), "means": MEANINGS.get((of, less), ""), "value": signed(row),
            "word": ("better" if better else "worse") if apart else "not shown", "p": p_value(row.get("p")),
            "test": str(row.get("test") or ""),
        })  # fmt: skip
    return made


def _reproduce(record: Record) -> dict | None:
    found = _found(record)
    command, settings = str(found.get("command") or ""), found.get("settings") if isinstance(found.get("settings"), dict) else {}
    again = command
    if command.startswith("graft ") and "--out" not in command and " -o " not in command:
        again = f"{command} --out {shlex.quote(str(record.folder))}"
    pairs = [(key, ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for key, v in settings.items() if v]
    pairs += [("runs", "teacher's own; student/ and alone/ beside this page, each with a report")]
    machine = ", ".join(filter(None, (str(found.get("machine") or ""), f"{found['threads']} threads" if found.get("threads") else "")))
    return {"again": again, "pairs": pairs, "machine": machine, "version": str(found.get("version") or "")} if found else None
