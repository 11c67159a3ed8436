"""OUT/study.html: what a study of several arms found, from OUT/study.json alone."""

import math
import shlex
from pathlib import Path

from markupsafe import Markup, escape

from . import tables
from .charts import Frame, padded, ticks
from .evidence import p_value
from .layout import fill, parts, put
from .record import Record, listed, rows, texts

WIDE_RANGE = 8  # times the smallest cost, from which a cost is drawn on a logarithmic axis
TIMES = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 3 * 3600, 10 * 3600, 24 * 3600, 72 * 3600)  # seconds; ticks of a wide range
METRICS = {"label_ranking_average_precision": "Label ranking average precision", "absolute_error": "Mean absolute error"}
FAMILIES = {
    "scratch": ("What transfer was worth", "each arm less the same body from scratch"),
    "reference": ("Against the first arm", "each arm less the one that was named first"),
    "best": ("Against the best score", "the best less each other arm: what is not told apart from it may be as good"),
}


def write(folder: Path) -> Path:
    """Write folder/study.html, whole or not at all, and return its path. Raises OSError where it cannot be written."""
    folder = Path(folder)
    return put(folder / "study.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML. Parts whose data are missing are left out."""
    record = Record(Path(folder))
    builders = {"head": _head, "facts": _facts, "arms": _arms, "charts": _charts, "differences": _differences, "reproduce": _reproduce}
    made = parts(record, builders)
    found = _found(record)
    told = {key: texts(found.get(key)) for key in ("cut", "notices")}
    return fill("study.html", record, study=record.folder.resolve().name, **told, **made)


def tradeoff(arms: list[dict], cost: str, label: str, title: str) -> Markup | None:
    """Score (upwards, with its 95 % interval) against a cost; a line joins the Pareto front. arms: as in study.json, with "number".

    cost: "seconds" or "peak_memory_mb". Arms of unknown cost are left out; None where fewer than two are left.
    """
    known = [arm for arm in arms if _finite(arm.get(cost)) and arm[cost] > 0 and _finite(arm.get("value"))]
    if len(known) < 2:
        return None
    least, most = min(arm[cost] for arm in known), max(arm[cost] for arm in known)
    wide = most >= WIDE_RANGE * least
    place = math.log10 if wide else float
    pad = max(place(most) - place(least), 0.1 if wide else 0.1 * most) * 0.08
    values = [v for arm in known for v in (arm["value"], *_ends(arm))]
    frame = Frame(title, (place(least) - pad, place(most) + pad), padded(values), f"{label}{' (logarithmic)' if wide else ''}", high=300)
    words = tables.duration if cost == "seconds" else tables.megabytes
    frame.ticks(across=[(place(mark), words(mark)) for mark in _marks(least, most, cost, frame)])
    best = sorted((arm for arm in known if (arm.get("front") or {}).get(cost)), key=lambda arm: arm[cost])
    frame.line([(place(arm[cost]), arm["value"]) for arm in best] if len(best) > 1 else [], "thin")
    for arm in known:
        x, on = place(arm[cost]), arm in best
        if ends := _ends(arm):
            frame.add(f'<path class="{"rise on" if on else "rise"}" d="M{frame.x(x)} {frame.y(ends[0])}V{frame.y(ends[1])}"/>')
        frame.dot(x, arm["value"], 4.5, "strong" if on else "ring", f"{arm.get('name')}: {_number(arm['value'])}, {words(arm[cost])}")
        spot = f'x="{frame.x(x) + 7}" y="{frame.y(arm["value"]) - 6}"'
        frame.add(f'<text class="name" {spot}>{escape(str(arm["number"]))}</text>')
    return frame.svg()


def _marks(low: float, high: float, cost: str, frame: Frame) -> list[float]:
    """Where the axis of a cost has its ticks: round values, on a logarithmic axis round times or 1, 2 and 5 times powers of ten."""
    if high < WIDE_RANGE * low:
        return [mark for mark in ticks(frame.x0, frame.x1, 4) if mark > 0]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    known = TIMES if cost == "seconds" else [m * 10.0**p for p in powers for m in (1, 2, 5)]
    return [mark for mark in known if low * 0.999 <= mark <= high * 1.001]


def _found(record: Record) -> dict:
    return record.json("study.json", {})


def _numbered(record: Record) -> list[dict]:
    return [{**arm, "number": i} for i, arm in enumerate(rows(_found(record).get("arms")), start=1)]


def _metric(found: dict) -> str:
    name = str(found.get("metric") or "score")
    return METRICS.get(name) or tables.metric(name)


def _head(record: Record) -> dict | None:
    found = _found(record)
    if not found:
        return None
    advice, best = (found.get(key) if isinstance(found.get(key), dict) else {} for key in ("recommended", "best"))
    return {
        "arm": advice.get("arm"), "metric": _metric(found), "score": tables.scored(advice), "contested": bool(advice.get("contested_by")),
        "text": str(advice.get("text") or ""),
        "best": str(best.get("text") or ""), "flatters": _finite(best.get("expected")), "optimistic": bool(found.get("optimistic")),
        "where": str(found.get("scored_as") or ""), "n": found.get("n") if _finite(found.get("n")) else None,
        "failed": rows(found.get("failed")), "lower": found.get("higher_is_better") is False,
        "apart": found.get("metric") == "label_ranking_average_precision",
    }  # fmt: skip


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """(name, value, small print) under the recommendation."""
    found, arms = _found(record), rows(_found(record).get("arms"))
    seeds = found.get("seeds") if isinstance(found.get("seeds"), dict) else {}
    bodies, source = {arm.get("backbone") for arm in arms}, str(found.get("source") or "")
    asked = f"{seeds['asked']} were asked for" if seeds.get("asked") != seeds.get("whole") else "the same for every arm"
    budget = f"of a budget of {tables.duration(found['budget'])}" if _finite(found.get("budget")) else "no budget was set"
    folds = f"{found['folds']} folds" if found.get("folds") else f"selected on {found.get('select_as')}" if found.get("select_as") else ""
    rows_ = [
        ("Data", Path(source).name or source, folds),
        ("Arms", tables.number(len(arms)) if arms else "", f"{len(bodies)} {'body' if len(bodies) == 1 else 'bodies'}"),
        ("Seeds", tables.number(seeds.get("whole")).replace("–", ""), asked),
        ("Took", tables.duration(found.get("seconds")).replace("–", ""), budget),
        ("When", str(found.get("date") or ""), ""),
    ]
    return [(name, value, small) for name, value, small in rows_ if value]


def _arms(record: Record) -> dict | None:
    found, arms = _found(record), _numbered(record)
    if not arms:
        return None
    less = {d.get("of"): d for d in rows(found.get("differences")) if d.get("family") == "reference"}
    taken, best = ((found.get(key) or {}).get("arm") for key in ("recommended", "best"))
    made = []
    for arm in arms:
        pair, name = less.get(arm.get("name"), {}), arm.get("name")
        marks = [word for word, there in (("recommended", name == taken), ("best score", name == best)) if there]
        made.append({
            "number": arm["number"], "label": arm.get("label"), "body": arm.get("backbone"), "score": tables.scored(arm),
            "spread": _number(arm["spread"]) if _finite(arm.get("spread")) else "", "first": name == taken, "marks": ", ".join(marks),
            "difference": "reference" if name == found.get("reference") else signed(pair), "p": p_value(pair.get("p_holm")),
            "select": _number(arm.get("select")), "seconds": tables.duration(arm.get("seconds")),
            "memory": tables.megabytes(arm.get("peak_memory_mb")), "trainable": tables.count(arm.get("trainable")),
        })  # fmt: skip
    return {"rows": made, "reference": found.get("reference"), "spread": any(row["spread"] for row in made)}


def signed(row: dict) -> str:
    """A difference with a plus where it is above zero, and its interval; "" where there is none."""
    if not _finite(row.get("value")):
        return ""
    ends = _ends(row)
    return _plus(row["value"]) + (f" [{_plus(ends[0])}, {_plus(ends[1])}]" if ends else "")


def _charts(record: Record) -> list[tuple[str, Markup]]:
    arms, metric = _numbered(record), _metric(_found(record))
    pairs = (("seconds", "Time", "wall-clock of a fit"), ("peak_memory_mb", "Memory", "peak memory of a fit"))
    made = [(f"{metric} against {word.lower()}", tradeoff(arms, cost, label, f"{metric} against {word}")) for cost, word, label in pairs]
    return [(title, drawing) for title, drawing in made if drawing]


def _differences(record: Record) -> list[dict]:
    """The families of paired differences, each with its direction in words."""
    found = _found(record)
    lower, known, made = found.get("higher_is_better") is False, rows(found.get("differences")), []
    for family, (title, words) in FAMILIES.items():
        some = []
        for row in (row for row in known if row.get("family") == family):
            ends = _ends(row)
            apart = _finite(row.get("p_holm")) and row["p_holm"] <= 0.05 and _finite(row.get("value"))
            better = apart and (row["value"] < 0) == lower
            some.append({
                "of": row.get("of"), "less": row.get("less"), "value": _plus(row.get("value")), "test": row.get("test") or "",
                "word": ("better" if better else "worse") if apart else "not shown", "p": p_value(row.get("p")),
                "holm": p_value(row.get("p_holm")), "interval": f"[{_plus(ends[0])}, {_plus(ends[1])}]" if ends else "",
            })  # fmt: skip
        if some:
            made.append({"title": title, "words": words, "rows": some})
    return made


def _reproduce(record: Record) -> dict | None:
    found = _found(record)
    command = str(found.get("command") or "")
    settings = found.get("settings") if isinstance(found.get("settings"), dict) else {}
    bodies = [
        (str(body.get("name")), f"{body['weights']}" if body.get("weights") else "its own weights") for body in rows(found.get("bodies"))
    ]
    runs = [(str(arm.get("name")), ", ".join(map(str, listed(arm.get("runs"))))) for arm in rows(found.get("arms")) if arm.get("runs")]
    pairs = [(key.replace("_", " "), ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for key, v in settings.items() if v]
    resume = f"{command} --out {shlex.quote(str(record.folder))}" if command.startswith("graft ") and "--out" not in command else command
    made = {"command": command, "again": resume, "settings": pairs, "bodies": bodies, "runs": runs}
    made |= {"version": str(found.get("version") or "")}
    return made if any(made.values()) else None


def _ends(row: dict) -> tuple[float, ...]:
    ends = listed(row.get("interval"))
    return tuple(map(float, ends)) if len(ends) == 2 and all(map(_finite, ends)) else ()


def _finite(value) -> bool:
    return tables.number(value) != "–"


def _number(value) -> str:
    return tables.number(float(value), 3 if abs(value) < 1 else None) if _finite(value) else "–"


def _plus(value) -> str:
    return ("+" if _finite(value) and value > 0 else "") + _number(value)
