"""graft predict: what a model says about images or texts."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from . import texts
from .answer import Answer, verb
from .images import find
from .predictions import as_csv, as_table, entry


@verb
def predict(
    model: Annotated[Path, Argument(help="A run, its model folder, or a copy of it.", show_default=False)],
    what: Annotated[
        list[str], Argument(help="Images or folders of them; or texts, tables, lists (.txt). - for stdin.", show_default=False)
    ],
    top: Annotated[int | None, Option(min=1, help="How many labels each: 5 with --json, else 1.", show_default=False)] = None,
    batch: Annotated[int, Option(min=1, help="Images or texts at a time.")] = 32,
    text: Annotated[str, Option("--text", help="The column of a table that holds the texts.", show_default=False)] = "",
    context: Annotated[
        str, Option("--context", help="The second text (where answers are): itself, a .txt file, a column.", show_default=False)
    ] = "",
    task: Annotated[
        str | None, Option("--task", help="A task that the model learnt earlier, by its data's name.", show_default=False)
    ] = None,
    adapt: Annotated[
        str | None, Option("--adapt", help="Fit BatchNorm to these very images first: adabn or tent.", show_default=False)
    ] = None,
    csv: Annotated[bool, Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> Answer:
    """Predict labels. What cannot be read is named on stderr and the rest predicted; the exit code is then 2."""
    from .. import api

    top, held = top or (5 if json else 1), api.load(model)
    held = held if task is None else held.on(task)
    if held.modality == "text":
        asked = texts.find(what, text, context, pair=held.pair)
        held, said = _adapted(held, [item for _, item in asked], adapt)
        answers = held.predict([item for _, item in asked], top=top, batch=batch)
        found = [replace(one, path=name) for one, (name, _) in zip(answers, asked, strict=True)]
    else:
        images = find(what)
        held, said = _adapted(held, images, adapt)
        found = held.predict(images, top=top, batch=batch)
    data = [entry(one) for one in found]
    problems = tuple(f"error: {one.error if str(one.path) in one.error else f'{one.path}: {one.error}'}" for one in found if one.error)
    text = "" if json else as_csv(data, top) if csv else as_table(data, top)
    return Answer(data, text, said + problems, 2 if problems else 0)


def _adapted(model, items: list, how: str | None) -> tuple:
    """(the model to predict with, a line that says what came of adapting it to the items)."""
    if how is None:
        return model, ()
    model, told = model.adapted(items, how)
    if not told["kept"]:
        return model, (f"not adapted ({how}): {told['why']}; predicted with the model as it is",)
    return model, (f"adapted ({how}): {told['changed']:.0%} of the predictions changed; {told['why']}",)
