"""Columns of a CSV, TSV, JSONL or Parquet file as Python values, with the line each row came from."""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import DataError
from .decode import decoded
from .labels import is_text, printable

csv.field_size_limit(2**31 - 1)  # Texts may be longer than the 128 KiB that are allowed otherwise.
_TEXT, _LINES, _PARQUET = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson"), (".parquet", ".pq")


@dataclass(frozen=True)
class Sheet:
    """columns: name -> values, all equally long: texts from CSV, JSON values from JSONL, Python values from Parquet.
    numbers: where each row stands in the file, counted in `unit`s ("line" or "row") from 1, or texts such as "val.csv:12"
    where several files were joined. file: absolute path, of the folder where several were joined."""

    file: str
    columns: dict[str, list]
    numbers: list[int] | list[str]
    unit: str

    @property
    def shown(self) -> str:
        """The file's path for messages."""
        return printable(self.file)

    def take(self, rows: Sequence[int]) -> "Sheet":
        """The same table with these rows only, numbered from 0."""
        columns = {name: [values[i] for i in rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, numbers=[self.numbers[i] for i in rows])


def load(path: str, encoding: str = "utf-8", flag: bool = False) -> Sheet:
    """Read a table by its extension. encoding: of CSV, TSV and JSONL; flag: the user may set it with data.encoding.

    Raises DataError for a file that is missing, empty, damaged or in another encoding, OptionError for an unknown encoding.
    """
    file = os.path.abspath(os.path.expanduser(path))
    suffix = os.path.splitext(file)[1].lower()
    if not is_text(file):
        raise DataError(f"The path '{printable(file)}' is not valid UTF-8: rename the file.")
    if os.path.isdir(file):
        raise DataError(
            f"'{printable(file)}' is a folder, not a table: name the table's file, or read class folders with the image_folder reader."
        )
    if not os.path.isfile(file):
        raise DataError(f"The table '{printable(file)}' does not exist: check the path.")
    if suffix in _PARQUET:
        sheet = _parquet(file)
    elif suffix in _LINES:
        sheet = _json_lines(file, decoded(file, encoding, flag))
    elif suffix in _TEXT:
        sheet = _delimited(file, suffix, decoded(file, encoding, flag))
    else:
        raise DataError(f"'{printable(file)}' is no table that can be read: save it as {', '.join(_TEXT[:2] + _LINES[:1] + _PARQUET[:1])}.")
    if not sheet.numbers:
        raise DataError(f"The table '{printable(file)}' has no rows: it needs a header and a row for each sample.")
    return sheet


def joined(folder: str, sheets: Sequence[Sheet], names: Sequence[str]) -> Sheet:
    """One table of these columns of several, which all have them; its numbers are texts such as "val.csv:12"."""
    columns = {name: [value for sheet in sheets for value in sheet.columns[name]] for name in names}
    numbers = [f"{os.path.basename(sheet.file)}:{number}" for sheet in sheets for number in sheet.numbers]
    return Sheet(folder, columns, numbers, sheets[0].unit)


def _delimited(file: str, suffix: str, text: str) -> Sheet:
    lines = [line for line in re.split("\r\n?|\n", text) if line.strip()]
    first = lines[0] if lines else ""
    # The sign that makes the most columns of the header; a comma where none makes any.
    sign = "\t" if suffix == ".tsv" else max(",;\t", key=lambda one: len(_header(first, one)))
    # "a, b, c": a writer that puts a space after each comma does it everywhere, and quotes after the space.
    later = _header(first, sign)[1:]
    spaced = bool(later) and all(name.startswith(" ") for name in later)
    shape = {"delimiter": sign, "skipinitialspace": spaced, "strict": True}
    if sign == "\t" and _literal(lines, shape):
        shape["quoting"] = csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), **shape)
    rows = (row for row in reader if any(cell.strip() for cell in row))
    columns: dict[str, list] = {}
    numbers: list[int] = []
    try:
        for row in rows:
            if not columns:
                columns = {name: [] for name in _names(file, row)}
                continue
            _put(file, columns, row, reader.line_num)
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"'{printable(file)}' is damaged at line {reader.line_num} ({printable(str(error))}): correct that line.") from None
    return Sheet(file, columns, numbers, "line")


def _literal(lines: list[str], shape: dict) -> bool:
    """Whether quotes are letters like others in a table with tabs: every line is a row by itself, but not if quotes are obeyed."""
    if len({line.count("\t") for line in lines}) != 1:
        return False
    try:
        return sum(1 for _ in csv.reader(lines, **shape)) != len(lines)
    except csv.Error:
        return True


def _names(file: str, given: list[str]) -> list[str]:
    """The names of columns with all white space made single spaces. Raises DataError for two that are equal, or odd."""
    names = [" ".join(name.split()) or f"column{i + 1}" for i, name in enumerate(given)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"'{printable(file)}' has two columns called {twice!r}: rename one of them.")
    odd = next((name for name in names if not name.isprintable()), None)
    if odd:
        raise DataError(f"'{printable(file)}' has a column or key called {odd!r}, which cannot be shown as text: rename it.")
    return names


def _header(line: str, sign: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=sign), [])
    except csv.Error:
        return []


def _put(file: str, columns: dict[str, list], row: list[str], line: int) -> None:
    extra = row[len(columns) :]
    if len(row) < len(columns) or any(cell.strip() for cell in extra):
        raise DataError(
            f"Line {line} of '{printable(file)}' has {len(row)} cells, but the header has {len(columns)}: correct it "
            "(a cell that holds the separator needs double quotes around it)."
        )
    for values, cell in zip(columns.values(), row):
        values.append(cell)


def _json_lines(file: str, text: str) -> Sheet:
    rows: list[dict] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Line {number} of '{printable(file)}' is not JSON ({error}): write one object a line.") from None
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of '{printable(file)}' is not an object: write {{'path': ..., 'label': ...}} in JSON.")
        rows.append(row)
        numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [[row.get(name) for row in rows] for name in names]
    return Sheet(file, dict(zip(_names(file, names), columns)), numbers, "line")


def _parquet(file: str) -> Sheet:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            table = opened.read()
        columns = [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"The table '{printable(file)}' cannot be read as Parquet ({printable(why)}): it is damaged or of "
            "another format; write it again."
        ) from None
    return Sheet(file, dict(zip(_names(file, table.column_names), columns)), list(range(1, table.num_rows + 1)), "row")
