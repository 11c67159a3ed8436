"""Toy domains as features, and a method of solved heads that is driven over them without images."""

import numpy as np
import pyarrow as pa
import torch
from tests import nets

from graft import catalog
from graft.core import Data, Plan, Schema, Trained


def turned(seed=0, rows=240, width=6, classes=3, shift=2.0):
    """Gaussian classes; the target's features are stretched, turned and moved ones of the same kind. (source, labels, target, labels)"""
    rng = np.random.default_rng(seed)
    centres = 3.0 * rng.normal(0, 1, (classes, width))
    turn = np.linalg.qr(np.eye(width) + 0.15 * shift * rng.normal(0, 1, (width, width)))[0]
    turn *= np.sign(np.diag(turn))
    y, other = np.arange(rows) % classes, np.arange(rows) % classes
    source = centres[y] + rng.normal(0, 1, (rows, width))
    target = (centres[other] + rng.normal(0, 1, (rows, width))) @ (turn * np.exp(0.4 * shift * rng.normal(0, 1, width))) + 3 * shift
    return source.astype(np.float32), y, target.astype(np.float32), other


def accuracy(head, features, labels):
    with torch.no_grad():
        return float((head(torch.from_numpy(features)).argmax(1).numpy() == labels).mean())


def drive(name, source, y, target, seed=0, held=None, **values):
    """{phase: Solution} of a method whose phases are all solved. held: features of selecting rows that the head has not seen."""
    classes = tuple(f"c{i}" for i in range(y.max() + 1))
    schema = Schema("image", "class", classes)
    made = catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")())
    train = pa.table({"path": [f"s{i}" for i in range(len(y))], "label": [classes[i] for i in y]})
    other = pa.table({"path": [f"t{i}" for i in range(len(target))]})
    val = train[: len(held)] if held is not None else None
    data = Data(train, schema, "f", "toy", val, target=other, plan=Plan("none", "none", drawn=False))
    joined = nets.net(nets.task())
    generator, found = nets.phases(name, joined, made, data, **values)(), {}
    phase = next(generator)
    while True:
        found[phase.name] = solution = phase.solve(source, y, seed, target=target)
        joined.head = solution.head
        watched = _said(solution.head, target)
        try:
            phase = generator.send(
                Trained(
                    joined, {}, 0, lambda table, head=solution.head: _said(head, held if table is val else target), watched, solution.chosen
                )
            )
        except StopIteration:
            return found


def _said(head, features):
    with torch.no_grad():
        return head(torch.from_numpy(features))
