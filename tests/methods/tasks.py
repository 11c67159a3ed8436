"""A second task after a first one, on the tiny net: what the tests of continual learning start from."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from tests import nets
from tests.engine.test_execute import run, setting

from graft import catalog
from graft.core import Data, Earlier, Plan, Schema
from graft.data.targets import encoder
from graft.engine import execute, forward
from graft.losses.distillation import soft_labels
from graft.methods import recipe

SECOND = Schema("image", "class", ("cold", "warm"))
FIRST = Schema("image", "class", ("dark", "light"))


def task(classes=SECOND.classes, **values):
    schema = Schema("image", "class", tuple(classes))
    return catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")(**values))


def tinted(folder, rows=24, seed=1):
    """Images of any brightness that are blue ("cold") or red ("warm") by turns, the red ones darker on the whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths, labels = np.random.default_rng(seed), [], []
    for i in range(rows):
        pixels = rng.normal(rng.uniform(60, 190) - 20 * (i % 2), 40, (20, 20, 3))
        pixels[..., 0 if i % 2 else 2] += 50
        pixels[..., 2 if i % 2 else 0] -= 50
        paths.append(str(folder / f"{i:03d}.png")), labels.append("warm" if i % 2 else "cold")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return pa.table({"path": paths, "label": labels})


def net(made=None, seed=0, head=None):
    """A net of the second task whose body has the first one's head."""
    joined = nets.net(made or task(), seed)
    torch.manual_seed(seed + 2)
    joined.earlier["first"] = head if head is not None else nets.task().head(16)
    return joined


def outputs(joined, table, name="first"):
    """What the head of an earlier task gives, [n, k], in eval mode."""
    place = nets.passes(nets.task())
    held = place.streams
    held.encode = encoder(lambda rows: torch.zeros(len(rows)), "label")
    return forward.outputs(joined.seen_as(name), held.plain(table), place.machine)


def accuracy(joined, table):
    """Of the first task's head on its rows."""
    return float((outputs(joined, table).argmax(1) == nets.task().encode(table)).float().mean())


def record(rows, joined, names=("first",)):
    """The data with the columns of what the earlier heads give."""
    for part in ("train", "val"):
        table = getattr(rows, part)
        for name in names:
            given = outputs(joined, table, name).tolist()
            table = table.append_column(f"earlier.{name}", pa.array(given, pa.list_(pa.float32())))
        rows = replace(rows, **{part: table})
    return rows


def data(folder, joined, rows=24, first=None):
    """The second task's data, the first one's rows (`first`, or 12 of its own) beside them, and what its head says of the new ones."""
    table, third = tinted(folder / "second", rows), rows // 3
    first = nets.photos(folder / "first", 12) if first is None else first
    made = Data(
        table[: rows - 2 * third], SECOND, "f", str(folder), table[rows - 2 * third : rows - third], table[rows - third :],
        plan=Plan("a third", "test"), earlier={"first": Earlier(nets.task(), first, 12)},
    )  # fmt: skip
    return record(made, joined)


def grown(folder, joined, stored=6, new=18, old=("dark", "light")):
    """Data whose classes are the first task's and one more, "warm": few rows of the old ones, many of the new."""
    first, second = nets.photos(folder / "first", stored + 12), tinted(folder / "second", 2 * (new + 12))
    second = second.filter(pa.array([label == "warm" for label in second["label"].to_pylist()]))
    parts = [pa.concat_tables(pair) for pair in ((first[:stored], second[:new]), (first[stored : stored + 6], second[new : new + 6]),
                                                 (first[stored + 6 :], second[new + 6 :]))]  # fmt: skip
    schema = Schema("image", "class", (*old, "warm"))
    known = {"first": Earlier(nets.task(), first[:stored], 40)}
    made = Data(parts[0], schema, "f", str(folder), parts[1], parts[2], plan=Plan("val", "test", drawn=False), earlier=known)
    return record(made, joined)


def taught(folder):
    """(a net that has learnt the first task and is to learn the second, rows that it learnt from, rows that score it)."""
    rows = nets.data(folder / "before", 96)
    _, place = run(folder / "run", "finetune", rows, nets.task(), epochs=20, lr=1e-2, batch=8)
    joined = place.net
    joined.earlier["first"] = copy.deepcopy(joined.head)
    torch.manual_seed(9)
    joined.head = task().head(16)
    return joined, rows.train, rows.test


def strengths(folder, name, start, rows, scored, values, was, lr=3e-2):
    """{strength: (how far the first head's outputs on `scored` are from what they were, KL, the new task's accuracy)} after a method
    that keeps its last epoch."""
    found, real = {}, recipe.phase
    recipe.phase = partial(recipe.phase, keep="last")
    try:
        for strength in values:
            options = {"strength": strength, "epochs": 12, "lr": lr, "batch": 8, "patience": 0}
            outcome, net = learn(folder / f"{strength}", name, start, rows, **options)
            found[strength] = float(soft_labels(outputs(net, scored), was, 1.0)), outcome.scores["accuracy"]
    finally:
        recipe.phase = real
    return found


def learn(folder, name, start, rows, made=None, **values):
    """(outcome, net) of a method on a copy of the net `start`."""
    joined, made = copy.deepcopy(start), made or task()
    place = setting(folder, made, rows, joined=joined)
    place.passes.streams.encode = encoder(made.encode, "label")
    return execute.execute(nets.phases(name, joined, made, rows, **values), place), joined
