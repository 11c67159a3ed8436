"""A folder that holds train, val and test as one file each, or a single file."""

import os
import re
from collections.abc import Sequence

from ..core import Note
from ..errors import DataError
from .labels import is_text, listed, printable
from .split import split_name


def split_files(path: str, extensions: Sequence[str], what: str) -> tuple[str, dict[str, str], list[Note]]:
    """(the absolute path given, {split: absolute file}, notes): a file is all "train", a folder holds train, val and test files.

    extensions: in lower case, with the dot; of a folder's other files only those that have one are told of. A file may be called
    as `split.split_name` knows the splits, or so with "-00000-of-00001" behind it. what: the files' kind in words ("tables").
    Raises DataError where nothing is there, train is missing, or two files mean one split.
    """
    root = os.path.abspath(os.path.expanduser(path))
    shown = printable(root)
    if not is_text(root):
        raise DataError(f"The path '{shown}' is not valid UTF-8: rename it.")
    if os.path.isfile(root):
        return root, {"train": root}, []
    if not os.path.isdir(root):
        raise DataError(f"'{shown}' does not exist: check the path.")
    try:
        names = sorted(os.listdir(root))
    except OSError as error:
        raise DataError(f"The folder '{shown}' cannot be listed ({error.strerror}): give this user the right to read it.") from None
    fitting = [name for name in names if is_text(name) and name.lower().endswith(tuple(extensions)) and not name.startswith(".")]
    fitting = [name for name in fitting if os.path.isfile(os.path.join(root, name))]
    found: dict[str, str] = {}
    others = []
    for name in fitting:
        split = split_of_file(name)
        if split is None:
            others.append(name)
        elif split in found:
            raise DataError(
                f"The files '{os.path.basename(found[split])}' and '{name}' in '{shown}' both mean {split}: rename one of them."
            )
        else:
            found[split] = os.path.join(root, name)
    if "train" not in found:
        raise DataError(f"'{shown}' has no train file among its {what} {_there(fitting)}: {_mend(found, others, extensions)}.")
    notes = [Note("info", f"Ignored {what} that are no split: {len(others)}.", tuple(os.path.join(root, name) for name in others))]
    return root, {split: found[split] for split in ("train", "val", "test") if split in found}, notes if others else []


def split_of_file(name: str) -> str | None:
    """ "train", "val" or "test" for the name of a file, without its extension."""
    return split_name(re.sub(r"-00000-of-00001$", "", os.path.splitext(os.path.basename(name))[0]))


def _there(fitting: list[str]) -> str:
    return f"({listed(fitting)})" if fitting else "(there are none)"


def _mend(found: dict[str, str], others: list[str], extensions: Sequence[str]) -> str:
    if len(others) == 1 and not found:
        return f"give '{printable(others[0])}' itself, or call it train{os.path.splitext(others[0])[1]}"
    return f"call the file to learn from train{extensions[0]}, or give one file"
