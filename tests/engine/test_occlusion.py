import json
import re

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from graft.core import Schema
from graft.engine import occlusion
from graft.engine.occlusion import PARTS, cut, explain_texts, weights

VOCABULARY = {"good": 1, "bad": 2, "very": 3, "dull": 4}
SAID = {1: (0.0, 2.0, 0.5), 2: (3.0, -1.0, 0.0), 3: (0.5, 0.5, 0.0), 4: (1.0, 0.0, -1.0)}
CLASSES = ("neg", "pos", "odd")


class Sum(nn.Module):
    """Logits that are sums of what each word says, plus a bias; padding says nothing."""

    def __init__(self, k=3):
        super().__init__()
        table = torch.zeros(6, k)
        for i, row in SAID.items():
            table[i] = torch.tensor(row[:k])
        self.table = nn.Parameter(table)
        self.bias = nn.Parameter(torch.tensor([0.2, -0.1, 0.4])[:k])
        self.drop, self.seen = nn.Dropout(0.5), []

    def forward(self, state, start=0):
        self.seen.append(len(state["ids"]))
        return self.drop((self.table[state["ids"]] * state["mask"][..., None]).sum(1) + self.bias)


def alone(texts):
    return [(text,) for text in texts]


def encode(passages):
    rows = [[VOCABULARY.get(word, 5) for word in " ".join(passage).split()] for passage in passages]
    width = max(map(len, rows)) + 1
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return {"ids": ids, "mask": ids > 0}


def logits(words, k=3):
    return np.array([0.2, -0.1, 0.4])[:k] + sum((np.array(SAID[VOCABULARY[w]][:k]) for w in words if w in VOCABULARY), np.zeros(k))


def odds(z, i):
    p = np.exp(z - z.max())
    p = p / p.sum()
    return np.log(p[i] / (1 - p[i]))


class Kind:
    def __init__(self, target, classes=CLASSES, spread=1.0):
        self.schema = Schema("text", target, classes, input="text", spread=spread)


def scored(texts, labels, classes=CLASSES):
    z = np.stack([logits(text.split()) for text in texts])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return pa.table({
        "path": [f"a.csv:{i}" for i in range(len(texts))], "label": labels, "predicted": [classes[i] for i in p.argmax(1)],
        "probability": p.max(1), "probabilities": p.tolist(),
    })  # fmt: skip


def test_weights_against_the_formula_word_by_word():
    texts = ["a very good film", "bad", "dull  bad \n good end", "good"]
    outputs = [1, 0, 2, 0]
    found = weights(Sum(), alone(texts), outputs, encode)
    for text, i, parts in zip(texts, outputs, found, strict=True):
        words = text.split()
        assert [word for word, _ in parts] == words
        if len(words) == 1:
            assert parts[0][1] is None
            continue
        for k, (_, weight) in enumerate(parts):
            assert weight == pytest.approx(odds(logits(words), i) - odds(logits(words[:k] + words[k + 1 :]), i), abs=1e-5)


def test_words_of_both_texts_of_a_pair_are_weighed(tmp_path):
    (parts,) = weights(Sum(), [("very bad", "good film")], [0], encode)
    whole = odds(logits(["very", "bad", "good"]), 0)
    assert [word for word, _ in parts] == ["very", "bad", "good", "film"]
    assert parts[1][1] == pytest.approx(whole - odds(logits(["very", "good"]), 0), abs=1e-5)
    assert parts[2][1] == pytest.approx(whole - odds(logits(["very", "bad"]), 0), abs=1e-5)
    pair = {"a.csv:0": ("very bad", "good film")}
    (one,) = explain_texts(Sum(), Kind("class"), scored(["very bad good film"], ["pos"]), pair, encode, tmp_path)
    assert (one["text"], one["context"], one["first"], len(one["words"])) == ("very bad", "good film", 2, 4)


def test_outputs_that_do_not_exclude_each_other_are_their_own_log_odds():
    (parts,) = weights(Sum(), [("a very bad film",)], [0], encode, exclusive=False)
    assert [weight for _, weight in parts] == pytest.approx([0, 0.5, 3.0, 0], abs=1e-6)


def test_long_texts_are_cut_into_parts_of_neighbouring_words():
    text = "  ".join(f"w{i}" for i in range(150))
    parts = cut(text)
    assert len(parts) == 50 <= PARTS and text[slice(*parts[1])] == "w3  w4  w5"
    assert "".join(re.sub(r"\s", "", text[a:b]) for a, b in parts) == re.sub(r"\s", "", text)
    assert cut("") == [] and cut("  one ") == [(2, 5)] and len(cut(" ".join("x" * 61))) == 31 and len(cut(" ".join("x" * 60))) == 60
    words = ["x"] * 100
    words[30:32] = ["bad", "good"]
    (found,) = weights(Sum(), [(" ".join(words),)], [0], encode)
    assert len(found) == 50 and found[15][0] == "bad good"
    assert found[15][1] == pytest.approx(odds(logits(["bad", "good"]), 0) - odds(logits([]), 0), abs=1e-5)


def test_passes_are_batched_and_the_net_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(occlusion, "PIECE", 4)
    net = Sum().train()
    net.drop.eval()
    modes = [m.training for m in net.modules()]
    weights(net, alone(["a b c d e f", "good bad"]), [0, 1], encode)
    assert [m.training for m in net.modules()] == modes and all(p.grad is None for p in net.parameters())
    assert max(net.seen) <= 4 and sum(net.seen) == 7 + 3


def test_the_file_has_the_worst_mistakes_first_and_then_the_unsure(tmp_path):
    texts = ["bad film", "good film", "very very good", "dull bad bad", "a film", "gone"]
    rows = scored(texts, ["pos", "pos", "neg", "pos", "odd", "odd"])
    known = dict(zip(rows["path"].to_pylist(), alone(texts), strict=True)) | {"a.csv:5": ("",)}
    index = explain_texts(Sum(), Kind("class"), rows, known, encode, tmp_path, limit=2)
    assert index == json.loads((tmp_path / "explain" / "texts.json").read_text())
    assert [(one["path"], one["kind"]) for one in index[:2]] == [("a.csv:3", "mistake"), ("a.csv:0", "mistake")]
    assert {one["path"] for one in index[2:]} == {"a.csv:1", "a.csv:2", "a.csv:4"} and {one["kind"] for one in index[2:]} == {"uncertain"}
    first = index[0]
    assert first["text"] == "dull bad bad" and first["of"] == first["predicted"] == "neg" and first["label"] == "pos"
    assert [word for word, _ in first["words"]] == ["dull", "bad", "bad"] and max(first["words"], key=lambda one: one[1])[0] == "bad"
    assert list((tmp_path / "explain").iterdir()) == [tmp_path / "explain" / "texts.json"]


def test_several_labels_are_explained_by_the_one_that_is_most_wrong(tmp_path):
    p = [[0.9, 0.2, 0.1], [0.4, 0.1, 0.6]]
    rows = pa.table({
        "path": ["a", "b"], "label": [["pos"], ["odd"]], "predicted": [["neg"], ["odd"]], "probability": [0.6, 0.5], "probabilities": p
    })  # fmt: skip
    index = explain_texts(Sum(), Kind("labels"), rows, {"a": ("bad film",), "b": ("good film",)}, encode, tmp_path)
    assert [one["of"] for one in index] == ["neg", "neg"] and index[0]["words"] == [["bad", 3.0], ["film", 0.0]]


def test_numbers_have_weights_in_their_own_unit(tmp_path):
    rows = pa.table({"path": ["a"], "label": [2.0], "predicted": [9.0], "probability": [float("nan")], "probabilities": [[9.0]]})
    (one,) = explain_texts(Sum(1), Kind("number", (), spread=10.0), rows, {"a": ("bad film",)}, encode, tmp_path)
    assert one["probability"] is None and one["of"] == "" and one["words"] == [["bad", 30.0], ["film", 0.0]]


def test_nothing_to_show(tmp_path):
    assert explain_texts(Sum(), Kind("class"), scored(["bad film"], ["neg"]), {}, encode, tmp_path) == []
    assert json.loads((tmp_path / "explain" / "texts.json").read_text()) == []
