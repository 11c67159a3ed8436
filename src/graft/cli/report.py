"""graft report: write a run's page again."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb


@verb
def report(
    run: Annotated[Path, Argument(help="The run's folder.", show_default=False)],
    json: Annotated[bool, Option("--json", help="Print the path as JSON.")] = False,
) -> Answer:
    """Write a run's report again. Prints the path of RUN/report.html."""
    from .. import api

    page = api.report(run)
    return Answer({"report": page}, str(page))
