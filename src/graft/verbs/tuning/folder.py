"""The folder of a search: what was asked, trials.jsonl, and whether a search that was killed may go on in it."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

from ...assembly.wiring import Parts
from ...engine import journal as diary
from ...errors import DataError, OptionError, OutputError
from ...spec import Spec, key

ASKED, TRIALS, RESULT = "asked.toml", "trials.jsonl", "tune.json"


def check(spec: Spec, trials: int | None) -> None:
    """Raises OptionError for what cannot be tuned honestly, or at all."""
    if trials is not None and trials < 1:
        raise OptionError(f"--trials {trials} leaves nothing to try; give 2 or more (the defaults are the first).")
    if spec.folds and spec.folds > 1:
        raise OptionError(f"Tuning needs rows that stay locked, and with {spec.folds} folds every row is scored; leave folds out.")
    if spec.select_on == "val":
        raise OptionError("With select_on val the rows that select are scored too, and tuning would fit them; leave it out.")


def finished(spec: Spec) -> dict | None:
    """The content of tune.json where spec.out holds a finished search for the same; None where there is none."""
    if spec.out is None or not (Path(spec.out) / RESULT).is_file():
        return None
    going_on(spec)
    return json.loads((Path(spec.out) / RESULT).read_text(encoding="utf-8"))


def going_on(spec: Spec) -> bool:
    """Whether spec.out holds a search for the same. Raises OutputError where it holds anything else."""
    folder = Path(spec.out) if spec.out else None
    if folder is None or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not folder.is_dir() or not (folder / ASKED).is_file():
        raise OutputError(f"'{folder}' holds something else than a search; give a folder that is new or empty with --out.")
    if _core(Spec.load(folder / ASKED)) != _core(spec):
        raise OutputError(f"The search in '{folder}' was for something else (see its {ASKED}); give another folder with --out.")
    return True


def _core(spec: Spec) -> Spec:
    """What may not differ: a search that goes on may get more time, and may have been moved."""
    return replace(spec, out=None, budget=None, threads=None)


def same_data(folder: Path, parts: Parts) -> None:
    """Raises DataError where the data have changed since the search began."""
    before = next((row["fingerprint"] for row in diary.read(folder) if row["event"] == "data"), parts.data.fingerprint)
    if before != parts.data.fingerprint:
        raise DataError(f"The data in '{parts.data.source}' have changed since this search began; begin anew in another folder.")


def claim(folder: Path, spec: Spec) -> None:
    """Make the folder and write what was asked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f"{ASKED}.new"
        beside.write_text(spec.to_toml(), encoding="utf-8")
        beside.replace(folder / ASKED)
    except OSError as error:
        raise OutputError(f"Cannot write to '{folder}': {error.strerror or error}; give another folder with --out.") from error


def free(spec: Spec) -> Path:
    """runs/DATA-BACKBONE-METHOD-tune-1, or the next that is not there."""
    stem = key(spec).rpartition("-")[0]
    return next(path for number in count(1) if not (path := Path(f"{stem}-tune-{number}")).exists())


def append(folder: Path, row: dict) -> None:
    try:
        with (folder / TRIALS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise diary.full_disk(error, folder) from error


def read(folder: Path) -> list[dict]:
    """The finished trials in order; a last line that a kill cut short is taken out of the file."""
    path = folder / TRIALS
    if not path.exists():
        return []
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        path.write_bytes(kept)
    return [json.loads(line) for line in kept.decode("utf-8").splitlines()]
