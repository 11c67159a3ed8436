"""`graft distill`: a student that a finished run teaches, the same student without it, and the teacher, on the same locked rows."""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from .. import catalog, folders
from ..assembly import teaching, wiring
from ..core import Batch, Net, Run, Task, name_column
from ..engine import device, forward, store
from ..engine import journal as diary
from ..engine.device import Machine
from ..errors import OptionError, OutputError, Stopped
from ..evidence import stats
from ..evidence.scores import groups_of
from ..export.model import WEIGHTS, Model
from ..metrics.bootstrap import intervals
from ..spec import Part, Spec, options

Listener = Callable[[dict], None] | None
TEACHER = "teacher"
"""As a student's name: the teacher's own body."""
ALONE = "lp_ft"
"""The method that is distillation without a teacher: the same two phases, rates and number of steps."""
CLOSE = 0.03
"""How far below its teacher a student may score and stand in for it, where it is not said otherwise."""
FEWEST = 30  # scored rows that the teacher has not seen, below which all of them are kept and the page warns
BATCH, ROUNDS, TOKENS = 32, 9, 128


def distill(
    teacher: str | os.PathLike, data: str | os.PathLike | None = None, *, student: str | None = None,
    unlabelled: str | os.PathLike | None = None, weights: str | os.PathLike | None = None, epochs: int | None = None,
    out: str | os.PathLike | None = None, sets: Sequence[str] = (), fit: Callable[..., Run], resume: Callable[..., Run],
    on_event: Listener = None, **choices,
) -> dict:  # fmt: skip
    """Fit the student with method distill and again alone, for as many steps, and write OUT/distill.json and OUT/distill.html.

    teacher: the folder of a finished run. data: where they learn, by default what the teacher learnt from, with the same roles.
    student: a body, by default the one that ships with graft; "teacher" is the teacher's own with its weights, for a smaller image_size,
    and "teacher@STAGE" is that without the stages above. unlabelled: more samples, of which the teacher's word is all there is.
    weights and choices (precision, threads, fetch, augment, ...) as for fit; sets: "section.key=value" each. fit and resume: those of
    graft.api. Called again with the same folder it keeps what is done. Raises GraftError where something must be mended first, before
    anything is written, and Stopped after Ctrl-C.
    """
    run = Path(teacher).absolute()
    model = teaching.load(run)
    given = {"student": student, "unlabelled": unlabelled, "weights": weights, "epochs": epochs, **choices}
    settings = {"teacher": str(run), "data": data, "sets": list(sets), **{k: v for k, v in given.items() if v is not None}}
    folder = Path(out).absolute() if out else _free(run)
    body, sets = own_body(student, run, model, sets, choices.get("image_size"))
    spec = Spec.make(
        base=_base(run, data), backbone=body, weights=weights, method=teaching.METHOD, epochs=epochs, teacher=str(run),
        unlabelled=unlabelled, evidence="off", sets=sets, out=str(folder / "student"), **choices,
    )  # fmt: skip
    _check_folder(folder, settings)
    work = Work(folder, settings, fit, resume, on_event)
    try:
        work.fitted(spec, 1, "the student with its teacher")
        spec = alone(folder)
        work.fitted(spec, 2, "the same student alone")
    except (KeyboardInterrupt, Stopped) as stop:
        raise Stopped(f"Stopped; what was fitted is kept. Go on with the same command and --out {folder}") from stop
    machine = device.find(spec.threads)
    found = judged(folder, model, spec, machine)
    before = folders.read_json(folder / "distill.json").get("arms")
    for arm, cost in zip(found["arms"], before or costs(folder, model, machine), strict=True):
        arm |= {name: value for name, value in cost.items() if name not in arm}
    return _write_down(work, found)


def own_body(
    student: str | None, run: Path, teacher: Model, sets: Sequence[str], image_size: object = None
) -> tuple[str | None, Sequence[str]]:
    """(body, sets) of a student that is named after its teacher, "teacher" or "teacher@STAGE"; any other as it is. Raises OptionError
    where it would be the whole teacher again, or where the stage is none."""
    name, at, stage = (student or "").partition("@")
    if name != TEACHER:
        return student, sets
    net = teacher.net
    whole = stage in ("", net.names[-1], str(len(net.names)))
    if (at and not stage) or (whole and str(image_size or net.prepare.size) == str(net.prepare.size)):
        smaller = " or a smaller --image-size" if hasattr(net.prepare, "resize") else ""
        raise OptionError(
            f"A student with all of its teacher's stages and inputs would be the teacher again; name a stage to end at{smaller}: "
            f"--student {TEACHER}@{net.names[max(len(net.names) - 3, 0)]} (it has {', '.join(net.names)})."
        )
    return f"run:{run}", [*sets, *([] if whole else [f"backbone.until={stage}"])]


@dataclass
class Work:
    """The folder, what was asked, and the functions that fit."""

    folder: Path
    settings: dict
    fit: Callable[..., Run]
    resume: Callable[..., Run]
    on_event: Listener

    def fitted(self, spec: Spec, number: int, words: str) -> None:
        """One fit, unless it was done before; gone on with where it was killed."""
        place = Path(spec.out)
        if any(row["event"] == "done" for row in diary.read(place)):
            return
        if self.on_event:
            self.on_event({"event": "fitting", "number": number, "of": 2, "arm": words})
        device.forget_peak()
        begun = (place / "spec.toml").is_file()
        self.resume(place, on_event=self._tell) if begun else self.fit(spec, on_event=self._tell)

    def _tell(self, event: dict) -> None:
        # A fit claims its folder when everything has been found sound; until then nothing else is left behind either.
        if event.get("event") == "begun" and not (self.folder / "plan.json").exists():
            folders.write_json(self.folder / "plan.json", self.settings)
        if self.on_event:
            self.on_event(event)


def alone(folder: Path) -> Spec:
    """The student's own spec without the teacher: what both methods know stays as it is, and it makes as many steps."""
    done, rows = Spec.load(folder / "student" / "spec.toml"), diary.read(folder / "student")
    known = catalog.options("method", ALONE).__dataclass_fields__
    values = {name: value for name, value in done.method.values.items() if name in known}
    phase = next(row for row in rows if row["event"] == "phase" and row["phase"] == teaching.METHOD)
    told = next(row for row in rows if row["event"] == "teacher")
    steps = [math.ceil(n / phase["batch"]) for n in (told["rows"], max(told["rows"], told["unlabelled"]))]
    values["epochs"] = max(1, round(phase["epochs"] * steps[1] / steps[0]))
    return replace(done, method=Part(ALONE, values), teacher=None, unlabelled=None, out=str(folder / "alone"))


def judged(folder: Path, teacher: Model, spec: Spec, machine: Machine) -> dict:
    """The arms' scores on the locked rows that the teacher has not learnt from, their paired differences, and what these mean."""
    spec, data = wiring.read(spec, diary.Journal())
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    (said,) = teaching.say(teacher, [data.test], data.schema, machine, store.find())
    decoded = {"teacher": task.decode(said.outputs, temperature=teacher.temperature).numpy().astype(float)}
    decoded |= {name: _predicted(folder / name, data.test, data.schema.input) for name in ("student", "alone")}
    seen = teaching.seen(teacher, data.test)
    left_out = int(seen.sum()) if (~seen).sum() >= FEWEST else 0
    rows = np.flatnonzero(~seen) if left_out else np.arange(len(seen))
    targets, groups = task.encode(data.test).numpy()[rows], groups_of(data.test)
    groups = None if groups is None else groups[rows]
    decoded = {name: values[rows] for name, values in decoded.items()}
    arms = []
    for name, values in decoded.items():
        value, low, high = intervals(values, targets, task.metrics, groups=groups)[task.primary]
        arms.append({"name": name, "value": value, "interval": [low, high]})
    gaps = [(of, less, _difference(task, decoded[of], decoded[less], targets, groups)) for of, less in PAIRS]
    notices = _notices(seen, left_out, data.test)
    told = next(row for row in diary.read(folder / "student") if row["event"] == "teacher")
    points = task.higher and task.primary not in stats.UNBOUNDED
    return {
        "modality": data.schema.modality, "metric": task.primary, "higher_is_better": task.higher, "n": len(rows), "left_out": left_out,
        "scored_as": data.plan.score, "optimistic": data.plan.optimistic, "source": data.source, "arms": arms,
        "differences": [gap.row(of, less) for of, less, gap in gaps], "learnt": told["rows"], "unlabelled": told["unlabelled"],
        "verdict": verdict(gaps[0][2], gaps[1][2], task.higher, CLOSE if points else None), "notices": notices,
    }  # fmt: skip


PAIRS = (("student", "teacher"), ("student", "alone"), ("teacher", "alone"))


def verdict(behind: stats.Difference, gained: stats.Difference, higher: bool, close: float | None) -> dict:
    """{"close", "taught", "text"}. behind: the student less its teacher; gained: the student less the same student alone. close: how
    far below may be, None where the metric has no points; `close` says whether the whole interval is within it, `taught` whether the
    student is shown to be better than alone: True, False where the opposite is shown, else None."""
    sign = 1 if higher else -1
    worst, best = sorted(sign * end for end in (behind.low, behind.high))
    within = None if close is None else True if worst >= -close else False if best < -close else None
    taught = (sign * gained.value > 0) if gained.p <= 0.05 else None
    if close is None:
        text = f"The student's score is {_signed(behind.value)} from its teacher's."
    else:
        where = f"{abs(100 * behind.value):.1f} points {'below' if behind.value < 0 else 'above'} its teacher"
        where = "as good as its teacher" if not behind.value else where
        text = (
            f"The student is {where}, "
            + {
                True: f"and with its whole interval not more than {100 * close:g} below.",
                False: f"which is shown to be more than the {100 * close:g} points that would make it a stand-in.",
                None: f"but its interval reaches {abs(100 * worst):.1f} below, so that it is not shown to be within {100 * close:g}.",
            }[within]
        )
    return {"close": within, "taught": taught, "text": f"{text} {_taught(taught, gained)}"}


def _taught(taught: bool | None, gained: stats.Difference) -> str:
    if taught:
        return f"It learnt from its teacher: {_signed(gained.value)} against the same student alone."
    if taught is False:
        return f"The teacher did it harm: {_signed(gained.value)} against the same student alone, which is the one to take."
    return f"Against the same student alone ({_signed(gained.value)}) no difference is shown, so the teacher may have taught it nothing."


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def costs(folder: Path, teacher: Model, machine: Machine) -> list[dict]:
    """What the teacher, the student and the student alone are to carry and to run, in this order."""
    student = teaching.load(folder / "student")
    models = {"teacher": teacher, "student": student}
    speeds = rates({name: model.net for name, model in models.items()}, machine)
    found, memory = {}, _memory(*(model.folder for model in models.values()))
    for (name, model), grown in zip(models.items(), memory, strict=True):
        found[name] = {
            "backbone": model.net.origin.name, "parameters": sum(p.numel() for p in model.net.parameters()),
            "megabytes": round((model.folder / WEIGHTS).stat().st_size / 1e6, 2), "rate": speeds[name], "memory_mb": grown,
            "size": model.net.prepare.size,
        }  # fmt: skip
    fits = {name: folders.read_json(folder / name / "scores.json") for name in ("student", "alone")}
    fits["teacher"] = folders.read_json(teacher.folder.parent / "scores.json")
    told = {name: {"method": fit.get("method"), "seconds": fit.get("seconds"), "fit_memory_mb": fit.get("peak_memory_mb")}
            for name, fit in fits.items()}  # fmt: skip
    return [found["teacher"] | told["teacher"], found["student"] | told["student"], found["student"] | told["alone"]]


def sample(net: Net, rows: int = BATCH) -> dict[str, Tensor]:
    """A batch at depth 0: images of noise, or texts of TOKENS tokens."""
    blank = net.prepare.blank(min(net.prepare.size, TOKENS))
    full = {key: value.repeat(rows, *[1] * (value.ndim - 1)) for key, value in blank.items()}
    return {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in full.items()}


def rates(nets: Mapping[str, Net], machine: Machine) -> dict[str, float]:
    """Samples a second of a float32 forward pass of BATCH, head included: by turns, the median of ROUNDS after one to warm up, so that
    what else the machine does falls on all of them alike."""
    batches = {name: Batch(sample(net), torch.zeros(BATCH), torch.arange(BATCH)) for name, net in nets.items()}
    times: dict[str, list[float]] = {name: [] for name in nets}
    placed = {name: machine.place(net) for name, net in nets.items()}
    for number in range(ROUNDS + 1):
        for name, net in placed.items():
            began = time.perf_counter()
            forward.outputs(net, [batches[name]], machine)
            if number:
                times[name].append(time.perf_counter() - began)
    return {name: round(BATCH / statistics.median(taken), 2) for name, taken in times.items()}


def peaks(*models: str) -> list[float]:
    """MB that the process grows by at most, to load each model and pass BATCH samples through it; for a process that does nothing else."""
    machine, found = device.find(), []

    def work(model: str) -> None:
        net = machine.place(teaching.load(model).net)
        forward.outputs(net, [Batch(sample(net), torch.zeros(BATCH), torch.arange(BATCH))], machine)

    for model in models:
        work(model)  # What is imported on the way counts for none of them.
    for model in models:
        device.forget_peak()
        before = device.recent_peak_mb(machine)
        work(model)
        found.append(round(device.recent_peak_mb(machine) - before, 1))
    return found


def _memory(*models: Path) -> list[float | None]:
    """What `peaks` says in a process of its own; None each where it could not run."""
    code = "import json, sys; from graft import distilling; print(json.dumps(distilling.peaks(*sys.argv[1:])))"
    answer = subprocess.run([sys.executable, "-c", code, *map(str, models)], capture_output=True, text=True, check=False)
    return json.loads(answer.stdout.strip().rpartition("\n")[2]) if answer.returncode == 0 else [None] * len(models)


def _difference(task: Task, a: np.ndarray, b: np.ndarray, targets: np.ndarray, groups: np.ndarray | None) -> stats.Difference:
    if task.primary == "accuracy":
        return stats.difference(*((one.argmax(1) == targets).astype(float) for one in (a, b)), groups)
    return stats.metric_difference(a, b, targets, task.metrics, task.primary, groups)


def _predicted(run: Path, table: pa.Table, column: str) -> np.ndarray:
    """[n, k] of a run, in the order of the locked rows. Raises OutputError where it scored others."""
    found = pq.read_table(run / "predictions.parquet", columns=["path", "probabilities"])
    if found["path"].to_pylist() != table[name_column(table, column)].to_pylist():
        raise OutputError(f"The run in '{run}' scored other samples; the data have changed since, so begin anew with another --out.")
    return np.asarray(found["probabilities"].to_pylist(), float)


def _notices(seen: np.ndarray, left_out: int, table: pa.Table) -> list[str]:
    if left_out:
        return [f"The teacher has learnt from {left_out:,} of the {len(table):,} scored samples; these are left out here."]
    if not seen.any():
        return []
    text = f"The teacher has learnt from {int(seen.sum()):,} of the {len(table):,} scored samples, too many to leave out, so its score "
    return [text + "flatters, and so may its student's; fit the teacher with --folds 0 and the same seed for rows that none has seen."]


def _base(run: Path, data: str | os.PathLike | None) -> Spec:
    """The data, and the roles that the teacher's run gave them, so that what it was not to see stays unseen."""
    theirs = Spec.load(run / "spec.toml") if (run / "spec.toml").is_file() else None
    if theirs is not None and (data is None or os.path.abspath(os.path.expanduser(data)) == theirs.data.values["path"]):
        return Spec(theirs.data, task=Part(theirs.task.name), seed=theirs.seed, select_on=theirs.select_on, folds=0)
    if data is None:
        raise OptionError(f"'{run}' does not say what it learnt from; name the data: graft distill {run.name} DATA --student NAME.")
    return Spec.make(str(data), folds=0)


def _free(run: Path) -> Path:
    return folders.free("distill", folders.plain(run.name, "run"))


def _check_folder(folder: Path, settings: dict) -> None:
    """Raises OutputError unless the folder is new, empty, or holds what was begun with the same settings."""
    differ = folders.differing(folders.begun(folder, "distillation"), settings)
    if differ:
        raise OutputError(f"'{folder}' was begun with other settings ({', '.join(differ)}); give another folder with --out.")


def _write_down(work: Work, found: dict) -> dict:
    """distill.json and distill.html; the content of distill.json with the folder and the page."""
    from .. import __version__
    from ..report import distill as page

    start = next((row for row in diary.read(work.folder / "student") if row["event"] == "start"), {})
    found |= {"version": __version__, "date": start.get("date", ""), "command": start.get("command", ""), "settings": work.settings}
    found |= {"machine": device.cpu_name(), "threads": torch.get_num_threads()}
    return folders.publish(work.folder, "distill.json", found, page.write)
