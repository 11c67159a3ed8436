"""graft predict: what a model says about images."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .images import find
from .predictions import as_csv, as_table, entry


@verb
def predict(
    model: Annotated[Path, Argument(help="A run, its model folder, or a copy of it.", show_default=False)],
    paths: Annotated[list[str], Argument(help="Images, folders of them, or - for a list on stdin.", show_default=False)],
    top: Annotated[int | None, Option(min=1, help="How many labels each: 5 with --json, else 1.", show_default=False)] = None,
    batch: Annotated[int, Option(min=1, help="Images at a time.")] = 32,
    csv: Annotated[bool, Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> Answer:
    """Predict labels. Images that cannot be read are named on stderr and the others predicted; the exit code is then 2."""
    from .. import api

    images, top = find(paths), top or (5 if json else 1)
    found = api.load(model).predict(images, top=top, batch=batch)
    data = [entry(one) for one in found]
    problems = tuple(f"error: {one.error if str(one.path) in one.error else f'{one.path}: {one.error}'}" for one in found if one.error)
    text = "" if json else as_csv(data, top) if csv else as_table(data, top)
    return Answer(data, text, problems, 2 if problems else 0)
