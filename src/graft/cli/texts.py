"""The texts that the user's words mean (a text itself, a table's column, the lines of a file or of stdin), and how answers are told."""

import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ..errors import DataError, OptionError

TABLES = {".csv": ",", ".tsv": "\t"}
SHEETS = (".jsonl", ".ndjson", ".parquet", ".pq")
_KINDS = ".csv, .tsv, .jsonl, .parquet"
LINES = (".txt", ".text")
GUESSED = ("text", "sentence", "review", "question")
"""Columns that are taken where none is named, in this order."""
NAME = 40  # characters of a text that stand for it
_FIELD = 50_000_000  # characters of a cell; the csv module's own limit is less than a book's chapter


def find(words: Sequence[str], column: str = "", context: str = "", pair: bool = False) -> list[tuple[str, str | tuple[str, str]]]:
    """(name, text) in the order of the words. A word is a table (.csv or .tsv with a header, .jsonl, .parquet), of which `column` is
    read; a .txt file, a text on each line that is not empty; - for the lines of stdin; or else a text itself.

    context: for questions about a text; a table's column, or for other words a .txt file that holds the text, or the text. Each
    text is then a (question, context). pair: the model reads two texts, of which `context` is the second; of a table two columns that
    are called like a pair are found. Names: "file.csv:12", the line on which the row begins; "stdin:3"; the beginning of a text.
    Raises DataError for a file that is not there or cannot be read, or has no such column, and where there is no text; OptionError
    for a column where no table is named, and for one text where there should be two.
    """
    found: list[tuple[str, str | tuple[str, str]]] = []
    if column and not any(_suffix(word) in (*TABLES, *SHEETS) for word in words):
        raise OptionError(
            f"There is no table for the column '{column}' (--text); name a .csv, .tsv, .jsonl or .parquet file, or leave it out."
        )
    for word in words:
        if pair and not context and _suffix(word) not in (*TABLES, *SHEETS):
            raise OptionError("This model reads two texts; give the second with --context, or a table with a column for each.")
        if _suffix(word) in TABLES:
            found += _rows(word, column, context, pair)
        elif _suffix(word) in SHEETS:
            found += _sheet(word, column, context, pair)
        elif word == "-":
            found += _beside([(f"stdin:{n}", line) for n, line in _lines(sys.stdin)], context)
        elif _suffix(word) in LINES:
            found += _beside(_file(word), context)
        elif os.path.isdir(word):
            raise DataError(f"'{word}' is a folder; give a text, a table ({_KINDS}), a .txt file, or - for lines on stdin.")
        elif os.path.isfile(word):
            raise DataError(f"'{word}' is neither a table ({_KINDS}) nor a list of texts (.txt); rename it, or give the text itself.")
        else:
            found += _beside([(_short(word), word)], context)
    if not found:
        raise DataError("There is no text to predict; give a text, a table or .txt file that holds some, or lines on stdin with -.")
    return found


def names(label: Sequence[Sequence[str]]) -> list[str]:
    """The names in (word, tag) pairs: "New York (LOC)"; neighbours of one type that an I- joins are one name."""
    found: list[tuple[list[str], str]] = []
    last = "O"
    for word, tag in label:
        mark, _, kind = tag.partition("-")
        if mark == "I" and last != "O" and last.partition("-")[2] == kind:
            found[-1][0].append(word)
        elif mark in ("B", "I"):
            found.append(([word], kind))
        last = tag if mark in ("B", "I") else "O"
    return [f"{' '.join(words)} ({kind})" for words, kind in found]


def pairs(label: object) -> bool:
    """Whether a prediction's label is (word, tag) pairs."""
    return isinstance(label, list | tuple) and bool(label) and all(isinstance(one, list | tuple) and len(one) == 2 for one in label)


def told(label: object) -> str | None:
    """A label that only models of texts give, in words: names, an answer, or how a text goes on, on one line; None for another."""
    if pairs(label):
        return ", ".join(names(label)) or "-"
    if label == "":
        return "no answer"
    return " ".join(label.split()) if isinstance(label, str) and "\n" in label else None


def _rows(path: str, column: str, context: str, pair: bool) -> Iterator[tuple[str, str | tuple[str, str]]]:
    csv.field_size_limit(_FIELD)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.reader(file, delimiter=_delimiter(file, TABLES[_suffix(path)]))
            header = next(table, [])
            column, context = _pair(path, header, column) if pair and not context else (column, context)
            place, beside = _place(path, header, column), _named(path, header, context) if context else None
            most, line = max(place, beside or 0), table.line_num
            for row in table:
                first, line = line + 1, table.line_num
                if not row:
                    continue
                if len(row) <= most:
                    raise DataError(f"Line {first} of '{path}' has {len(row)} cells where the header has {len(header)}; mend the line.")
                text = row[place]
                yield f"{os.path.basename(path)}:{first}", text if beside is None else (text, row[beside])
    except UnicodeDecodeError:
        raise DataError(f"'{path}' is not encoded in UTF-8; save it so.") from None
    except csv.Error as error:
        raise DataError(f"'{path}' cannot be read as a table near line {line + 1} ({error}); mend its quotation marks.") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}); give a file that is there, or the text itself.") from None


def _sheet(path: str, column: str, context: str, pair: bool) -> Iterator[tuple[str, str | tuple[str, str]]]:
    """The same of JSONL and Parquet, as a fit reads them; a cell may also be a list of words."""
    from ..readers.sheet import load

    sheet = load(path)
    header = list(sheet.columns)
    column, context = _pair(path, header, column) if pair and not context else (column, context)
    texts = sheet.columns[header[_place(path, header, column)]]
    beside = sheet.columns[header[_named(path, header, context)]] if context else [None] * len(texts)
    for number, text, other in zip(sheet.numbers, texts, beside, strict=True):
        words = isinstance(text, list) and all(isinstance(word, str) for word in text)
        if not (text is None or isinstance(text, str) or words) or not (other is None or isinstance(other, str)):
            raise DataError(f"{sheet.unit.capitalize()} {number} of '{path}' holds no text; name the column that does with --text.")
        yield f"{os.path.basename(path)}:{number}", (text or "") if not context else (text or "", other or "")


def _delimiter(file: TextIO, usual: str) -> str:
    """The usual sign, or the semicolon where the header has that alone, as spreadsheets in many countries write it."""
    header = file.readline()
    file.seek(0)
    return ";" if ";" in header and usual not in header else usual


def _place(path: str, header: list[str], column: str) -> int:
    """The number of the column that holds the texts."""
    if column:
        return _named(path, header, column)
    known = [name for name in GUESSED if name in header]
    if known or len(header) == 1:
        return header.index(known[0]) if known else 0
    if not header:
        raise DataError(f"'{path}' is empty; give a table with a header and a column of texts.")
    raise DataError(f"'{path}' has the columns {_list(header)}; name the one that holds the texts with --text.")


def _pair(path: str, header: list[str], column: str) -> tuple[str, str]:
    """The two columns whose names say that they are read together, as a fit finds them; `column` is the first where it is given."""
    from ..readers.text_table import pair_of

    found = pair_of(header, first=column)
    if found is None:
        raise DataError(f"'{path}' has no two columns that are called like a pair: name the first with --text, the second with --context.")
    return found


def _named(path: str, header: list[str], column: str) -> int:
    if column not in header:
        raise DataError(f"'{path}' has no column '{column}'; it has {_list(header) or 'none'}.")
    return header.index(column)


def _list(header: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in header[:8]) + (" ..." if len(header) > 8 else "")


def _file(path: str) -> list[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [(f"{os.path.basename(path)}:{n}", line) for n, line in _lines(file)]
    except UnicodeDecodeError:
        raise DataError(f"'{path}' is not encoded in UTF-8; save it so.") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}); give a file that is there, or the text itself.") from None


def _lines(file) -> Iterator[tuple[int, str]]:
    return ((n, line.rstrip("\r\n")) for n, line in enumerate(file, 1) if line.strip())


def _beside(texts: list[tuple[str, str]], context: str) -> list[tuple[str, str | tuple[str, str]]]:
    if not context:
        return texts
    if _suffix(context) in LINES:
        context = "\n".join(line for _, line in _file(context))
    return [(name, (text, context)) for name, text in texts]


def _suffix(word: str) -> str:
    """The ending of a file's name; "" of what is a sentence rather than a name."""
    return Path(word).suffix.lower() if os.path.exists(word) or not re.search(r"\s", word) else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= NAME else line[: NAME - 1].rstrip() + "…"
