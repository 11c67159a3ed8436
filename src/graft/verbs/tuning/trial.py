"""One setting tried: trained as a fit trains, scored on the selecting rows, its snapshots kept for as long as it may win."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ...assembly.wiring import Parts
from ...core import Data, Net, Task
from ...engine import forward
from ...engine.execute import Outcome, Setting, execute
from ...engine.journal import Journal
from ...engine.passes import Passes
from ...errors import OptionError, TrainingError
from ...spec import Spec
from .space import Knob, solved, variant
from .watch import OutOfTime, Pruned, Reported, Watch, rank


@dataclass
class Search:
    """What all trials share. narrow: the data without their locked rows. most: trials. rows: the finished ones, as in trials.jsonl.
    limit: seconds of a phase. cut: what ended the search early, in words."""

    asked: Spec
    parts: Parts
    passes: Passes
    folder: Path
    journal: Journal
    watch: Watch
    knobs: dict[str, Knob]
    narrow: Data
    most: int
    limit: float | None = None
    rows: list[dict] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    @property
    def task(self) -> Task:
        return self.parts.task

    @property
    def selects(self) -> pa.Table:
        """The rows that select: all that learn where a head is solved, for inner cross-validation holds each of them out once."""
        return self.narrow.learning() if solved(self.parts) else self.narrow.val

    @property
    def deadline(self) -> float | None:
        """The journal's second by which no trial may go on, so that there is time to score; None without a budget."""
        return self.asked.budget - self.rows[0]["reserve"] if self.asked.budget and self.rows else None

    def place(self, number: int) -> Path:
        """Where a trial's snapshots are."""
        return self.folder / "trials" / f"{number:04d}"


def train(search: Search, number: int, setting: dict, data: Data) -> tuple[Outcome, Net]:
    """The net of a setting: trained, or taken from the snapshots that its trial left. All trials draw from the same seed."""
    parts = variant(search.parts, search.asked, setting, search.limit)
    search.place(number).mkdir(parents=True, exist_ok=True)
    net = parts.net("final")
    run = Setting("final", search.place(number), net, parts.task, data, search.passes, search.journal, parts.spec.seed)
    return execute(parts.phases(net, data), run), net


def run(search: Search, number: int, setting: dict, trial: Reported | None = None) -> dict:
    """Train with the setting and return the row of trials.jsonl. trial: who may stop it; None for the defaults, which nothing stops.

    state: "done", "pruned", "failed" (with the reason) or "cut" (the budget is used up). value: the primary score on the selecting
    rows. key: what is compared, see `rank`. curve: the best key so far by epoch.
    """
    watch, began, state, value, found, reason = search.watch, search.journal.seconds, "failed", None, None, ""
    watch.begin(number, search.task, len(search.selects), trial, search.limit, search.deadline)
    shutil.rmtree(search.place(number), ignore_errors=True)
    try:
        outcome, _ = train(search, number, setting, search.narrow)
        state, value, found = "done", outcome.scores[search.task.primary], rank(search.task, outcome.scores, len(search.selects))
    except Pruned:
        state, value, found = "pruned", watch.value, watch.curve[watch.epochs]
    except OutOfTime:
        state = "cut"
    except (TrainingError, OptionError) as error:
        if number == 0:
            raise
        reason = str(error)
    finally:
        watch.end()
    return {
        "number": number, "state": state, "setting": setting, "value": value, "key": found, "reason": reason,
        "epochs": watch.epochs, "seconds": round(search.journal.seconds - began, 3), "limit": search.limit,
        "limited": watch.limited, "first_rung": watch.first_rung, "rungs": {}, "reserve": 0.0,
        "curve": {str(epoch): key for epoch, key in watch.curve.items()},
    }  # fmt: skip


def rehearse(search: Search) -> float:
    """Seconds that scoring the locked rows twice may take, from a pass over a few selecting rows."""
    table, net = search.selects.slice(0, 64), search.parts.net("final")
    began = time.monotonic()
    forward.outputs(net, search.parts.streams.plain(table), search.parts.machine, search.parts.task.summarise)
    return round(1 + 3 * len(search.parts.data.test) * (time.monotonic() - began) / len(table), 3)


def leader(rows: list[dict]) -> dict:
    """The best finished trial; the earliest of those that tie, so that the defaults win a tie."""
    return max((row for row in rows if row["state"] == "done"), key=lambda row: (row["key"], -row["number"]))
