"""The text itself: the next token, or tokens that were hidden."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Batch, Data, Net, Schema, Task, TextPrepare
from ..data.tokens import Tokenizer
from ..errors import DataError, OptionError
from ..losses import masked as losses
from ..metrics import language as metrics

__all__ = ["Loss", "Options", "Summary", "corrupt", "frame", "measure", "objective", "task"]

KINDS = ("causal", "masked")
ENDS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[SEP]", "<sep>")
"""What tokenizers call the end of a text, where they put none there themselves."""


@dataclass(frozen=True)
class Options:
    """kind: "causal", each token from those before it; "masked", tokens that were hidden from those around them; "auto", what the
        body was trained for, which is filled in before the task is built.
    block: tokens of a row, special ones included: 128 is long enough to learn a domain's words from, and attention to twice as
        many costs more than twice as much.
    share: of the tokens that are hidden where kind is "masked", in (0, 1); 0.15 as BERT.
    """

    kind: str = "auto"
    block: int = 128
    share: float = 0.15

    def __post_init__(self) -> None:
        if self.kind not in ("auto", *KINDS):
            raise OptionError(f"task.kind = {self.kind} is not one of auto, causal, masked.")
        if self.block < 8:
            raise OptionError(f"task.block = {self.block} leaves nothing to learn from; use at least 8, say --set task.block=128.")
        if not 0 < self.share < 1:
            raise OptionError(f"task.share = {self.share} is outside 0 to 1; try --set task.share=0.15.")


def task(schema: Schema, options: Options) -> Task:
    """Cross-entropy over the vocabulary, scored by perplexity (graft.metrics.language), lower being better. Its rows are blocks of
    running text, which `expand` makes; its head is the body's own (Backbone.language_head). What is hidden has to be hidden before
    the net sees it, so loss and summarise have an attribute of_net(net, batch), which is to be used instead where it is there.

    Raises OptionError where kind is still "auto".
    """
    if options.kind not in KINDS:
        raise OptionError("How this body was trained is not known; say it with --set task.kind=causal or --set task.kind=masked.")
    causal = options.kind == "causal"
    return Task(
        name="language",
        schema=schema,
        head=_no_head,
        encode=partial(encode, block=options.block),
        loss=Loss(causal, options.share),
        decode=decode,
        metrics=metrics.scores,
        primary="perplexity",
        higher=False,
        pool="tokens",
        summarise=Summary(causal, options.share),
        expand=partial(expand, options=options),
        calibrated=False,
        config=asdict(options),
    )


def encode(table: pa.Table, block: int) -> Tensor:
    """The ids int64 [n, block], losses.masked.IGNORED after each row's last."""
    if "ids" not in table.column_names:
        raise DataError("This text is not cut into blocks yet; call task.expand(data, prepare) first.")
    targets = np.full((len(table), block), losses.IGNORED, np.int64)
    for row, ids in zip(targets, table.column("ids").to_pylist(), strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(targets)


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """Rows as `summarise` gives them; a temperature has no meaning here and is not used."""
    return outputs


@dataclass(frozen=True)
class Loss:
    """loss(outputs, targets) of logits [n, l, vocabulary] and ids [n, block], of which a batch holds those that its longest row has.

    Where causal is false, targets are those that `corrupt` gives: ValueError where nothing was hidden, as to learn to copy is no
    task. Smoothing would make a perplexity of something else; it and weights are not used.
    """

    causal: bool
    share: float

    def __call__(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        ids = _fitted(targets, outputs.shape[1])
        return losses.causal(outputs, ids, ids >= 0) if self.causal else losses.masked(outputs, _hidden(ids))

    def of_net(self, net: Net, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """The loss of a net on a batch, see `objective`: what has to be used where tokens are hidden, and holds less memory."""
        return objective(net, batch, self.causal, self.share)


@dataclass(frozen=True)
class Summary:
    """summarise(outputs, batch) -> float32 [n, 2] on the CPU: -ln p summed over a row's tokens, and how many these are, from logits
    [n, l, vocabulary]; targets as for Loss."""

    causal: bool
    share: float

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        targets = _fitted(batch.targets.to(outputs.device), outputs.shape[1])
        return losses.surprises(outputs, losses.following(targets, targets >= 0) if self.causal else _hidden(targets)).cpu()

    def of_net(self, net: Net, batch: Batch) -> Tensor:
        """The same of a net on a batch, see `measure`."""
        return measure(net, batch, self.causal, self.share)


def _fitted(targets: Tensor, length: int) -> Tensor:
    """The first `length` columns, IGNORED where there are fewer."""
    return F.pad(targets[:, :length], (0, max(0, length - targets.shape[1])), value=losses.IGNORED)


def _hidden(targets: Tensor) -> Tensor:
    counted = targets != losses.IGNORED
    reach = torch.where(counted, torch.arange(1, targets.shape[1] + 1, device=targets.device), 0).amax(1).sum()
    if reach >= 64 and counted.sum() > 0.98 * reach:
        raise ValueError("no token of this batch was hidden: its loss is loss.of_net, and its score summarise.of_net")
    return targets


def _no_head(width: int) -> nn.Module:
    raise OptionError("A language model has its body's own head; use a body that has one (a transformer with its published weights).")


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: str) -> tuple[int, tuple[int, ...]]:
    """How many ids there are, and those of special tokens."""
    described = json.loads(tokenizer)
    special = tuple(sorted(one["id"] for one in described.get("added_tokens", []) if one.get("special")))
    from tokenizers import Tokenizer as Library

    return Library.from_str(tokenizer).get_vocab_size(), special


@dataclass(frozen=True)
class Frame:
    """The special ids before and after a text as the body was trained to read it, those that part two texts, and all that end one."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    ends: frozenset[int] = frozenset()

    def inside(self, ids: np.ndarray) -> np.ndarray:
        """The ids of a framed text without its frame."""
        return ids[len(self.before) : len(ids) - len(self.after)]


def frame(prepare: TextPrepare) -> Frame:
    """What the tokenizer puts around a text. Between two: the last it puts after one, else its end of text by name, else nothing."""
    tokens = Tokenizer(prepare).texts(["a"])[0]
    special = (tokens.offsets[:, 1] <= tokens.offsets[:, 0]).tolist()
    count = special.index(False) if False in special else len(special)
    behind = special[::-1].index(False) if False in special else 0
    before, after = tokens.ids[:count].tolist(), tokens.ids[len(special) - behind :].tolist()
    known = {one["content"]: one["id"] for one in json.loads(prepare.tokenizer).get("added_tokens", [])}
    named = [known[name] for name in ENDS if name in known]
    return Frame(tuple(before), tuple(after), tuple(after[-1:] or named[:1]), frozenset([*after, *named]))


def expand(data: Data, prepare: TextPrepare, options: Options) -> Data:
    """The same data with a row a block of running text, in every split.

    The texts of a split are laid end to end in their order, parted by what ends a text, and cut into blocks of options.block
    tokens, each framed as the body expects a text to be. Columns: path (of the text in which the block begins, with "#2" and so
    on for later ones), text, label (""), ids (list<int32>), group and fold (of that text, where there were; no block reaches from one
    fold into another). A last block of fewer than two tokens is left out. Raises OptionError for a body that reads fewer tokens, or
    characters, and DataError for no text.
    """
    if prepare.kind == "characters":
        raise OptionError("This body reads characters, which have no vocabulary to choose from; use one that reads tokens.")
    if options.block > prepare.length:
        raise OptionError(
            f"task.block = {options.block} is more than the {prepare.length} tokens this body reads; use --set task.block={prepare.length}."
        )
    names = ("train", "val", "test", "target", "unlabelled")
    made = {name: _folded(table, data.schema, prepare, options.block) for name in names if (table := getattr(data, name)) is not None}
    if not len(made["train"]):
        raise DataError(f"There is no text to learn from in '{data.source}'; give at least some sentences.")
    return replace(data, **made)


def _folded(table: pa.Table, schema: Schema, prepare: TextPrepare, block: int) -> pa.Table:
    """The blocks of a table, those of each fold on their own."""
    if "fold" not in table.column_names:
        return _blocks(table, schema, prepare, block)
    parts = []
    for fold in sorted(set(table.column("fold").to_pylist())):
        part = _blocks(table.filter(pc.equal(table.column("fold"), fold)), schema, prepare, block)
        parts.append(part.append_column("fold", pa.array([fold] * len(part), pa.int32())))
    return pa.concat_tables(parts)


def _blocks(table: pa.Table, schema: Schema, prepare: TextPrepare, block: int) -> pa.Table:
    around, tokenizer = frame(prepare), Tokenizer(replace(prepare, length=2**30))
    table = table.take(pa.array(_in_order(table.column("path").to_pylist()), pa.int64()))
    texts = table.column(schema.input).to_pylist()
    inner = [around.inside(one.ids) for one in tokenizer.texts(texts)]
    running = np.concatenate([np.zeros(0, np.int32), *(part for ids in inner if len(ids) for part in (ids, around.between))])
    home = np.repeat(np.arange(len(inner)), [len(ids) + len(around.between) if len(ids) else 0 for ids in inner])
    # What ends the last text stands at the end of its block anyway.
    running = running[: max(0, len(running) - len(around.between))].astype(np.int32)
    room = block - len(around.before) - len(around.after)
    paths, times, rows = table.column("path").to_pylist(), {}, []
    groups = table.column("group").to_pylist() if "group" in table.column_names else None
    for first in range(0, len(running), room):
        ids, row = running[first : first + room].tolist(), int(home[first])
        if len(ids) < 2:
            continue
        times[row] = times.get(row, 0) + 1
        name = paths[row] if times[row] == 1 else f"{paths[row]}#{times[row]}"
        whole = [*around.before, *ids, *around.after]
        rows.append({"path": name, "text": tokenizer.text_of(ids), "label": "", "ids": whole, "group": groups[row] if groups else None})
    columns = {"path": pa.string(), "text": pa.string(), "label": pa.string(), "ids": pa.list_(pa.int32()), "group": pa.string()}
    return pa.Table.from_pylist(rows, pa.schema([field for field in columns.items() if field[0] != "group" or groups]))


def _in_order(paths: list[str]) -> list[int]:
    """Row numbers as the texts stand in their files: line 2 before line 10, which names alone would put after."""

    def place(row: int) -> tuple[str, int]:
        file, _, line = paths[row].rpartition(":")
        return (file, int(line)) if line.isdigit() else (paths[row], 0)

    return sorted(range(len(paths)), key=place)


def corrupt(ids: Tensor, mask: Tensor, prepare: TextPrepare, share: float = 0.15, seed: int | None = None) -> tuple[Tensor, Tensor]:
    """losses.masked.masked_tokens of ids [n, l] with what is special to the body. seed: then what is hidden of a row follows from it
    and the row's own tokens alone, so that its score is the same in every batch; None draws from torch's random state. Raises
    OptionError for a body that has no token for what is hidden."""
    if prepare.mask is None:
        raise OptionError("This body has no token for what is hidden; use --set task.kind=causal.")
    size, special = _vocabulary(prepare.tokenizer)
    if seed is None:
        return losses.masked_tokens(ids, mask, special, prepare.mask, size, share)
    changed, targets = ids.clone(), torch.full_like(ids, losses.IGNORED)
    for row, length in enumerate(mask.sum(1).tolist()):
        own, real = ids[row : row + 1, :length], mask[row : row + 1, :length]
        words = hashlib.blake2b(own.cpu().numpy().astype(np.int32).tobytes() + str(seed).encode(), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(words, "big"))
        changed[row, :length], targets[row, :length] = (
            one[0] for one in losses.masked_tokens(own, real, special, prepare.mask, size, share, generator)
        )
    return changed, targets


TOKENS = 1024
"""Tokens that the head names at a time."""


def objective(net: Net, batch: Batch, causal: bool, share: float = 0.15) -> Tensor:
    """The loss of a batch, a scalar: what task.loss gives of net(...), without all its logits.

    The head is asked for the tokens that count alone (masked: a seventh of them), in pieces. masked: what is hidden is drawn
    from torch's random state. Raises OptionError where hidden tokens are asked of kept states.
    """
    features, targets, _ = _asked(net, batch, causal, share, None)
    total = features[:0].float().sum()  # of a batch in which nothing counts, 0 with a gradient
    for some, wanted in _pieces(features, targets):
        total = total + F.cross_entropy(net.head(some[None])[0].float(), wanted, reduction="sum")
    return total / max(1, len(targets))


@torch.no_grad()
def measure(net: Net, batch: Batch, causal: bool, share: float = 0.15) -> Tensor:
    """What `summarise` gives of net(...), float32 [n, 2] on the CPU, as `objective`; masked: what is hidden of a row is always the same."""
    features, targets, rows = _asked(net, batch, causal, share, 0)
    found = torch.zeros(len(batch.targets), 2, dtype=torch.float64)
    parts = [F.cross_entropy(net.head(some[None])[0].float(), wanted, reduction="none") for some, wanted in _pieces(features, targets)]
    if parts:
        found[:, 0].index_add_(0, rows.cpu(), torch.cat(parts).double().cpu())
        found[:, 1] = torch.bincount(rows.cpu(), minlength=len(found))
    return found.float()


def _asked(net: Net, batch: Batch, causal: bool, share: float, seed: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """(features [k, c], targets [k], rows of the batch [k]) of the tokens that count."""
    inputs, targets = batch.inputs, batch.targets
    if not causal:
        if batch.start:
            raise OptionError("Tokens are hidden before the first stage, so none can stay frozen; use --method finetune, without --freeze.")
        ids, targets = corrupt(inputs["ids"], inputs["mask"], net.prepare, share, seed)
        inputs = {**inputs, "ids": ids}
    x = net.advance(inputs, batch.start, net.pooled)["x"]
    targets = _fitted(targets.to(x.device), x.shape[1])
    targets = losses.following(targets, targets >= 0) if causal else targets
    counted = targets != losses.IGNORED
    return x[counted], targets[counted], counted.nonzero()[:, 0]


def _pieces(features: Tensor, targets: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
    return list(zip(features.split(TOKENS), targets.split(TOKENS), strict=True)) if len(targets) else []
