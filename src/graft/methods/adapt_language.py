"""A text body learns the target's language from its texts, without labels; then the task."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Group, Net, Phase, Schedule, State, Stream, Task, apart
from ..errors import OptionError
from ..losses import masked
from . import extract, finetune, gradual, groups, lp_ft, recipe

_THEN = {"finetune": finetune, "extract": extract, "lp_ft": lp_ft, "gradual": gradual}


@dataclass(frozen=True, kw_only=True)
class Adaptation(gradual.Options):
    """language_epochs: None gives about 600 steps within 1 to 40: adapting to few texts takes many rounds (Gururangan et al., 2020, ran
        a hundred). language_lr: 5e-5, half of theirs, for an eighth of their batch.
    share: of the tokens that are hidden and guessed, 0.15 as for BERT; without meaning for a body that reads from left to right.
    freeze: stages that no part changes. decay, batch, weight_decay, warmup, schedule, optimizer, clip and seconds hold in each part.
    lr: of the part with labels. augment: off, texts are not augmented. patience: 4, as for lp_ft.
    """

    language_epochs: int | None = None
    language_lr: float = 5e-5
    share: float = 0.15
    patience: int = 4
    augment: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("language_epochs", 0, 100_000), ("language_lr", 1e-9, 10), ("share", 0.01, 0.9)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                default = type(self).__dataclass_fields__[name].default
                raise OptionError(f"method.{name} = {value} is outside {low:g} to {high:g}; try --set method.{name}={default}.")

    @property
    def limited_phases(self) -> int:
        return 1 + super().limited_phases


@dataclass(frozen=True, kw_only=True)
class Options(Adaptation):
    """then: the part with labels: "lp_ft", "finetune", "gradual" or "extract". head_epochs as for lp_ft; steps_down as for gradual,
    and without meaning for the others."""

    then: str = "lp_ft"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.then not in _THEN:
            raise OptionError(f"method.then = {self.then} is not one of {', '.join(_THEN)}.")

    @property
    def limited_phases(self) -> int:
        return super().limited_phases if self.then == "gradual" else 2


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Task-adaptive pre-training, then an ordinary method (Gururangan et al., "Don't stop pretraining", 2020).

    The body guesses hidden tokens (or the next one) of the learning and unlabelled texts, never of the selecting or scored ones.
    Best where the texts are unlike what the body has read and there are more of them than labels; of little use for a
    sentence encoder, whose last features were trained for something else.
    """
    if opts.then != "extract":
        recipe.check_trainable(task, "adapt")
    yield adaptation(net, task, data, opts, "adapt")
    if opts.then == "extract":
        # A head that is trained on frozen features takes the rate and the epochs that extract has for it.
        count = extract.Options.epochs if opts.epochs is None else opts.epochs
        opts = replace(opts, head_lr=opts.head_lr or extract.Options.lr, epochs=count)
    yield from _THEN[opts.then].phases(net, task, data, opts)


def adaptation(net: Net, task: Task, data: Data, opts: Adaptation, method: str) -> Phase:
    """The phase that has no labels. Raises OptionError for a body that cannot name tokens, and for a task that is one of language."""
    if net.language_head is None:
        raise OptionError(f"Method '{method}' needs a body of texts that can name tokens, which this one cannot; use --method lp_ft.")
    if not net.causal and net.prepare.mask is None:
        raise OptionError(f"Method '{method}' hides tokens, and this body has no token for that; use --method lp_ft.")
    if task.schema.target == "language":
        raise OptionError(f"Method '{method}' learns labels in the end, and these data have none; use --method finetune.")
    if net.taps[-1] < len(net.stages) - 1:
        above = net.names[net.taps[-1]]
        raise OptionError(f"Method '{method}' adapts the whole body, but task.layers leaves out what is above '{above}'; add the last.")
    head = net.language_head().to(next(net.parameters()).device)
    _tie(head, net.stages[0])
    table, frozen = texts(data), groups.depth(net, opts.freeze)
    # What is tied learns with the embeddings, and stands in their group alone.
    tied = {id(parameter) for parameter in net.parameters()}
    names = tuple(f"extras.language.{name}" for name, parameter in head.named_parameters() if id(parameter) not in tied)
    who = groups.layerwise(net, opts.language_lr, opts.decay, opts.weight_decay, frozen)
    if names:
        who += (Group("language head", names, opts.language_lr, opts.weight_decay),)
    count = recipe.epochs(replace(opts, epochs=opts.language_epochs), len(table), steps=600, low=1, high=40)
    # No stage is called frozen: what those below keep would be the states of texts with no token hidden.
    return Phase(
        "language", {"train": Stream(table, opts.batch)}, count, who, objective(net, head, opts.share),
        extras=nn.ModuleDict({"language": head}), schedule=Schedule(opts.schedule, opts.warmup), optimizer=opts.optimizer,
        clip=opts.clip, keep="last", seconds=opts.seconds, score=False,
    )  # fmt: skip


def _tie(head: nn.Module, embeddings: nn.Module) -> None:
    """What the head copied from the embeddings is one with them again, as it was when the body was pre-trained."""
    for module in head.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            alike = (p for p in embeddings.parameters() if p.ndim > 1 and p.shape == parameter.shape and torch.equal(p, parameter))
            if (twin := next(alike, None)) is not None:
                setattr(module, name, twin)


def texts(data: Data) -> pa.Table:
    """The learning and the unlabelled rows, without labels."""
    tables = [table for table in (data.train, data.unlabelled) if table is not None and len(table)]
    hidden = {data.schema.label, "starts"}
    names = [name for name in tables[0].column_names if name not in hidden and all(name in table.column_names for table in tables)]
    return pa.concat_tables([table.select(names) for table in tables])


def objective(net: Net, head: nn.Module, share: float) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """Cross-entropy of the hidden tokens (Devlin et al., 2019), or of each next one for a body that reads from left to right."""
    if net.causal:
        return lambda live, batches: _causal(live, head, batches["train"].inputs)
    special, vocabulary = _known(net.prepare.tokenizer)

    def loss(live: Net, batches: dict[str, Batch]) -> Tensor:
        ids, mask = _tokens(batches["train"].inputs)
        hidden, targets = masked.masked_tokens(ids, mask, special, live.prepare.mask, vocabulary, share)
        x = _run(live, {**batches["train"].inputs, "ids": hidden})
        # Of the others nothing is asked, and a vocabulary is the widest layer of all.
        asked = targets != masked.IGNORED
        return masked.masked(head(x[asked][None]), targets[asked][None])

    return loss


def _causal(net: Net, head: nn.Module, state: State) -> Tensor:
    ids, mask = _tokens(state)
    state = {"x": _run(net, state), "ids": ids, "mask": mask}
    state = apart.folded(state) if net.apart else state  # What comes next is of the same text.
    return masked.causal(head(state["x"]), state["ids"], state["mask"])


def _tokens(state: State) -> tuple[Tensor, Tensor]:
    return state["ids"], state["mask"]


def _run(net: Net, state: State) -> Tensor:
    return net.advance(state, 0, len(net.stages))["x"]


def _known(tokenizer: str) -> tuple[tuple[int, ...], int]:
    """The ids of the special tokens, and how many ids there are."""
    described = json.loads(tokenizer)
    added, words = described.get("added_tokens") or [], described["model"]["vocab"]
    ids = list(words.values()) if isinstance(words, dict) else list(range(len(words)))
    return tuple(one["id"] for one in added if one.get("special")), max([*ids, *(one["id"] for one in added)]) + 1
