"""A folder of class folders of text files: TEXTS/sports/1.txt, or TEXTS/train/sports/1.txt beside TEXTS/val and TEXTS/test."""

from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError
from .decode import decoded, wrong_characters
from .labels import check_classes, listed, text_fingerprint
from .walk import Found, Walk, Wanted, kinds, read_classes

_REPAIR = "put the texts of each class into a folder of its own, for example TEXTS/sports and TEXTS/politics"
_TEXTS = Wanted((".txt",), "texts", kinds("text", "texts"), _REPAIR, "text_table")


@dataclass(frozen=True)
class Options:
    """How a folder of texts is read.

    encoding: of all files; "utf-8", because another one read in its place is an error and not a wrong text.
    bad_share: largest share of the files that may be empty before the run refuses to start; 0.05 because a few failed
        downloads are normal in real collections, and more mean that something went wrong with all of them.
    fewest: classes that there have to be; 2, because one alone cannot be told from anything, and 1 for method extend, which adds to others.
    """

    encoding: str = "utf-8"
    bad_share: float = 0.05
    fewest: int = 2


def read(path: str, options: Options) -> Data:
    """Read class folders, in split folders or not, as `walk.read_classes` finds them; a file is one text.

    Empty files are left out with a warning. The tables have the columns path (absolute), text and label (strings), sorted
    by path. Raises DataError, and OptionError for an encoding that is not known.
    """
    walk = Walk(_TEXTS)
    root, found, _, notes = read_classes(path, walk, options.fewest)
    rows, empty = _rows(found, options.encoding)
    total = sum(map(len, rows.values())) + len(empty)
    if len(empty) > options.bad_share * total:
        raise DataError(
            f"{len(empty)} of {total} texts in '{root}' are empty, for example {listed(empty)}: fill or remove them, or allow more with "
            "--set data.bad_share=SHARE."
        )
    if empty:
        notes.append(Note("warning", f"Left out {len(empty)} of {total} files: they hold no text.", tuple(empty)))
    everything = [row for inside in rows.values() for row in inside]
    notes += wrong_characters([row[1] for row in everything], [row[0] for row in everything])
    classes = check_classes({split: [row[2] for row in inside] for split, inside in rows.items()}, _REPAIR, options.fewest)
    tables = {split: _table(inside) for split, inside in rows.items()}
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("text", "class", classes, input="text"),
        fingerprint=text_fingerprint(tables.values()),
        source=root,
        notes=tuple(walk.notes() + notes),
    )


def _rows(found: Found, encoding: str) -> tuple[dict[str, list[tuple[str, str, str]]], list[str]]:
    """({split: (path, text, class)}, paths of empty files); a split without any text is left out."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    empty = []
    for split, classes in found.items():
        for path, label in sorted((path, label) for label, paths in classes.items() for path in paths):
            text = decoded(path, encoding, flag=True).strip()
            if text:
                rows.setdefault(split, []).append((path, text, label))
            else:
                empty.append(path)
    return {"train": rows.pop("train", []), **rows}, empty


def _table(rows: list[tuple[str, str, str]]) -> pa.Table:
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(("path", "text", "label"))})
