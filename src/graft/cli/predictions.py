"""Predictions as JSON-able entries, as a table and as CSV."""

import csv
import io

from . import texts
from .words import label_text, number, table


def entry(one) -> dict:
    """A Prediction as --json prints it; "error" only where there is one."""
    entry = {"path": one.path, "label": one.label, "probability": one.probability, "top": [list(pair) for pair in one.top or ()]}
    return {**entry, "error": one.error} if one.error else entry


def _others(one: dict, top: int) -> list[list]:
    """The next best labels: those of `top` that are not the answer itself (several labels are a set, and are not in it)."""
    return [pair for pair in one["top"] if pair[0] != one["label"]][: top - 1]


def as_table(data: list[dict], top: int) -> str:
    """path, label, probability, then label and probability of each further rank; without those that failed. Of names in a text only
    these are shown; "no answer" stands for an empty one."""
    data = [one for one in data if "error" not in one]
    pairs = [[(one["label"], one["probability"]), *_others(one, top)] for one in data]
    widest = max((len(one) for one in pairs), default=0)
    cells = [
        [cell for label, p in one for cell in (texts.told(label) or label_text(label), "" if p is None else number(p))] for one in pairs
    ]
    return table([(str(one["path"]), *row, *[""] * (2 * widest - len(row))) for one, row in zip(data, cells, strict=True)])


def as_csv(data: list[dict], top: int) -> str:
    """As the table, with a header, full precision, and the error in a last column."""
    file = io.StringIO()
    write = csv.writer(file, lineterminator="\n").writerow
    write(["path", "label", "probability", *(f"{word}_{n}" for n in range(2, top + 1) for word in ("label", "probability")), "error"])
    for one in data:
        more = [cell for pair in ([*_others(one, top), *[["", ""]] * top])[: top - 1] for cell in pair]
        label = texts.names(one["label"]) if texts.pairs(one["label"]) else one["label"]
        label = ";".join(map(str, label)) if isinstance(label, list | tuple) else label
        write([one["path"], label, one["probability"], *more, one.get("error", "")])
    return file.getvalue().rstrip("\n")
