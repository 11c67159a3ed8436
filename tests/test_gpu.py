"""On an accelerator: a fit runs there, in bfloat16, and its model predicts alike on the CPU."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from graft import api
from graft.spec import Spec

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("method", ["extract", "finetune", "lp_ft"])
def test_a_fit_runs_on_the_accelerator(method, photos, tmp_path):
    sets = [] if method == "extract" else ["method.epochs=2", "method.batch=8"]
    run = api.fit(Spec.make(str(photos), backbone="graft-mini", method=method, out=str(tmp_path / "run"), folds=2, sets=sets))
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["device"] != "cpu"
    if method != "extract":
        assert [value for what, value, _, _ in run.decisions if what.startswith("precision with")] == ["bfloat16"]
    files = sorted(map(str, photos.rglob("*.png")))
    p = api.load(run.model).probabilities(files)
    assert p.shape == (36, 3) and np.allclose(p.sum(1), 1, atol=1e-5)
    assert len(pq.read_table(run.folder / "predictions.parquet")) == 36


@pytest.mark.parametrize("short", [False, True])
def test_frozen_passes_on_the_accelerator_give_the_states_of_the_cpu(short):
    """Recorded as a graph, in batches that are padded; bfloat16 differs by its rounding."""
    import torch
    from tests import nets

    from graft.engine import ways
    from graft.engine.device import Machine

    net = nets.net(nets.task())
    pixels = torch.randint(0, 256, (300, nets.SIZE, nets.SIZE, 3), dtype=torch.uint8)
    cpu, gpu = Machine(torch.device("cpu")), Machine(torch.device("cuda"))
    wanted = torch.cat([state["x"] for state in ways.direct(net, 4, cpu).states(pixels.split(32))])
    way = ways.direct(gpu.place(net), 4, gpu, torch.bfloat16 if short else torch.float32)
    found = torch.cat([state["x"] for state in way.states(pixels.split(way.batch))])
    assert found.dtype == way.dtype and found.device.type == "cpu"
    torch.testing.assert_close(found.float(), wanted, rtol=0.05 if short else 1e-3, atol=0.05 if short else 1e-3)


def test_a_snapshot_of_the_optimizer_goes_on_on_the_accelerator(tmp_path):
    """Read back from a file, as after a kill, the second epoch changes the weights as it did without."""
    import torch
    from tests import nets

    from graft.core import Batch, Group, Phase, Stream
    from graft.engine import checkpoint, train
    from graft.engine.device import Machine

    gpu = Machine(torch.device("cuda"))

    def objective(net, batches):
        return torch.nn.functional.cross_entropy(net(batches["train"].inputs), batches["train"].targets)

    def loop():
        net = gpu.place(nets.net(nets.task()))
        groups = (Group("all", tuple(name for name, _ in net.named_parameters()), 1e-3, 0.01),)
        phase = Phase("p", {"train": Stream(None, 8)}, 2, groups, objective)
        train.freeze(net, phase)
        net.eval()  # No dropout.
        return net, train.Loop(net, phase, gpu, train.Progress(), 1)

    images = torch.randn(8, 3, nets.SIZE, nets.SIZE, generator=torch.Generator().manual_seed(1))
    batch = {"train": Batch(images, torch.arange(8) % 2, torch.arange(8))}
    whole, first = loop()
    first.epoch(iter([batch]), None, lambda *_: None)
    checkpoint.save(tmp_path / "current.safetensors", first.tensors(), {})
    again, second = loop()
    again.load_state_dict(whole.state_dict())
    second.take(checkpoint.load(tmp_path / "current.safetensors")[0])
    second.progress.step = first.progress.step
    for one in (first, second):
        one.epoch(iter([batch]), None, lambda *_: None)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
