"""graft predict: what a model says about images."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .images import find
from .words import label_text, number, table


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
    data = [_entry(one) for one in found]
    problems = tuple(f"error: {one.error if str(one.path) in one.error else f'{one.path}: {one.error}'}" for one in found if one.error)
    text = "" if json else _csv(data, top) if csv else table(_rows([one for one in data if "error" not in one], top))
    return Answer(data, text, problems, 2 if problems else 0)


def _entry(one) -> dict:
    entry = {"path": one.path, "label": one.label, "probability": one.probability, "top": [list(pair) for pair in one.top or ()]}
    return {**entry, "error": one.error} if one.error else entry


def _others(one: dict, top: int) -> list[list]:
    """The next best labels: those of `top` that are not the answer itself (several labels are a set, and are not in it)."""
    return [pair for pair in one["top"] if pair[0] != one["label"]][: top - 1]


def _rows(data: list[dict], top: int) -> list[tuple]:
    """path, label, probability, then label and probability of each further rank, rows filled up to the same length."""
    pairs = [[(one["label"], one["probability"]), *_others(one, top)] for one in data]
    widest = max((len(one) for one in pairs), default=0)
    cells = [
        [c for label, p in one for c in (label_text(label), "" if p is None else number(p))] + [""] * 2 * (widest - len(one))
        for one in pairs
    ]
    return [(str(one["path"]), *row) for one, row in zip(data, cells, strict=True)]


def _csv(data: list[dict], top: int) -> str:
    """As the table, with a header, full precision, and the error in a last column."""
    import csv
    import io

    file = io.StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    write(["path", "label", "probability", *(f"{word}_{n}" for n in range(2, top + 1) for word in ("label", "probability")), "error"])
    for one in data:
        more = [cell for pair in ([*_others(one, top), *[["", ""]] * top])[: top - 1] for cell in pair]
        label = ";".join(map(str, one["label"])) if isinstance(one["label"], list | tuple) else one["label"]
        write([one["path"], label, one["probability"], *more, one.get("error", "")])
    return file.getvalue().rstrip("\n")
