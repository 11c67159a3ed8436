"""Without labels: two views of a sample are drawn together, and those of other samples apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..core import Batch, Data, Net, Phase, Task
from ..errors import OptionError
from ..losses import contrastive
from . import groups, recipe, self_supervised

VECTORS = ("class", "labels", "number", "none")
"""Targets for which a text is one vector."""


@dataclass(frozen=True, kw_only=True)
class Options(self_supervised.Unlabelled):
    """temperature: None is 0.5 for images, the paper's best for few and small ones, and 0.05 for texts, SimCSE's. A small one looks at the
        nearest other samples alone; on handwritten digits 0.1, 0.2 and 0.5 made no difference that could be told from chance.
    hidden: width of the projector's hidden layer; None is that of the features, as in the paper. projection: what it gives, 128 as there.
    grey: share of the views that lose their colours, 0.2 as in the paper; 0 where colour alone tells samples apart.
    epochs, lr: for texts None is about 600 steps within 1 to 10 epochs, and SimCSE's 3e-5.
    """

    temperature: float | None = None
    hidden: int | None = None
    projection: int = 128
    grey: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges = {"temperature": (1e-3, 10), "hidden": (1, 65_536), "projection": (1, 65_536), "grey": (0, 1)}
        self_supervised.in_range(self, ranges)


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Contrastive pre-training (SimCLR, Chen et al., 2020), for texts SimCSE (Gao et al., 2021), whose two views differ by dropout alone.

    Best with thousands of images without labels and a strong augmentation, which says what is to be the same; not for a few
    hundred, nor where what the augmentation changes (colour, place, size) is what the labels are about. A batch that memory
    divides has fewer samples to tell apart. The projector is dropped; labels, where there are any, teach a head afterwards.
    """
    text = data.schema.modality == "text"
    self_supervised.check_augmented(opts, data, "simclr")
    if text:
        opts = check_text(net, task, data, opts)
    frozen = groups.depth(net, opts.freeze)
    who = self_supervised.body(net, opts, "simclr", frozen)
    width = self_supervised.blank(net, net.pooled).shape[-1]
    extras, beside = self_supervised.beside(net, opts, projector=self_supervised.mlp(width, opts.hidden or width, opts.projection))
    temperature = opts.temperature or (0.05 if text else 0.5)
    loss = objective(extras["projector"], temperature, 0.0 if text else opts.grey)
    yield self_supervised.phase("simclr", data, opts, who + beside, loss, extras, views=2, frozen=frozen)
    yield from self_supervised.then(net, task, data, opts)


def objective(projector: nn.Module, temperature: float, grey: float) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """NT-Xent of the projected features of both views."""

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        # What frozen stages made of the images is kept without colours being taken away.
        if grey and batch.start == 0:
            batch = replace(batch, inputs=self_supervised.greyed(batch.inputs, net.prepare, grey))
        return contrastive.nt_xent(*projector(recipe.features(net, batch)).chunk(2), temperature)

    return loss


def check_text(net: Net, task: Task, data: Data, opts: Options) -> Options:
    """The options with what texts have differently. Raises OptionError where a text is not one vector, or has but one view."""
    if task.schema.target not in VECTORS or self_supervised.blank(net, net.pooled).ndim != 2:
        raise OptionError("Method 'simclr' compares whole texts, and here each token stays apart; use --method adapt, or task.pool=avg.")
    if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in net.stages[groups.depth(net, opts.freeze) :].modules()):
        raise OptionError(
            "Method 'simclr' makes two views of a text by dropout, and this body has none where it learns; use --method adapt."
        )
    count = recipe.epochs(opts, len(self_supervised.rows(data)), self_supervised.STEPS, 1, 10)
    return replace(opts, epochs=count, lr=opts.lr or 3e-5)
