"""What the cells of the label columns mean: one class, several labels, or a number."""

import re
from collections import Counter
from collections.abc import Sequence

from ..core import Note
from ..errors import DataError, OptionError
from .labels import check_alike, check_given, is_text
from .sheet import Sheet

TARGETS = ("auto", "class", "labels", "number")
FEW_CLASSES = 20
_MISSING = ("", "nan", "null", "n/a", "#n/a", "<na>")
_UNKNOWN = ("na", "none", "-", "--", "?")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_WORDS = {"class": "one class a row", "labels": "several labels a row", "number": "a number"}


def read_labels(sheet: Sheet, names: Sequence[str], target: str, separator: str | None, notes: list[Note]) -> tuple[str, list]:
    """(what is to be predicted, a label for each row): "class" and texts, "labels" and sorted lists of texts, or "number" and floats.

    target: one of TARGETS, separator: None to see it from the cells. What was seen is added to notes. Raises DataError for
    cells that are empty or mean something else, OptionError where target contradicts the columns.
    """
    if len(names) > 1:
        if target not in ("auto", "labels"):
            raise OptionError(f"{len(names)} label columns are several labels, not a {target}: name one column, or leave out data.target.")
        return "labels", _flags(sheet, names)
    cells = [plain(value) for value in sheet.columns[names[0]]]
    where = f"column '{names[0]}' of '{sheet.shown}'"
    empty = [i for i, one in enumerate(cells) if one is None or (isinstance(one, list) and None in one)]
    check_given([sheet.numbers[i] for i in empty or _unknown(cells)], len(cells), where, sheet.unit)
    lists = [isinstance(one, list) for one in cells]
    if any(lists):
        if not all(lists) or target in ("class", "number"):
            raise DataError(f"The {where} holds lists, which are several labels: make every cell a list and leave out data.target.")
        return "labels", [_parts(sheet, one, i) for i, one in enumerate(cells)]
    cells = [checked(sheet, one, i) for i, one in enumerate(cells)]
    if target == "auto":
        target, separator, why = _guess(cells, separator)
        said = f"'{names[0]}' is read as {_WORDS[target]}, because {why}; --set data.target=class, labels or number overrides."
        notes.append(Note("info", said))
    elif target == "labels":
        separator = _separator(cells, separator, sure=True)
    if target == "number":
        return target, [_float(sheet, one, i, names[0]) for i, one in enumerate(cells)]
    if target == "class":
        check_alike(set(cells))  # Before the spaces go.
        return target, [one.strip() for one in cells]
    return target, [_parts(sheet, one.split(separator) if separator else [one], i) for i, one in enumerate(cells)]


def _unknown(cells: list) -> list[int]:
    """Where a column of numbers says NA, none, - or ?. In a column of names these may be names."""
    rows = [i for i, one in enumerate(cells) if isinstance(one, str) and one.strip().lower() in _UNKNOWN]
    others = set(range(len(cells))) - set(rows) if rows else ()
    return rows if others and all(isinstance(cells[i], str) and _NUMBER.fullmatch(cells[i].strip()) for i in others) else []


def _guess(cells: list[str], given: str | None) -> tuple[str, str | None, str]:
    """(target, separator, why)."""
    separator = _separator(cells, given, sure=False)
    if separator:
        return "labels", separator, f"{'data.separator' if given else 'obviously'} {separator!r} stands between several"
    bare = [cell.strip() for cell in cells]
    if not all(_NUMBER.fullmatch(one) for one in bare):
        return "class", None, "not all of its cells are numbers"
    if any(re.match(r"[+-]?0\d", one) for one in bare):
        return "class", None, "its numbers have leading zeros"
    distinct = Counter(bare)
    if not all(_WHOLE.fullmatch(one) for one in bare):
        return "number", None, "its cells are numbers with a fraction"
    if len(distinct) > FEW_CLASSES:
        return "number", None, f"it has {len(distinct)} distinct whole numbers, more than {FEW_CLASSES}"
    if min(distinct.values()) < 2:
        return "number", None, f"it has {len(distinct)} distinct whole numbers, some of them once only"
    return "class", None, f"it has {len(distinct)} distinct whole numbers, each at least twice"


def _separator(cells: list[str], given: str | None, sure: bool) -> str | None:
    """What stands between several labels in a cell. sure: it is known that there are several, so any that occurs will do."""
    if given:
        return " " if given.strip().lower() in ("", "space") else given
    if sure:
        return next((sign for sign in ("|", ";", ",", " ") if any(sign in cell.strip() for cell in cells)), None)
    for sign in ("|", ";"):
        split = [{part.strip() for part in cell.split(sign)} for cell in cells]
        joined = [parts for cell, parts in zip(cells, split) if sign in cell]
        if len(joined) < 2 or any("" in parts for parts in joined):
            continue
        counts = Counter(part for parts in split for part in parts)
        inside = set().union(*joined)
        if 2 * sum(counts[part] > 1 for part in inside) > len(inside):
            return sign
    return None


def _parts(sheet: Sheet, parts: list, i: int) -> list[str]:
    return sorted({checked(sheet, part, i).strip() for part in parts} - {""})


def _flags(sheet: Sheet, names: Sequence[str]) -> list[list[str]]:
    """The names of the columns that hold 1, for each row."""
    labels: list[list[str]] = [[] for _ in sheet.numbers]
    for name in sorted(set(names)):
        cells = [plain(value) for value in sheet.columns[name]]
        where = f"column '{name}' of '{sheet.shown}'"
        check_given([sheet.numbers[i] for i, cell in enumerate(cells) if cell is None], len(cells), where, sheet.unit)
        for i, cell in enumerate(cells):
            flag = _TRUTH.get(cell.strip().lower()) if isinstance(cell, str) else None
            if flag is None:
                raise DataError(
                    f"The {where} holds {cell!r} at {sheet.unit} {sheet.numbers[i]}, but of several label columns each must hold 0 or 1: "
                    "correct the cell, or name one column with --set data.label=COLUMN."
                )
            if flag:
                labels[i].append(name)
    return labels


def _float(sheet: Sheet, cell: str, i: int, name: str) -> float:
    number = float(cell.strip()) if _NUMBER.fullmatch(cell.strip()) else None
    if number is None or number in (float("inf"), float("-inf")):
        raise DataError(
            f"Column '{name}' of '{sheet.shown}' holds {cell!r} at {sheet.unit} {sheet.numbers[i]}, which is not a finite number: "
            "correct it, or read the column as names with --set data.target=class."
        )
    return number


def plain(value: object) -> object:
    """A cell as text (numbers and booleans too) or a list of such; None where it is empty or NaN. Spaces are kept, and so
    are objects and bytes, which `checked` refuses."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict | bytes):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    said = "" if value is None else str(value)
    return None if said.strip().lower() in _MISSING else said


def checked(sheet: Sheet, value: object, i: int) -> str:
    """The value of row i, if it is a text that can be written in a table. Raises DataError."""
    if not isinstance(value, str) or not is_text(value):
        raise DataError(
            f"'{sheet.shown}' holds {value!r} at {sheet.unit} {sheet.numbers[i]}, which is not a valid text: correct this cell."
        )
    return value
