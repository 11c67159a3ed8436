"""What saved models of texts say, by fits of every kind of label with tiny bodies."""

import json
import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tests import sets, texts

from graft import api
from graft.errors import DataError, OptionError
from graft.export.passages import words

KINDS = {
    "class": (sets.table, "bert", "accuracy", {}),
    "pair": (sets.paired, "bert", "accuracy", {"sets": ["task.pairs=together"]}),
    "pair apart": (sets.paired, "bert", "accuracy", {"sets": ["task.pairs=apart"]}),
    "labels": (sets.table, "bert", "mean_average_precision", {}),
    "number": (sets.table, "bert", "mae", {}),
    "tags": (sets.tagged, "bert", "f1", {}),
    "spans": (sets.asked, "bert", "f1", {}),
    "causal": (sets.running, "gpt2", "perplexity", {"task": "language", "sets": ["task.block=20"]}),
    "masked": (sets.running, "bert", "perplexity", {"task": "language", "sets": ["task.block=20"]}),
}
NAMES = {"tags": "data.conll", "spans": "data.json", "causal": "data", "masked": "data"}
ASKED = {
    "pair": [("the cat sat good", "a dog ran"), ("good", " ".join(["a"] * 60))],
    "pair apart": [("the cat sat good", "a dog ran"), ("good", " ".join(["a"] * 60))],
    "tags": [["the", "cat", "sat"], "a dog, ran"],
    "spans": [("it is the", "the dog sat on the mat"), ("it is the", " ".join(["a"] * 60) + " the cat sat")],
}
TEXTS = ["the cat sat good", "a dog ran quickly and was bad", "good"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """kind -> the run of a fit, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    for family in ("bert", "gpt2"):
        texts.write(folder / family, family)

    def run(kind):
        if kind not in made:
            write, body, _, values = KINDS[kind]
            (folder / kind).mkdir()
            target = {"target": kind} if write is sets.table else {}
            data = write(folder / kind / NAMES.get(kind, "data.csv"), **target)
            made[kind] = api.fit(str(data), backbone=str(folder / body), evidence="off", epochs=1, out=str(folder / kind / "run"), **values)
        return made[kind]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_leaves_scores_predictions_and_a_report(kind, runs):
    run = runs(kind)
    scores = json.loads((run.folder / "scores.json").read_text())
    assert scores["primary"] == KINDS[kind][2] and math.isfinite(scores["test"][scores["primary"]]["value"])
    assert (run.folder / "report.html").stat().st_size > 1000
    rows = pq.read_table(run.folder / "predictions.parquet")
    names = rows["path"].to_pylist()
    assert len(set(names)) == len(names) == len(rows) and {"predicted", "label", "text"} <= set(rows.column_names)
    begin = {"spans": "q", "causal": "", "masked": ""}.get(kind, f"{NAMES.get(kind, 'data.csv')}:")
    assert all(name.startswith(begin) for name in names)
    if kind in ("class", "pair", "labels", "number", "tags", "spans"):
        assert len(rows) == {"tags": 50, "spans": 40}.get(kind, 60), "every row is scored once"


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_says_the_same_and_in_the_right_form(kind, runs, tmp_path):
    run = runs(kind)
    shutil.copytree(run.model, tmp_path / "copy")
    held, copy = api.load(run.folder), api.load(tmp_path / "copy")
    assert held.modality == "text"
    asked = ASKED.get(kind, TEXTS)
    if kind == "masked":
        with pytest.raises(OptionError, match="causal"):
            held.predict(asked)
        return
    found = held.predict(asked)
    assert found == copy.predict(asked)
    assert [one.path for one in found] == [f"text {i}" for i in range(len(asked))] and not any(one.error for one in found)
    for one, item in zip(found, asked, strict=True):
        check = {
            "class": _class,
            "pair": _pair,
            "pair apart": _pair,
            "labels": _labels,
            "number": _number,
            "tags": _tags,
            "spans": _spans,
            "causal": _goes_on,
        }[kind]
        check(one, item, held.classes)


def _class(one, _item, classes):
    assert one.label in classes == ("bad", "good") and 0.5 <= one.probability <= 1
    assert sum(p for _, p in one.top) == pytest.approx(1, abs=1e-5)


def _pair(one, _item, classes):
    assert one.label in classes == ("other", "same") and 0.5 <= one.probability <= 1


def _labels(one, _item, classes):
    assert set(one.label) <= set(classes) == {"kind", "none", "odd"} and set(one.label) == {c for c, p in one.top if p >= 0.5}


def _number(one, _item, _classes):
    assert isinstance(one.label, float) and one.probability is None


def _tags(one, item, classes):
    assert [word for word, _ in one.label] == words(item) and {tag for _, tag in one.label} <= set(classes)


def _spans(one, item, _classes):
    assert one.label and one.label in item[1] and one.probability is None


def _goes_on(one, item, _classes):
    assert isinstance(one.label, str) and one.label and not one.label.startswith(item)


@pytest.mark.parametrize("kind", ["class", "pair", "labels", "number", "tags", "spans"])
def test_what_comes_with_a_text_changes_nothing(kind, runs):
    held, asked = api.load(runs(kind).folder), ASKED.get(kind, TEXTS)
    for one, alone in zip(held.predict(asked), held.predict(asked, batch=1), strict=True):
        same = pytest.approx(alone.label, rel=1e-4) if kind == "number" else alone.label
        assert one.label == same and (one.probability is None or one.probability == pytest.approx(alone.probability, abs=1e-5))


def test_the_scored_rows_are_predicted_as_the_saved_model_does(tmp_path, runs):
    """A fit on given splits scores the very model it saves, so its rows and the model's answers are one."""
    (tmp_path / "data").mkdir()
    for seed, name in enumerate(("train", "val", "test")):
        sets.table(tmp_path / "data" / f"{name}.csv", rows=20, seed=seed)
    body = runs("class").folder.parents[1] / "bert"
    run = api.fit(str(tmp_path / "data"), backbone=str(body), evidence="off", epochs=1, out=str(tmp_path / "run"))
    rows = pq.read_table(run.folder / "predictions.parquet")
    held = api.load(run.folder).probabilities(rows["text"].to_pylist())
    assert np.allclose(held, rows["probabilities"].to_pylist(), atol=1e-5)


def test_what_cannot_be_read_does_not_stop_the_others(runs):
    found = api.load(runs("class").folder).predict(["good", "  ", 7])
    assert found[0].label and [bool(one.error) for one in found] == [False, True, True]
    with pytest.raises(DataError, match="empty"):
        api.load(runs("class").folder).probabilities([""])
    tags, spans = api.load(runs("tags").folder), api.load(runs("spans").folder)
    assert [bool(one.error) for one in tags.predict([[], ["a"], [1]])] == [True, False, True]
    assert [bool(one.error) for one in spans.predict([("it", ""), "it is", ("it", "the cat")])] == [True, True, False]
    with pytest.raises(OptionError, match="predict"):
        tags.probabilities(["a"])


def test_a_text_or_a_question_alone_is_one_item(runs):
    assert len(api.load(runs("class").folder).predict("the cat")) == 1
    held = api.load(runs("spans").folder)
    assert len(held.predict(("it is the", "the dog sat"))) == 1 and held.predict(()) == held.predict([]) == []


def test_a_pair_is_read_as_one_and_its_second_text_counts(runs):
    run = runs("pair")
    held, rows = api.load(run.folder), pq.read_table(run.folder / "predictions.parquet")
    assert "context" in rows.column_names and "--context" in held.card
    first, other = held.probabilities([("the cat", "good"), ("the cat", "bad")])
    assert not np.array_equal(first, other) and len(held.predict(("the cat", "good"))) == 1
    told = held.predict([("the cat", ""), "the cat", ("a", "b", "c"), ("the cat", "sat")])
    assert [bool(one.error) for one in told] == [True, True, True, False] and "two texts" in told[0].error
    shown = json.loads((run.folder / "explain" / "texts.json").read_text())
    words = {row["path"]: (row["text"], row["context"]) for row in rows.to_pylist()}
    assert shown and all((one["text"], one["context"]) == words[one["path"]] for one in shown)
    assert all([word for word, _ in one["words"][one["first"] :]] == one["context"].split() for one in shown)


def test_words_that_are_not_read_have_no_entity(runs):
    """The head's own constant must not become the tag of a word that the body never saw."""
    held = api.load(runs("tags").folder)
    with torch.no_grad():
        held.net.head.requires_grad_(False)
        last = [module for module in held.net.head.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.bias[held.classes.index("B-ANIMAL")] = 1000.0
    (found,) = held.predict([["cat"] * 100])
    tags = [tag for _, tag in found.label]
    assert len(tags) == 100 and tags[:38] == ["B-ANIMAL"] * 38 and set(tags[38:]) == {"O"}


def test_words_are_those_that_a_text_is_split_into():
    assert words("The cat, sat.") == ["The", "cat", ",", "sat", "."] and words(["a", "b c"]) == ["a", "b c"]
