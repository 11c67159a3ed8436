"""The run's append-only diary: one JSON object a line. Progress, report and resume only read it."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import OutputError


class Journal:
    """write(event, **fields) appends {"t": seconds since the run's start, "event": event, ...} and tells the listener.

    Until `open(folder)` is called, lines are kept in memory, so that a fit that fails on bad input leaves no folder.
    tell(event, **fields) reaches the listener alone: for what happens several times a second.
    """

    def __init__(self, listener: Callable[[dict], None] | None = None):
        self._listener, self._file, self._waiting, self._began = listener, None, [], time.monotonic()

    def open(self, folder: Path) -> None:
        """Append to folder/journal.jsonl; a last line that a kill cut short is dropped, and the clock goes on from the last one."""
        path = folder / "journal.jsonl"
        if path.exists():
            whole = path.read_bytes()
            kept = whole[: whole.rfind(b"\n") + 1]
            if kept != whole:
                with path.open("r+b") as file:
                    file.truncate(len(kept))
            earlier = read(folder)
            self._began = time.monotonic() - (earlier[-1]["t"] if earlier else 0.0)
        self._file = path.open("a", encoding="utf-8")
        for row in self._waiting:
            self._append(row)
        self._waiting = []

    def beside(self, folder: Path) -> "Journal":
        """A diary of its own in another folder, whose lines reach the same listener."""
        journal = Journal(self._listener)
        journal.open(folder)
        return journal

    @property
    def seconds(self) -> float:
        """Seconds since the run began; the time between a kill and its resume is not counted."""
        return time.monotonic() - self._began

    def write(self, event: str, **fields) -> None:
        row = {"t": round(self.seconds, 3), "event": event, **fields}
        if self._file is None:
            self._waiting.append(row)
        else:
            self._append(row)
        if self._listener is not None:
            self._listener(row)

    def tell(self, event: str, **fields) -> None:
        if self._listener is not None:
            self._listener({"t": round(self.seconds, 3), "event": event, **fields})

    def progress(self, phase: str, steps: int, run: str = "final") -> Callable[[int], None]:
        """tick(count) tells the listener how many of `steps` are done, at what rate, and how long the rest takes."""
        began, done = time.monotonic(), 0

        def tick(count: int) -> None:
            nonlocal done
            if not count:
                return
            done += count
            rate = done / max(time.monotonic() - began, 1e-9)
            self.tell("step", run=run, phase=phase, epoch=0, step=done, steps=steps, rate=rate, remaining_s=(steps - done) / rate)

        return tick

    def decide(self, what: str, value: str, reason: str, flag: str) -> None:
        """An automatic choice, its reason, and the flag that overrides it."""
        self.write("decision", what=what, value=value, reason=reason, flag=flag)

    def _append(self, row: dict) -> None:
        try:
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            self._file.flush()
        except OSError as error:
            raise full_disk(error, Path(self._file.name).parent) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read(folder: Path) -> list[dict]:
    """All whole lines of a run's journal; a line cut short by a kill is left out."""
    path = Path(folder) / "journal.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def full_disk(error: OSError, folder: Path) -> OutputError:
    """The one sentence for a disk that cannot be written any more."""
    why = "the disk is full" if error.errno == 28 else (os.strerror(error.errno) if error.errno else str(error))
    return OutputError(
        f"Could not write to '{folder}': {why}; the last good checkpoint is whole: make room and go on with: graft resume {folder}"
    )


def decisions(rows: list[dict]) -> tuple[tuple[str, str, str, str], ...]:
    """(what, value, reason, flag that overrides it) of every automatic choice."""
    return tuple((row["what"], row["value"], row["reason"], row["flag"]) for row in rows if row["event"] == "decision")
