"""The words that drove a decision about a text, found by leaving each out in turn."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Net, State, Task
from .explain import UNCERTAIN, _output, unsure, worst

PARTS = 60
"""Parts at most that a text is cut into; the words of a longer one go out several at a time."""
PIECE = 32  # texts a pass

Passage = tuple[str, ...]
"""One text, or the two of a pair."""
Encode = Callable[[list[Passage]], State]
"""Passages -> their state at depth 0, padded to one length."""


def explain_texts(
    net: Net, task: Task, predictions: pa.Table, texts: Mapping[str, Passage], encode: Encode, folder: Path, limit: int = 12
) -> list[dict]:
    """Write folder/explain/texts.json and return what it holds.

    predictions: the scored rows, with the columns path, label, predicted, probability and probabilities. texts: by path; a row
    whose text is not there is left out. At most `limit` mistakes (see `worst`) and 8 uncertain texts (see `unsure`). Each entry:
    {"path", "kind": "mistake" or "uncertain", "label", "predicted", "probability" (0..1, null for numbers), "text", "of", "words":
    [[word or words, weight], ...]}; see `weights`. Of a pair there are also "context", the second text, and "first", how many of the
    parts are the first text's. of: the class that the weights are about, "" for a number, whose weights are in
    its own unit. For the targets "class", "labels" and "number". The net's modes stay as they were.
    """
    names = ("path", "label", "predicted", "probability", "probabilities")
    rows = predictions.select([name for name in names if name in predictions.column_names])
    wrong = worst(rows, task)[:limit]
    chosen = [(i, "mistake") for i in wrong] + [(i, "uncertain") for i in unsure(rows, task, set(wrong))[:UNCERTAIN]]
    chosen = [(i, kind) for i, kind in chosen if any(texts.get(rows["path"][i].as_py(), ()))]
    told = [texts[rows["path"][i].as_py()] for i, _ in chosen]
    outputs, target, index = [_output(rows, i, task) for i, _ in chosen], task.schema.target, []
    found = weights(net, told, outputs, encode, exclusive=target == "class")
    for (i, kind), passage, output, parts in zip(chosen, told, outputs, found, strict=True):
        entry = {k: rows[k][i].as_py() for k in ("path", "label", "predicted", "probability") if k in rows.column_names}
        if target == "number" or entry.get("probability") != entry.get("probability"):
            entry["probability"] = None
        of = "" if target == "number" else task.schema.classes[output]
        unit = task.schema.spread if target == "number" else 1.0
        words = [[word, None if weight is None else round(weight * unit, 5)] for word, weight in parts]
        pair = {"context": passage[1], "first": len(cut(passage[0]))} if len(passage) > 1 else {}
        index.append({"kind": kind, **entry, "text": passage[0], **pair, "of": of, "words": words})
    _write(Path(folder) / "explain", index)
    return index


def weights(
    net: Net, texts: Sequence[Passage], outputs: Sequence[int], encode: Encode, exclusive: bool = True
) -> list[list[tuple[str, float | None]]]:
    """(part, weight) of each passage, those of a second text after those of the first: how much the log-odds of the output
    `outputs[i]` fall where the part is left out of text i.

    A part is a word, or several neighbours where there are more than PARTS words (occlusion: Zeiler and Fergus, 2014; leave one
    out: Li, Monroe and Jurafsky, "Understanding neural networks through representation erasure", 2016). Positive spoke for the
    output, negative against it; words whose work others would do get little. exclusive: the outputs are logits of which one
    wins, so that the log-odds are z - ln(sum of e^z of the others); else each output is its own log-odds, or a number. The weight
    is None where nothing would be left of the text.
    """
    parts = [[(which, *place) for which, text in enumerate(passage) for place in cut(text)] for passage in texts]
    variants, owners = [], []
    for number, (passage, pieces) in enumerate(zip(texts, parts, strict=True)):
        without = [_without(passage, *piece) for piece in pieces] if len(pieces) > 1 else []
        variants += [passage, *without]
        owners += [number] * (1 + len(without))
    odds = _odds(_outputs(net, variants, encode), [outputs[number] for number in owners], exclusive)
    found, first = [], 0
    for passage, pieces in zip(texts, parts, strict=True):
        words = [" ".join(passage[which][start:end].split()) for which, start, end in pieces]
        if len(pieces) > 1:
            falls = odds[first] - odds[first + 1 : first + 1 + len(pieces)]
            found.append(list(zip(words, falls.tolist(), strict=True)))
            first += len(pieces)
        else:
            found.append([(word, None) for word in words])
        first += 1
    return found


def cut(text: str, most: int = PARTS) -> list[tuple[int, int]]:
    """(first character, end) of each part: a word, or so many neighbouring words that there are at most `most` parts."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    each = max(1, -(-len(words) // most))
    return [(words[i][0], words[min(i + each, len(words)) - 1][1]) for i in range(0, len(words), each)]


def _without(passage: Passage, which: int, start: int, end: int) -> Passage:
    """The passage with a part of one of its texts left out."""
    text = passage[which]
    return (*passage[:which], f"{text[:start]} {text[end:]}", *passage[which + 1 :])


def _outputs(net: Net, texts: list[Passage], encode: Encode) -> np.ndarray:
    """float64 [n, k] in eval mode; texts of like lengths go together."""
    modes = {module: module.training for module in net.modules()}
    device = next((t.device for t in [*net.parameters(), *net.buffers()]), torch.device("cpu"))
    order = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
    out: dict[int, np.ndarray] = {}
    net.eval()
    try:
        with torch.no_grad():
            for first in range(0, len(order), PIECE):
                some = order[first : first + PIECE]
                state = {name: value.to(device) for name, value in encode([texts[i] for i in some]).items()}
                answer: Tensor = net(state, 0)
                out |= dict(zip(some, answer.flatten(1).double().cpu().numpy(), strict=True))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return np.stack([out[i] for i in range(len(texts))]) if texts else np.empty((0, 1))


def _odds(outputs: np.ndarray, wanted: Sequence[int], exclusive: bool) -> np.ndarray:
    """The log-odds [n] of the wanted output of each row."""
    rows, k = np.arange(len(outputs)), outputs.shape[1]
    picked = outputs[rows, np.minimum(wanted, k - 1)] if len(rows) else np.empty(0)
    if not exclusive or k < 2 or not len(rows):
        return picked
    others = outputs.copy()
    others[rows, np.asarray(wanted)] = -np.inf
    return picked - np.logaddexp.reduce(others, axis=1)


def _write(folder: Path, index: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / "texts.json.new"
    beside.write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, folder / "texts.json")
