"""graft resume: go on with a run that was stopped or killed."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .summary import summary


@verb
def resume(
    run: Annotated[Path, Argument(help="The run's folder.", show_default=False)],
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the scores as JSON.")] = False,
) -> Answer:
    """Go on with a stopped or killed run. The result is the one it would have had."""
    from .. import api

    with follow(quiet) as progress:
        done = api.resume(run, on_event=progress)
    return Answer({**done.scores, "run": done.folder, "report": done.report}, summary(done.scores, done.folder))
