"""A tiny body of texts that trains in milliseconds, its tokenizer, and texts of two classes."""

import json

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from graft import catalog
from graft.core import Backbone, Data, Net, Origin, Plan, Schema, TextPrepare
from graft.data.texts import Texts
from graft.engine import execute
from graft.engine.device import Machine
from graft.engine.journal import Journal
from graft.engine.passes import Passes
from graft.heads.pool import pooling

WIDTH = 12
VOCABULARY = ("[PAD]", "[UNK]", "[MASK]", *(f"w{i}" for i in range(17)))


def tokenizer() -> str:
    added = [
        {"id": i, "content": VOCABULARY[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in range(3)
    ]
    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(VOCABULARY)}, "unk_token": "[UNK]"}
    parts = {"normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None, "model": model}
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, **parts})


class Embed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(len(VOCABULARY), WIDTH)

    def forward(self, state):
        rest = {key: value for key, value in state.items() if key not in ("ids", "types")}
        return {**rest, "x": self.table(state["ids"])}


class Layer(nn.Module):
    """Each token sees itself and the mean of all real ones, or of those before it."""

    def __init__(self, causal: bool):
        super().__init__()
        self.inner, self.dropout, self.causal = nn.Linear(2 * WIDTH, WIDTH), nn.Dropout(0.1), causal

    def forward(self, state):
        x, real = state["x"], state["mask"].to(state["x"].dtype)[..., None]
        seen = (x * real).cumsum(1) / real.cumsum(1).clamp(min=1)
        seen = seen if self.causal else ((x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)).expand_as(x)
        return {**state, "x": x + torch.tanh(self.inner(self.dropout(torch.cat([x, seen], 2))))}


class Tied(nn.Module):
    """Names tokens by the embeddings themselves."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.table, self.bias = table, nn.Parameter(torch.zeros(len(VOCABULARY)))

    def forward(self, x):
        return x @ self.table.weight.T + self.bias


def body(causal: bool = False, tied: bool = False, head: bool = True) -> Backbone:
    torch.manual_seed(0)
    stages = nn.ModuleList([Embed(), Layer(causal), Layer(causal)])
    build = (lambda: Tied(stages[0].table)) if tied else (lambda: nn.Linear(WIDTH, len(VOCABULARY)))
    prepare = TextPrepare(tokenizer(), 32, 0, None if causal else 2)
    return Backbone(
        stages, ("embeddings", "one", "two"), (WIDTH,) * 3, (0,) * 3, ("text",) * 3, prepare, Origin("words", "tests:words", "random"),
        language_head=build if head else None, causal=causal,
    )  # fmt: skip


def table(rows: int, seed: int, label: bool = True) -> pa.Table:
    """Two classes by turns, each with favourite words; 4 to 12 words a text."""
    rng, texts = np.random.default_rng(seed), []
    for i in range(rows):
        first = 8 * (i % 2)
        words = np.where(rng.random(rng.integers(4, 13)) < 0.7, first, 0) + rng.integers(0, 8, 1)
        texts.append(" ".join(f"w{word}" for word in words))
    columns = {"path": [f"t{seed}.csv:{i}" for i in range(rows)], "text": texts}
    return pa.table(columns | ({"label": ["ab"[i % 2] for i in range(rows)]} if label else {}))


def data(rows: int = 24, unlabelled: int = 0, target: str = "class") -> Data:
    schema = Schema("text", target, ("a", "b"), "text")
    more = table(unlabelled, 9, label=False) if unlabelled else None
    return Data(table(rows, 1), schema, "f", "words", table(rows // 2, 2), table(rows // 2, 3), unlabelled=more, plan=Plan("drawn", "test"))


def task(**values):
    schema = Schema("text", "class", ("a", "b"), "text")
    return catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")(**values))


def net(made, backbone: Backbone | None = None) -> Net:
    joined = Net(backbone or body(), pooling("avg", "avg", 0, text=True), nn.Identity(), (2,))
    torch.manual_seed(1)
    joined.head = made.head(WIDTH)
    return joined


def run(phases, folder, joined: Net, made, rows: Data):
    """The outcome of a method's phases(net, task, data) by the engine."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal()
    journal.open(folder)
    streams = Texts(joined.prepare, made.encode, 0)
    place = execute.Setting("final", folder, joined, made, rows, Passes(streams, Machine(torch.device("cpu")), "exact"), journal, 0)
    return execute.execute(lambda: phases(joined, made, rows), place)
