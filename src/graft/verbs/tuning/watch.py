"""The journal's listener while a setting is tried: reports its epochs, and ends it early."""

from collections.abc import Callable, Mapping
from typing import Protocol

from ...core import Task


def rank(task: Task, scores: Mapping[str, float], rows: int) -> float:
    """The primary score, higher is better. Where one row more or less is the smallest step (accuracy), the log-loss decides
    between equals: it counts for less than half such a step."""
    first = scores[task.primary] if task.higher else -scores[task.primary]
    return first - 0.05 * min(scores.get("log_loss", 0.0), 10.0) / max(rows, 1) if task.primary == "accuracy" else first


class Reported(Protocol):
    """What a trial is to Optuna."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...


class Pruned(Exception):
    """A trial is not worth going on with."""


class OutOfTime(Exception):
    """The budget is used up in the middle of a trial."""


class Watch:
    """Listens to a run's journal: outside of a trial it passes everything on, in a trial only steps and what is new.

    In a trial it reports the best selection score so far after each epoch (1, 2, ... over all phases), and raises Pruned where that
    is not enough, or OutOfTime; both from within the journal's `write`, when the line is already on disk, so nothing is torn.
    curve: the reported ranks by epoch. value: the primary score behind the last. first_rung: a quarter of the epochs of the first
    phase that trains, 0 before one begins. limited: whether a phase used up its time limit.
    """

    def __init__(self, listener: Callable[[dict], None] | None):
        self._listener, self._said = listener, set()
        self.begin(None, None, 0)
        self._inside = False

    def begin(self, number: int | None, task: Task | None, rows: int, trial: Reported | None = None, limit=None, deadline=None) -> None:
        """A trial begins. rows: that select. trial: who may prune it; None for the defaults. limit: seconds of a phase. deadline:
        the journal's second by which it must have ended."""
        self._inside, self._number, self._task, self._rows, self._trial = True, number, task, rows, trial
        self._limit, self._deadline, self._spent = limit, deadline, 0.0
        self.epochs, self.first_rung, self.limited, self.value, self.curve = 0, 0, False, None, {}

    def end(self) -> None:
        self._inside = False

    def __call__(self, event: dict) -> None:
        if not self._inside:
            self._tell(event)
            return
        name = event["event"]
        if name == "step" or (name in ("decision", "note") and self._new(event)):
            self._tell({**event, "run": f"trial {self._number}"})
        elif name == "phase":
            self._spent = 0.0
            self.first_rung = self.first_rung or max(1, event["epochs"] // 4) * (event["optimizer"] != "solver")
        elif name == "epoch":
            self._epoch(event)
        if self._deadline is not None and event["t"] > self._deadline:
            raise OutOfTime

    def _epoch(self, event: dict) -> None:
        self._spent += event["seconds"]
        self.limited |= self._limit is not None and self._spent >= self._limit
        self.epochs += 1
        found = rank(self._task, event["select"], self._rows)
        best = self.curve.get(self.epochs - 1)
        if best is None or found > best:
            best, self.value = found, event["select"][self._task.primary]
        self.curve[self.epochs] = best
        if self._trial is not None:
            self._trial.report(best, self.epochs)
            if self._trial.should_prune():
                raise Pruned

    def _new(self, event: dict) -> bool:
        about = event.get("what") or event.get("text")
        fresh = about not in self._said
        self._said.add(about)
        return fresh

    def _tell(self, event: dict) -> None:
        if self._listener is not None:
            self._listener(event)
