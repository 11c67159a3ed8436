"""Without labels and without negatives: a net foresees what a slow copy of itself says of another view."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..core import Batch, Data, Net, Phase, Task
from ..data import order
from ..losses import contrastive
from . import groups, self_supervised


@dataclass(frozen=True, kw_only=True)
class Options(self_supervised.Unlabelled):
    """tau: the momentum of the slow copy at the beginning; it rises to 1 along a cosine. 0.99, as the paper has for few epochs: its
        0.996 is for a thousand of them.
    hidden: width of the hidden layer of projector and predictor, 1024, a quarter of the paper's for bodies a quarter as wide.
    projection: what they give, 256 as in the paper.
    grey: share of the views that lose their colours, 0.2 as in the paper; 0 where colour alone tells samples apart.
    """

    tau: float = 0.99
    hidden: int = 1024
    projection: int = 256
    grey: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self_supervised.in_range(self, {"tau": (0, 1), "hidden": (1, 65_536), "projection": (1, 65_536), "grey": (0, 1)})


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Bootstrap your own latent (Grill et al., 2020): no sample is pushed away from another.

    Best where batches have to be small or many images are alike, so that contrasting them would part what belongs together; it
    needs a strong augmentation. It can collapse, all features becoming one, which `effective_rank` and `spread` of the run's
    scores show: then take a lower rate or simclr. A slow copy of the learning stages costs a second forward pass and their memory.
    """
    self_supervised.check_images(data, "byol")
    self_supervised.check_augmented(opts, data, "byol")
    frozen = groups.depth(net, opts.freeze)
    who = self_supervised.body(net, opts, "byol", frozen)
    width = self_supervised.blank(net, net.pooled).shape[-1]
    projector = self_supervised.mlp(width, opts.hidden, opts.projection)
    predictor = self_supervised.mlp(opts.projection, opts.hidden, opts.projection)
    extras, beside = self_supervised.beside(net, opts, projector=projector, predictor=predictor)
    # Not among those that learn by gradient, so added after their groups were made.
    extras["slow"] = nn.ModuleDict({"net": slow_copy(net, frozen), "projector": copy.deepcopy(projector)}).requires_grad_(False)
    made = self_supervised.phase("byol", data, opts, who + beside, objective(extras, frozen, opts.grey), extras, views=2, frozen=frozen)
    steps = made.epochs * order.steps(made.streams["train"])
    yield replace(made, after_step=follow(opts.tau, steps, frozen))
    yield from self_supervised.then(net, task, data, opts)


def slow_copy(net: Net, frozen: int) -> Net:
    """The net without its heads and without the frozen stages, which are the same in both; it begins at depth `frozen`."""
    twin = copy.deepcopy(net)
    twin.head, twin.earlier, twin.language_head = nn.Identity(), nn.ModuleDict(), None
    for i in range(frozen):
        twin.stages[i] = nn.Identity()
    return twin


def objective(extras: nn.ModuleDict, frozen: int, grey: float) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """The regression loss of each view's prediction against what the slow copy makes of the other, both ways (eq. 2 and below)."""
    projector, predictor, slow = extras["projector"], extras["predictor"], extras["slow"]

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        inputs = self_supervised.greyed(batch.inputs, net.prepare, grey) if batch.start == 0 else batch.inputs
        state = net.advance(inputs, batch.start, frozen)
        predicted = predictor(projector(net.advance(state, frozen, net.pooled)["x"])).chunk(2)
        with torch.no_grad():
            wanted = slow["projector"](slow["net"].advance(state, frozen, net.pooled)["x"]).chunk(2)
        return contrastive.regression(predicted[0], wanted[1]) + contrastive.regression(predicted[1], wanted[0])

    return loss


def momentum(tau: float, step: int, steps: int) -> float:
    """1 - (1 - tau) (cos(pi step / steps) + 1) / 2: from tau to 1 (Grill et al., 2020, section 3.2)."""
    return 1 - (1 - tau) * (math.cos(math.pi * min(step / max(steps, 1), 1.0)) + 1) / 2


def follow(tau: float, steps: int, frozen: int) -> Callable[[Net, nn.ModuleDict, int], None]:
    """after_step: the slow copy comes nearer to the net. Running statistics are its own, from its own passes."""

    @torch.no_grad()
    def after_step(net: Net, extras: nn.ModuleDict, step: int) -> None:
        share, slow = 1 - momentum(tau, step, steps), extras["slow"]
        pairs = ((slow["net"].stages[frozen:], net.stages[frozen:]), (slow["projector"], extras["projector"]))
        for behind, ahead in pairs:
            for late, early in zip(behind.parameters(), ahead.parameters(), strict=True):
                late.lerp_(early.detach(), share)

    return after_step
