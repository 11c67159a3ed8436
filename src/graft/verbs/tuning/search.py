"""The search: Optuna draws settings, successive halving stops poor ones, and a search that was killed goes on as it would have."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...assembly import wiring
from ...assembly.wiring import Parts
from ...engine.journal import Journal
from ...errors import OptionError, Stopped
from ...fits import fitting
from ...spec import Spec, options
from . import folder as files
from .gain import finish
from .space import Knob, selecting, solved, space
from .trial import Search, leader, rehearse, run
from .watch import Watch

TRIALS, MOST = 20, 200
"""Settings that are tried where nothing is said, and at most where only a budget is."""
RANDOM = 6
"""Trials that are drawn at random before the sampler learns from them."""
NARROWED = 0.35
"""The share of the budget, after reading the data, that the training of one trial may take: so that there is time for a second."""

_STATES = {"done": "COMPLETE", "same": "COMPLETE", "pruned": "PRUNED"}
_LIMITED = f"The defaults did not finish within {NARROWED:.0%} of the budget, so all trials train for less; give a longer --budget."


def tune(spec: Spec, *, trials: int | None = None, on_event: Callable[[dict], None] | None = None) -> dict:
    """Try settings on the selecting rows, score the best and the defaults once on the locked rows; the content of tune.json.

    spec.out: a folder that is new or empty, or that of a search that was killed, which then goes on and tries what it would have
    tried. trials: how many settings, the defaults among them; 20, or with spec.budget as many as there is time for. What the user
    gave is not tuned. Raises OptionError where Optuna is missing, nothing is left to tune, or no rows stay locked (folds,
    select_on val); DataError where no rows can be spared to select on; OutputError; Stopped after Ctrl-C.
    """
    _optuna()
    files.check(spec, trials)
    if (done := files.finished(spec)) is not None:
        return done
    going_on, watch = files.going_on(spec), Watch(on_event)
    journal = Journal(watch)
    asked = replace(spec, folds=0, budget=None, out=None)
    # What the first start chose is in its journal already.
    parts = wiring.assemble(asked, Journal() if going_on else journal)
    search = _begin(spec, asked, parts, journal, watch, trials, going_on)
    try:
        explore(search)
        return finish(search)
    except KeyboardInterrupt as stop:
        raise Stopped(f"Stopped; the finished trials are kept. Go on with the same command and --out {search.folder}") from stop
    finally:
        parts.streams.close()
        journal.close()


def _begin(spec: Spec, asked: Spec, parts: Parts, journal: Journal, watch: Watch, trials: int | None, going_on: bool) -> Search:
    if parts.data.schema.target == "none":
        raise OptionError("Settings are compared by their scores, and without labels there are none; use graft fit.")
    knobs, narrow = space(parts, asked), selecting(parts)
    if not knobs:
        raise OptionError("Nothing is left to tune, because every setting is given; leave one of them out, for example method.lr.")
    folder = Path(spec.out or files.free(parts.spec)).absolute()
    if going_on:
        files.same_data(folder, parts)
    else:
        files.claim(folder, spec)
    journal.open(folder)
    journal.tell("begun", folder=str(folder))
    most = TRIALS if trials is None and spec.budget is None else trials or MOST
    search = Search(replace(asked, budget=spec.budget), parts, fitting.make_passes(parts, folder, journal), folder, journal, watch, knobs,
                    narrow, most)  # fmt: skip
    search.rows = files.read(folder)
    if search.rows:
        search.limit = search.rows[0]["limit"]
    elif spec.budget and not solved(parts) and "seconds" not in asked.method.values:
        phases = options("method", parts.spec.method).limited_phases
        search.limit = round(NARROWED * max(spec.budget - journal.seconds, 0.5 * spec.budget) / phases, 2)
        why = f"one trial may take {NARROWED:.0%} of the budget"
        journal.decide("time limit of a phase", f"{search.limit:g} s", why, "--set method.seconds")
    return search


def explore(search: Search) -> None:
    """Trial after trial, after those of an earlier start, until the trials, the time or the settings are used up."""
    study, again = _optuna().create_study(direction="maximize"), 0
    for row in search.rows:
        study.add_trial(_told(search, row))
    while len(search.rows) < search.most:
        if search.rows and search.deadline is not None and search.journal.seconds + 0.5 * search.rows[0]["seconds"] > search.deadline:
            search.cut.append(f"the budget ended the search after {len(search.rows)} trials")
            return
        row = _drawn(search, study) if search.rows else _defaults(search, study)
        if row["state"] == "cut":
            continue
        _keep(search, row)
        again = again + 1 if row["state"] == "same" else 0
        if again == 3 * RANDOM:
            search.cut.append(f"there was nothing new to try after {len(search.rows)} trials")
            return


def _optuna():
    try:
        import optuna
    except ImportError:
        raise OptionError("Tuning needs Optuna, which is not installed; install it with: pip install 'graft[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _told(search: Search, row: dict):
    """A finished trial in Optuna's form. None of its storages is used: trials.jsonl is plain JSON, and all that is read back."""
    optuna = _optuna()
    state = optuna.trial.TrialState[_STATES.get(row["state"], "FAIL")]
    return optuna.trial.create_trial(
        state=state, value=row["key"] if state.name != "FAIL" else None, params=row["setting"], distributions=distributions(search.knobs),
        intermediate_values={int(epoch): key for epoch, key in row["curve"].items()}, system_attrs=row["rungs"],
    )  # fmt: skip


def distributions(knobs: dict[str, Knob]) -> dict:
    """The knobs in Optuna's form."""
    make = _optuna().distributions
    return {
        name: make.CategoricalDistribution(knob.options) if knob.options else make.FloatDistribution(knob.low, knob.high, log=knob.log)
        for name, knob in knobs.items()
    }


def _defaults(search: Search, study) -> dict:
    """Trial 0, which nothing stops; the rungs that it would have stood on are told, so that the others must keep up with it."""
    row = run(search, 0, {name: knob.default for name, knob in search.knobs.items()})
    row["rungs"] = {f"completed_rung_{i}": row["curve"][str(epoch)] for i, epoch in enumerate(rungs(row["first_rung"], row["epochs"]))}
    row["reserve"] = rehearse(search)
    study.add_trial(_told(search, row))
    if row["limited"]:
        search.journal.write("note", level="warning", text=_LIMITED, count=0, files=[])
    return row


def rungs(first: int, epochs: int) -> list[int]:
    """The epochs at which successive halving looks: `first`, and each doubling."""
    return [first * 2**i for i in range(max(epochs, 1).bit_length()) if 0 < first * 2**i <= epochs]


def _drawn(search: Search, study) -> dict:
    """A trial that the sampler draws and that may be stopped: at each rung the better half goes on (ASHA, Li et al., 2020)."""
    optuna, number, first = _optuna(), len(search.rows), search.rows[0]["first_rung"]
    # Seeded by the number, so that a search that was killed draws what it would have drawn.
    study.sampler = optuna.samplers.TPESampler(seed=1000 * search.asked.seed + number, n_startup_trials=RANDOM)
    study.pruner = optuna.pruners.SuccessiveHalvingPruner(first, 2) if first else optuna.pruners.NopPruner()
    trial = study.ask(distributions(search.knobs))
    setting = {name: trial.params[name] for name in search.knobs}
    before = next((row for row in search.rows if row["setting"] == setting and row["state"] == "done"), None)
    if before is None:
        row = run(search, number, setting, trial)
    else:
        said = f"the same as trial {before['number']}"
        row = {**before, "number": number, "state": "same", "seconds": 0.0, "reason": said, "curve": {}, "rungs": {}, "reserve": 0.0}
    state = optuna.trial.TrialState[_STATES.get(row["state"], "FAIL")]
    told = study.tell(trial, row["key"] if state.name == "COMPLETE" else None, state)
    return row | {"rungs": {name: key for name, key in told.system_attrs.items() if name.startswith("completed_rung")}}


def _keep(search: Search, row: dict) -> None:
    """Write the row, and drop the snapshots of what is neither the defaults nor the best so far."""
    search.rows.append(row)
    files.append(search.folder, row)
    best = leader(search.rows)["number"]
    for place in search.folder.glob("trials/*"):
        if place not in (search.place(0), search.place(best)):
            shutil.rmtree(place, ignore_errors=True)
    told = {name: row[name] for name in ("number", "state", "value", "setting", "seconds", "reason")}
    search.journal.write("trial", **told, trials=search.most, best=best, primary=search.task.primary)
