"""Features of every layer in one pass, and what a step costs."""

import numpy as np
import torch
from tests import nets

from graft.assembly import measuring
from graft.data.augment import Augment, Options
from graft.data.streams import Streams
from graft.engine.device import Machine
from graft.engine.journal import Journal
from graft.engine.passes import Passes
from graft.methods import recipe

CPU = Machine(torch.device("cpu"))


def test_every_layer_is_what_the_body_gives_there(tmp_path):
    data, body, task = nets.data(tmp_path), nets.body(), nets.task()
    net = measuring.every_layer(body, "avg").eval()
    with Streams(body.prepare, task.encode, Augment(Options("none")), 0) as streams:
        found = measuring.features(net, data.train, Passes(streams, CPU))
        images = torch.cat([batch.inputs for batch in streams.plain(data.train)])
    state, wanted = {"x": images}, []
    body.stages.eval()
    with torch.no_grad():
        for stage in body.stages:
            state = stage(state)
            wanted.append(state["x"].mean((2, 3)).numpy())
    assert list(found) == list(body.names)
    for one, other in zip(found.values(), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_row_of_the_advice_comes_from_the_learning_rows(tmp_path):
    data, body, task = nets.data(tmp_path), nets.body(), nets.task()
    found = measuring.measure(body, data, task, CPU, Journal())
    assert found.body["rows"] == len(data.learning()) == len(found.targets)
    assert [layer["width"] for layer in found.body["layers"]] == [8, 12, 16]
    assert found.body["similarity"]["level"] in ("similar", "different", "unknown")


def test_a_source_head_gives_leep_and_nce(tmp_path):
    data, body, task = nets.data(tmp_path), nets.body(), nets.task()
    head = (torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), torch.zeros(5))
    last = measuring.measure(body, data, task, CPU, Journal(), head=head).body["layers"][-1]
    assert last["leep"] <= 0 and last["nce"] <= 0


def test_rows_are_drawn_where_there_are_many(tmp_path):
    data = nets.data(tmp_path)
    rows = measuring.drawn(data, 5, seed=1)
    assert len(rows) == 5 == len(set(rows)) and (np.diff(rows) > 0).all() and (rows == measuring.drawn(data, 5, seed=1)).all()


def test_a_step_has_a_cost(tmp_path):
    data, body, task = nets.data(tmp_path), nets.body(), nets.task()
    seconds, memory = measuring.step_cost(body, task, data, CPU, recipe.Training())
    assert 0 < seconds < 10 and memory > 0
