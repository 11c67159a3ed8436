"""A table of image paths and labels: CSV, TSV, JSONL or Parquet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError, OptionError, nearest
from .columns import classes_of, find, find_group, find_label, find_split, known, names_of, read_groups, read_splits
from .labels import fingerprint, listed, printable
from .sheet import Sheet, load
from .target import TARGETS, checked, read_labels

PATHS = (
    "path", "file", "filename", "image", "img", "filepath", "file_path", "image_path", "img_path", "file_name", "image_file", "image_name",
    "img_name", "fname", "paths", "files", "filenames", "filepaths", "images",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a table is read. Every name of a column may be left out where it is a usual one.

    image: the column of image files; None finds path, file, filename, image, ...
    label: the column of the label, or several columns of 0/1, one a class; () finds label, class, target, category, y, ...
    split: the column that says train, val or test; None finds split, set, subset, ...; "" for no split.
    group: the column of what must not part (a patient, a video); None finds group, patient, subject, ...; "" for none.
    separator: what stands between several labels in one cell ("space" for a space); None finds "|" and ";" where they
        are obvious. A space or comma is never taken by itself, since names of classes hold them.
    root: the folder that relative paths start from; None for the table's own, because that is how tables are shipped.
    target: "class", "labels" (any number of them), "number", or "auto" to see it from the cells.
    bad_share: largest share of the files that may be unreadable before the run refuses to start; 0.05 because a few
        broken downloads are normal in real collections, and more mean that something went wrong with all of them.
    fewest: classes that there have to be; 2, because one alone cannot be told from anything, and 1 for method extend, which adds to others.
    """

    image: str | None = None
    label: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    separator: str | None = None
    root: str | None = None
    target: str = "auto"
    bad_share: float = 0.05
    fewest: int = 2


def read(path: str, options: Options) -> Data:
    """Read a table; columns that are not named are found by their names, and what was decided is said in notes.

    Labels: several 0/1 columns, list-valued cells (JSONL, Parquet) or cells with a separator are "labels". Of the others,
    texts, booleans and numbers with leading zeros are a "class"; so are whole numbers of at most FEW_CLASSES distinct
    values, each found twice or more; other numbers are a "number". `target` overrides this.
    "|" or ";" is obvious as a separator where two cells or more hold it, no cell has an empty part, and more than half of
    the parts occur in several cells. With target "labels" the first of | ; , and space that occurs is taken.
    The tables have the columns path (string), label (string, list<string> or double) and, if given, group (string).
    Raises OptionError for a column or target that is not there, DataError for everything wrong in the table.
    """
    if options.target not in TARGETS:
        raise OptionError(f"There is no target '{options.target}'.{nearest(options.target, TARGETS)}")
    sheet, notes = load(path), []
    names = names_of(options.label)
    column = find(sheet, options.image, "image", PATHS)
    if column is None:
        raise DataError(
            f"'{sheet.shown}' has no column of image files among {listed(list(sheet.columns), 8) or 'its columns'}: name it with "
            "--set data.image=COLUMN (the first line must name the columns)."
        )
    split = find_split(sheet, options.split, notes)
    group = find_group(sheet, options.group, notes)
    names = names or (find_label(sheet, (column, split, group), notes),)
    for name in names:
        known(sheet, name, "label")
    paths = _paths(sheet, column, options.root)
    target, labels = read_labels(sheet, names, options.target, options.separator, notes)
    splits = read_splits(sheet, split) if split else ["train"] * len(paths)
    groups = read_groups(sheet, group) if group else None
    rows = _unique(sheet, paths, labels, splits, groups, notes)
    return _data(sheet, rows, target, names, notes, options.fewest)


def _paths(sheet: Sheet, column: str, root: str | None) -> list[str]:
    """Absolute paths of the image files. `root` may be relative to the table or else to the current folder."""
    own = os.path.dirname(sheet.file)
    base = own if root is None else os.path.join(own, os.path.expanduser(root))
    if root is not None and not os.path.isdir(base):
        base = os.path.abspath(os.path.expanduser(root))
        if not os.path.isdir(base):
            raise DataError(
                f"The folder root='{printable(root)}' does not exist: give the folder that the paths in '{sheet.shown}' start from."
            )
    found, missing = [], []
    for i, cell in enumerate(sheet.columns[column]):
        if cell is not None and not isinstance(cell, str):
            raise DataError(
                f"'{column}' of '{sheet.shown}' holds {type(cell).__name__} values, not paths: choose another with --set data.image=COLUMN."
            )
        name = checked(sheet, (cell or "").strip(), i)
        file = os.path.abspath(os.path.join(base, name))
        if not os.path.isfile(file) and "\\" in name:
            file = os.path.abspath(os.path.join(base, name.replace("\\", "/")))  # Written on Windows.
        if not name or not os.path.isfile(file):
            missing.append(name or f"(empty path at {sheet.unit} {sheet.numbers[i]})")
        found.append(file)
    if missing:
        raise DataError(
            f"{len(missing)} of {len(found)} image files of '{sheet.shown}' are not there, for example {listed(missing)}: add them, "
            f"or name the folder their paths start from (now '{printable(base)}') with --set data.root=FOLDER."
        )
    return found


def _unique(sheet: Sheet, paths: list[str], labels: list, splits: list[str], groups: list[str] | None, notes: list[Note]) -> list[tuple]:
    """Rows (path, label, split, group), each path once. Raises DataError where a path stands in two splits or with two labels."""
    first: dict[str, tuple] = {}
    again = []
    for i, row in enumerate(zip(paths, labels, splits, groups or [None] * len(paths))):
        old = first.setdefault(row[0], row)
        if old is row:
            continue
        kind = "labels" if old[1] != row[1] else "splits" if old[2] != row[2] else "groups" if old[3] != row[3] else ""
        if kind:
            place = {"labels": 1, "splits": 2, "groups": 3}[kind]
            hint = " (several labels of one file belong into one cell, as in a|b)" if kind == "labels" else ""
            raise DataError(
                f"'{printable(row[0])}' stands in '{sheet.shown}' with two {kind}, {old[place]!r} and {row[place]!r} "
                f"({sheet.unit} {sheet.numbers[i]}): keep one of these rows{hint}."
            )
        again.append(row[0])
    if again:
        notes.append(Note("warning", f"Repeated rows left out, one of each kept: {len(again)}.", tuple(sorted(set(again)))))
    return sorted(first.values(), key=lambda row: row[0])


def _data(sheet: Sheet, rows: list[tuple], target: str, names: Sequence[str], notes: list[Note], fewest: int) -> Data:
    parts = {split: [row for row in rows if row[2] == split] for split in ("train", "val", "test")}
    parts = {split: inside for split, inside in parts.items() if inside}
    classes = classes_of(sheet, {split: [row[1] for row in inside] for split, inside in parts.items()}, target, names, notes, fewest)
    tables = {split: _table(inside, target) for split, inside in parts.items()}
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("image", target, classes),
        fingerprint=fingerprint(tables.values()),
        source=sheet.file,
        notes=tuple(notes),
    )


def _table(rows: list[tuple], target: str) -> pa.Table:
    kind = {"class": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}[target]
    columns = {"path": pa.array([row[0] for row in rows], pa.string()), "label": pa.array([row[1] for row in rows], kind)}
    if rows[0][3] is not None:
        columns["group"] = pa.array([row[3] for row in rows], pa.string())
    return pa.table(columns)
