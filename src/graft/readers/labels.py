"""What every reader asks of its labels, and the fingerprint of the rows and files it returns."""

import hashlib
import json
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pyarrow as pa

from ..errors import DataError


def check_classes(found: Mapping[str, Iterable[str]], repair: str, least: int = 2) -> tuple[str, ...]:
    """The sorted classes of "train", after all checks on them.

    found: split name -> its class names, "train" always among them. repair: the end of the sentence when there are
    fewer than `least` classes. Raises DataError when two names are written almost alike, when another split has a
    class that train has not, and when there are too few classes.
    """
    sets = {split: set(names) for split, names in found.items()}
    check_alike(set().union(*sets.values()))
    classes = sets["train"]
    for split, names in sets.items():
        missing = sorted(names - classes)
        if missing:
            raise DataError(
                f"{_count(missing, 'class', 'classes')} {listed(missing)} in {split} {'is' if len(missing) == 1 else 'are'} not in "
                f"train: add training samples of {'it' if len(missing) == 1 else 'them'}, or remove {listed(missing)} from {split}."
            )
    if len(classes) < least:
        which = f"Only one class, {listed(sorted(classes))}, was found" if classes else "No class was found"
        raise DataError(f"{which}, but at least {least} are needed: {repair}.")
    return tuple(sorted(classes))


def check_alike(names: Collection[str]) -> None:
    """Raises DataError, naming both, when two labels differ only in case, in surrounding spaces or in how an accent is
    encoded (composed or decomposed): a person cannot tell them apart, and they are one class far more often than two."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        key = unicodedata.normalize("NFC", name).strip().lower()
        if key in seen:
            raise DataError(
                f"The labels {seen[key]!r} and {name!r} differ only in case, surrounding spaces or the encoding of an accent: "
                "rename one of them so that they are the same, or clearly two classes."
            )
        seen[key] = name


def check_given(missing: Sequence[int], total: int, where: str, unit: str = "row") -> None:
    """Raises DataError when labels are empty or NaN. missing: their row or line numbers; where: the column, in words."""
    if missing:
        first = ", ".join(str(number) for number in missing[:3])
        raise DataError(
            f"{len(missing)} of {total} rows have no label (empty or NaN) in {where}, the first at {unit} {first}: "
            "fill these labels in, or remove the rows."
        )


def listed(names: Sequence[object], most: int = 3) -> str:
    """'a', 'b', 'c' and 4 more: at most `most` of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _count(things: Sequence, one: str, many: str) -> str:
    return f"The {one}" if len(things) == 1 else f"The {len(things)} {many}"


def is_text(name: str) -> bool:
    """Whether a name can be written in a table: file names that are not valid UTF-8 cannot."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """A name as it can be shown on one line anywhere: bytes that are not UTF-8, line breaks and the like become \\xNN or \\n."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name if name.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _labels(table: pa.Table) -> list:
    return table["label"].to_pylist() if "label" in table.column_names else [""] * len(table)


def fingerprint(tables: Iterable[pa.Table | None]) -> str:
    """Hex sha256 over the sorted (path relative to the folder all share, label, digest of the file's content).

    It does not change when the folder is moved, nor with the order of rows; it does with any byte of a file or any
    label. A file that cannot be read counts as the word "unreadable". None among the tables is skipped, and rows of a table
    without labels have "".
    """
    rows = [row for table in tables if table is not None for row in zip(table["path"].to_pylist(), _labels(table), strict=True)]
    if not rows:
        return hashlib.sha256(b"").hexdigest()
    paths = sorted({path for path, _ in rows})
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    # The digest leaves Python's lock, so that two threads read the disk and hash at the same time.
    with ThreadPoolExecutor(2) as pool:
        digests = dict(zip(paths, pool.map(content, paths)))
    whole = hashlib.sha256()
    for line in sorted("\x1f".join((os.path.relpath(path, root), _spell(label), digests[path])) for path, label in rows):
        whole.update(line.encode("utf-8") + b"\x1e")
    return whole.hexdigest()


def text_fingerprint(tables: Iterable[pa.Table | None]) -> str:
    """Hex sha256 over the sorted rows of texts: every column but path and group, as one line of JSON each.

    It does not change when the files are moved or renamed, nor with the order of rows; it does with any character of a text,
    context or label. None among the tables is skipped.
    """
    lines = []
    for table in tables:
        if table is not None:
            told = table.select([name for name in table.column_names if name not in ("path", "group")])
            lines += [json.dumps(row, sort_keys=True) for row in told.to_pylist()]
    whole = hashlib.sha256()
    for line in sorted(lines):
        whole.update(line.encode("ascii") + b"\n")
    return whole.hexdigest()


def _spell(label: object) -> str:
    if isinstance(label, list):
        return "\x1d".join(sorted(label))
    return label if isinstance(label, str) else repr(label)


UNREADABLE = "unreadable"


def content(path: str) -> str:
    """Hex digest of a file's content; UNREADABLE where it cannot be read."""
    try:
        status = os.stat(path)
        return _content(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return UNREADABLE


@lru_cache(maxsize=200_000)
def _content(path: str, size: int, changed: int) -> str:
    """blake2b of a file. Kept by size and time of change, since a fingerprint is taken again when a check drops rows."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
