"""The folders of runs, studies, chains and distillations: JSON that is whole or not there, and what may be gone on with."""

import json
import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

from .engine.journal import full_disk
from .errors import OutputError

PLAN = "plan.json"
"""The settings that a folder was begun with."""


def write_json(path: Path, value: dict) -> None:
    """Write the file, whole or not at all; what JSON does not know is written as text. Raises OSError."""
    beside = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    os.replace(beside, path)


def publish(folder: Path, name: str, found: dict, page: Callable[[Path], Path]) -> dict:
    """Write the result as JSON and, by page(folder), for people; the result with the folder and the page. Raises OutputError."""
    try:
        write_json(folder / name, found)
        report = page(folder)
    except OSError as error:
        raise full_disk(error, folder) from error
    return found | {"folder": str(folder), "report": str(report)}


def read_json(path: Path) -> dict:
    """The table in a file; {} where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def plain(text: str, other: str = "data") -> str:
    """A name for a folder; `other` where nothing is left of the text."""
    return re.sub(r"[^\w.-]+", "_", text).strip("_.-") or other


def free(kind: str, name: str) -> Path:
    """runs/KIND-NAME-1, or the next that is not there."""
    return next(path for number in count(1) if not (path := Path("runs", f"{kind}-{name}-{number}").absolute()).exists())


def begun(folder: Path, what: str) -> dict:
    """The settings that the folder was begun with; {} for one that is new or empty. Raises OutputError where it holds anything else
    than `what`."""
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise OutputError(f"'{folder}' is a file; give a folder that is new or empty with --out.")
    if not any(folder.iterdir()):
        return {}
    before = read_json(folder / PLAN)
    if not before:
        raise OutputError(f"'{folder}' is not empty and holds no {what}; give another folder with --out.")
    return before


def as_kept(settings: dict) -> dict:
    """The settings as they are read back."""
    return json.loads(json.dumps(settings, default=str))


def differing(before: dict, settings: dict) -> list[str]:
    """The names of the settings that are not what they were; none for a folder that is new."""
    now = as_kept(settings)
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)) if before else []
