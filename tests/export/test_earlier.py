"""Names of tasks, and the heads of a model without its body."""

import json

import pytest
import torch
from torch import nn

from graft.errors import WeightsError
from graft.export import bundle, earlier

from .conftest import make_task
from .test_bundle import with_earlier


@pytest.mark.parametrize(
    ("source", "taken", "name"),
    [
        ("/data/hymenoptera", (), "hymenoptera"),
        ("/data/hymenoptera", ("hymenoptera",), "hymenoptera-2"),
        ("/data/a", ("a", "a-2"), "a-3"),
        ("/data/said.v2.csv", (), "said_v2"),
        ("/data/shop/train.csv", (), "shop-train"),
        ("/data/two words", (), "two_words"),
        ("...", (), "data"),
    ],
)
def test_a_task_is_called_as_its_data_in_letters_a_module_may_have(source, taken, name):
    found = earlier.task_name(source, taken)
    assert found == name
    nn.ModuleDict()[found] = nn.Identity()


def test_all_heads_of_a_model_are_read_without_its_body(classifier, tmp_path):
    known = with_earlier(classifier)
    bundle.write(
        tmp_path / "model", *classifier.arguments({"earlier": [known], "data": {"source": "/bugs"}, "scores": {"n": {"train": 7}}})
    )
    described, (birds, bugs) = earlier.read(tmp_path / "model", make_task)
    for found, head in ((birds, known.head), (bugs, classifier.net.head)):
        assert all(torch.equal(found.head.state_dict()[name], value) for name, value in head.state_dict().items())
    assert (birds.name, birds.temperature, birds.run["sha256"]) == ("birds", 1.3, "a" * 64)
    assert (bugs.name, bugs.temperature, bugs.run["sha256"]) == ("bugs", 1.7, described["weights"]["sha256"]) and bugs.run["rows"] == 7
    assert birds.task.schema == known.task.schema and bugs.task.schema == classifier.task.schema


@pytest.mark.parametrize("damage", ["{", '{"earlier": 3}', '{"task": {"schema": {"target": "class"}}}'])
def test_a_damaged_model_is_said_to_be_so(classifier, tmp_path, damage):
    bundle.write(tmp_path / "model", *classifier.arguments())
    (tmp_path / "model" / "graft.json").write_text(damage)
    with pytest.raises(WeightsError, match="is damaged"):
        earlier.read(tmp_path / "model", make_task)


def test_what_a_head_is_not_there_for_is_not_described(classifier):
    known = with_earlier(classifier)
    del classifier.net.earlier["birds"]
    assert earlier.describe(classifier.net, [known]) == []
    assert json.dumps(earlier.learnt(classifier.net, {}))
