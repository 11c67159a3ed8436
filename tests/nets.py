"""A tiny real network and task for tests of the engine and the methods: trains in milliseconds, has BatchNorm and dropout."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import nn

from graft import catalog
from graft.core import Backbone, Data, Net, Origin, Plan, Prepare, Schema, Stage
from graft.data.augment import Augment, Options
from graft.data.streams import Streams
from graft.engine.device import Machine
from graft.engine.passes import Passes
from graft.heads.pool import pooling

SIZE = 16


def body(seed: int = 0) -> Backbone:
    """Three stages of convolution, BatchNorm, ReLU (and dropout in the second) for images of 16 pixels."""
    torch.manual_seed(seed)
    block = lambda i, o, drop=0.0: Stage(  # noqa: E731
        nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU(), nn.Dropout(drop))
    )
    stages = nn.ModuleList([block(3, 8), block(8, 12, 0.2), block(12, 16)])
    origin = Origin("tiny", "tests:tiny", "random")
    prepare = Prepare(size=SIZE, crop=1.0, interpolation="bilinear")
    return Backbone(stages, ("stem", "middle", "top"), (8, 12, 16), (2, 4, 8), ("map",) * 3, prepare, origin)


def photos(folder: Path, rows: int = 24, seed: int = 0) -> pa.Table:
    """`rows` images of 20 pixels: dark and light noise, two classes by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths, labels = np.random.default_rng(seed), [], []
    for i in range(rows):
        level = 70 + 110 * (i % 2)
        pixels = np.clip(rng.normal(level, 40, (20, 20, 3)), 0, 255).astype(np.uint8)
        path = folder / f"{i:03d}.png"
        Image.fromarray(pixels).save(path)
        paths.append(str(path)), labels.append("light" if i % 2 else "dark")
    return pa.table({"path": paths, "label": labels})


def data(folder: Path, rows: int = 24) -> Data:
    table = photos(folder, rows)
    third = rows // 3
    plan = Plan("a third", "test")
    schema = Schema("image", "class", ("dark", "light"))
    return Data(
        table[: rows - 2 * third], schema, "f", str(folder), table[rows - 2 * third : rows - third], table[rows - third :], plan=plan
    )


def net(task, seed: int = 0) -> Net:
    backbone = body(seed)
    joined = Net(backbone, pooling("avg", "avg", 0), nn.Identity(), (2,))
    torch.manual_seed(seed + 1)
    joined.head = task.head(16)
    return joined


def task(**values):
    schema = Schema("image", "class", ("dark", "light"))
    return catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")(**values))


def streams(made, preset: str = "light", views: int = 0, **values) -> Streams:
    prepare = Prepare(size=SIZE, crop=1.0, interpolation="bilinear")
    return Streams(prepare, made.encode, Augment(Options(preset=preset, views=views)), 0, classes=2, threads=1, **values)


def passes(made, preset: str = "light", store=None, precision: str = "auto", **values) -> Passes:
    """Over the images of `streams`, with states in memory unless a store is given."""
    return Passes(streams(made, preset, **values), Machine(torch.device("cpu")), precision, store)


def phases(name: str, joined, made, rows, **values):
    opts = catalog.options("method", name)(**values)
    return lambda: catalog.resolve("method", name)(joined, made, rows, opts)
