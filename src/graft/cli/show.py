"""graft show: what a run was asked, what it decided and what came of it."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .events import describe
from .summary import score_lines
from .words import tree


@verb
def show(
    run: Annotated[Path, Argument(help="The run's folder.", show_default=False)],
    json: Annotated[bool, Option("--json", help="Print all of it as JSON.")] = False,
) -> Answer:
    """Show a run's score and how it came about. Then its settings."""
    from .. import api

    content = dict(api.show(run))
    scores = content.get("scores")
    lines = [*score_lines(scores), ""] if isinstance(scores, dict) and scores.get("primary") else []
    told = [row for value in content.values() if isinstance(value, list) for row in value if isinstance(row, dict) and "event" in row]
    story = _story(sorted(told, key=lambda row: row.get("t", 0)))
    rest = {name: value for name, value in content.items() if name != "scores" and not _events(value)}
    return Answer(content, "\n".join([*lines, *story, *([""] if story else []), *tree(rest)]).rstrip())


def _story(rows: list[dict]) -> list[str]:
    """The run's own words, in the order of time, as they were shown while it ran."""
    lines, phase = [], None
    for row in rows:
        phase = row if row["event"] == "phase" else phase
        lines += [f"{line.label:<9} {line.text}".rstrip() for line in describe(row, phase)]
    return lines


def _events(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) and "event" in row for row in value)
