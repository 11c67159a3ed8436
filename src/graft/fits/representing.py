"""What a fit without labels says of itself: how features changed on rows that did not learn, and whether they collapsed."""

from ..assembly.wiring import Parts
from ..engine import forward
from ..engine.journal import Journal
from ..metrics import collapse

FEWEST = 10
"""Rows under which features cannot be told from collapsed ones: their effective rank is at most the number of rows."""


def compared(parts: Parts, result: dict, journal: Journal) -> dict:
    """What is to be added to scores.json: "before", the measures of the body as it was loaded, on the same rows; "collapse", a
    sentence (which becomes a warning of the journal) or None; "n", the rows that learn and those that are watched.

    result: the content of scores.json so far."""
    task, table, split = parts.task, parts.data.val, result["scored"]
    net = parts.net("before")
    outputs = forward.outputs(net, parts.streams.plain(table), parts.machine, task.summarise)
    before = task.metrics(task.decode(outputs).numpy(), task.encode(table).numpy())
    after = {name: one["value"] for name, one in result[split].items()}
    said = collapse.verdict(after) if len(table) >= FEWEST else None
    if said is not None:
        journal.write("note", level="warning", text=said, count=0, files=[])
    elif len(table) < FEWEST:
        text = f"Only {len(table)} rows could be watched, too few to tell whether the features have collapsed; learn from more."
        journal.write("note", level="info", text=text, count=0, files=[])
    told = {"collapse": said} if len(table) >= FEWEST else {}
    return {"before": before, "n": {"train": len(parts.data.train), split: len(table)}, **told}
