"""Drives a method: takes its phases one after the other, runs them, sends back what came of them, and survives a kill."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Data, Net, Phase, Task, Trained
from ..data import order
from ..data.streams import Streams, names
from ..heads import rebuild
from . import checkpoint, forward, precision, prefix, train
from .device import Machine
from .feed import Feed
from .journal import Journal
from .passes import Passes

OUTPUTS = "outputs"
"""Beside the tensors of the best epoch: the outputs on the selecting rows."""
SAVE_EVERY = 5.0  # seconds; shorter epochs are not worth a checkpoint each, and are run again after a kill


@dataclass(frozen=True)
class Outcome:
    """What the last phase left: the selection scores, and outputs [n, k] with their encoded targets that calibrate.
    frozen: how many stages, from the first, no phase has changed. watched: outputs on what each phase watched, by its name."""

    net: Net
    scores: dict[str, float]
    outputs: Tensor
    targets: Tensor
    phases: tuple[dict, ...]
    frozen: int = 0
    watched: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Setting:
    """What stays the same over all phases of one run ("final", "fold1", ...)."""

    run: str
    folder: Path
    net: Net
    task: Task
    data: Data
    passes: Passes
    journal: Journal
    seed: int
    steps_told: float = 0.0
    frozen: int | None = None
    outcomes: list[dict] = field(default_factory=list)
    last: tuple[Tensor, Tensor] | None = None
    watched: dict[str, Tensor] = field(default_factory=dict)

    @property
    def streams(self) -> Streams:
        return self.passes.streams

    @property
    def machine(self) -> Machine:
        return self.passes.machine

    def path(self, name: str) -> Path:
        return self.folder / "checkpoints" / self.run / f"{name}.safetensors"


def execute(phases: Callable[[], Iterator[Phase]], setting: Setting) -> Outcome:
    """Run every phase that `phases()` yields, from the last checkpoint where there is one.

    After a kill the generator is replayed: a phase that had finished is not run again but its snapshot is loaded, so
    that the generator sees the net that it saw then. The seed is set before every advance, so that what a generator
    draws (a new head, a low-rank adapter) is drawn alike.
    """
    _seed(setting, "start")
    generator, number = phases(), 0
    try:
        phase = next(generator)
        while True:
            trained = _perform(phase, number, setting)
            number += 1
            _seed(setting, "advance", number)
            phase = generator.send(trained)
    except StopIteration:
        pass
    outputs, targets = setting.last
    scores = dict(setting.outcomes[-1]["select"])
    return Outcome(setting.net, scores, outputs, targets, tuple(setting.outcomes), setting.frozen, setting.watched)


def _seed(setting: Setting, *tag: str | int) -> None:
    torch.manual_seed(int(order.generator(setting.seed, setting.run, *tag).integers(2**62)))


def _perform(phase: Phase, number: int, setting: Setting) -> Trained:
    done = checkpoint.load(setting.path(f"phase{number}"))
    still = len(setting.net.stages) if phase.solve is not None else phase.frozen
    setting.frozen = still if setting.frozen is None else min(setting.frozen, still)
    if done is None:
        _announce(phase, number, setting)
    before = checkpoint.digest(setting.net, checkpoint.constant(setting.net, phase)) if phase.solve is None else ""
    row = _solve(phase, number, setting, done) if phase.solve is not None else _train(phase, number, setting, done)
    if phase.solve is None and checkpoint.digest(setting.net, checkpoint.constant(setting.net, phase)) != before:
        raise AssertionError(f"phase '{phase.name}' changed tensors that it froze; this is a defect of graft")
    setting.outcomes.append(row)
    if done is None:
        setting.journal.write("kept", run=setting.run, phase=phase.name, epoch=row["epoch"], select=row["select"])

    def predict(table: pa.Table) -> Tensor:
        return forward.scored(setting.passes, setting.net, table, setting.frozen, setting.task.summarise)

    return Trained(setting.net, row["select"], row["epoch"], predict, setting.watched.get(phase.name), row.get("chosen") or {})


def _watch(phase: Phase, feed: Feed, setting: Setting) -> dict[str, Tensor]:
    """The outputs on what the phase watches, as a tensor of its snapshot."""
    if phase.watch is None:
        return {}
    setting.watched[phase.name] = forward.outputs(setting.net, feed.plain(phase.watch), setting.machine, setting.task.summarise)
    return {"watched": setting.watched[phase.name]}


def _recall(phase: Phase, tensors: dict[str, Tensor], setting: Setting) -> None:
    if "watched" in tensors:
        setting.watched[phase.name] = tensors.pop("watched")


def _announce(phase: Phase, number: int, setting: Setting) -> None:
    known = dict(setting.net.named_parameters())
    groups = [
        {"name": g.name, "lr": g.lr, "weight_decay": g.weight_decay, "tensors": len(g.parameters),
         "parameters": sum(known[n].numel() for n in g.parameters if n in known)}
        for g in phase.groups
    ]  # fmt: skip
    depth, why = _prefix(phase, setting)
    setting.journal.write(
        "phase", run=setting.run, phase=phase.name, number=number, epochs=phase.epochs, frozen=phase.frozen, groups=groups,
        trainable=sum(g["parameters"] for g in groups), total=sum(p.numel() for p in setting.net.parameters()),
        batch=phase.streams["train"].batch, optimizer="solver" if phase.solve else phase.optimizer, constant_prefix=depth, why=why,
        stages=len(setting.net.stages),
    )  # fmt: skip


def _rows(phase: Phase, setting: Setting) -> int:
    """How many states the phase would keep: of those that learn, in each view, and where epochs are scored, of those that select."""
    selecting = 0 if phase.solve is not None or setting.data.val is None else len(setting.data.val)
    views = max(1, setting.streams.augment.options.views)
    selecting += len(phase.watch) if phase.watch is not None else 0
    return selecting + sum(len(stream.table) * (views if stream.augment else 1) for stream in phase.streams.values())


def _prefix(phase: Phase, setting: Setting) -> tuple[int, str]:
    augment = setting.streams.augment
    # A head that is solved needs its features, however many they are.
    fits = setting.passes.fits if phase.solve is None else lambda nbytes: True
    rows, cells = _rows(phase, setting), _cells(phase, setting)
    return prefix.depth(setting.net, phase, rows, fits, augment.active, augment.options.views, cells)


def _cells(phase: Phase, setting: Setting) -> int:
    """How many tokens the learning texts have on average; 0 for images."""
    return order.mean_cells(setting.streams.cells(phase.streams["train"].table))


def _feed(phase: Phase, setting: Setting) -> Feed:
    depth, _ = _prefix(phase, setting)
    tick = setting.journal.progress(f"{phase.name}: features", _rows(phase, setting), setting.run)
    return Feed(setting.passes, setting.net, phase, depth, tick)


def _solve(phase: Phase, number: int, setting: Setting, done) -> dict:
    """A head found in one go from the pooled features; its outputs out of fold are the selection score."""
    table = phase.streams["train"].table
    if done is None:
        feed = _feed(replace(phase, frozen=len(setting.net.stages)), setting)
        features, targets = feed.features(table)
        beside = {name: feed.features(stream.table)[0] for name, stream in phase.streams.items() if name != "train"}
        solution = phase.solve(features, targets, setting.seed, **beside)
        setting.net.head = setting.machine.place(solution.head)
        if solution.outputs is not None:
            targets = targets if solution.rows is None else targets[solution.rows]
            outputs, targets = torch.from_numpy(np.asarray(solution.outputs, np.float32)), torch.from_numpy(targets)
        elif setting.data.val is not None and len(setting.data.val):
            outputs = forward.outputs(setting.net, feed.plain(setting.data.val), setting.machine, setting.task.summarise)
            targets = setting.task.encode(setting.data.val)
        else:
            outputs = forward.outputs(setting.net, feed.plain(table), setting.machine, setting.task.summarise)
            targets = torch.from_numpy(targets)
        row = {"phase": phase.name, "epoch": 0, "select": _scores(setting.task, outputs, targets), "chosen": solution.chosen}
        tensors = {f"head.{k}": v for k, v in setting.net.head.state_dict().items()} | {"outputs": outputs, "targets": targets}
        tensors |= _watch(phase, feed, setting)
        setting.journal.write("solved", run=setting.run, phase=phase.name, chosen=solution.chosen, select=row["select"])
        checkpoint.save(setting.path(f"phase{number}"), tensors, {"row": row, "head": solution.head.config})
    else:
        tensors, state = done
        _recall(phase, tensors, setting)
        row, outputs, targets = state["row"], tensors["outputs"], tensors["targets"]
        head = rebuild(state["head"])
        head.load_state_dict({k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")})
        setting.net.head = setting.machine.place(head)
    setting.last = outputs, targets
    return row


def _train(phase: Phase, number: int, setting: Setting, done) -> dict:
    net = setting.net
    if done is not None:
        tensors, state = done
        _recall(phase, tensors, setting)
        outputs, targets = tensors.pop("outputs"), tensors.pop("targets")
        checkpoint.restore(checkpoint.changing(net, phase), {k: setting.machine.place(v) for k, v in tensors.items()})
        setting.last = outputs, targets
        return state["row"]
    feed = _feed(phase, setting)
    feed.prepare()
    progress = train.Progress()
    loop = train.Loop(net, phase, _precise(phase, feed.start, setting), progress, feed.steps)
    best, current = {}, setting.path("current")
    kept = checkpoint.load(current)
    if kept is not None and kept[1]["number"] == number:
        best = _continue(kept, phase, loop, setting)
    elif phase.keep == "best" and not (phase.fresh and phase.epochs):
        best = _judge(phase, loop, feed, setting, {}, None)
    _epochs(phase, number, loop, feed, setting, best)
    outputs = best.pop(OUTPUTS, None)
    if phase.keep == "best":
        checkpoint.restore(checkpoint.changing(net, phase), best)
    elif loop.average:
        loop.swap()
    if outputs is None:
        outputs = forward.outputs(net, feed.plain(setting.data.val), setting.machine, setting.task.summarise)
    targets = setting.task.encode(setting.data.val)
    row = {"phase": phase.name, "epoch": max(progress.best_epoch, 0) if phase.keep == "best" else progress.epoch,
           "select": _scores(setting.task, outputs, targets)}  # fmt: skip
    tensors = checkpoint.changing(net, phase) | {"outputs": outputs, "targets": targets} | _watch(phase, feed, setting)
    checkpoint.save(setting.path(f"phase{number}"), tensors, {"row": row})
    current.unlink(missing_ok=True)
    setting.last = outputs, targets
    return row


def _precise(phase: Phase, start: int, setting: Setting) -> Machine:
    """The machine with the precision of this phase's steps. A resumed run and the other folds take what was found first."""
    if phase.frozen >= len(setting.net.stages) or not phase.groups:
        return setting.machine  # A head alone gains nothing from less precision, and statistics would only lose.
    about, decided = f"precision with {phase.frozen} stages frozen", setting.passes.decided
    if about not in decided:
        dtype, why = precision.choose_dtype(setting.machine, setting.net, phase, start, setting.passes.precision, _cells(phase, setting))
        decided[about] = str(dtype).removeprefix("torch.")
        setting.journal.decide(about, decided[about], why, "--precision exact|fast")
    return replace(setting.machine, dtype=getattr(torch, decided[about]))


def _epochs(phase: Phase, number: int, loop: train.Loop, feed: Feed, setting: Setting, best: dict[str, Tensor]) -> None:
    progress, saved = loop.progress, time.monotonic()
    while progress.epoch < phase.epochs and not progress.stopped:
        epoch = progress.epoch + 1
        _seed(setting, number, "epoch", epoch)
        train.freeze(setting.net, phase)
        began = time.monotonic()
        loss = loop.epoch(feed.epoch(setting.run, number, epoch), _files(phase, setting), _reporter(phase, epoch, loop, setting))
        progress.epoch = epoch
        best = _judge(phase, loop, feed, setting, best, (loss, time.monotonic() - began))
        late = phase.patience and epoch - progress.best_epoch >= phase.patience
        # Another epoch that would end further beyond the limit than this one ended before it is not begun.
        out_of_time = phase.seconds is not None and progress.spent * (1 + 0.5 / progress.epoch) >= phase.seconds
        progress.stopped = bool(late or out_of_time)
        if time.monotonic() - saved >= SAVE_EVERY or progress.stopped or epoch == phase.epochs:
            _save(phase, number, loop, setting, best)
            saved = time.monotonic()


def _judge(phase: Phase, loop: train.Loop, feed: Feed, setting: Setting, best: dict[str, Tensor], epoch) -> dict[str, Tensor]:
    """Score the selecting rows, write the epoch, and keep a copy of what changes where it is the best so far.

    The state before the first epoch is a candidate too, unless it is drawn: fine-tuning that only harms is not kept. What the best
    gave for these rows is kept with it, because a pass over them takes as long as many steps.
    """
    progress, scores, better, outputs = loop.progress, {}, False, None
    with loop.averaged():
        if phase.score and setting.data.val is not None and len(setting.data.val):
            outputs = forward.outputs(setting.net, feed.plain(setting.data.val), setting.machine, setting.task.summarise)
            scores = _scores(setting.task, outputs, setting.task.encode(setting.data.val))
        key = _key(phase, feed, setting, scores)
        better = key is not None and (not progress.best_key or key > tuple(progress.best_key))
        if better and phase.keep == "best":
            progress.best_key, progress.best_epoch = key, progress.epoch
            best.clear()
            best.update(checkpoint.copy(checkpoint.changing(setting.net, phase)))
            best.update({} if outputs is None else {OUTPUTS: outputs})
    if epoch is not None:
        loss, seconds = epoch
        rates = [group["lr"] for group in loop.optimizer.param_groups]
        setting.journal.write(
            "epoch", run=setting.run, phase=phase.name, epoch=progress.epoch, train_loss=loss, lr=max(rates), seconds=round(seconds, 3),
            select=scores, best=better, **({"judged": key[0]} if phase.judge is not None else {}),
        )  # fmt: skip
    return best


def _key(phase: Phase, feed: Feed, setting: Setting, scores: dict[str, float]) -> tuple[float, ...] | None:
    """Higher is better: what the phase's own judge says, or the primary score, then (where it ties, as it often does on few rows)
    the log-loss. None where there is nothing to go by."""
    task = setting.task
    if phase.judge is not None:
        watched = forward.outputs(setting.net, feed.plain(phase.watch), setting.machine, task.summarise)
        return (float(phase.judge(watched, scores)),)
    if not scores:
        return None
    first = scores[task.primary] if task.higher else -scores[task.primary]
    return (first, -scores.get("log_loss", 0.0))


def _scores(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    return {k: float(v) for k, v in task.metrics(task.decode(outputs).numpy(), targets.numpy()).items()}


def _save(phase: Phase, number: int, loop: train.Loop, setting: Setting, best: dict[str, Tensor]) -> None:
    tensors = {f"live.{k}": v for k, v in checkpoint.changing(setting.net, phase).items()}
    tensors |= {f"best.{k}": v for k, v in best.items()} | {f"loop.{k}": v for k, v in loop.tensors().items()}
    checkpoint.save(setting.path("current"), tensors, {"number": number, "progress": asdict(loop.progress)})
    setting.journal.write("saved", run=setting.run, phase=phase.name, epoch=loop.progress.epoch)


def _continue(kept, phase: Phase, loop: train.Loop, setting: Setting) -> dict[str, Tensor]:
    tensors, state = kept
    part = lambda name: {k.removeprefix(name): setting.machine.place(v) for k, v in tensors.items() if k.startswith(name)}  # noqa: E731
    checkpoint.restore(checkpoint.changing(setting.net, phase), part("live."))
    loop.take({k.removeprefix("loop."): v for k, v in tensors.items() if k.startswith("loop.")})
    for name, value in state["progress"].items():
        setattr(loop.progress, name, value)
    best = part("best.")
    return best | ({OUTPUTS: best[OUTPUTS].cpu()} if OUTPUTS in best else {})


def _files(phase: Phase, setting: Setting):
    return lambda name, rows: names(phase.streams[name].table, rows, setting.streams.column)


def _reporter(phase: Phase, epoch: int, loop: train.Loop, setting: Setting):
    """Tells the listener about twice a second, with an estimate from this phase's own pace."""
    began, first, seen = time.monotonic(), loop.progress.step, 0

    def report(loss: float, size: int) -> None:
        nonlocal seen
        seen, now = seen + size, time.monotonic()
        if now - setting.steps_told < 0.5:
            return
        setting.steps_told = now
        taken, all_steps = loop.progress.step - first, loop.steps * phase.epochs
        remaining = (now - began) / max(taken, 1) * (all_steps - loop.progress.step)
        if phase.seconds is not None:
            remaining = min(remaining, max(phase.seconds - loop.progress.spent - (now - began), 0.0))
        setting.journal.tell(
            "step", run=setting.run, phase=phase.name, epoch=epoch, step=loop.progress.step, steps=all_steps, loss=loss,
            rate=seen / (now - began), remaining_s=remaining,
        )  # fmt: skip

    return report
