"""Elastic weight consolidation: what earlier tasks depend on is pulled back, the rest is free to learn."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Batch, Data, Group, Net, Phase, Schedule, Stream, Task
from ..losses.proximal import l2_distance
from . import continual, groups, recipe

BATCH = 8
"""Rows whose gradients are squared together; see `measure`."""


@dataclass(frozen=True, kw_only=True)
class Options(continual.Keeping):
    """strength: of the pull (the paper's lambda). 1 weighs an earlier row as much as a new one, and is hardly felt: curvature at the start
        says little of what is further away. 100 let graft-mini learn potato leaves after cartoons (PACS, one draw) about as well as none.
    keep: rows of each class of an earlier task that are there to estimate its Fisher information from. samples: how many of them are
        used, drawn at random; 0 for all. Its size matters less than which numbers are large, and 512 tell that.
    weight_decay: 0 for the body, because the pull takes its place; head_decay: decay of the head, which has no start worth keeping.
    """

    strength: float = 100.0
    keep: int = 100
    samples: int = 512
    weight_decay: float = 0.0
    head_decay: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        continual.check_ranges(self, (("keep", 1, 10**9), ("samples", 0, 10**9), ("head_decay", 0, 10)))


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The Fisher information of each earlier task; the new head alone; then everything, with a pull of
    strength / 2 * sum over the body's numbers of F (w - w0)^2 (Kirkpatrick et al., "Overcoming catastrophic forgetting in neural
    networks", 2017, eq. 3), F summed over earlier tasks, as many rows as each learnt for every new one (Huszar, 2018: one pull, back
    to the weights as they were loaded, which all earlier tasks share). Earlier heads are constant.

    Its labels are drawn from the model's own predictions, so this is the Fisher information itself, not the "empirical" one of
    given labels, which is near zero wherever the model is right; labels of earlier rows are not used. Best where rows of earlier
    tasks are there for a moment but must not be learnt from again, and the tasks are alike; a quadratic pull knows no more than the
    neighbourhood of the start, so rehearsal keeps more.
    """
    recipe.check_trainable(task, "ewc")
    known = continual.earlier(net, data, "ewc")
    tables = {name: sample(continual.rows(name, data, "ewc"), opts.samples) for name in known}
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    names = tuple(name for group in who for name in group.parameters)
    start = {name: net.get_parameter(name).detach().clone() for name in names}
    fisher = {name: torch.zeros_like(value) for name, value in start.items()}
    for name, one in known.items() if names else ():
        phase = measure(name, one.task.schema.target, net, tables[name], names, frozen)
        yield phase
        share = (one.learnt or len(one.table)) / max(len(data.train), 1)
        for total, found in zip(fisher.values(), phase.extras["fisher"], strict=True):
            total.add_(share * found.detach())
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    who += groups.head(net, opts.head_lr or opts.lr, opts.head_decay)

    def pull(live: Net) -> Tensor:
        return 0.5 * opts.strength * l2_distance(live, start, fisher)

    tuned = yield continual.held(recipe.phase("ewc", task, data, opts, who, frozen=frozen, penalty=pull), opts.hold_norm)
    yield from recipe.probe_again(tuned, net, task, data, opts)


def sample(table: pa.Table, count: int) -> pa.Table:
    """So many rows drawn at random, or all."""
    return table if not 0 < count < len(table) else table.take(pa.array(torch.randperm(len(table))[:count].sort().values.numpy()))


def measure(name: str, target: str, net: Net, table: pa.Table, names: tuple[str, ...], frozen: int) -> Phase:
    """The phase that sums up the diagonal Fisher information of an earlier task in its extras "fisher", a tensor for each of `names`:
    the mean over rows of the expectation, over labels drawn from the prediction, of the squared gradient of their log-likelihood.

    Nothing moves: the rate is zero and the whole net is in eval mode. The square is that of the gradient summed over BATCH rows. As
    labels are drawn, each row's gradient has the mean zero and rows are independent, so its expectation is the sum of the rows' own
    squares: without bias, a BATCH-th of the work, and noisier. (Of given labels it would be biased.)
    """
    seen: set[int] = set()
    zeros = [nn.Parameter(torch.zeros_like(net.get_parameter(one)), requires_grad=False) for one in names]

    def objective(live: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        live.eval()
        seen.update(batch.rows.tolist())
        return surprise(live.seen_as(name)(batch.inputs, batch.start), target)

    @torch.no_grad()
    def add(live: Net, extras: nn.ModuleDict, _step: int) -> None:
        for one, total in zip(names, extras["fisher"], strict=True):
            gradient = live.get_parameter(one).grad
            if gradient is not None:
                total.add_((len(seen) * gradient.float()).square() / len(table))
        seen.clear()

    return Phase(
        f"what {name} depends on", {"train": Stream(table, BATCH)}, 1, (Group("measured", names, 0.0),), objective, frozen,
        extras=nn.ModuleDict({"fisher": nn.ParameterList(zeros)}), after_step=add, schedule=Schedule("constant", 0.0), optimizer="sgd",
        clip=0.0, keep="last", score=False,
    )  # fmt: skip


def surprise(outputs: Tensor, target: str) -> Tensor:
    """The mean over rows of -ln p(y), y drawn from the outputs [n, k] themselves: a class, each label, or standardised numbers whose
    deviation is 1 (the noise that squared error supposes)."""
    outputs, said = outputs.float(), outputs.detach().float()
    if target == "class":
        return F.cross_entropy(outputs, torch.multinomial(said.softmax(1), 1).squeeze(1))
    if target == "labels":
        return F.binary_cross_entropy_with_logits(outputs, torch.bernoulli(said.sigmoid()), reduction="sum") / len(outputs)
    return 0.5 * (outputs - said - torch.randn_like(said)).square().sum() / len(outputs)
