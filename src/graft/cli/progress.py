"""Live progress on stderr from the events of a run's journal: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO

from .events import Line, describe, pace, step, where
from .words import clock, number

EVERY = 5.0  # seconds between plain lines about steps
_COLOURS = {"": "", "good": "green", "warning": "yellow", "faint": "dim"}
EPOCHS_EVERY = 1.0  # seconds between plain lines about epochs; the last epoch of a phase is always told


class Sink(Protocol):
    """Takes events as the journal writes them. `folder` is the run's, once an event has told it."""

    folder: str | None

    def __call__(self, event: Mapping) -> None: ...

    def close(self) -> None: ...


@contextmanager
def follow(quiet: bool = False, stream: TextIO | None = None) -> Iterator[Sink]:
    """The sink that suits the stream. An exception that passes is told the run's folder, as `run_folder`."""
    stream = stream or sys.stderr
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    sink: Sink = Silent() if quiet else Live(stream) if live else Plain(stream)
    try:
        yield sink
    except BaseException as error:
        error.run_folder = sink.folder
        raise
    finally:
        sink.close()


class Silent:
    """Says nothing; remembers the folder."""

    def __init__(self):
        self.folder: str | None = None
        self.phase: Mapping = {}
        self.modality: str | None = None

    def __call__(self, event: Mapping) -> None:
        self.folder = event.get("folder") or self.folder
        self.modality = event.get("modality") or self.modality
        if event.get("event") == "phase":
            self.phase = event

    def close(self) -> None:
        pass


class Plain(Silent):
    """One line an event; steps at most every few seconds, and epochs at most one a second."""

    def __init__(self, stream: TextIO, now=time.monotonic):
        super().__init__()
        self._stream, self._now = stream, now
        self._told = {"step": now(), "epoch": -EPOCHS_EVERY}

    def __call__(self, event: Mapping) -> None:
        super().__call__(event)
        name = event.get("event")
        if name in self._told and not self._due(name, event):
            return
        lines = [Line("step", step({**event, "modality": self.modality}))] if name == "step" else describe(event, self.phase)
        for line in lines:
            self._stream.write(f"{line.label:<9} {line.text}".rstrip() + "\n")
        if lines:
            self._stream.flush()

    def _due(self, name: str, event: Mapping) -> bool:
        now = self._now()
        last = name == "epoch" and event.get("epoch") == self.phase.get("epochs")
        if not last and now - self._told[name] < (EVERY if name == "step" else EPOCHS_EVERY):
            return False
        self._told[name] = now
        if name == "epoch":
            self._told["step"] = now
        return True


class Live(Silent):
    """The same lines in colour, and one bar at the foot with pace, remaining time and the last scores.

    Epochs only move the bar; what a phase came to is a line. The screen is drawn again when an event comes, not by a
    thread, so that watching costs the training nothing.
    """

    def __init__(self, stream: TextIO):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__()
        self._console = Console(file=stream, highlight=False)
        words = {"description": "bold", "fields[pace]": "none", "fields[left]": "none", "fields[score]": "dim"}
        columns = [TextColumn(f"{{task.{name}}}", style, markup=False) for name, style in words.items()]
        self._bar = Progress(columns[0], BarColumn(bar_width=24), *columns[1:], console=self._console, transient=True, auto_refresh=False)
        self._task, self._score = None, ""
        self._bar.start()

    def __call__(self, event: Mapping) -> None:
        super().__call__(event)
        name = event.get("event")
        if name == "step":
            self._advance(event)
        elif name == "epoch":
            self._score = _score(event)
        else:
            if name in ("phase", "solved", "kept"):
                self._score = ""
                self._clear()
            self._say(describe(event, self.phase))

    def _advance(self, event: Mapping) -> None:
        epochs = self.phase.get("epochs")
        name = where(event)
        label = f"{name}  {event['epoch']}/{epochs}" if event.get("epoch") and epochs else name
        left = "" if event.get("remaining_s") is None else f"{clock(event['remaining_s'])} left"
        rate = "" if event.get("rate") is None else pace(event["rate"], self.modality)
        score = "  ".join(filter(None, ("" if event.get("loss") is None else f"loss {number(event['loss'])}", self._score)))
        shown = {"total": event.get("steps") or 1, "pace": rate, "left": left, "score": score}
        if self._task is None:
            self._task = self._bar.add_task(label, completed=event.get("step") or 0, **shown)
        else:
            self._bar.update(self._task, description=label, completed=event.get("step") or 0, **shown)
        self._bar.refresh()

    def _clear(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
            self._bar.refresh()

    def _say(self, lines: list[Line]) -> None:
        from rich.table import Table
        from rich.text import Text

        if not lines:
            return
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=9)
        grid.add_column(overflow="fold")
        for line in lines:
            colour = _COLOURS[line.tone]
            grid.add_row(Text(line.label, style="bold yellow" if line.tone == "warning" else "bold cyan"), Text(line.text, style=colour))
        self._bar.console.print(grid)

    def close(self) -> None:
        self._clear()
        self._bar.stop()


def _score(event: Mapping) -> str:
    """The selection score of an epoch, for the bar."""
    name, value = next(iter((event.get("select") or {}).items()), ("", None))
    return f"{name.replace('_', ' ')} {number(value)}" + (" best" if event.get("best") else "") if name else ""
