import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from graft import catalog
from graft.core import Schema
from graft.errors import OptionError
from graft.tasks import head
from graft.tasks.head import Options


def test_every_head_of_the_catalogue_and_no_other_can_be_named():
    assert {row.name for row in catalog.rows("head")} == {"linear", *head.SOLVED}
    for name, target in head.SOLVED.items():
        assert catalog.find("head", name).target == f"graft.heads.{target}"


def test_auto_is_solved_where_the_body_is_frozen_and_linear_where_it_learns():
    auto = head.fields(Options(), "class", 3)
    assert auto["solve"] is not None and auto["trainable"]
    assert auto["head"](7).config["hidden"] == [] and auto["head"](7).final.weight.shape == (3, 7)
    features = np.random.default_rng(0).normal(size=(12, 7))
    assert auto["solve"](features, np.arange(12) % 3, 0).head.config == auto["head"](7).config


@pytest.mark.parametrize("options", [Options(head="linear"), Options(hidden=(5,)), Options(head="linear", hidden=(5, 4), dropout=0.5)])
def test_linear_and_hidden_layers_are_trained(options):
    built = head.fields(options, "class", 3)
    assert built["solve"] is None and built["trainable"] and built["head"](7).config["hidden"] == list(options.hidden)


def test_mixed_layers_and_attention_are_learnt_by_the_head():
    mixed = head.fields(Options(layers=("a", "b", 3), mix=True), "class", 2)
    assert mixed["solve"] is None and mixed["pool"] == "auto" and mixed["head"](12).config["mix"] == 3
    attending = head.fields(Options(pool="attention"), "class", 2)
    assert attending["solve"] is None and attending["pool"] == "tokens" and attending["head"](12).takes_mask


@pytest.mark.parametrize(
    ("name", "trainable"),
    [("logistic", True), ("logistic_unit", True), ("svm", True), ("lda", True), ("svm_rbf", False), ("knn", False)],
)
def test_solved_heads_say_whether_gradients_can_improve_them(name, trainable):
    built = head.fields(Options(head=name), "class", 2)
    assert built["solve"] is not None and built["trainable"] is trainable


class Elsewhere:
    """Features that are not in memory."""

    def __init__(self, x: np.ndarray):
        self._x, self.shape = x, x.shape

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        return self._x[which]


@pytest.mark.parametrize("name", ["auto", "logistic"])
def test_features_that_are_not_in_memory_are_read_in_passes(name):
    x, told = np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32), []
    y = (x[:, 0] > 0).astype(np.int64)
    found = head.fields(Options(head=name), "class", 2)["solve"](Elsewhere(x), y, 0, told.append)
    assert len(told) == found.chosen["passes"] > 1 and len(found.outputs) == len(found.rows) == 6
    assert found.head.config == head.fields(Options(), "class", 2)["head"](7).config


@pytest.mark.parametrize("name", ["logistic_unit", "svm", "svm_rbf", "knn", "lda"])
def test_heads_that_need_all_features_at_once_say_so(name):
    solve = head.fields(Options(head=name), "class", 2)["solve"]
    with pytest.raises(OptionError, match=r"60 rows do not fit.*--head logistic"):
        solve(Elsewhere(np.zeros((60, 7), np.float32)), np.arange(60) % 2, 0)


def test_a_unit_head_takes_over_a_strength():
    x, y = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32), np.arange(30) % 2
    solve = head.fields(Options(head="logistic_unit"), "class", 2)["solve"]
    assert solve(x, y, 0, like={"C": 0.5}).chosen["C"] == 0.5


def test_config_builds_the_same_options_again():
    options = Options("linear", (8, 4), "gelu", 0.2, "max", ("block3", 5), True, True, "apart")
    config = json.loads(json.dumps(head.fields(options, "class", 2)["config"]))
    again = Options(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
    assert again == options
    assert head.fields(Options(**config), "class", 2)["config"] == config, "lists, as JSON gives them, do as well"


@pytest.mark.parametrize(
    ("change", "target", "repair"),
    [
        ({"head": "logistc"}, "class", "Did you mean 'logistic'"),
        ({"head": "svm", "hidden": (3,)}, "class", "task.head=linear"),
        ({"hidden": (0,)}, "class", "hidden"),
        ({"activation": "rel"}, "class", "Did you mean 'relu'"),
        ({"dropout": 1.0}, "class", "task.dropout"),
        ({"pool": "average"}, "class", "avg"),
        ({"head": "svm"}, "number", "svm_rbf"),
        ({"head": "lda"}, "labels", "logistic"),
        ({"head": "logistic_unit"}, "number", "logistic"),
        ({"pool": "words"}, "class", "no pooling called"),
        ({"pairs": "both"}, "class", "apart, together or auto"),
        ({"mix": True}, "class", "task.layers"),
        ({"mix": True, "layers": ("a", "a")}, "class", "task.layers"),
        ({"mix": True, "layers": ("a", "b"), "head": "svm"}, "class", "task.head=linear"),
        ({"pool": "attention", "head": "logistic"}, "class", "task.head=linear"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_repair(change, target, repair):
    with pytest.raises(OptionError, match=repair):
        head.fields(replace(Options(), **change), target, 2)


def test_a_strength_that_is_known_is_not_searched_for_again():
    schema = Schema("image", "class", ("a", "b", "c"))
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.normal(size=(60, 5)) + y[:, None]).astype(np.float32)
    solve = catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")()).solve
    found = solve(x, y, 0)
    again = solve(x, y, 0, like=found.chosen)
    assert again.chosen == {"C": found.chosen["C"]} and again.outputs is None
    assert torch.allclose(again.head.final.weight, found.head.final.weight, atol=1e-4)
    other = solve(x, y, 0, like={"C": 10 * found.chosen["C"]})
    assert not torch.allclose(other.head.final.weight, found.head.final.weight, atol=1e-3)
