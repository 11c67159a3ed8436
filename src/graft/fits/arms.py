"""The honest alternatives to a fit, run on the same rows: a linear probe, and the same network from random weights."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .. import backbones, catalog
from ..assembly import modality
from ..assembly.wiring import Parts
from ..core import Backbone, Batch, Data, Net, Task
from ..data import order
from ..data.augment import Augment
from ..engine import device, forward, precision, prefix, train, ways
from ..engine.execute import Outcome, Setting, execute
from ..engine.journal import Journal, read
from ..engine.passes import Passes
from ..errors import OptionError, WeightsError
from ..spec import Part, options
from . import controls

SHARE = 0.4
"""Of the time that the fit has taken when its own training is done: what the quick level gives the network from scratch at most."""
LEAST = 0.25
"""The same at least: where frozen features were kept, the training itself takes no time, and none would be no control."""
SEEDS = {"quick": 1, "full": 3}
LEARNING_ROWS = {"quick": 64, "full": 500}  # of the rows that learnt, as many at most are scored for the gap
SCORED_AT_ONCE = 5000
"""Rows up to which a control's pooled features are held in memory when it is scored."""
BATCH = 16
"""Of the control: in little time more steps help it more than calm ones, and it needs half the memory."""
AFTER = 10.0  # seconds of a budget that scoring, saving and the report take when the arms have learnt
NEARLY = 0.9  # of the time is as good as all of it
TRIAL = 5.0
"""Seconds of training from which a trial says how many epochs they hold; in less, two batches are learnt from, but by a small network,
for which a trial takes TRIED of them at most by its multiply-adds: they hold many of its steps."""
TRIED = 0.1
PASSES, SPEED = (
    12,
    20.0,
)  # of a trial, each step being worth three forward passes; thousand million multiply-adds a second of two usual cores
SHORT = 20.0  # seconds of training below which a trial of precisions would cost more than it gains


@dataclass
class Arm:
    """One contender. name: "chosen", "probe" or "scratch". seed: its number among repetitions. folder: of its checkpoints."""

    name: str
    parts: Parts
    passes: Passes
    folder: Path
    journal: Journal
    seed: int = 0
    share: float = 1.0  # epochs of the learning rows that it sees, where that is less than one
    epochs: float | None = None  # of a control
    told: dict = field(default_factory=dict)
    once: dict = field(default_factory=dict)  # what is told of the last training alone

    @property
    def key(self) -> str:
        return self.name if not self.seed else f"{self.name}{self.seed + 1}"

    def train(self, run: str, data: Data) -> tuple[Outcome, Net]:
        """Train on these data; how long it took and what memory it needed are added to `told`."""
        if self.share < 1:
            # Whole batches of one size, and few rows to select on: every other size has its kernels compiled first.
            rows = BATCH * max(1, round(self.share * len(data.train) / BATCH))
            few = {"train": part(data.train, rows, self.parts.spec.seed)}
            data = replace(data, **few, val=None if data.val is None else part(data.val, BATCH, self.parts.spec.seed))
        device.restart_peak(self.parts.machine)
        began = self.journal.seconds
        net = self.parts.net(run)
        run = run if self.key == "chosen" else self.key if run == "final" else f"{self.key} {run}"
        setting = Setting(run, self.folder, net, self.parts.task, data, self.passes, self.journal, self.parts.spec.seed)
        outcome = execute(self.parts.phases(net, data), setting)
        learnt = [row["trainable"] for row in read(self.folder) if row["event"] == "phase" and row["run"] == run]
        parameters = max(learnt, default=0) or sum(p.numel() for p in net.head.parameters())
        self._tell(self.journal.seconds - began, device.recent_peak_mb(self.parts.machine), parameters)
        return outcome, net

    def _tell(self, seconds: float, memory: float, parameters: int) -> None:
        self.once = {"seconds": seconds, "peak_memory_mb": memory, "trainable": parameters}
        self.told["seconds"] = self.told.get("seconds", 0.0) + seconds
        self.told["peak_memory_mb"] = max(self.told.get("peak_memory_mb", 0.0), memory)
        self.told["trainable"] = parameters

    def recalled(self, data: Data) -> controls.Control | None:
        """What an earlier run kept of the same control, where it trained for as long as this one is to."""
        if self.epochs is None:
            return None
        found = controls.find(self.passes.store, controls.key(self.parts, data))
        if found is None or found.told["epochs"] != self.epochs:
            return None
        self._tell(*(found.told[name] for name in ("seconds", "peak_memory_mb", "trainable")))
        return found

    def keep(self, data: Data, outputs: Tensor) -> None:
        """Keep a control's outputs for later runs."""
        if self.epochs is not None:
            told = {**self.once, "learning_value": self.told.get("learning_value"), "epochs": self.epochs}
            controls.keep(
                self.passes.store, controls.key(self.parts, data), controls.Control(outputs, told), self.parts.backbone.origin.name
            )

    def outputs(self, outcome: Outcome | controls.Control, table: pa.Table) -> Tensor:
        if isinstance(outcome, controls.Control):
            return outcome.outputs
        frozen, passes = outcome.frozen, self.passes
        if self.epochs is not None and self.parts.task.schema.modality == "image" and len(table) <= SCORED_AT_ONCE:
            # A control has learnt all it will, so it is scored as frozen stages are, by a compiled float32 pass where that pays. No other
            # run has its weights: nothing is kept on disk.
            frozen, passes = len(outcome.net.stages), replace(passes, store=None, _loose={}, _forms=None)
        return forward.scored(passes, outcome.net, table, frozen, self.parts.task.summarise)

    def learning(self, outcome: Outcome | controls.Control, data: Data, level: str) -> float | None:
        """The primary score on some of the rows that it learnt from; None where it saw less than all of them."""
        if isinstance(outcome, controls.Control):
            return outcome.told["learning_value"]
        if self.share < 1:
            return None
        table, task = data.train, self.parts.task
        rows = np.unique(np.linspace(0, len(table) - 1, min(len(table), LEARNING_ROWS[level])).astype(int))
        some = table.take(pa.array(rows))
        if outcome.frozen < len(outcome.net.stages):
            found = self.outputs(outcome, some)
        else:
            # The features that it learnt from are there; a part of the rows alone might be run another way, and all over again.
            net = outcome.net
            state = self.passes.kept(net, net.pooled, data.learning()).take(rows)
            batch = Batch(state, task.encode(some), torch.arange(len(rows)), net.pooled, some)
            found = forward.outputs(net, [batch], self.passes.machine, task.summarise)
        return float(task.metrics(task.decode(found).numpy(), task.encode(some).numpy())[task.primary])


def part(table: pa.Table, count: int, seed: int) -> pa.Table:
    """At most so many of the rows, drawn, in their order."""
    return table.take(pa.array(np.sort(order.generator(seed, "part").permutation(len(table))[:count])))


class Rivals:
    """The arms beside the chosen one, made when its first training is done, because that says how much time they get."""

    def __init__(self, chosen: Arm, level: str):
        self.chosen, self.level, self._made = chosen, level, None
        self.earlier: dict[str, dict] = {}

    def arms(self, data: Data) -> list[Arm]:
        """data: what the chosen one has just learnt from."""
        if self._made is None:
            self._made = [arm for make in (self._probe, self._scratch) if (arm := make(data)) is not None]
            self._made += [again for seed in range(1, SEEDS[self.level]) for again in self._repeated(seed)]
        return self._made

    def close(self) -> None:
        for arm in self._made or ():
            arm.journal.close()
            if arm.parts.streams is not self.chosen.parts.streams:
                arm.parts.streams.close()

    def _arm(self, name: str, parts: Parts, share: float = 1.0, seed: int = 0) -> Arm:
        chosen = self.chosen
        folder = chosen.folder / "arms" / (name if not seed else f"{name}{seed + 1}")
        folder.mkdir(parents=True, exist_ok=True)
        journal = chosen.journal.beside(folder)
        passes = chosen.passes
        if parts.streams is not chosen.parts.streams:
            passes = replace(passes, streams=parts.streams)
        arm = Arm(name, parts, passes, folder, journal, seed, share)
        arm.told.update(self.earlier.get(arm.key, {}))
        return arm

    def _probe(self, data: Data) -> Arm | None:
        """Frozen features and the solved linear head; None where that is what was chosen."""
        parts = self.chosen.parts
        spec, task = parts.spec, parts.task
        probing = probed(task)
        if probing.solve is None:
            return None
        solved = task.config.get("head") in ("auto", "logistic") and task.solve is not None
        if spec.method.name == "extract" and solved and not options("method", spec.method).augment:
            return None
        method = Part("extract", {"seconds": None})
        return self._arm("probe", replace(parts, spec=replace(spec, method=method), task=probing))

    def _scratch(self, data: Data) -> Arm | None:
        """The same network from random weights, for as long as the chosen one has learnt."""
        parts = self.chosen.parts
        spec = parts.spec
        if spec.method.name == "scratch":
            return None
        try:
            body = random_start(parts.backbone)
        except (WeightsError, OptionError):
            self._cut("scratch", f"'{spec.backbone.name}' has no random start, so nothing says what training from scratch would give.")
            return None
        task = headed(parts.task, head="auto")
        augment = Augment(options("augment", Part("light") if spec.augment.name in ("none", "auto") else spec.augment))
        streams = modality.streams(body, task.encode, task.schema, spec.seed, augment)
        method = Part("scratch", {"batch": BATCH})
        control = Parts(replace(spec, method=method), parts.data, body, task, streams, parts.machine)
        epochs, share = self._time(control, data)
        control = replace(control, spec=replace(control.spec, method=Part("scratch", {"epochs": epochs, "batch": BATCH, "patience": 0})))
        arm = self._arm("scratch", control, share)
        arm.epochs = float(self.chosen.passes.decided["epochs from scratch"])
        return arm

    def _repeated(self, seed: int) -> list[Arm]:
        """The chosen one and its control again, drawn from another seed."""
        again = []
        for arm in [self.chosen, *(arm for arm in self._made if arm.name == "scratch" and not arm.seed)]:
            spec, held = replace(arm.parts.spec, seed=arm.parts.spec.seed + seed), arm.parts.streams
            streams = modality.again(held, arm.parts.task.schema, spec.seed)
            again.append(self._arm(arm.name, replace(arm.parts, spec=spec, streams=streams), arm.share, seed))
            again[-1].epochs = arm.epochs
        return again

    def _time(self, control: Parts, data: Data) -> tuple[int, float]:
        """(epochs, share of the rows in an epoch) that take as long as the chosen one has learnt, within what the level gives."""
        passes, journal = self.chosen.passes, self.chosen.journal
        about = "epochs from scratch"
        kept = controls.find(passes.store, controls.key(control, data)) if about not in passes.decided else None
        if kept is not None and kept.told["seconds"] >= NEARLY * self._allowed():
            passes.decided[about] = f"{kept.told['epochs']:.3g}"
            words = f"an earlier run on these rows has trained it for {kept.told['seconds']:.0f} s, and that is kept"
            journal.decide(about, passes.decided[about], words, "--evidence full|off, graft cache --clear all")
        if about not in passes.decided:
            seconds, words = self._seconds()
            self._without_trial(control, seconds)
            # In a few seconds a large network takes a step or two, and a trial would take as long.
            net, cells = control.net("trial"), order.mean_cells(control.streams.cells(data.train))
            tried = seconds >= TRIAL or _trial_seconds(net, cells) <= TRIED * seconds
            found = self._epochs(control, net, cells, data, seconds) if tried else 2 * BATCH / max(len(data.train), 1)
            passes.decided[about] = f"{found:.3g}"
            journal.decide(about, passes.decided[about], words, "--evidence full|off")
        epochs = float(passes.decided[about])
        return (max(1, int(epochs)), 1.0) if epochs >= 1 else (1, epochs)

    @property
    def cut(self) -> dict[str, str]:
        """What was left out or cut short, and why; also what an earlier start of this run has cut."""
        return {row["what"]: row["text"] for row in read(self.chosen.folder) if row["event"] == "cut"}

    def _cut(self, what: str, text: str) -> None:
        if what not in self.cut:
            self.chosen.journal.write("cut", what=what, text=text)

    def _allowed(self) -> float:
        """Seconds of training that the control gets."""
        return self._seconds(tell=False)[0]

    def _seconds(self, tell: bool = True) -> tuple[float, str]:
        """What the control gets, and why."""
        taken, so_far = self.chosen.told["seconds"], self.chosen.journal.seconds
        budget = self.chosen.parts.spec.budget
        least, most = LEAST * so_far, max(SHORT, SHARE * so_far) if self.level == "quick" else float("inf")
        if budget is not None:
            most = min(most, max(1.0, budget - so_far - AFTER))
        seconds = min(max(taken, least), most)
        words = f"about {seconds:.0f} s of training, "
        if seconds < 0.95 * taken:
            why = (
                "the budget leaves no more" if budget is not None and most < max(SHORT, SHARE * so_far) else "the quick level gives no more"
            )
            words += f"less than the {taken:.0f} s of the chosen method, because {why}"
            if tell:
                self._cut(
                    "time from scratch", f"From scratch got {seconds:.0f} s, less than the {taken:.0f} s of the chosen method: {why}."
                )
        else:
            words += "as long as the chosen method has learnt" if seconds <= 1.05 * taken else f"more than the {taken:.0f} s it took"
        return seconds, words

    def _without_trial(self, control: Parts, seconds: float) -> None:
        """Short training gets its precision by rule: dense layers gain twofold from bfloat16 where it is native."""
        about, decided = "precision with 0 stages frozen", self.chosen.passes.decided
        if about in decided or seconds >= SHORT or control.machine.device.type != "cpu":
            return
        decided[about] = "bfloat16" if ways.short_is_native() and control.spec.precision != "exact" else "float32"
        self.chosen.journal.decide(about, decided[about], "too little time for a trial", "--precision exact|fast")

    def _epochs(self, control: Parts, net: Net, cells: int, data: Data, seconds: float) -> float:
        """How many epochs fit into the seconds, by a trial of single passes; at most as many as the method would take by itself."""
        phase = next(control.phases(net, data)())
        machine, about = control.machine, "precision with 0 stages frozen"
        decided = self.chosen.passes.decided
        if about not in decided:
            decided[about] = str(precision.choose_dtype(machine, net, phase, 0, control.spec.precision, cells)[0]).removeprefix("torch.")
        machine = replace(machine, dtype=getattr(torch, decided[about]))
        blank = device.blank(net, 0, cells)
        batch = {key: value.repeat(BATCH, *[1] * (value.ndim - 1)) for key, value in blank.items()}
        each = train.pass_seconds(machine, net, phase, batch, 0) / BATCH
        # Optimizer, loading and the scoring of the selecting rows come to about a quarter of the passes themselves.
        return min(float(phase.epochs), seconds / (1.25 * each * max(len(data.train), 1)))


def _trial_seconds(net: Net, cells: int) -> float:
    """About what a trial of single passes would take, by the network's multiply-adds for an image, or a text of so many tokens."""
    return PASSES * BATCH * prefix.work(net, len(net.stages), cells) / SPEED


def random_start(body: Backbone) -> Backbone:
    """The same network with random weights. Raises WeightsError where it cannot be built anew, OptionError where nothing in it learns."""
    if not any(p.requires_grad for p in body.stages.parameters()):
        raise OptionError(f"'{body.origin.name}' has no weights to learn; name a network with --backbone.")
    made = backbones.rebuild(backbones.describe(body), getattr(body.prepare, "tokenizer", ""))
    origin = replace(made.origin, weights="random", sha256="", trained_on="nothing", parents=())
    return replace(made, origin=origin, prepare=body.prepare)


def probed(task: Task) -> Task:
    """The same task with a solved linear head, and nothing that only gradient descent learns: the body's own pooling instead of a learnt
    one, layers joined instead of mixed."""
    pool = {} if task.config.get("pool") != "attention" else {"pool": "auto"}
    return headed(task, head="logistic", hidden=[], dropout=0.0, mix=False, **pool)


def headed(task: Task, **values: object) -> Task:
    """The same task with these options, as far as it has them: a plug-in's may have others."""
    known = catalog.options("task", task.name)
    config = {name: value for name, value in {**task.config, **values}.items() if name in known.__dataclass_fields__}
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    return catalog.resolve("task", task.name)(task.schema, known(**made))
