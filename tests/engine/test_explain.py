import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from tests import nets
from torch import nn

from graft.core import Backbone, Net, Origin, Prepare, Schema, Stage
from graft.data.images import normalise
from graft.engine.explain import explain, heat_maps, overlay, unsure, worst
from graft.heads.pool import pooling


def load(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize((nets.SIZE, nets.SIZE)))).permute(2, 0, 1)


def scored(table: pa.Table, probabilities: np.ndarray, classes) -> pa.Table:
    best = probabilities.argmax(1)
    return pa.table({
        "split": ["test"] * len(table), "path": table["path"], "label": table["label"], "predicted": [classes[i] for i in best],
        "probability": probabilities.max(1), "probabilities": probabilities.tolist(), "raw": probabilities.tolist(),
    })  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    table = nets.photos(tmp_path / "photos", 30)
    p = np.random.default_rng(1).uniform(0.02, 0.98, 30)
    return scored(table, np.stack([p, 1 - p], 1), ("dark", "light"))


def test_index_and_pictures(rows, tmp_path):
    task = nets.task()
    index = explain(nets.net(task), task, rows, load, tmp_path / "run")
    assert index == json.loads((tmp_path / "run" / "explain" / "index.json").read_text())
    assert {e["kind"] for e in index} == {"mistake", "uncertain"} and len(index) == len({e["path"] for e in index}) <= 20
    for entry in index:
        assert set(entry) == {"path", "kind", "label", "predicted", "probability", "image", "heat"}
        image, heat = (Image.open(tmp_path / "run" / "explain" / entry[k]) for k in ("image", "heat"))
        assert image.size == heat.size == (nets.SIZE, nets.SIZE) and heat.mode == "RGBA" and image.mode == "RGB"
    wrong = [e for e in index if e["kind"] == "mistake"]
    assert all(e["label"] != e["predicted"] for e in wrong)
    assert [e["probability"] for e in wrong] == sorted((e["probability"] for e in wrong), reverse=True)


def test_the_net_is_left_as_it_was(rows, tmp_path):
    task = nets.task()
    net = nets.net(task)
    net.train()
    net.stages[0].eval()
    net.stages[0].requires_grad_(False)
    modes, flags = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    explain(net, task, rows, load, tmp_path)
    assert [m.training for m in net.modules()] == modes and [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_file_that_is_gone_is_left_out(rows, tmp_path):
    task = nets.task()
    first = worst(rows, task)[0]
    gone = rows["path"][first].as_py()
    (tmp_path / "photos" / gone.rsplit("/", 1)[-1]).unlink()
    assert gone not in {e["path"] for e in explain(nets.net(task), task, rows, load, tmp_path)}


def test_nothing_to_show(rows, tmp_path):
    task = nets.task()
    assert explain(nets.net(task), task, rows.slice(0, 0), load, tmp_path) == []


def test_grad_cam_equals_its_formula_with_a_hook():
    """An independent way: autograd through the whole net, the activation caught by a forward hook."""
    task = nets.task()
    net = nets.net(task).eval()
    image = torch.randint(0, 256, (3, nets.SIZE, nets.SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    kept = {}

    def keep(_, __, state):
        state["x"].retain_grad()
        kept["x"] = state["x"]

    hook = net.stages[2].register_forward_hook(keep)
    net(normalise(image[None], net.prepare))[0, 1].backward()
    hook.remove()
    a, g = kept["x"].detach()[0].numpy(), kept["x"].grad[0].numpy()
    slow = np.maximum(sum(g[c].mean() * a[c] for c in range(len(a))), 0)
    slow = slow / slow.max() if slow.max() > 0 else slow
    net.zero_grad(set_to_none=True)
    assert np.allclose(heat_maps(net, [image], [1])[0], slow, atol=1e-5)


def test_heat_lies_where_the_evidence_is():
    """A head that counts bright cells of a body that passes light on: the heat is on the bright corner."""
    body = Backbone(
        nn.ModuleList([Stage(nn.AvgPool2d(4))]), ("cells",), (3,), (4,), ("map",), Prepare(size=16), Origin("light", "tests", "random")
    )
    head = nn.Linear(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    net = Net(body, pooling("avg", "avg", 0), head, (0,))
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[:, :4, 12:] = 255
    heat = heat_maps(net, [image], [1])[0]
    assert heat.shape == (4, 4) and np.unravel_index(heat.argmax(), heat.shape) == (0, 3) and heat[0, 3] == 1


class Tokens(nn.Module):
    """16 patches of a 16 px image, after a class token that is the mean of the patches of the stage before."""

    def __init__(self, first: bool):
        super().__init__()
        self.first, self.mix = first, nn.Linear(3 if first else 6, 6)

    def forward(self, x):
        if self.first:
            patches = self.mix(nn.functional.avg_pool2d(x, 4).flatten(2).transpose(1, 2))
            return torch.cat([patches.mean(1, keepdim=True), patches], 1)
        x = self.mix(x)
        return torch.cat([x[:, :1] + x[:, 1:].mean(1, keepdim=True), x[:, 1:]], 1)


@pytest.mark.parametrize("pool", ["cls", "avg"])
def test_tokens_are_laid_out_as_their_grid(pool):
    torch.manual_seed(0)
    stages = nn.ModuleList([Stage(Tokens(True)), Stage(Tokens(False))])
    body = Backbone(stages, ("a", "b"), (6, 6), (0, 0), ("tokens",) * 2, Prepare(size=16), Origin("t", "tests", "random"), pool, 1)
    head = nn.Linear(6, 2)
    with torch.no_grad():
        head.weight[1] = -head.weight[0]  # what speaks against one output speaks for the other
    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    heats = heat_maps(Net(body, pooling(pool, pool, 1), head, (1,)), [image, image], [0, 1])
    assert all(heat.shape == (4, 4) and heat.min() >= 0 for heat in heats)
    assert max(heat.max() for heat in heats) == pytest.approx(1)


def test_a_stage_that_begins_in_place_is_explained_the_same():
    def made(inplace):
        torch.manual_seed(0)
        stages = nn.ModuleList([Stage(nn.Conv2d(3, 4, 4, 4)), Stage(nn.Sequential(nn.Hardswish(inplace), nn.Conv2d(4, 5, 4)))])
        body = Backbone(stages, ("a", "b"), (4, 5), (4, 16), ("map",) * 2, Prepare(size=16), Origin("i", "tests", "random"))
        return Net(body, pooling("avg", "avg", 0), nn.Linear(9, 2), (0, 1))

    image = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one, two = (heat_maps(made(flag), [image], [0])[0] for flag in (True, False))
    assert one.shape == (4, 4) and np.allclose(one, two)


def test_no_grid_or_no_gradient_gives_no_heat(rows, tmp_path):
    class Votes(nn.Module):
        def forward(self, x):
            return (x.detach() > 0).float()[:, :2]

    task = nets.task()
    net = nets.net(task)
    net.head = Votes()
    assert all(e["heat"] is None for e in explain(net, task, rows, load, tmp_path))
    flat = Backbone(
        nn.ModuleList([Stage(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))]), ("v",), (3,), (0,), ("vector",), Prepare(size=16),
        Origin("v", "tests", "random"),
    )  # fmt: skip
    assert heat_maps(Net(flat, pooling("avg", "avg", 0), nn.Linear(3, 2), (0,)), [torch.zeros(3, 16, 16, dtype=torch.uint8)], [0]) == [None]


class Kind:
    """The part of a task that choosing rows reads."""

    def __init__(self, target, classes=()):
        self.schema = Schema("image", target, classes)


def test_several_labels_and_numbers_are_ordered_by_their_error():
    classes = ("a", "b", "c")
    p = [[0.9, 0.1, 0.2], [0.6, 0.4, 0.1], [0.05, 0.97, 0.5]]
    table = pa.table(
        {"label": [["a"], ["b"], ["a"]], "predicted": [["a"], ["a"], ["b"]], "probability": [0.6, 0.3, 0.4], "probabilities": p}
    )
    assert worst(table, Kind("labels", classes)) == [2, 1]
    assert unsure(table, Kind("labels", classes), set())[0] == 2
    numbers = pa.table(
        {"label": [1.0, 2.0, 9.0], "predicted": [1.5, 2.0, 3.0], "probability": [None, None, None], "probabilities": [[1.5], [2.0], [3.0]]}
    )
    assert worst(numbers, Kind("number")) == [2, 0, 1] and unsure(numbers, Kind("number"), set()) == []


def test_overlay_is_clear_where_it_is_cold():
    picture = np.asarray(overlay(np.array([[0.0, 1.0], [0.0, 0.0]]), (8, 8)))
    assert picture.shape == (8, 8, 4) and picture[7, 0, 3] < 10 and picture[0, 7, 3] > 150
