"""One small net for each kind of target, with real bodies, heads and tasks out of the catalogue."""

from dataclasses import dataclass

import pytest
import torch

from graft import catalog
from graft.core import Backbone, Net, Schema, Task
from graft.data.images import load_images
from graft.heads.pool import pooling

SCHEMAS = {
    "classification": Schema("image", "class", ("circle", "cross", "stripes")),
    "multilabel": Schema("image", "labels", ("circle", "cross", "stripes")),
    "regression": Schema("image", "number", centre=40.0, spread=7.5),
}


def make_task(name: str, schema: Schema, config: dict) -> Task:
    """What `graft.load` passes: the task out of the catalogue, its options out of JSON."""
    return catalog.resolve("task", name)(schema, catalog.options("task", name)(**config))


@dataclass(frozen=True)
class Made:
    """What `bundle.write` takes."""

    net: Net
    task: Task
    backbone: Backbone
    samples: torch.Tensor
    temperature: float

    def arguments(self, extra: dict | None = None) -> tuple:
        return self.net, self.task, self.backbone, self.temperature, self.samples, extra or {}


def make(kind: str, photos, seed: int = 0, taps: tuple[int, ...] = (-1,)) -> Made:
    backbone = catalog.resolve("backbone", "graft-mini")("graft-mini", catalog.options("backbone", "graft-mini")(image_size=64), seed)
    task = make_task(kind, SCHEMAS[kind], {})
    numbers = tuple(sorted(range(len(backbone.stages))[tap] for tap in taps))
    torch.manual_seed(seed)
    net = Net(backbone, pooling(task.pool, backbone.pool, backbone.prefix_tokens), torch.nn.Identity(), numbers)
    with torch.no_grad():
        net.head = task.head(net.eval()(torch.zeros(1, 3, 64, 64)).shape[1])
        for parameter in net.head.parameters():
            parameter.normal_(0, 0.3)
    return Made(
        net, task, backbone, load_images(sorted(photos.rglob("*.png"))[::5], backbone.prepare), 1.0 if kind == "regression" else 1.7
    )


@pytest.fixture(params=list(SCHEMAS))
def made(request, photos) -> Made:
    return make(request.param, photos)


@pytest.fixture
def classifier(photos) -> Made:
    return make("classification", photos)
