"""graft demo: what transfer is worth, on ten labelled digits a class, in a few minutes."""

from itertools import count
from pathlib import Path
from typing import Annotated

from typer import Option

from .answer import Answer, verb
from .progress import follow
from .words import clock, number, table

NAMES = {"transfer": "transfer", "scratch": "from scratch"}


@verb
def demo(
    out: Annotated[Path | None, Option("--out", "-o", help="Where the runs go; runs/demo, or the next free one.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> Answer:
    """See what transfer is worth. Fits handwritten digits with ten labels a class, from graft-mini and, with more time, from scratch."""
    from .. import api

    with follow(quiet) as progress:
        result = api.demo(out or _free(), on_event=progress)
    runs = {name: result[name] for name in NAMES}
    rest = {name: value for name, value in result.items() if name not in NAMES}
    data = {name: {**run.scores, "run": run.folder, "report": run.report} for name, run in runs.items()}
    rows = [_row(NAMES[name], run) for name, run in runs.items()]
    facts = [(name, _value(value)) for name, value in rest.items()]
    places = [("report", str(runs["transfer"].report)), ("", str(runs["scratch"].report)), ("next", "graft fit PHOTOS/")]
    return Answer({**data, **rest}, "\n".join([table(rows), "", table([*facts, *places])]))


def _value(value: object) -> str:
    return number(value["value"], value.get("interval")) if isinstance(value, dict) and "value" in value else number(value)


def _free() -> Path:
    """runs/demo, or runs/demo-2, ... where that is taken."""
    paths = (Path("runs/demo" if n == 1 else f"runs/demo-{n}") for n in count(1))
    return next(path for path in paths if not path.exists())


def _row(name: str, run) -> tuple[str, ...]:
    scores = run.scores
    measured = (scores.get(scores.get("scored", "test")) or {}).get(scores["primary"]) or {}
    return name, f"{scores['primary']} {number(measured.get('value'), measured.get('interval'))}", clock(run.seconds)
