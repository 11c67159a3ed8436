"""Running text for language models: a .txt file, or a folder of them."""

import os
import re
from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError, OptionError, nearest
from .decode import decoded, wrong_characters
from .labels import listed, printable, text_fingerprint
from .split import split_name
from .split_files import split_of_file
from .walk import Walk, Wanted, kinds

UNITS = ("auto", "line", "paragraph", "file")
LINES = 40
"""Lines of a paragraph, on average, above which empty lines do not part paragraphs but chapters, or stand there by accident."""
SECTIONS, LONGEST = 50, 250
"""Neighbouring rows stay on one side of a split, for they tell of the same: so many sections in all, of so many rows at most."""
_TEXTS = Wanted((".txt",), "texts", kinds("text", "texts"), "put .txt files into it", "plain_text")


@dataclass(frozen=True)
class Options:
    """How running text is cut into rows.

    unit: "line", "paragraph" (empty lines part them), "file", or "auto": paragraphs where empty lines part the text, else lines.
    encoding: of all files; "utf-8", because another one read in its place is an error and not a wrong text.
    bad_share: largest share of the files that may be empty before the run refuses to start; 0.05 because a few failed
        downloads are normal in real collections, and more mean that something went wrong with all of them.
    """

    unit: str = "auto"
    encoding: str = "utf-8"
    bad_share: float = 0.05


def read(path: str, options: Options) -> Data:
    """Read a file, or all .txt files below a folder.

    The files of a folder are splits where train and val or test are among their names, or those of their folders; otherwise
    all are train. The tables have the columns path ("novel.txt:12": the file and the first line), text, label ("") and group (the
    section of its file in which a row stands).
    Raises DataError, and OptionError for a unit or encoding that is not known.
    """
    if options.unit not in UNITS:
        raise OptionError(f"There is no unit '{options.unit}'.{nearest(options.unit, UNITS)}")
    root, files, notes = _files(path)
    texts = {file: decoded(file, options.encoding, flag=True) for file in files}
    empty = [file for file, text in texts.items() if not text.strip()]
    if len(empty) > options.bad_share * len(files):
        raise DataError(
            f"{len(empty)} of {len(files)} files are empty, for example {listed(empty)}: fill or remove them, or allow more with "
            "--set data.bad_share=SHARE."
        )
    if empty:
        notes.append(Note("warning", f"Left out {len(empty)} of {len(files)} files: they hold no text.", tuple(empty)))
    unit = _unit(list(texts.values())) if options.unit == "auto" else options.unit
    if options.unit == "auto":
        why = "empty lines part them" if unit == "paragraph" else "no empty lines part paragraphs"
        notes.append(Note("info", f"A row is a {unit}, since {why}; --set data.unit=line, paragraph or file overrides."))
    rows: dict[str, list[tuple[str, str]]] = {"train": []}
    base = root if os.path.isdir(root) else os.path.dirname(root)
    for file, text in texts.items():
        name = os.path.relpath(file, base)
        rows.setdefault(files[file], []).extend((f"{name}:{line}", part) for line, part in _parts(text, unit))
    everything = [row for inside in rows.values() for row in inside]
    notes += wrong_characters([row[1] for row in everything], [row[0] for row in everything])
    tables = {split: _table(inside) for split, inside in rows.items() if inside}
    if "train" not in tables:
        raise DataError(f"'{printable(root)}' has no text to learn from: fill its train file.")
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("text", "language", input="text"),
        fingerprint=text_fingerprint(tables.values()),
        source=root,
        notes=tuple(notes),
    )


def _files(path: str) -> tuple[str, dict[str, str], list[Note]]:
    """(absolute path, {file: split} sorted, notes)."""
    root = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(root):
        return root, {root: "train"}, []
    if not os.path.isdir(root):
        raise DataError(f"'{printable(root)}' does not exist: check the path.")
    walk = Walk(_TEXTS)
    files = sorted(walk.files(root))
    if not files:
        raise DataError(f"'{printable(root)}' holds no .txt files: give a .txt file, or a folder of them.")
    splits = {file: _split(os.path.relpath(file, root)) for file in files}
    if not {"train"} < set(splits.values()) - {None}:
        return root, dict.fromkeys(files, "train"), walk.notes()
    others = tuple(file for file in files if splits[file] is None)
    more = [Note("warning", f"Ignored texts that are no split, beside those that are: {len(others)}.", others)] if others else []
    return root, {file: split for file, split in splits.items() if split}, walk.notes() + more


def _split(name: str) -> str | None:
    first, *inner = name.split(os.sep)
    return split_name(first) if inner else split_of_file(first)


def _unit(texts: list[str]) -> str:
    """ "paragraph" where empty lines part the texts into blocks of LINES lines at most on average, else "line"."""
    blocks = [block for text in texts for block in _blocks(text)]
    parted = len(blocks) > sum(bool(text.strip()) for text in texts)
    return "paragraph" if parted and sum(block.count("\n") + 1 for _, block in blocks) <= LINES * len(blocks) else "line"


def _blocks(text: str) -> list[tuple[int, str]]:
    """(first line from 1, lines) of what empty lines part."""
    found: list[tuple[int, list[str]]] = []
    opened = False
    for number, line in enumerate(re.split("\r\n?|\n", text), 1):
        if not line.strip():
            opened = False
        elif opened:
            found[-1][1].append(line)
        else:
            found.append((number, [line]))
            opened = True
    return [(number, "\n".join(lines)) for number, lines in found]


def _parts(text: str, unit: str) -> list[tuple[int, str]]:
    """(first line, text without white space around it) of each row."""
    blocks = _blocks(text)
    if unit == "paragraph":
        return [(number, block.strip()) for number, block in blocks]
    if unit == "line":
        return [(number + i, line.strip()) for number, block in blocks for i, line in enumerate(block.split("\n"))]
    return [(blocks[0][0], text.strip())] if blocks else []


def _sections(files: list[str]) -> list[str]:
    """The name of each row's section, of rows in order with the file of each: short files are one."""
    size, inside, found = min(LONGEST, -(-len(files) // SECTIONS)), {}, []
    for file in files:
        inside[file] = inside.get(file, -1) + 1
        found.append(f"{file}#{inside[file] // size + 1}")
    return found


def _table(rows: list[tuple[str, str]]) -> pa.Table:
    return pa.table({
        "path": pa.array([row[0] for row in rows], pa.string()),
        "text": pa.array([row[1] for row in rows], pa.string()),
        "label": pa.array([""] * len(rows), pa.string()),
        "group": pa.array(_sections([row[0].rpartition(":")[0] for row in rows]), pa.string()),
    })  # fmt: skip
