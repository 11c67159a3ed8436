"""One tag for each word: named entities."""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Batch, Net, Schema, Task
from ..errors import DataError, nearest
from ..metrics import tags as metrics
from . import head

__all__ = ["Options", "task"]

PADDING = metrics.PADDING


@dataclass(frozen=True)
class Options:
    """hidden: widths of hidden layers, none by default since what a body makes of a word is nearly linear in its tag already.
    activation: of the hidden layers: "relu", "leaky_relu", "gelu", "silu" or "tanh".
    dropout: in [0, 1), after each hidden layer, or on the words' features; 0.1, as BERT was fine-tuned: texts are not augmented.
    layers: names or numbers of the stages whose features are joined; empty for the last.
    mix: these layers are averaged with learnt weights (Peters et al., 2018) instead of joined, which keeps the head small.
    """

    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    dropout: float = 0.1
    layers: tuple[str | int, ...] = ()
    mix: bool = False


def task(schema: Schema, options: Options) -> Task:
    """Softmax over `schema.classes` for each word, cross-entropy; scored by F1 over entities (graft.metrics.tags).

    Raises DataError for tags that are not "O", "B-X" or "I-X", or fewer than two, and OptionError for options that do not go together.
    """
    _check(schema)
    numbers = {name: i for i, name in enumerate(schema.classes)}

    def encode(table: pa.Table) -> Tensor:
        """Tag numbers int64 [n, schema.longest], PADDING after each row's last word. Raises DataError, naming the row."""
        targets = np.full((len(table), schema.longest), PADDING, np.int64)
        texts = table.column(schema.input).to_pylist()
        for row, (words, tags) in enumerate(zip(texts, table.column(schema.label).to_pylist(), strict=True)):
            wrong = _wrong(words, tags, numbers, schema.longest)
            if wrong:
                raise DataError(f"{table.column('path')[row].as_py()} {wrong}")
            targets[row, : len(tags)] = [numbers[tag] for tag in tags]
        return torch.from_numpy(targets)

    def summarise(outputs: Tensor, batch: Batch) -> Tensor:
        """Tag numbers float32 [n, schema.longest] of outputs [n, m, k], -1 where a row has no word, on the CPU.

        Words that the body did not see because their text is longer than it reads are "O"."""
        given = torch.full((len(outputs), schema.longest), numbers["O"])
        best = outputs.argmax(-1)[:, : schema.longest].cpu()
        given[:, : best.shape[1]] = best.masked_fill(_unseen(batch)[:, : best.shape[1]].cpu(), numbers["O"])
        return given.masked_fill(~_real(batch, schema), -1).float()

    made = head.fields(head.Options(head="linear", **asdict(options)), "class", len(numbers))
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    return Task(
        name="tags",
        schema=schema,
        encode=encode,
        loss=Loss(),
        decode=decode,
        metrics=metrics.scores(schema.classes),
        primary="f1",
        summarise=summarise,
        calibrated=False,
        **{**made, "pool": "words", "config": config},
    )


@dataclass(frozen=True)
class Loss:
    """`loss`, which for a net leaves out the words that it has not read (of_net(net, batch), see core.Task)."""

    def __call__(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        return loss(outputs, targets, smoothing, weights)

    def of_net(self, net: Net, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """The loss of a net on a batch: words beyond what the body reads have no features, so nothing about them can be learnt."""
        unseen = _unseen(batch)[:, : batch.targets.shape[1]]
        targets = batch.targets.clone()
        targets[:, : unseen.shape[1]].masked_fill_(unseen, PADDING)
        return loss(net(batch.inputs, batch.start), targets, smoothing)


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits [n, m, k] against tag numbers [n, longest] (PADDING where there is no word) or soft targets [n, longest, k]
    (all zeros there), the mean over words, a scalar.

    A batch holds as many words as its longest row, so m may be less than `longest`. smoothing in [0, 1) and weights [k] as in
    graft.tasks.classification; the mean is over words, not over weights. A batch without a word costs nothing.
    """
    m = min(outputs.shape[1], targets.shape[1])
    outputs, targets = outputs[:, :m].float(), targets[:, :m]
    real = targets != PADDING if targets.ndim == 2 else targets.sum(-1) > 0
    weights = None if weights is None else weights.to(outputs.device, torch.float32)
    total = F.cross_entropy(outputs[real], targets[real], weight=weights, label_smoothing=smoothing, reduction="sum")
    return total / real.sum().clamp(min=1)


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """Tag numbers as `summarise` gives them; a temperature has no meaning here and is not used."""
    return outputs


def _real(batch: Batch, schema: Schema) -> Tensor:
    """Where there is a word, bool [n, schema.longest]; by the text itself where its rows have no tags."""
    if batch.targets.ndim == 2:
        return (batch.targets != PADDING).cpu()
    texts = batch.table.column(schema.input).take(pa.array(batch.rows.tolist(), pa.int64()))
    lengths = torch.tensor([len(words) for words in texts.to_pylist()])
    return torch.arange(schema.longest) < lengths[:, None]


def _unseen(batch: Batch) -> Tensor:
    """Where a body saw no word, bool [n, m]: none is there, or it was cut off."""
    if "words" in batch.inputs:
        return batch.inputs["words"] < 0
    return (batch.inputs["x"] == 0).all(-1)  # what pooling gives for no word


def _check(schema: Schema) -> None:
    if len(schema.classes) < 2:
        raise DataError("No word has a tag but O; tag some entities, B-X on the first word of one and I-X on those after it.")
    strange = next((name for name in schema.classes if name != "O" and name[:2] not in ("B-", "I-")), None)
    if strange is not None or "O" not in schema.classes:
        raise DataError(f"The tag '{strange}' is not 'O', 'B-' or 'I-' and a type; write tags as in 'B-LOC I-LOC O'.")


def _wrong(words: list[str] | None, tags: list[str] | None, numbers: dict[str, int], longest: int) -> str:
    """What is wrong with a row, in words that follow its name; "" for nothing."""
    if tags is None or words is None:
        return "has no tags; add one a word, or take the row out."
    if len(words) != len(tags):
        return f"has {len(words)} words and {len(tags)} tags; give one tag a word."
    if len(words) > longest:
        return f"has {len(words)} words, and {longest} is the most that this task was made for; part it."
    strange = next((tag for tag in tags if tag not in numbers), None)
    if strange is None:
        return ""
    return f"has the tag '{strange}', which is none of the {len(numbers)} known.{nearest(str(strange), tuple(numbers))}"
