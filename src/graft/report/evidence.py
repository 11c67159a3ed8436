"""The part of a run's page that says whether transfer was worth it: RUN/evidence.json in words, tables and a curve."""

import math
from collections.abc import Callable

from . import curves, tables
from .record import Record, listed, phrases, rows, texts

VERDICTS = {
    "helped": ("Transfer helped", "▲"), "none": ("No difference shown", "="), "negative": ("Negative transfer", "▼"),
    "unknown": ("Not known", "?"),
}  # fmt: skip
"""Each verdict's words and mark: what tells them apart without colour."""

ROLES = {"chosen": "This run", "probe": "Linear probe", "scratch": "From scratch", "majority": "Majority class"}
LEVELS = {"quick": "The quick check: the least that can say whether transfer helped.", "full": "The full check."}


def evidence(run: Record) -> dict | None:
    """What evidence.json holds, ready to be shown; None where a run has none. Any of its keys may be absent."""
    found = run.json("evidence.json", {})
    if not found:
        return None
    noun = tables.noun(run.modality)
    made = {
        "verdict": verdict(found), "arms": _arms(found), "differences": _differences(found), "curve": _curve(found, noun),
        "notices": texts(found.get("notices")), "cut": phrases(found.get("cut")),
    }  # fmt: skip
    if not any(made.values()):
        return None
    n, folds, seeds = (found.get(key) if tables.number(found.get(key)) != "–" else 0 for key in ("n", "folds", "seeds"))
    where = f"the same {tables.number(n)} {noun}" if n else f"the same {noun}"
    where += f" of {found['scored_as']}" if found.get("scored_as") else ""
    how = [f"{tables.number(folds)} folds" if folds and folds > 1 else "", f"{tables.number(seeds)} seeds" if seeds and seeds > 1 else ""]
    metric = tables.metric(str(found.get("metric") or "score"))
    return made | {
        "metric": metric, "where": where, "how": " and ".join(filter(None, how)), "level": LEVELS.get(str(found.get("level")), ""),
        "lower": found.get("higher_is_better") is False, "own": any(arm["own"] for arm in made["arms"]),
    }  # fmt: skip


def verdict(found: dict, words: dict[str, tuple[str, str]] = VERDICTS) -> dict | None:
    """{"kind", "word", "mark", "text", "advice"}; None where nothing was decided. The text does not say the word again."""
    said = found.get("verdict")
    if not isinstance(said, dict) or not said:
        return None
    kind = str(said.get("kind"))
    kind = kind if kind in words else "unknown"
    word, mark = words[kind]
    text = str(said.get("text") or "")
    if text.lower().startswith(f"{word.lower()}:"):
        text = text[len(word) + 1 :].strip()
    return {"kind": kind, "word": word, "mark": mark, "text": text[:1].upper() + text[1:], "advice": str(said.get("advice") or "")}


def name(arm: dict) -> str:
    """What an arm is called: its role, and beside it its label where that says more."""
    role = ROLES.get(str(arm.get("name"))) or str(arm.get("name") or "").replace("_", " ").capitalize()
    label = str(arm.get("label") or "")
    if arm.get("name") == "majority" and label:
        return label[:1].upper() + label[1:]
    same = label.replace("_", " ").lower() in ("", role.lower(), str(arm.get("name")).lower())
    return role if same and role else f"{role}: {label}" if role else label


def _arms(found: dict) -> list[dict]:
    arms, sign = rows(found.get("arms")), -1 if found.get("higher_is_better") is False else 1
    made = []
    for arm, span in zip(arms, spans(arms), strict=True):
        gap = own = ""
        if _finite(arm.get("learning_value")):
            own = tables.number(float(arm["learning_value"]))
            gap = _plus(sign * (arm["learning_value"] - arm["value"])) if _finite(arm.get("value")) else ""
        trainable = arm.get("trainable")
        made.append({
            "name": name(arm), "chosen": arm.get("name") == "chosen", "score": tables.scored(arm), "span": span, "own": own, "gap": gap,
            "seconds": tables.duration(arm.get("seconds")), "memory": tables.megabytes(arm.get("peak_memory_mb")),
            "trainable": tables.count(trainable), **{key: str(arm.get(key) or "") for key in ("what", "note")},
        })  # fmt: skip
    return made


def _differences(found: dict) -> list[dict]:
    """Each paired difference with its direction in words; bars on one scale that has zero in it."""
    known = {str(arm.get("name")): name(arm) for arm in rows(found.get("arms"))}
    less = found.get("higher_is_better") is False
    pairs = rows(found.get("differences"))
    made = []
    for row, span in zip(pairs, spans(pairs, zero=True), strict=True):
        low, high = _ends(row) or (math.nan, math.nan)
        better, worse = (high < 0, low > 0) if less else (low > 0, high < 0)
        of, other = (known.get(str(row.get(key))) or str(row.get(key) or "") for key in ("of", "less"))
        other = other[:1].lower() + other[1:] if str(row.get("less")) in ROLES else other
        made.append({
            "of": of, "less": other, "value": signed(row), "p": p_value(row.get("p")), "test": str(row.get("test") or ""), "span": span,
            "word": "better" if better else "worse" if worse else "not shown" if _ends(row) else "",
        })  # fmt: skip
    return made


def p_value(value) -> str:
    return "" if not _finite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def signed(row: dict) -> dict | None:
    """tables.scored with a plus where it is positive, as a difference is read; an end that nothing bounds is ∞."""
    told, ends = tables.scored(row), _ends(row)
    if told and ends and not all(map(math.isfinite, ends)):
        told = {"value": told["value"], "low": _plus(ends[0]), "high": _plus(ends[1])}
    elif told and ends:
        told |= {key: ("+" if end > 0 else "") + told[key] for key, end in zip(("low", "high"), ends, strict=True)}
    return told and told | {"value": ("+" if row["value"] > 0 else "") + told["value"]}


def _plus(value: float) -> str:
    words = tables.number(float(value)) if math.isfinite(value) else "−∞" if value < 0 else "∞"
    return ("+" if value > 0 else "") + words


def _finite(value) -> bool:
    return tables.number(value) != "–"


def _ends(row: dict) -> tuple[float, float] | None:
    """The interval; an end that is null is infinite, and one with two such ends is none."""
    ends = listed(row.get("interval"))
    if len(ends) != 2 or not any(map(_finite, ends)) or not all(_finite(end) or end is None for end in ends):
        return None
    return tuple(float(end) if end is not None else side for end, side in zip(ends, (-math.inf, math.inf), strict=True))


def spans(entries: list[dict], zero: bool = False) -> list[dict | None]:
    """Left end, width, value and zero in percent of one scale for all entries, so that they can be compared by eye."""
    known = [(*(_ends(row) or (math.nan,)), row.get("value")) for row in entries]
    known = [some if all(map(_finite, some)) else None for some in known]
    values = [v for some in known if some for v in some] + ([0.0] if zero else [])
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    wide = (high - low) * 1.06
    if len([some for some in known if some]) < (1 if zero else 2) or not wide > 0:
        return [None] * len(entries)
    start = low - (high - low) * 0.03
    at = lambda v: round(100 * (v - start) / wide, 1)  # noqa: E731
    return [
        some and {"left": at(some[0]), "wide": round(at(some[1]) - at(some[0]), 1), "at": at(some[2]), "zero": at(0.0) if zero else None}
        for some in known
    ]


def _curve(found: dict, noun: str) -> dict | None:
    """The label-efficiency curve with what it says in words; None with fewer than two points."""
    curve = found.get("curve") if isinstance(found.get("curve"), dict) else {}
    points = [row for row in rows(curve.get("points")) if _finite(row.get("value")) and _finite(row.get("n")) and row["n"] > 0]
    if len(points) < 2:
        return None
    metric = tables.metric(str(found.get("metric") or "score"))
    scratch = next((arm for arm in rows(found.get("arms")) if arm.get("name") == "scratch" and _finite(arm.get("value"))), None)
    law, label = _law(curve.get("fit"), points), str(curve.get("label") or "this head")
    twice = curve.get("twice") if isinstance(curve.get("twice"), dict) and _finite(curve["twice"].get("value")) else None
    twice = twice if twice and _finite(twice.get("n")) and twice["n"] > 0 else None
    saved = curve.get("saved") if isinstance(curve.get("saved"), dict) else {}
    at = saved["n"] if _finite(saved.get("n")) and saved["n"] > 0 else None
    title = f"{metric} by number of labelled {noun}, {label}"
    chart = curves.efficiency(sorted(points, key=lambda row: row["n"]), law, twice, scratch, at, title, noun)
    said = tables.scored(twice) if twice else None
    table = [{"n": tables.number(int(row["n"])), "share": _share(row.get("share")), "score": tables.scored(row)} for row in points]
    return {
        "chart": chart, "label": label, "metric": metric, "saved": str(saved.get("text") or ""), "law": law is not None, "points": table,
        "twice": said | {"n": tables.number(int(twice["n"]))} if said else None, "scratch": scratch is not None,
        "draws": any(len(listed(row.get("values"))) > 1 for row in points),
    }  # fmt: skip


def _share(value) -> str:
    return f"{100 * value:.0f} %" if _finite(value) else ""


def _law(fit, points: list[dict]) -> Callable[[float], float] | None:
    """The power law a − b·n^−c, as a function of n; None where it was not fitted, or misses a point by more than the points
    differ: drawn, it would not be the law of these points."""
    if not isinstance(fit, dict) or not all(_finite(fit.get(key)) for key in "abc"):
        return None
    law, values = lambda n: fit["a"] - fit["b"] * float(n) ** -fit["c"], [row["value"] for row in points]
    missed = max(abs(law(row["n"]) - row["value"]) for row in points)
    return law if missed <= max(values) - min(values) + 1e-6 else None
