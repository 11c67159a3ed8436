"""Rows without labels: of another domain, or more of the same; and the labels of such rows, which are for the end alone."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError, OptionError, nearest
from .columns import LABELS, matches
from .csv_table import PATHS
from .decode import decoded, wrong_characters
from .image_folder import EXTENSIONS
from .labels import UNREADABLE, content, fingerprint, is_text, listed, printable, text_fingerprint
from .sheet import Sheet, load
from .split import split_name
from .target import plain, read_labels
from .text_table import TEXTS
from .walk import Walk, Wanted, kinds

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq")


def _wanted(extensions: tuple[str, ...], one: str, many: str) -> Wanted:
    told = {kind: words for kind, words in kinds(one, many).items() if kind not in ("stray", "folder")}
    return Wanted(extensions, many, told, f"give a folder that holds {many}", many)


_FILES = {"image": _wanted(EXTENSIONS, "image", "images"), "text": _wanted((".txt",), "text", "texts")}
_KINDS = {"class": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}


@dataclass(frozen=True)
class Options:
    """How rows without labels are read.

    column: of a table, the column of the image files or of the texts; None finds a usual name (path, file, ...; text, review, ...).
    encoding: of tables, lists and texts; "utf-8", because another one read in its place is an error and not a wrong text.
    bad_share: largest share of the files that may be unreadable, or of the texts that may be empty, before the run refuses to
        start; 0.05 because a few broken downloads are normal in real collections, and more mean that something went wrong.
    """

    column: str | None = None
    encoding: str = "utf-8"
    bad_share: float = 0.05


def read(path: str, options: Options) -> Data:
    """Images without labels: `rows` of a path, with the schema's target "none" and "" in the column label. Raises DataError."""
    return _data(path, Schema("image", "none"), options)


def read_texts(path: str, options: Options) -> Data:
    """Texts without labels: `rows` of a path, with the schema's target "none" and "" in the column label. Raises DataError."""
    return _data(path, Schema("text", "none", input="text"), options)


def _data(path: str, schema: Schema, options: Options) -> Data:
    table, notes = rows(path, schema, options)
    table = table.append_column("label", pa.array([""] * len(table), pa.string()))
    digest = (text_fingerprint if schema.modality == "text" else fingerprint)([table])
    root = _place(path)
    return Data(train=table, schema=schema, fingerprint=digest, source=root, notes=notes + _of_splits(root))


def _of_splits(root: str) -> tuple[Note, ...]:
    """A warning where rows would learn that a later fit is to be scored on."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir()) if os.path.isdir(root) else []
    train = next((name for name in names if split_name(name) == "train"), None)
    held = [name for name in names if split_name(name) in ("val", "test")]
    if train is None or not held:
        return ()
    words = f"What is in {listed(held)} learns too, without its labels; give '{printable(os.path.join(root, train))}' if a model of this"
    return (Note("warning", f"{words} body is to be scored on it."),)


def rows(path: str, schema: Schema, options: Options | None = None) -> tuple[pa.Table, tuple[Note, ...]]:
    """(the rows, what was noticed), without a label, whatever folders or columns may say of it.

    Images: every image file below a folder, however deep; one image; a table with a column of files; a .txt file with a path a line.
    Texts: every .txt file below a folder, a text each; a table with a column of texts; a .txt file with a text a line. Paths in
    tables and lists start from the file's own folder. Hidden files and other extensions are passed over as `walk.Walk` does.
    The tables have the column path (string) and, of texts, text (string; for "tags" list<string>, parted at white space); each
    path once, sorted by it where a folder was read. Whether the images can be decoded is for inspect.files.check to say.
    Raises DataError where nothing is there, or what is there is of the other modality, and OptionError for questions (their
    context is a part of them) and pairs.
    """
    options = Options() if options is None else options
    if schema.target == "spans":
        raise OptionError("Questions are not learnt without their answers; leave --target and --unlabelled out.")
    if schema.pair:
        raise OptionError("Pairs of texts are not learnt without their labels; leave --target and --unlabelled out.")
    root, notes = _place(path), []
    if schema.modality == "image":
        paths = _once(_pictures(root, options, notes), notes)
        return pa.table({"path": pa.array(paths, pa.string())}), tuple(notes)
    pairs = _filled(_texts(root, options, notes), root, options.bad_share, notes)
    names, texts = [name for name, _ in pairs], [text for _, text in pairs]
    notes += wrong_characters(texts, names)
    cells = pa.array([text.split() for text in texts], pa.list_(pa.string())) if schema.target == "tags" else pa.array(texts, pa.string())
    return pa.table({"path": pa.array(names, pa.string()), "text": cells}), tuple(notes)


def apart(table: pa.Table, others: Iterable[pa.Table | None]) -> pa.Table:
    """The rows that stand in none of the other tables (by what goes in: the text, or the content of the file), in their order."""
    column = "text" if "text" in table.column_names else "path"

    def name(cell: object) -> str:
        digest = content(cell) if column == "path" else str(cell)
        return digest if digest != UNREADABLE or column == "text" else os.path.realpath(cell)

    known = {name(cell) for other in others if other is not None for cell in other[column].to_pylist()}
    return table.filter(pa.array([name(cell) not in known for cell in table[column].to_pylist()], pa.bool_()))


def _place(path: str) -> str:
    root = os.path.abspath(os.path.expanduser(path))
    if not is_text(root):
        raise DataError(f"The path '{printable(root)}' is not valid UTF-8: rename it.")
    if not os.path.exists(root):
        raise DataError(f"'{printable(root)}' does not exist: check the path.")
    return root


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()


def _pictures(root: str, options: Options, notes: list[Note]) -> list[str]:
    """Absolute paths of image files."""
    if os.path.isdir(root):
        return _below(root, "image", notes)
    suffix = _suffix(root)
    if suffix in EXTENSIONS:
        return [root]
    if suffix in TABLES:
        sheet = load(root, options.encoding)
        column = _column(sheet, options.column, PATHS, "image files", "path")
        return _located([_cell(sheet, column, i) for i in range(len(sheet.numbers))], root, f"the column '{column}'")
    if suffix == ".txt":
        lines = [line.strip() for line in decoded(root, options.encoding).splitlines()]
        return _located([line for line in lines if line], root, "its lines")
    raise DataError(
        f"'{printable(root)}' is a file of no known kind: give a folder of images, a table (CSV, JSONL, Parquet) or a list (.txt)."
    )


def _texts(root: str, options: Options, notes: list[Note]) -> list[tuple[str, str]]:
    """(name, text) of each row."""
    if os.path.isdir(root):
        return [(file, decoded(file, options.encoding)) for file in _below(root, "text", notes)]
    suffix, name = _suffix(root), os.path.basename(root)
    if suffix in TABLES:
        sheet = load(root, options.encoding)
        column = _column(sheet, options.column, TEXTS, "texts", "text")
        return [(f"{name}:{number}", _cell(sheet, column, i)) for i, number in enumerate(sheet.numbers)]
    if suffix == ".txt":
        lines = decoded(root, options.encoding).splitlines()
        return [(f"{name}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    what = "an image" if suffix in EXTENSIONS else "a file of no known kind"
    raise DataError(
        f"'{printable(root)}' is {what}, and the data are texts: give a table (CSV, JSONL, Parquet), a folder of .txt files, or a .txt "
        "file with a text a line."
    )


def _below(root: str, kind: str, notes: list[Note]) -> list[str]:
    """The wanted files below a folder, sorted. Raises DataError where there is none."""
    walk = Walk(_FILES[kind])
    found = sorted(walk.files(root))
    if found:
        notes += walk.notes()
        return found
    many, shown = _FILES[kind].many, printable(root)
    other = _FILES["text" if kind == "image" else "image"]
    if any(Walk(other).files(root)):
        raise DataError(f"'{shown}' holds {other.many} and no {many}, but the data are {many}: {_FILES[kind].repair}.")
    tables = sorted(name for name in os.listdir(root) if _suffix(name) in TABLES)
    if tables:
        raise DataError(
            f"'{shown}' holds no {many}, but the table '{printable(tables[0])}': give '{printable(os.path.join(root, tables[0]))}'."
        )
    if not os.listdir(root):
        raise DataError(f"The folder '{shown}' is empty: {_FILES[kind].repair}.")
    raise DataError(f"No {many} ({', '.join(_FILES[kind].extensions)}) were found in '{shown}': {_FILES[kind].repair}.")


def _column(sheet: Sheet, given: str | None, usual: Sequence[str], what: str, call: str) -> str:
    """The column that was asked for, the first with a usual name, or the only one. Raises OptionError, DataError."""
    if given is not None:
        if given not in sheet.columns:
            raise OptionError(f"There is no column '{given}' in '{sheet.shown}'.{nearest(given, list(sheet.columns))}")
        return given
    found = matches(sheet, usual) or (list(sheet.columns) if len(sheet.columns) == 1 else [])
    if not found:
        raise DataError(f"'{sheet.shown}' has no column of {what} among {listed(list(sheet.columns), 8)}: call it '{call}'.")
    return found[0]


def _cell(sheet: Sheet, column: str, i: int) -> str:
    """A cell as text, "" where it is empty. Raises DataError for what is no text."""
    cell = sheet.columns[column][i]
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    if not isinstance(cell, str) or not is_text(cell):
        raise DataError(
            f"'{column}' of '{sheet.shown}' holds {cell!r} at {sheet.unit} {sheet.numbers[i]}, which is not a valid text: correct it."
        )
    return cell


def _located(cells: Sequence[str], file: str, where: str) -> list[str]:
    """Absolute paths, from those that start from a file's own folder. Raises DataError where one is not there."""
    base, found, missing = os.path.dirname(file), [], []
    for cell in cells:
        path = os.path.abspath(os.path.join(base, os.path.expanduser(cell.strip())))
        if not os.path.isfile(path) and "\\" in cell:
            path = os.path.abspath(os.path.join(base, cell.strip().replace("\\", "/")))  # Written on Windows.
        if not cell.strip() or not os.path.isfile(path):
            missing.append(cell.strip() or "(empty)")
        found.append(path)
    if missing or not found:
        said = f"name {len(missing)} of {len(found)} files that are not there, for example {listed(missing)}" if missing else "name no file"
        raise DataError(
            f"'{printable(file)}' is read as a list of image files, but {where} {said}: write paths from '{printable(base)}' on."
        )
    return found


def _once(paths: list[str], notes: list[Note]) -> list[str]:
    again = sorted(path for path, count in Counter(paths).items() if count > 1)
    if again:
        notes.append(Note("warning", f"Images that are named more than once are taken once: {len(again)}.", tuple(again)))
    return list(dict.fromkeys(paths))


def _filled(pairs: list[tuple[str, str]], root: str, share: float, notes: list[Note]) -> list[tuple[str, str]]:
    """(name, text) without the white space around a text; empty ones are told of. Raises DataError where they are too many."""
    found = [(name, text.strip()) for name, text in pairs if text.strip()]
    empty = tuple(name for name, text in pairs if not text.strip())
    if not found or len(empty) > share * len(pairs):
        raise DataError(f"{len(empty)} of {len(pairs)} texts of '{printable(root)}' are empty{_such(empty)}: fill them in, or remove them.")
    if empty:
        notes.append(Note("warning", f"Left out {len(empty)} of {len(pairs)} texts without labels: they are empty.", empty))
    return found


def _such(names: Sequence[str]) -> str:
    return f", for example {listed(names)}" if names else ""


def labels(path: str, table: pa.Table, schema: Schema) -> pa.Table:
    """The rows of `table` in their order, with the column label: null where a row has none (`null_count` says how many).

    path: of a class, a folder whose class folders hold the very files, or files of the same names: the innermost folder that is
    called like a class is the label, so that it may be the folder the rows were read from. Or a table with a column label and one of
    paths, which start from its own folder or from any above the rows; of texts, the table that holds them, by line, or by the text.
    Raises OptionError where the target is not a class, several labels or a number, and DataError where no row has a label, where
    one has two, or where a label is none of the schema's classes.
    """
    if schema.target not in _KINDS:
        raise OptionError("Labels of a target are scored for classes, several labels or numbers alone; leave --target-labels out.")
    root = _place(path)
    given = _of_tree(root, table, schema) if os.path.isdir(root) else _of_table(root, table, schema)
    found = [given.get(i) for i in range(len(table))]
    if not given:
        raise DataError(
            f"'{printable(root)}' has a label for none of the {len(table)} rows of the target: give the table or the class folders "
            "that name these very files."
        )
    for i, label in given.items():
        odd = next((one for one in (label if isinstance(label, list) else [label]) if schema.classes and one not in schema.classes), None)
        if odd is not None:
            name = printable(table["path"][i].as_py())
            raise DataError(
                f"'{name}' of the target has the label {odd!r}, which is no class of the data.{nearest(str(odd), schema.classes)}"
            )
    return table.append_column("label", pa.array(found, _KINDS[schema.target]))


def _of_tree(root: str, table: pa.Table, schema: Schema) -> dict[int, str]:
    """{row: label} from class folders."""
    if schema.target != "class":
        raise DataError(
            f"'{printable(root)}' is a folder, which can only say one class a file: give a table with the columns path and label."
        )
    files = list(Walk(_FILES[schema.modality]).files(root))
    real, names = {os.path.realpath(file): file for file in files}, table["path"].to_pylist()
    alone = _alone(files)
    own = _alone(names)
    found = {}
    for i, name in enumerate(names):
        file = real.get(os.path.realpath(name)) or (alone.get(os.path.basename(name)) if os.path.basename(name) in own else None)
        folders = os.path.relpath(os.path.dirname(file), root).split(os.sep) if file else [os.curdir]
        if folders != [os.curdir]:
            known = [folder for folder in folders if folder in schema.classes]
            found[i] = (known or folders)[-1]
    return found


def _alone(files: Iterable[str]) -> dict[str, str]:
    """{name of a file: the file} of names that only one has."""
    files = list(files)
    counts = Counter(os.path.basename(file) for file in files)
    return {os.path.basename(file): file for file in files if counts[os.path.basename(file)] == 1}


def _of_table(file: str, table: pa.Table, schema: Schema) -> dict[int, object]:
    """{row: label} from a table."""
    sheet = load(file)
    columns = _label_columns(sheet, schema)
    at = _matched(sheet, table, columns)
    kept = [i for i in at if all(plain(sheet.columns[name][i]) is not None for name in columns)]
    if not kept:
        return {}
    read = read_labels(sheet.take(kept), columns, schema.target, None, [])[1]
    found: dict[int, object] = {}
    for i, label in zip(kept, read, strict=True):
        if found.setdefault(at[i], label) != label:
            name = printable(table["path"][at[i]].as_py())
            raise DataError(f"'{sheet.shown}' has two labels of '{name}', {found[at[i]]!r} and {label!r}: keep one of these rows.")
    return found


def _label_columns(sheet: Sheet, schema: Schema) -> tuple[str, ...]:
    """The column of the label, or those of 0 and 1, one a class. Raises DataError."""
    found = matches(sheet, LABELS)
    if found:
        return (found[0],)
    if schema.target == "labels" and set(schema.classes) <= set(sheet.columns):
        return schema.classes
    left = [name for name in sheet.columns if name not in (*matches(sheet, PATHS), *matches(sheet, TEXTS))]
    if len(left) == 1:
        return (left[0],)
    raise DataError(f"'{sheet.shown}' has no column of labels among {listed(list(sheet.columns), 8)}: call it 'label'.")


def _matched(sheet: Sheet, table: pa.Table, taken: Sequence[str]) -> dict[int, int]:
    """{row of the sheet: row of the table} of rows that are in both."""
    known = {name: i for i, name in enumerate(table["path"].to_pylist())}
    count, name = len(sheet.numbers), os.path.basename(sheet.file)
    if "text" in table.column_names:
        at = {i: known.get(f"{name}:{number}") for i, number in enumerate(sheet.numbers)}
        if any(row is not None for row in at.values()):
            return {i: row for i, row in at.items() if row is not None}
        said = {_joined(text): i for i, text in enumerate(table["text"].to_pylist())}
        for column in (column for column in matches(sheet, TEXTS) if column not in taken):
            at = {i: said.get(_joined(sheet.columns[column][i])) for i in range(count)}
            if any(row is not None for row in at.values()):
                return {i: row for i, row in at.items() if row is not None}
    columns = [column for column in matches(sheet, PATHS) if column not in taken] or [one for one in sheet.columns if one not in taken][:1]
    if not columns:
        return {}
    known |= {os.path.realpath(path): i for path, i in known.items() if os.path.isabs(path)}
    bases = [os.path.dirname(sheet.file), *_above(table["path"].to_pylist())]
    cells = [str(cell).strip().replace("\\", "/") if cell is not None else "" for cell in sheet.columns[columns[0]]]
    return {i: row for i, cell in enumerate(cells) if cell and (row := _row(cell, bases, known)) is not None}


def _joined(text: object) -> str:
    return " ".join(text if isinstance(text, list) else str(text).split())


def _above(paths: Sequence[str]) -> list[str]:
    """The folder that all paths share, and those above it."""
    folders = [os.path.dirname(path) for path in paths if os.path.isabs(path)]
    if not folders:
        return []
    found = [os.path.commonpath(folders)]
    while os.path.dirname(found[-1]) != found[-1]:
        found.append(os.path.dirname(found[-1]))
    return found


def _row(cell: str, bases: Sequence[str], known: dict[str, int]) -> int | None:
    for base in bases:
        path = os.path.abspath(os.path.join(base, cell))
        for one in (path, os.path.realpath(path)) if path not in known else (path,):
            if one in known:
                return known[one]
    return known.get(cell)
