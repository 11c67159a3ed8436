"""Two toy domains as pictures: a labelled source, and a target whose rows moved along the direction that the source relies on most.

A picture of 16 pixels has four corners of one grey each; the body reads them off, so that a row is a point of four coordinates.
The classes differ by 4 spreads along the first and by 2 along the second; in the target the first has moved by `moved`. A head
of the source leans on the first and is wrong there; what the domains share is the second.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import nn

from graft import catalog
from graft.assembly import modality
from graft.core import Backbone, Data, Net, Origin, Plan, Prepare, Schema, Stage
from graft.engine import execute
from graft.engine.device import Machine
from graft.engine.journal import Journal
from graft.engine.passes import Passes
from graft.heads.pool import pooling

UNIT = 18.0
"""Grey levels of one spread."""
SCHEMA = Schema("image", "class", ("left", "right"))


class Corners(nn.Module):
    """[n, 3, 16, 16] -> [n, 4, 1, 1]: the four corners' mean greys in units of a spread."""

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 2).flatten(1)[:, :, None, None] * (255 * 0.226 / UNIT)


def body(norm: bool = False) -> Backbone:
    """Reads the corners, then (with `norm` after BatchNorm) mixes them without losing anything."""
    torch.manual_seed(0)
    mixing = nn.Conv2d(4, 12, 1)
    layers = [nn.BatchNorm2d(4), mixing] if norm else [mixing]
    stages = nn.ModuleList([Stage(Corners()), Stage(nn.Sequential(*layers))])
    prepare = Prepare(size=16, crop=1.0, interpolation="bilinear")
    return Backbone(stages, ("corners", "mixed"), (4, 12), (8, 16), ("map",) * 2, prepare, Origin("corners", "tests:corners", "random"))


def table(folder: Path, rows: int, moved: float, seed: int, label: bool = True) -> pa.Table:
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths, labels = np.random.default_rng(seed), [], []
    for i in range(rows):
        sign = 2 * (i % 2) - 1
        point = rng.normal([sign + moved, 0.8 * sign, 0, 0], [0.5, 0.4, 1, 1])
        grey = np.clip(124 + UNIT * point, 0, 255).reshape(2, 2).repeat(8, 0).repeat(8, 1)
        paths.append(str(folder / f"{i:03d}.png"))
        Image.fromarray(grey.round().astype(np.uint8)).convert("RGB").save(paths[-1])
        labels.append(SCHEMA.classes[i % 2])
    return pa.table({"path": paths} | ({"label": labels} if label else {}))


def data(folder: Path, rows: int = 160, moved: float = 2.0) -> tuple[Data, pa.Table]:
    """The source with its target, and the target's rows with their labels, which no method gets."""
    truth = table(folder / "target", rows, moved, 3)
    train, val = table(folder / "train", rows, 0.0, 1), table(folder / "val", rows // 4, 0.0, 2)
    return Data(train, SCHEMA, "f", str(folder), val, val, target=truth.drop_columns(["label"]), plan=Plan("val", "test")), truth


def task(**values):
    return catalog.resolve("task", "classification")(SCHEMA, catalog.options("task", "classification")(**values))


def net(made, norm: bool = False, source: pa.Table | None = None) -> Net:
    """source: rows whose statistics the BatchNorm layer knows, as a pre-trained body knows its own domain's."""
    joined = Net(body(norm), pooling("avg", "avg", 0), nn.Identity(), (1,))
    torch.manual_seed(1)
    joined.head = made.head(12)
    if source is not None:
        joined.stages[1].body[0].momentum = None
        joined.train()
        with streams(joined, made) as held, torch.no_grad():
            for batch in held.plain(source, 1000):
                joined(batch.inputs)
        joined.stages[1].body[0].momentum = 0.1
    return joined


def streams(joined: Net, made, seed: int = 0):
    return modality.streams(joined, made.encode, made.schema, seed)


def run(folder: Path, name: str, joined: Net, made, rows: Data, precision: str = "exact", **values) -> execute.Outcome:
    """A method of the catalogue by the engine."""
    folder.mkdir(parents=True, exist_ok=True)
    journal, options = Journal(), catalog.options("method", name)(**values)
    journal.open(folder)
    with streams(joined, made) as held:
        passes = Passes(held, Machine(torch.device("cpu")), precision, None, journal)
        place = execute.Setting("final", folder, joined, made, rows, passes, journal, 0)
        return execute.execute(lambda: catalog.resolve("method", name)(joined, made, rows, options), place)


def accuracy(outputs, truth: pa.Table) -> float:
    wanted = [SCHEMA.classes.index(label) for label in truth["label"].to_pylist()]
    return float((outputs.argmax(1).numpy() == np.array(wanted)).mean())


def gained(folder: Path, name: str, moved: float = 2.0, norm: bool = False, **values) -> tuple[float, float, execute.Outcome]:
    """Accuracy on the target of the head of the source alone, and of what the method kept."""
    rows, truth = data(folder / "photos", moved=moved)
    made = task()
    joined = net(made, norm, rows.train if norm else None)
    outcome = run(folder / "run", name, joined, made, rows, **values)
    last = outcome.phases[-1]["phase"]
    return accuracy(outcome.watched["source"], truth), accuracy(outcome.watched[last], truth), outcome


def contract(folder: Path, name: str, make, made, rows: Data, **values) -> None:
    """graft.testing.check_method with a target that has no labels."""
    from graft import testing

    test = replace(rows, target=rows.test.drop_columns(["label"]))
    testing.check_method(catalog.resolve("method", name), catalog.options("method", name)(**values), make, made, test, folder)
