"""What a net got wrong about names in sentences and about answers in contexts, as plain lists: no net, no table."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

WINDOW = 160
"""Characters of a context that are shown on each side of the answers."""

Span = tuple[int, int, str]
"""(first word, end, type)."""


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a row of IOB2 tags; an I- that continues nothing begins one, as in conlleval."""
    found: list[Span] = []
    start, kind = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        mark, _, name = tag.partition("-")
        goes_on = mark == "I" and name == kind
        if kind and not goes_on:
            found.append((start, i, kind))
            kind = ""
        if mark in ("B", "I") and not goes_on:
            start, kind = i, name
    return found


def entity_errors(
    words: Sequence[Sequence[str]], truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], paths: Sequence[str]
) -> list[dict]:
    """A JSON-able row for each sentence with an error, in the order given.

    words, truth, predicted: of each sentence its words and their IOB2 tags; a shorter prediction (words that were cut off) is filled
    with "O". Each row: {"path", "words", "truth": [[first, end, type], ...], "predicted": likewise, "errors": [{"kind", "type",
    "truth", "predicted"}, ...]}. kind: "missed", "invented", "wrong border" (same type, overlapping) or "wrong type" (overlapping);
    every entity is in one error at most: those that overlap are paired, same borders first, then same type, then the longest
    overlap. type: of the true entity, of the predicted one where it is invented. truth, predicted: the spans, null where there is none.
    """
    rows = []
    for one, given, said, path in zip(words, truth, predicted, paths, strict=True):
        true, guess = spans(given), spans([*said, *["O"] * (len(given) - len(said))][: len(given)])
        errors = _errors(true, guess)
        if errors:
            rows.append({"path": path, "words": list(one), "truth": [*map(list, true)], "predicted": [*map(list, guess)], "errors": errors})
    return rows


def _errors(true: list[Span], said: list[Span]) -> list[dict]:
    lost = [span for span in true if span not in said]
    new = [span for span in said if span not in true]
    pairs = sorted(
        ((a[:2] != b[:2], a[2] != b[2], -_overlap(a, b), a, b) for a in lost for b in new if _overlap(a, b) > 0), key=lambda one: one[:3]
    )  # fmt: skip
    paired, errors = set(), []
    for _, other, _, a, b in pairs:
        if ("lost", a) in paired or ("new", b) in paired:
            continue
        paired |= {("lost", a), ("new", b)}
        errors.append({"kind": "wrong type" if other else "wrong border", "type": a[2], "truth": [*a], "predicted": [*b]})
    errors += [{"kind": "missed", "type": a[2], "truth": [*a], "predicted": None} for a in lost if ("lost", a) not in paired]
    errors += [{"kind": "invented", "type": b[2], "truth": None, "predicted": [*b]} for b in new if ("new", b) not in paired]
    return sorted(errors, key=lambda one: (one["truth"] or one["predicted"])[:2])


def _overlap(a: Span, b: Span) -> int:
    return min(a[1], b[1]) - max(a[0], b[0])


def entity_counts(truth: Sequence[Sequence[str]], errors: Sequence[dict]) -> dict[str, dict[str, int]]:
    """{type: {"true", "right", "missed", "wrong type", "wrong border", "invented"}}: how many entities of each kind; the first is the
    sum of the next four. errors: of `entity_errors` on the same sentences."""
    counts: dict[str, dict[str, int]] = {}
    empty = dict.fromkeys(("true", "right", "missed", "wrong type", "wrong border", "invented"), 0)
    for tags in truth:
        for *_, kind in spans(tags):
            one = counts.setdefault(kind, dict(empty))
            one["true"] += 1
            one["right"] += 1
    for row in errors:
        for error in row["errors"]:
            one = counts.setdefault(error["type"], dict(empty))
            one[error["kind"]] += 1
            one["right"] -= error["kind"] != "invented"
    return dict(sorted(counts.items()))


def write_entities(
    folder: Path,
    words: Sequence[Sequence[str]],
    truth: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    paths: Sequence[str],
    limit: int = 20,
) -> dict:
    """Write folder/explain/entities.json, {"counts": see `entity_counts`, "of": how many sentences there are, "wrong": how many
    have an error, "sentences": the `limit` with the most errors}, and return it."""
    errors = entity_errors(words, truth, predicted, paths)
    most = sorted(errors, key=lambda row: -len(row["errors"]))[:limit]
    content = {"counts": entity_counts(truth, errors), "of": len(paths), "wrong": len(errors), "sentences": most}
    return _write(Path(folder), "entities.json", content)


def answer_errors(
    paths: Sequence[str],
    questions: Sequence[str],
    contexts: Sequence[str],
    truth: Sequence[Sequence[str]],
    starts: Sequence[Sequence[int]],
    predicted: Sequence[str],
    exact: Sequence[float],
    f1: Sequence[float],
    limit: int = 20,
) -> list[dict]:
    """A JSON-able row for each of the `limit` answers with the lowest F1 that are not exact, the worst first.

    truth, starts: the right answers' texts and their first characters in the context, none where it has no answer. predicted: ""
    for "no answer". Each row: {"path", "question", "truth", "predicted", "exact", "f1" (0..1), "excerpt", "cut": whether the context
    goes on [before, after], "right": [first character, end] of the right answer in the excerpt, "said": of the predicted one; null
    where there is none}. A predicted answer that stands in several places is taken to be the one nearest to the right one.
    """
    wrong = [i for i in range(len(paths)) if not exact[i]]
    rows = []
    for i in sorted(wrong, key=lambda i: f1[i])[:limit]:
        right = (int(starts[i][0]), int(starts[i][0]) + len(truth[i][0])) if len(truth[i]) else None
        said = _place(contexts[i], predicted[i], right[0] if right else 0)
        told = [one for one in (right, said) if one]
        first, end = (min(one[0] for one in told), max(one[1] for one in told)) if told else (0, 0)
        if end - first > 6 * WINDOW:  # too far apart to show both: the right one, or what was said where there is none
            first, end = right or said
        first, end = max(0, first - WINDOW), min(len(contexts[i]), end + WINDOW)
        inside = [[one[0] - first, one[1] - first] if one and first <= one[0] and one[1] <= end else None for one in (right, said)]
        rows.append({
            "path": paths[i], "question": questions[i], "truth": list(truth[i]), "predicted": predicted[i], "exact": float(exact[i]),
            "f1": float(f1[i]), "excerpt": contexts[i][first:end], "cut": [first > 0, end < len(contexts[i])],
            "right": inside[0], "said": inside[1],
        })  # fmt: skip
    return rows


def _place(context: str, answer: str, near: int) -> tuple[int, int] | None:
    if not answer:
        return None
    found, at = [], context.find(answer)
    while at >= 0:
        found.append(at)
        at = context.find(answer, at + 1)
    best = min(found, key=lambda at: abs(at - near), default=None)
    return None if best is None else (best, best + len(answer))


def write_answers(folder: Path, rows: list[dict]) -> list[dict]:
    """Write folder/explain/answers.json, the rows of `answer_errors`, and return them."""
    return _write(Path(folder), "answers.json", rows)


def _write(folder: Path, name: str, content):
    (folder / "explain").mkdir(parents=True, exist_ok=True)
    beside = folder / "explain" / f"{name}.new"
    beside.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, folder / "explain" / name)
    return content
