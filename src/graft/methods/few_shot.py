"""Few labels: the body learns which samples belong together, then a head is solved on its features."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor

from ..core import Batch, Data, Net, Phase, Schedule, Solution, Task
from ..errors import OptionError
from ..losses import contrastive
from . import groups, recipe

MOST_STEPS = 2000
"""More steps than that are no longer what few labels need; `epochs` asks for them all the same."""
HALVED, MOST_SEEN = 640, 1280
"""How often rows of a class (of each of four, where there are fewer) are met before they are met half as often as `pairs` asks for, and at
most (decision 0024). On 128 labels of each of two classes half of it scored as well (0.765 and 0.741 beside 0.769 and 0.737 of two draws,
learning rows of rt_polarity alone), a quarter less."""
UNIT_C = 1.0
"""Strength of a head on features of length 1. It is not searched for: cross-validated on rows whose labels the body has learnt, the
weakest penalty looks best."""
SPARED = 200
"""Selecting rows from which a temperature may make probabilities more certain (graft.evidence.scores), so that they must be unseen."""


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """loss: "pairs" (cosines against 0 and 1, as SetFit has them) or "supervised" (contrastive, for more than a few rows a class).
    temperature: of the loss "supervised"; 0.1 is its paper's.
    margin: of the loss "pairs", 0 to 1: a cosine so near to its target costs nothing, so that the body goes no further from where it was
        than it must. 0.2 and 0.3 were better than 0 (decision 0024).
    pairs: how many pairs each row is in. 600 make as many steps as SetFit's 20 pairs of each kind a row do with 16 pairs a step; a
        step here takes all pairs of 16 rows. With MiniLM on 8 labels of each of 4 topics (AG News, mean of four draws) 600 scored 0.823, 80
        scored 0.786, and a head on the body as it is 0.753.
    epochs: None gives that many pairs, half of them from 128 rows on and fewer from 256 on (of more than four classes, from more), within
        2000 steps. batch: 16 rows, 120 pairs; more where there are many classes, for a batch without two rows of one class says little.
    lr: 2e-5, SetFit's, for all stages (decay: 1). balance: on, so that small classes meet their own kind.
    weight_decay: 0.01, AdamW's usual one, as SetFit leaves it. augment: off, since a few images are soon told apart by their views.
    freeze: as for finetune. head_epochs, head_lr (None is 1e-3) and smoothing (0): of a head that is trained, as for lp_ft.
    """

    loss: str = "pairs"
    temperature: float = 0.1
    margin: float = 0.3
    pairs: int = 600
    batch: int = 16
    lr: float = 2e-5
    decay: float = 1.0
    weight_decay: float = 0.01
    smoothing: float = 0.0
    balance: bool = True
    augment: bool = False
    head_epochs: int = 100
    freeze: str | int | None = None

    @property
    def own_length(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in ("pairs", "supervised"):
            raise OptionError(f"method.loss = {self.loss} is not one of pairs, supervised.")
        if not 1e-3 <= self.temperature <= 10:
            raise OptionError(f"method.temperature = {self.temperature} is outside 0.001 to 10; try --set method.temperature=0.1.")
        if not 0 <= self.margin < 1:
            raise OptionError(f"method.margin = {self.margin} is outside 0 to 1; try --set method.margin=0.3.")
        if not 1 <= self.pairs <= 1_000_000:
            raise OptionError(f"method.pairs = {self.pairs} is outside 1 to 1000000; try --set method.pairs=600.")
        if self.batch < 2:
            raise OptionError("method.batch = 1 has no pairs; try --set method.batch=16.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Contrastive fine-tuning on the pairs inside class-balanced batches, then a head on the features (SetFit, Tunstall et al., 2022).

    Best for 4 to 100 labels a class; with hundreds, fine-tuning is as good and shorter. Nothing is chosen on the selecting rows, so
    where they were drawn from the learning rows and are fewer than SPARED, they teach body and head: of few labels each is worth
    more than what it could tell of the others. The selection score is then that of learnt rows and flatters. Else the body learns
    from the learning rows alone, and what the head gives for others out of fold calibrates and stands as the selection score.
    """
    if task.schema.target != "class":
        raise OptionError("Method 'few_shot' needs one class for each sample; use --method lp_ft for these labels.")
    frozen = groups.depth(net, opts.freeze)
    drawn = data.plan is not None and data.plan.drawn and data.val is not None
    if drawn and len(data.val) < SPARED:
        data = replace(data, train=data.learning(), plan=replace(data.plan, drawn=False))
    yield Phase(
        "contrast", {"train": recipe.stream(data, opts)}, epochs(opts, len(data.train), len(task.schema.classes)),
        groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen), objective(opts), frozen,
        schedule=Schedule(opts.schedule, opts.warmup), optimizer=opts.optimizer, clip=opts.clip, ema=opts.ema, keep="last",
        seconds=opts.seconds, score=False,
    )  # fmt: skip
    head = recipe.head_first(net, task, data, replace(opts, lr=recipe.Training.lr), opts.head_epochs, everything=True)
    if head.solve is not None:
        solve = partial(task.solve, like={"C": UNIT_C}) if task.config.get("head") == "logistic_unit" else task.solve
        head = replace(head, solve=_honest(solve, len(data.train)))
    yield head


def epochs(opts: Options, rows: int, classes: int) -> int:
    """The user's number, or the one in which each row meets `pairs` others, or half as many of more rows (HALVED), within MOST_SEEN rows
    of a class and MOST_STEPS steps."""
    if opts.epochs is not None:
        return opts.epochs
    together, rows = max(2, min(opts.batch, rows)), max(rows, 1)
    wanted = math.ceil(opts.pairs / (together - 1))
    halved, most = max(wanted // 2, HALVED * max(classes, 4) // rows), MOST_SEEN * max(classes, 4)
    return max(1, min(wanted, halved, min(MOST_STEPS * together, most) // rows))


def objective(opts: Options) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """The contrastive loss of a batch's pooled features [n, width]."""

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        features = recipe.features(net, batch)
        # A mixed image counts as what there is most of in it.
        labels = batch.targets if batch.targets.ndim == 1 else batch.targets.argmax(1)
        if opts.loss == "pairs":
            return contrastive.pairs(features, labels, opts.margin)
        return contrastive.supervised(features, labels, opts.temperature)

    return loss


def _honest(solve: Callable[[np.ndarray, np.ndarray, int], Solution], learnt: int) -> Callable[[np.ndarray, np.ndarray, int], Solution]:
    """The solver, without held-out outputs for the first `learnt` rows: the body knows their labels, so they would flatter."""

    def solved(features: np.ndarray, targets: np.ndarray, seed: int) -> Solution:
        solution = solve(features, targets, seed)
        if solution.outputs is None:
            return solution
        rows = np.arange(len(targets)) if solution.rows is None else solution.rows
        unseen = rows >= learnt
        return replace(solution, outputs=solution.outputs[unseen], rows=rows[unseen]) if unseen.any() else replace(solution, outputs=None)

    return solved
