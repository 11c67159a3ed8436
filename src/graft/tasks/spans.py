"""Answers to questions that stand in a context: extractive question answering."""

from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Batch, Data, Note, Schema, Task, TextPrepare
from ..errors import DataError, OptionError
from ..metrics import spans as metrics
from . import head, windows

__all__ = ["Options", "answers", "settle", "task"]

NOWHERE = -1e9
"""The score of a span where a window has no token to begin one at."""


@dataclass(frozen=True)
class Options:
    """stride: tokens that neighbouring windows of a long context share; 128, as BERT, so that an answer is seen with what is around it.
    longest: most tokens of an answer; 30, as BERT: longer ones are rare, and mostly a start and an end that do not belong together.
    none: whether "no answer" may be given: true, false, or null, where a learning question without an answer says so.
    threshold: how much more than the best span "no answer" must score to be given; 0 is where both are equally likely.
    hidden: widths of hidden layers of the head, none by default as in BERT. activation: of these layers.
    dropout: in [0, 1), on the tokens' features, or after each hidden layer; 0, as BERT.
    layers: names or numbers of the stages whose features are joined; empty for the last. mix: they are averaged with learnt
        weights instead, which keeps the head small.
    """

    stride: int = 128
    longest: int = 30
    none: bool | None = None
    threshold: float = 0.0
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    dropout: float = 0.0
    layers: tuple[str | int, ...] = ()
    mix: bool = False

    def __post_init__(self) -> None:
        for name, least in (("stride", 0), ("longest", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"task.{name} = {getattr(self, name)} is below {least}; try --set task.{name}={Options.__dict__[name]}.")


def settle(options: Options, data: Data) -> Options:
    """The options with `none` filled in from the rows that learn; a value the user gave stays. Ask before the task is built, so that
    its config says what the answers of later rows may be."""
    return options if options.none is not None else replace(options, none=_some_without(data.train, data.schema))


def task(schema: Schema, options: Options) -> Task:
    """Where an answer begins and where it ends, a softmax each over a window's tokens (Devlin et al., 2019, section 4.2); scored by
    graft.metrics.spans over questions. Its rows are windows, which `expand` makes. Raises OptionError."""
    layered = {name: getattr(options, name) for name in ("hidden", "activation", "dropout", "layers", "mix")}
    made = head.fields(head.Options(head="linear", **layered), "spans", 2)
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    return Task(
        name="spans",
        schema=schema,
        encode=encode,
        loss=loss,
        decode=decode,
        metrics=metrics.scores,
        primary="f1",
        summarise=partial(summarise, longest=options.longest, threshold=options.threshold),
        expand=partial(expand, options=options),
        calibrated=False,
        **{**made, "pool": "tokens", "config": config},
    )


def encode(table: pa.Table) -> Tensor:
    """int64 [n, 2]: the tokens of each window with which its answer begins and ends, (0, 0) where it has none."""
    if "begin" not in table.column_names:
        raise DataError("These questions are not cut into windows yet; call task.expand(data, prepare) first.")
    return torch.stack([torch.tensor(table.column(name).to_pylist(), dtype=torch.int64) for name in ("begin", "end")], 1)


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Mean of the cross-entropies of beginning and end, from logits [n, l, 2] over all l positions, against positions [n, 2].

    Positions are no classes: smoothing and weights have no meaning here and are not used.
    """
    return F.cross_entropy(outputs.float(), targets[:, :2])


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """Rows as `summarise` gives them; a temperature has no meaning here and is not used."""
    return outputs


@torch.no_grad()
def summarise(outputs: Tensor, batch: Batch, longest: int, threshold: float = 0.0) -> Tensor:
    """float32 [n, 9], graft.metrics.spans.COLUMNS, from logits [n, l, 2] and the windows in batch.table, on the CPU.

    The score of a span is its first token's logit for the beginning and its last one's for the end, that of no answer the same
    of the first token of all ([CLS]) less `threshold`. The best span has at most `longest` tokens and ends where it begins or later.
    """
    table = batch.table.take(pa.array(batch.rows.tolist(), pa.int64()))
    rows = table.select([n for n in _READ if n in table.column_names]).to_pylist()
    logits = outputs.float().cpu().numpy()
    found = np.zeros((len(rows), len(metrics.COLUMNS)))
    for i, (row, given) in enumerate(zip(rows, logits, strict=True)):
        start, end, score = _best(given, row, longest)
        right = row.get("label") or []
        exact, f1 = metrics.best(row["context"][start:end], right)
        found[i] = (row["number"], start, end, score, given[0].sum() - threshold, exact, f1, not right, row["may_be_none"])
    return torch.from_numpy(found).float()


_READ = ("context", "label", "number", "may_be_none", "first", "place", "offsets")


def _best(logits: np.ndarray, row: dict, longest: int) -> tuple[int, int, float]:
    """(first character in the context, the one after the last, score) of the best span of one window."""
    offsets = np.array(row["offsets"], np.int64).reshape(-1, 2)
    begins, ends = logits[row["place"] : row["place"] + len(offsets)].T
    best = (0, 0, NOWHERE)
    for more in range(min(longest, len(begins))):
        both = begins[: len(begins) - more] + ends[more:]
        top = int(both.argmax())
        if both[top] > best[2]:
            best = (row["first"] + int(offsets[top, 0]), row["first"] + int(offsets[top + more, 1]), float(both[top]))
    return best


def expand(data: Data, prepare: TextPrepare, options: Options) -> Data:
    """The same data with a row a window, in every split.

    Columns: path (the question's, with "#2" and so on for later windows), text (the question, cut to half of what the body reads
    where it is longer), context (the whole), window (context[first:last], which the body reads), label and starts (as they were),
    group and fold (where there were), question (its path), number (see `_numbered`), first, last, place and offsets (see
    graft.tasks.windows.Window), begin and end (tokens of the first answer that is all inside, else 0), may_be_none (see Options).
    Of a learning question that has an answer one window without it is kept at most, its first: "not here" needs few examples.
    In cross-validation every row is scored in its turn, so there all are kept.
    """
    learns = data.plan is None or not data.plan.folds
    options, names = settle(options, data), ("train", "val", "test", "target", "unlabelled")
    tables = {name: table for name in names if (table := getattr(data, name)) is not None}
    numbers = _numbered(list(tables.values()))
    made, cut = {}, 0
    for name, table in tables.items():
        made[name], some = _windowed(table, data.schema, prepare, options, numbers, learns=learns and name == "train")
        cut += some
    text = f"{cut} question{'s are' if cut > 1 else ' is'} longer than half of what the body reads and only their beginning is read."
    return replace(data, **made, notes=(*data.notes, Note("warning", text)) if cut else data.notes)


def _numbered(tables: list[pa.Table]) -> dict[str, int]:
    """A number for each question: its rank among the names of all questions in all splits. It tells questions apart in float32
    up to 2^24 of them, which no hash of that length would, and is the same however the rows are split."""
    return {path: number for number, path in enumerate(sorted({path for table in tables for path in table.column("path").to_pylist()}))}


def _windowed(
    table: pa.Table, schema: Schema, prepare: TextPrepare, options: Options, numbers: dict[str, int], learns: bool
) -> tuple[pa.Table, int]:
    """The windows of a table, and how many questions were cut."""
    rows = table.to_pylist()
    found = windows.split([row[schema.input] for row in rows], [row["context"] for row in rows], prepare, options.stride)
    kept, some = [], []
    for row, (read, each) in zip(rows, found, strict=True):
        label, starts = row.get(schema.label) or [], row.get("starts") or []
        places = [_place(one, label, starts) for one in each]
        wanted = range(len(each))
        if learns and label:
            empty = [i for i in wanted if places[i] == (0, 0)]
            wanted = [i for i in wanted if i not in empty[1:]]
        for i in wanted:
            name = row["path"] if i == 0 else f"{row['path']}#{i + 1}"
            kept.append({
                "path": name, "text": read, "context": row["context"], "window": row["context"][each[i].first : each[i].last],
                "label": label, "starts": starts, "group": row.get("group"), "question": row["path"], "number": numbers[row["path"]],
                "begin": places[i][0], "end": places[i][1], "may_be_none": bool(options.none), "fold": row.get("fold"),
            })  # fmt: skip
            some.append(each[i])
    types = [field for field in _TYPES if field.name not in ("group", "fold") or field.name in table.column_names]
    made = pa.Table.from_pylist(kept, pa.schema(types))
    for name, column in windows.columns(some).items():
        made = made.append_column(name, column)
    return made, sum(row[schema.input] != read for row, (read, _) in zip(rows, found, strict=True))


_TYPES = tuple(
    pa.field(name, kind)
    for kind, names in (
        (pa.string(), ("path", "text", "context", "window", "group", "question")),
        (pa.list_(pa.string()), ("label",)),
        (pa.list_(pa.int64()), ("starts",)),
        (pa.int64(), ("number", "begin", "end")),
        (pa.bool_(), ("may_be_none",)),
        (pa.int32(), ("fold",)),
    )
    for name in names
)


def _place(window: windows.Window, label: list[str], starts: list[int]) -> tuple[int, int]:
    """The tokens of the first answer that is all inside of the window; (0, 0) where none is."""
    inside = (window.tokens_of(start, start + len(text)) for text, start in zip(label, starts))
    return next((place for place in inside if place != (0, 0)), (0, 0))


def _some_without(table: pa.Table, schema: Schema) -> bool:
    """Whether some question has no answer; without a column of answers nothing is known and none is said to lack one."""
    return schema.label in table.column_names and any(not answers for answers in table.column(schema.label).to_pylist())


def answers(table: pa.Table, outputs: Tensor | np.ndarray) -> list[dict]:
    """For people: of each question, in their order in the table of windows, {"question", "text", "answer", "probability", "start"}.

    outputs: [n, 9] as `summarise` gives them for that table. answer: "" for none. probability: in 0..1, how the best span and no
    answer share what both have, 1 / (1 + exp(none - score)) or the rest: a measure of doubt, not a calibrated probability.
    """
    rows = np.asarray(outputs, float)
    score, none = (rows[:, metrics.COLUMNS.index(name)] for name in ("score", "none"))
    names, found = table.column("question").to_pylist(), []
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        members.setdefault(name, []).append(row)
    for name, some in members.items():
        best = max(some, key=lambda row: score[row])
        margin = float(none[some].min() - score[best])
        told = dict(zip(metrics.COLUMNS, rows[best], strict=True))
        silent = bool(told["may_be_none"]) and margin > 0
        start, end = int(told["start"]), int(told["end"])
        found.append({
            "question": name, "text": table.column("text")[best].as_py(),
            "answer": "" if silent else table.column("context")[best].as_py()[start:end],
            "probability": _share(margin) if silent else _share(-margin), "start": -1 if silent else start,
        })  # fmt: skip
    return found


def _share(margin: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(margin, -500, 500))))
