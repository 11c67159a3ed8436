"""What a fit on texts shows of its mistakes: the words that drove them, entities, answers."""

from pathlib import Path

import pyarrow as pa

from ..assembly.wiring import Parts
from ..core import Net, State
from ..data.tokens import Tokenizer, collate
from ..engine import occlusion, spans


def explain(parts: Parts, net: Net, rows: pa.Table, folder: Path) -> None:
    """Write folder/explain/*.json from predictions.parquet, for whatever the labels are; nothing for a language model."""
    target = parts.data.schema.target
    if target == "tags":
        columns = [rows[name].to_pylist() for name in ("text", "label", "predicted", "path")]
        spans.write_entities(folder, *columns)
    elif target == "spans":
        spans.write_answers(folder, answers(rows))
    elif target != "language":
        pair = parts.data.schema.pair
        columns = [rows[name].to_pylist() for name in ("text", "context")[: 1 + pair]]
        texts = dict(zip(rows["path"].to_pylist(), zip(*columns, strict=True), strict=True))
        tokenizer = Tokenizer(parts.backbone.prepare)

        def encode(some: list[tuple[str, ...]]) -> State:
            read = tokenizer.pairs if pair else tokenizer.texts
            return collate(read(*map(list, zip(*some, strict=True))), parts.backbone.prepare.pad)

        occlusion.explain_texts(net, parts.task, rows, texts, encode, folder)


def answers(rows: pa.Table) -> list[dict]:
    """What spans.answer_errors shows of predictions.parquet."""
    names = ("path", "text", "context", "label", "starts", "predicted", "exact_match", "f1")
    return spans.answer_errors(*(rows[name].to_pylist() for name in names))
