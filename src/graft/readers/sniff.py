"""Which reader fits a path, seen from a few names and the first lines."""

import csv
import json
import os
import re
from collections.abc import Sequence

from ..errors import DataError
from .columns import LABELS
from .csv_table import PATHS
from .image_folder import EXTENSIONS as IMAGES
from .labels import printable
from .split import split_name
from .split_files import split_of_file
from .text_table import TEXTS

ENTRIES, HEAD, ROWS = 2000, 64 * 1024, 30
"""How many names, bytes and rows are looked at."""
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq")
_TAGGED = (".conll", ".bio", ".iob", ".iob2")
_TAG = re.compile(r"O|[BIESLUM][-_]\S+")
_GIVE = (
    "give a folder of class folders of images or .txt files, a table (CSV, TSV, JSONL, Parquet), a CoNLL file, a SQuAD .json, running "
    "text (.txt), or a folder with one of these for each of train, val and test"
)


def reader_of(path: str) -> tuple[str, str]:
    """(the reader's name in the catalogue, why in words). Raises DataError where none fits."""
    root = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(root):
        return _of_file(root)
    if not os.path.isdir(root):
        raise DataError(f"'{printable(root)}' does not exist: check the path.")
    return _of_folder(root)


def _of_file(file: str) -> tuple[str, str]:
    suffix, shown = os.path.splitext(file)[1].lower(), printable(file)
    if suffix in _TAGGED:
        return "conll", "the data are words with tags"
    if suffix == ".json":
        head = _head(file)
        if '"context"' in head and ('"paragraphs"' in head or '"qas"' in head):
            return "squad", "the data are questions in SQuAD's form"
        raise DataError(f"'{shown}' is JSON, but not of questions in SQuAD's form: save a table as JSONL (one object a line), or {_GIVE}.")
    if suffix in (".tsv", ".txt") and _tagged(_head(file)):
        return "conll", "the last column of its first lines holds tags such as O and B-"
    if suffix in _TABLES:
        return _of_table(file, suffix)
    if suffix == ".txt":
        rows = _delimited(_head(file))
        named = len(rows) > 1 and len(rows[0]) > 1 and (_usual(rows[0], (*TEXTS, *PATHS)) or _usual(rows[0], LABELS))
        return _of_table(file, suffix) if named else ("plain_text", "the data are running text")
    raise DataError(f"'{shown}' is a file of no known kind: {_GIVE}.")


def _of_table(file: str, suffix: str) -> tuple[str, str]:
    columns = _parquet(file) if suffix in (".parquet", ".pq") else _json_lines(file) if suffix in (".jsonl", ".ndjson") else _csv(file)
    folder = os.path.dirname(file)
    places = _usual(list(columns), PATHS)
    for name in [*places, *(name for name in columns if name not in places)]:
        cells = [cell.strip() for cell in columns[name] if isinstance(cell, str) and cell.strip()]
        pictures = sum(cell.lower().endswith(IMAGES) or (name in places and os.path.isfile(os.path.join(folder, cell))) for cell in cells)
        if 2 * pictures > len(cells) > 0:
            return "csv_table", f"the data are a table whose column '{name}' names files"
    if _usual(list(columns), TEXTS):
        return "text_table", f"the data are a table with texts in '{_usual(list(columns), TEXTS)[0]}'"
    words = [name for name, cells in columns.items() if any(isinstance(cell, str) and " " in cell.strip() for cell in cells)]
    if words and not places:
        return "text_table", f"the data are a table with words in '{words[0]}'"
    return "csv_table", "the data are a table"


def _usual(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    return [name for name in names if re.sub(r"[\s-]+", "_", name.strip().lower()) in usual]


def _of_folder(root: str) -> tuple[str, str]:
    shown = printable(root)
    files, folders = _entries(root)
    splits = sorted((name for name in files if split_of_file(name)), key=lambda name: split_of_file(name) != "train")
    splits = [name for name in splits if name.lower().endswith((*_TABLES, *_TAGGED, ".json", ".txt"))]
    inside = {name: _below(os.path.join(root, name)) for name in folders[:50]}
    loose = [os.path.splitext(name)[1].lower() for name in files]
    tables = [name for name in files if name.lower().endswith(_TABLES)]
    images = [name for name, kinds in inside.items() if "image" in kinds]
    if splits and not images:
        name, why = _of_file(os.path.join(root, splits[0]))
        if name == "csv_table":
            raise DataError(f"'{shown}' holds tables of images: give one table itself, with a column that says train, val or test.")
        return name, f"'{printable(splits[0])}': {why}"
    if len(images) == 1 and not split_name(images[0]) and len(tables) == 1:
        table = printable(os.path.join(root, tables[0]))
        raise DataError(f"'{shown}' holds a folder of images and the table '{tables[0]}': give '{table}' itself if it has their labels.")
    if images or any(suffix in IMAGES for suffix in loose):
        return "image_folder", "the data are a folder of images"
    texts = [name for name, kinds in inside.items() if "text" in kinds]
    if texts:
        if all(split_name(name) and inside[name]["text"] == "loose" for name in texts):
            return "plain_text", "the data are folders of running text"
        return "text_folder", "the data are folders of texts"
    if ".txt" in loose:
        return "plain_text", "the data are a folder of running text"
    if tables or any(suffix in (*_TAGGED, ".json") for suffix in loose):
        one = next(name for name in files if name.lower().endswith((*_TABLES, *_TAGGED, ".json")))
        raise DataError(f"'{shown}' holds '{printable(one)}' but no train file: give '{printable(os.path.join(root, one))}' itself.")
    if not files and not folders:
        raise DataError(f"The folder '{shown}' is empty: {_GIVE}.")
    raise DataError(f"'{shown}' holds nothing that can be read ({_some(files, folders)}): {_GIVE}.")


def _some(files: list[str], folders: list[str]) -> str:
    return ", ".join([f"{len(folders)} folders"] * bool(folders) + [f"files such as '{printable(files[0])}'"] * bool(files))


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Names of the first visible files and folders. Raises DataError where the folder cannot be listed."""
    files, folders = [], []
    try:
        with os.scandir(folder) as found:
            for _, entry in zip(range(ENTRIES), found):
                if not entry.name.startswith(".") and entry.name.lower() != "__macosx":
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise DataError(
            f"The folder '{printable(folder)}' cannot be listed ({error.strerror}): give this user the right to read it."
        ) from None
    return sorted(files), sorted(folders)


def _below(folder: str) -> dict[str, str]:
    """What the first names below a folder are: {"image" or "text": "loose" if all seen lie directly in it, "deep" else}."""
    kinds: dict[str, str] = {}
    waiting, left, seen = [(folder, "loose")], ENTRIES, set()
    while waiting and left > 0:
        current, place = waiting.pop(0)
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        files, folders = _entries(current)
        left -= len(files) + len(folders)
        for name in files:
            kind = "image" if name.lower().endswith(IMAGES) else "text" if name.lower().endswith(".txt") else ""
            if kind:
                kinds[kind] = place
        if "deep" in kinds.values():
            break
        waiting += [(os.path.join(current, name), "deep") for name in folders]
    return kinds


def _head(file: str) -> str:
    """The first bytes as text, up to the last whole line; what is no text is for the reader to refuse."""
    try:
        with open(file, "rb") as opened:
            raw = opened.read(HEAD)
    except OSError as error:
        raise DataError(f"'{printable(file)}' cannot be read ({error.strerror}): give this user the right to read it.") from None
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = raw.decode("utf-16" if wide else "utf-8-sig", "replace")
    return text if len(raw) < HEAD or "\n" not in text else text[: text.rindex("\n")]


def _tagged(head: str) -> bool:
    """Whether all lines, but empty ones and comments, end in a tag of entities, and one tag is not O."""
    lines = [line for line in head.split("\n")[:500] if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    cells = [line.rstrip().split("\t") if "\t" in line else line.split() for line in lines]
    tags = [row[-1] for row in cells if len(row) > 1]
    return bool(lines) and len(tags) == len(lines) and all(map(_TAG.fullmatch, tags)) and (set(tags) > {"O"} or "\n\n" in head)


def _delimited(head: str) -> list[list[str]]:
    lines = [line for line in re.split("\r\n?|\n", head) if line.strip()][: ROWS * 4]
    sign = max(",;\t", key=lambda one: lines[0].count(one)) if lines else ","
    try:
        return [row for _, row in zip(range(ROWS), csv.reader(lines, delimiter=sign))]
    except csv.Error:
        return []


def _csv(file: str) -> dict[str, list]:
    rows = _delimited(_head(file))
    return {name: [row[i] for row in rows[1:] if i < len(row)] for i, name in enumerate(rows[0])} if rows else {}


def _json_lines(file: str) -> dict[str, list]:
    columns: dict[str, list] = {}
    for line in _head(file).split("\n")[:ROWS]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for name, value in row.items() if isinstance(row, dict) else ():
            columns.setdefault(name, []).append(value)
    return columns


def _parquet(file: str) -> dict[str, list]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            batch = next(opened.iter_batches(ROWS), None)
        return {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)} if batch is not None else {}
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError):
        return {}  # Damaged: the reader says so.
