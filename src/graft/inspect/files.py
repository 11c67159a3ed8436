"""Every image is decoded once before training, so that a broken file is named at the start and not met in the last epoch."""

import logging
import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from ..core import Data, Note
from ..data.images import MAX_PIXELS, decode
from ..errors import DataError
from ..readers.labels import fingerprint, listed, printable

_TABLES = ("train", "val", "test", "target", "unlabelled")


def check(data: Data, share: float = 0.05, threads: int = 2) -> Data:
    """Decode every image of every table, and return the Data without the rows that cannot be used.

    The decoder is that of training, so what passes here will not fail there; an image above MAX_PIXELS is refused from
    its header. Each kind of defect becomes one warning with the paths, and the fingerprint is taken anew.
    share: 0 .. 1, the largest part of all files that may be bad. threads: decoders at a time.
    Raises DataError where more are bad, where a class has no training row left, or where a split is left empty.
    """
    tables = {name: table for name in _TABLES if (table := getattr(data, name)) is not None}
    paths = sorted({path for table in tables.values() for path in table.column(data.schema.input).to_pylist()})
    with _quiet(), ThreadPoolExecutor(max(1, threads)) as pool:
        verdicts = zip(paths, pool.map(defect, paths))
        bad = {path: why for path, why in verdicts if why}
    if not bad:
        return data
    if len(bad) > share * len(paths):
        _refuse(bad, len(paths), share)
    kept = {name: _without(table, bad, data.schema.input) for name, table in tables.items()}
    kept |= {name: None for name in ("target", "unlabelled") if name in kept and not len(kept[name])}
    _check_left(data, kept, bad)
    notes = tuple(
        Note("warning", f"Left out {len(files)} of {len(paths)} files: {why}.", tuple(files))
        for why in sorted(set(bad.values()))
        if (files := [path for path in sorted(bad) if bad[path] == why])
    )
    return replace(data, **kept, notes=data.notes + notes, fingerprint=fingerprint(kept.values()))


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings or log lines from decoders: what they only warn about can be used, and the rest is said in the notes.
    Set once for all threads, which share the filters."""
    log = logging.getLogger("PIL")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def defect(path: str) -> str:
    """What is wrong with an image file, in a few words; "" where it can be used. Never raises."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        if status.st_size == 0:
            return "empty file (0 bytes)"
        # The smallest size at which a JPEG can be decoded: all its data are still read, several times faster.
        decode(path, at_least=1)
    except (DataError, OSError, ValueError, MemoryError) as error:
        return _words(error.__cause__ if isinstance(error, DataError) else error)
    return ""


def _words(error: BaseException | None) -> str:
    """The kind of defect behind an error of `decode`, which has no cause only where the image is too large."""
    if error is None or isinstance(error, Image.DecompressionBombError):
        return f"too large (more than {MAX_PIXELS // 1_000_000} million pixels)"
    if isinstance(error, FileNotFoundError):
        return "missing, or a link to nowhere"
    if isinstance(error, PermissionError):
        return "may not be read by this user"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    return "truncated" if "truncated" in str(error).lower() else "damaged"


def _refuse(bad: dict[str, str], total: int, share: float) -> None:
    first = ", ".join(f"'{printable(path)}' ({why})" for path, why in sorted(bad.items())[:3])
    allow = min(1.0, -(-len(bad) * 1000 // total) / 1000)
    raise DataError(
        f"{len(bad)} of {total} files cannot be used, more than the {share:.1%} allowed: {first}{', ...' if len(bad) > 3 else ''}; "
        f"replace or remove them, or go on without them with --set data.bad_share={allow:g}."
    )


def _without(table: pa.Table, bad: dict[str, str], column: str) -> pa.Table:
    keep = [path not in bad for path in table.column(column).to_pylist()]
    return table if all(keep) else table.filter(pa.array(keep))


def _check_left(data: Data, kept: dict[str, pa.Table | None], bad: dict[str, str]) -> None:
    """Raises DataError where dropping rows has emptied a split, or has taken a class from train."""
    for name in ("train", "val", "test"):
        if name in kept and not len(kept[name]):
            raise DataError(f"No usable image is left in {name} ({len(bad)} bad files were left out): replace them with good ones.")
    if data.schema.target == "number":
        return
    before, after = (_labels(table) for table in (data.train, kept["train"]))
    lost = sorted(before - after)
    if lost:
        paths = [path for path, names in _rows(data.train) if path in bad and lost[0] in names]
        raise DataError(
            f"No usable training image is left of {listed(lost)}, because {listed(paths)} cannot be used "
            f"({Counter(bad[p] for p in paths).most_common(1)[0][0]}): replace these files, or remove the class."
        )


def _rows(table: pa.Table) -> list[tuple[str, list[str]]]:
    """(path, its labels, be it one or several) of each row."""
    pairs = zip(table.column("path").to_pylist(), table.column("label").to_pylist())
    return [(path, label if isinstance(label, list) else [label]) for path, label in pairs]


def _labels(table: pa.Table) -> set[str]:
    return {name for _, names in _rows(table) for name in names}
