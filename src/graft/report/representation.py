"""The part of a run's page about learning without labels: how the features changed, and whether they collapsed."""

from . import tables
from .record import Record

SAID = {
    "effective_rank": "how many directions the features use; more is better, and it cannot be more than the {n} {noun} that were looked at",
    "spread": "1 where features point in all directions alike, 0 where they are one point",
    "uniformity": "how evenly features lie on a sphere; less is better, 0 is one point",
}


def representation(run: Record) -> dict | None:
    """What scores.json of a run without labels holds: "rows" of each measure before and after, "n", "where", "collapse" (a sentence,
    or ""), and how to "go_on"; None where there were labels."""
    scores = run.scores
    role = scores.get("scored") or "val"
    after, before = scores.get(role), scores.get("before")
    if run.target() != "none" or not isinstance(after, dict):
        return None
    before = before if isinstance(before, dict) else {}
    n = (scores.get("n") or {}).get(role)
    noun = tables.noun(run.modality)
    said = {name: words.format(n=tables.number(n), noun=noun) for name, words in SAID.items()}
    rows = [
        {
            "name": tables.metric(name),
            "before": tables.number(_plain(before.get(name))),
            "after": value["value"],
            "said": said.get(name, ""),
        }
        for name, one in after.items()
        if (value := tables.scored(one)) is not None
    ]
    if not rows:
        return None
    collapse = scores.get("collapse")
    folder = run.folder.resolve().name
    return {
        "rows": rows, "n": n, "where": str(scores.get("scored_as") or role), "collapse": collapse if isinstance(collapse, str) else "",
        "known": "collapse" in scores, "before": any(row["before"] != "–" for row in rows),
        "go_on": f"graft fit LABELLED --backbone run:{folder}", "embed": f"graft embed DATA --backbone run:{folder} --out features",
    }  # fmt: skip


def change(run: Record) -> str:
    """ "12.1 → 31.2": the primary measure before and after, for the page's head; "" where there is nothing to tell."""
    scores = run.scores
    name, after, before = scores.get("primary"), scores.get(scores.get("scored") or "val"), scores.get("before")
    told = tables.scored(after.get(name)) if isinstance(after, dict) else None
    if run.target() != "none" or told is None:
        return ""
    first = tables.number(_plain(before.get(name))) if isinstance(before, dict) else "–"
    return told["value"] if first == "–" else f"{first} → {told['value']}"


def _plain(value) -> float | None:
    return float(value) if tables.number(value) != "–" else None
