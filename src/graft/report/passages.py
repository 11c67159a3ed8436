"""The parts of a run's page about texts: words shaded by what they did, errors in names, answers in their contexts."""

import math
from itertools import pairwise

from . import tables
from .record import Record, listed, rows

LONG = 1200
"""Characters of a text that are shown whole; of a longer one, parts of little weight are cut down to their first words."""
FAINT = 0.12  # of the largest weight of a text: what is below is not shaded
KINDS = ("missed", "wrong type", "wrong border", "invented")
SHOWN = 20


def texts(run: Record) -> dict | None:
    """explain/texts.json as {"mistake", "uncertain": [{"name", "label", "predicted", "probability", "right", "of", "parts"}], "kind"}.

    second: the parts of a pair's second text, else empty. parts: {"words", "side": "for", "against" or "", "shade": 0..1 of the
    largest weight of the text, "said": the weight in words}.
    """
    groups: dict[str, list[dict]] = {"mistake": [], "uncertain": []}
    for entry in rows(run.json("explain/texts.json", [])):
        if entry.get("kind") in groups and listed(entry.get("words")):
            groups[entry["kind"]].append({
                "name": str(entry.get("path", "")), "label": _label(entry.get("label")), "predicted": _label(entry.get("predicted")),
                "probability": tables.number(entry.get("probability"), 2), **_halves(_parts(entry["words"]), entry.get("first")),
                "of": str(entry.get("of") or "") if isinstance(entry.get("predicted"), list) else "",
                "right": run.target() == "number" or entry.get("label") == entry.get("predicted"),
            })  # fmt: skip
    return {**groups, "kind": run.target()} if any(groups.values()) else None


def _halves(parts: list[dict], first: object) -> dict:
    """{"parts", "second"}: of a pair, what each text is."""
    at = first if isinstance(first, int) and first >= 0 else len(parts)
    return {"parts": parts[:at], "second": parts[at:]}


def _parts(pairs: list) -> list[dict]:
    pairs = [(str(one[0]), one[1]) for one in pairs if isinstance(one, list | tuple) and len(one) == 2]
    top = max((abs(weight) for _, weight in pairs if _finite(weight)), default=0.0)
    long, made = sum(len(words) for words, _ in pairs) > LONG, []
    for words, weight in pairs:
        share = abs(weight) / top if _finite(weight) and top > 0 else 0.0
        shaded = share >= FAINT
        if long and not shaded and len(words) > 24:
            words = f"{' '.join(words.split()[:3])[:24]} …"
        side = ("for" if weight > 0 else "against") if shaded else ""
        said = f"{'+' if weight > 0 else ''}{tables.number(float(weight), 2)}" if _finite(weight) else ""
        made.append({"words": words[:400], "side": side, "shade": round(share, 2) if shaded else 0.0, "said": said})
    return made


def entities(run: Record) -> dict | None:
    """explain/entities.json as {"counts": a row for each type, the weakest first, "sentences": words marked as true and predicted}."""
    found = run.json("explain/entities.json", {})
    counts = found.get("counts") if isinstance(found.get("counts"), dict) else {}
    made = []
    for kind, one in counts.items():
        if isinstance(one, dict):
            n = {key: tables.total(one.get(key)) for key in ("true", "right", *KINDS)}
            recall = n["right"] / n["true"] if n["true"] else math.nan
            made.append({"name": str(kind), **n, "recall": recall})
    made.sort(key=lambda row: (row["true"] == 0, row["recall"] if row["true"] else 0.0))
    sentences = [_sentence(row) for row in rows(found.get("sentences"))[:SHOWN]]
    sentences = [one for one in sentences if one["words"]]
    if not (made or sentences):
        return None
    return {
        "counts": made,
        "kinds": KINDS,
        "sentences": sentences,
        "wrong": tables.total(found.get("wrong")),
        "of": tables.total(found.get("of")),
    }


def _sentence(row: dict) -> dict:
    """{"name", "words": [{"word", "true", "said", "wrong"}], "errors": in words}: the type of each word's entity, "" for none."""
    words = [str(word) for word in listed(row.get("words"))]
    true, said = _types(row.get("truth"), len(words)), _types(row.get("predicted"), len(words))
    errors = []
    for error in rows(row.get("errors")):
        span = listed(error.get("truth")) or listed(error.get("predicted"))
        named = " ".join(words[_whole(span[0]) : _whole(span[1])]) if len(span) == 3 else ""
        other = listed(error.get("predicted")) if error.get("kind") in ("wrong type", "wrong border") else []
        instead = " ".join(words[_whole(other[0]) : _whole(other[1])]) if len(other) == 3 else ""
        to = "" if len(other) != 3 else str(other[2]) if error.get("kind") == "wrong type" else f"“{instead}”"
        errors.append({"kind": str(error.get("kind") or ""), "type": str(error.get("type") or ""), "words": named, "to": to})
    marked = [{"word": word, "true": a, "said": b, "wrong": a != b} for word, a, b in zip(words, true, said, strict=True)]
    return {"name": str(row.get("path") or ""), "words": marked, "errors": errors}


def _types(found, n: int) -> list[str]:
    out = [""] * n
    for span in listed(found):
        if len(listed(span)) == 3:
            for i in range(max(_whole(span[0]), 0), min(_whole(span[1]), n)):
                out[i] = str(span[2])
    return out


def answers(run: Record) -> list[dict]:
    """explain/answers.json: each with its excerpt in pieces {"text", "mark": "", "right", "said" or "both"}."""
    made = []
    for row in rows(run.json("explain/answers.json", []))[:SHOWN]:
        text = str(row.get("excerpt") or "")
        right, said = _inside(row.get("right"), len(text)), _inside(row.get("said"), len(text))
        cut = [*listed(row.get("cut")), False, False]
        made.append({
            "name": str(row.get("path") or ""), "question": str(row.get("question") or ""), "pieces": _pieces(text, right, said),
            "truth": [str(one) for one in listed(row.get("truth"))], "predicted": str(row.get("predicted") or ""),
            "f1": tables.number(row.get("f1"), 2), "before": "… " if cut[0] else "", "after": " …" if cut[1] else "",
        })  # fmt: skip
    return made


def _pieces(text: str, right: tuple[int, int] | None, said: tuple[int, int] | None) -> list[dict]:
    cuts = sorted({0, len(text), *(right or ()), *(said or ())})
    made = []
    for start, end in pairwise(cuts):
        marks = [name for name, one in (("right", right), ("said", said)) if one and one[0] <= start and end <= one[1]]
        made.append({"text": text[start:end], "mark": "both" if len(marks) == 2 else marks[0] if marks else ""})
    return made


def _inside(span, n: int) -> tuple[int, int] | None:
    ends = [_whole(end) for end in listed(span)]
    return (ends[0], ends[1]) if len(ends) == 2 and 0 <= ends[0] < ends[1] <= n else None


def _whole(value) -> int:
    return int(value) if _finite(value) else 0


def _finite(value) -> bool:
    return tables.number(value) != "–"


def _label(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return tables.number(value) if isinstance(value, int | float) else str(value)
