"""The training loop, and the only backward pass."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..core import Batch, Net, Phase, Schedule, State
from ..errors import TrainingError
from . import device
from .device import Machine


def factor(schedule: Schedule, done: float, steps: int) -> float:
    """The rate's factor (0..1) when the fraction `done` (0..1) of `steps` steps is behind.

    Warm-up rises linearly over max(1 step, schedule.warmup of all); cosine falls as (1 + cos(pi t)) / 2 (Loshchilov & Hutter, 2017).
    """
    warm = max(schedule.warmup, 1 / max(steps, 1)) if schedule.warmup > 0 else 0.0
    if done < warm:
        return (done + 1 / max(steps, 1)) / (warm + 1 / max(steps, 1))
    after = min(1.0, (done - warm) / max(1 - warm, 1e-9))
    if schedule.kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * after))
    return 1 - after if schedule.kind == "linear" else 1.0


def optimizer(net: nn.Module, phase: Phase) -> torch.optim.Optimizer:
    """One optimizer group a phase group and kind: matrices decay, vectors (biases, norms) never do."""
    known = dict(net.named_parameters())
    if phase.extras is not None:
        known |= {f"extras.{name}": parameter for name, parameter in phase.extras.named_parameters()}
    groups = []
    for group in phase.groups:
        members = [known[name] for name in group.parameters]
        for decays in (True, False):
            some = [p for p in members if (p.ndim > 1) == decays]
            if some:
                groups.append({"params": some, "lr": group.lr, "peak": group.lr, "weight_decay": group.weight_decay if decays else 0.0})
    # Without groups only running statistics move.
    groups = groups or [{"params": [], "lr": 0.0, "peak": 0.0}]
    if phase.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def freeze(net: nn.Module, phase: Phase) -> None:
    """Gradients only for the groups' parameters; training mode only for stages that are not frozen, the head and the extras."""
    learning = {name for group in phase.groups for name in group.parameters}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in learning)
    net.train()
    for stage in net.stages[: phase.frozen]:
        stage.eval()
    if phase.extras is not None:
        phase.extras.train()


@dataclass
class Progress:
    """What an epoch needs to know of the ones before it, and what a checkpoint keeps besides tensors."""

    epoch: int = 0
    step: int = 0
    parts: int = 1
    spent: float = 0.0
    began: float = 0.0
    best_epoch: int = -1
    best_key: tuple[float, ...] = ()
    stopped: bool = False


class Loop:
    """Runs epochs of one phase. average: the running mean of the learning parameters that `phase.ema` asks for (Polyak &
    Juditsky, 1992), in the order of `learning`; it is what is scored and kept."""

    def __init__(self, net: nn.Module, phase: Phase, machine: Machine, progress: Progress, steps: int):
        self.net, self.phase, self.machine, self.progress, self.steps = net, phase, machine, progress, steps
        device.keep_freed_memory(machine)
        self.optimizer = optimizer(net, phase)
        self.learning = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = [p.detach().clone() for p in self.learning] if phase.ema > 0 else []

    def epoch(self, batches: Iterator[dict[str, Batch]], files, report) -> float:
        """One epoch over {stream: Batch} dicts; the mean training loss. files(name, rows) names a batch's files for an
        error; report(loss, samples, step) is called after each step. Raises TrainingError."""
        total = count = 0.0
        self.progress.began = time.monotonic()
        for batch in batches:
            size = len(batch["train"].targets)
            loss = self._step(batch, files)
            total, count = total + loss * size, count + size
            report(loss, size)
        self.progress.spent += time.monotonic() - self.progress.began
        return total / max(count, 1)

    @contextlib.contextmanager
    def averaged(self):
        """Inside, the learning parameters hold their average."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the learning parameters and their average, where one is kept."""
        for mean, live in zip(self.average, self.learning, strict=bool(self.average)):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The optimizer's and the average's tensors, by name, for a checkpoint."""
        found = {f"average.{i}": mean for i, mean in enumerate(self.average)}
        for i, parameter in enumerate(self.learning):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor):
                    found[f"optimizer.{i}.{key}"] = value
        return found

    def take(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `tensors` gave."""
        for name, value in tensors.items():
            kind, number, *key = name.split(".")
            if kind == "average":
                self.average[int(number)].copy_(value)
            elif kind == "optimizer":
                parameter = self.learning[int(number)]
                # Fused, AdamW keeps its step counter where the parameter is. What goes with a parameter must lie in memory as it
                # does: the fused step walks through both side by side, and a snapshot has forgotten channels_last.
                held = value.to(parameter.device, copy=True) if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                self.optimizer.state[parameter][key[0]] = held.detach()

    def done(self) -> float:
        """The fraction of the phase that is behind: by steps, or by time where the phase has a time limit."""
        by_steps = self.progress.step / max(self.steps * self.phase.epochs, 1)
        if self.phase.seconds is None:
            return by_steps
        spent = self.progress.spent + time.monotonic() - self.progress.began
        return min(1.0, max(by_steps, spent / self.phase.seconds))

    def _step(self, batch: dict[str, Batch], files) -> float:
        rate = factor(self.phase.schedule, self.done(), self.steps * self.phase.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        loss = self._gradients(batch, files)
        if self.phase.clip > 0:
            norm = nn.utils.clip_grad_norm_(self.learning, self.phase.clip)
            if not torch.isfinite(norm):
                raise self._not_finite("The gradient", batch, files)
        self.optimizer.step()
        self.progress.step += 1
        # Early on the mean would be that of the start alone, so its memory grows with the steps.
        memory = min(self.phase.ema, (1 + self.progress.step) / (10 + self.progress.step))
        for mean, live in zip(self.average, self.learning, strict=bool(self.average)):
            mean.lerp_(live.detach(), 1 - memory)
        if self.phase.after_step is not None:
            self.phase.after_step(self.net, self.phase.extras, self.progress.step)
        return loss

    def _gradients(self, batch: dict[str, Batch], files) -> float:
        """Loss and gradients of one effective batch; memory that runs out halves the micro-batch and starts the batch again."""
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            state = torch.get_rng_state()
            buffers = {name: b.clone() for name, b in self.net.named_buffers()}
            try:
                return sum(self._micro(piece, share, batch, files) for piece, share in _pieces(batch, self.progress.parts))
            except (RuntimeError, MemoryError) as error:
                smallest = min(len(part.targets) // part.views for part in batch.values())
                if not device.is_out_of_memory(error):
                    raise
                if self.progress.parts * 2 > smallest:
                    raise TrainingError(
                        "Memory is too small even for one sample at a time; use a smaller body, "
                        "--image-size, or freeze more stages (--freeze)."
                    ) from error
            # Undo what the failed attempt left, so that the batch counts once.
            self.optimizer.zero_grad(set_to_none=True)
            torch.set_rng_state(state)
            for name, buffer in self.net.named_buffers():
                buffer.copy_(buffers[name])
            device.free_memory(self.machine)
            self.progress.parts *= 2

    def _micro(self, piece: dict[str, Batch], share: float, batch: dict[str, Batch], files) -> float:
        placed = {name: replace(b, inputs=self.machine.place(b.inputs), targets=self.machine.place(b.targets)) for name, b in piece.items()}
        with self.machine.learning():
            loss = self.phase.objective(self.net, placed)
        if not torch.isfinite(loss):
            raise self._not_finite("The loss", batch, files)
        if self.learning:
            (loss * share).backward()
        return loss.item() * share

    def _not_finite(self, what: str, batch: dict[str, Batch], files) -> TrainingError:
        names = files("train", batch["train"].rows)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return TrainingError(
            f"{what} is not finite in phase '{self.phase.name}' on this batch: {shown}; lower the rate (--lr) or look at these files."
        )


def _pieces(batch: dict[str, Batch], parts: int) -> Iterator[tuple[dict[str, Batch], float]]:
    """The batch in `parts` micro-batches, each with its share of the train rows, so that the mean loss stays the same."""
    if parts == 1:
        yield batch, 1.0
        return
    rows = len(batch["train"].targets)
    parts = min(parts, min(len(b.targets) // b.views for b in batch.values()))
    cuts = {name: _cuts(b, parts) for name, b in batch.items()}
    for i in range(parts):
        yield {name: _take(b, cuts[name][i]) for name, b in batch.items()}, len(cuts["train"][i]) / rows


def _cuts(batch: Batch, parts: int) -> list[torch.Tensor]:
    """Which rows each micro-batch has: all views of a row stay together."""
    rows = len(batch.targets) // batch.views
    return [torch.cat([piece + view * rows for view in range(batch.views)]) for piece in torch.arange(rows).tensor_split(parts)]


def _take(batch: Batch, index: torch.Tensor) -> Batch:
    inputs = {k: v[index] for k, v in batch.inputs.items()} if isinstance(batch.inputs, dict) else batch.inputs[index]
    return replace(batch, inputs=inputs, targets=batch.targets[index], rows=batch.rows[index])


def pass_seconds(machine: Machine, net: Net, phase: Phase, state: State, start: int) -> float:
    """Seconds of a forward and backward pass of what learns in the phase, from states at depth `start`: the faster of two,
    after one to warm up. Leaves no gradients, statistics or random state behind: it runs in eval mode."""
    modes, wanted = [(m, m.training) for m in net.modules()], [p.requires_grad for p in net.parameters()]
    freeze(net, phase)
    net.eval()
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with machine.learning():
            out = net(machine.place(state), start)
        out.float().square().mean().backward()
        times.append(time.perf_counter() - began)
    for parameter, flag in zip(net.parameters(), wanted, strict=True):
        parameter.grad = None
        parameter.requires_grad_(flag)
    for module, mode in modes:
        module.training = mode
    return min(times[1:])
