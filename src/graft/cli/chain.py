"""graft chain: tasks learnt one after another by one body, and what is kept of each."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import number, table

Text = str | None


@verb
def chain(
    steps: Annotated[Path, Argument(metavar="STEPS.toml", help="A [[step]] for each fit; see docs/chains.md.", show_default=False)],
    out: Annotated[Text, Option("--out", "-o", help="The chain's folder; new, or that of a chain to go on with.")] = None,
    remedy: Annotated[
        Text, Option(help="The method of all steps but the first: lwf, ewc, rehearsal, l2_sp, finetune, ...", show_default=False)
    ] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the chain as JSON.")] = False,
) -> Answer:
    """Fit the steps one after another, each from the body of the one before, and score every task so far after each."""
    from .. import api

    with follow(quiet) as progress:
        found = api.chain(steps, out=out, remedy=remedy, on_event=progress)
    return Answer(found, text(found))


def text(found: dict) -> str:
    """The forgetting matrix, what it comes to, and where things are, for a terminal."""
    told = found["steps"]
    rows = [
        (f"{i}. {one['task']}", one["method"], *(_cell(row[task] if task < len(row) else None) for task in range(len(told))))
        for i, (one, row) in enumerate(zip(told, found["matrix"], strict=True), start=1)
    ]
    lines = [table(rows, ("after learning", "method", *(one["task"] for one in told))), ""]
    words = {
        "average": "average at the end", "kept_first": f"kept of {told[0]['task']}", "backward_transfer": "backward transfer",
        "forgetting": "forgetting",
    }  # fmt: skip
    known = [(words[name], number(value)) for name, value in found["numbers"].items() if name in words]
    places = [("chain", found["folder"]), ("report", found["report"])]
    return "\n".join([*lines, *([table(known), ""] if known else []), *found["notices"], "", table(places)])


def _cell(cell: dict | None) -> str:
    return "" if cell is None else number(cell["value"], cell.get("interval"))
