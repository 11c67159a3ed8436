"""A task without labels: features as they are, measures against slow formulas, no loss. testing.check_task does not apply to it: that
asks of a task that right outputs score better than others, and here nothing is right."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from graft import catalog
from graft.core import Schema
from graft.errors import OptionError
from graft.tasks.representation import SELF_SUPERVISED, Options, task

SCHEMA = Schema("image", "none")


def test_outputs_are_the_features():
    made, features = task(SCHEMA, Options()), torch.randn(6, 4)
    assert torch.equal(made.decode(made.head(4)(features), temperature=3.0), features)
    assert made.encode(pa.table({"path": ["a", "b"], "label": ["", ""]})).tolist() == [0.0, 0.0]
    assert made.primary == "effective_rank" and made.higher and not made.calibrated and made.solve is None


def test_the_measures_against_loops():
    made = task(SCHEMA, Options())
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = made.metrics(x, np.zeros(7))
    sizes = np.linalg.svd(x.astype(float), compute_uv=False)
    entropy = -sum(s / sizes.sum() * math.log(s / sizes.sum()) for s in sizes)
    assert found["effective_rank"] == pytest.approx(math.exp(entropy), rel=1e-5)
    unit = [row / math.sqrt(sum(v * v for v in row)) for row in x.astype(float)]
    pairs = [math.exp(-2 * sum((a - b) ** 2 for a, b in zip(unit[i], unit[j]))) for i in range(7) for j in range(i)]
    assert found["uniformity"] == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)
    assert all(type(value) is float for value in found.values())
    same = made.metrics(np.ones((5, 3), np.float32), np.zeros(5))
    assert same["spread"] < 1e-6 < found["spread"] and same["effective_rank"] == pytest.approx(1, abs=1e-5)


def test_a_method_that_asks_for_a_loss_is_told_what_to_use():
    with pytest.raises(OptionError, match=r"no labels.*simclr.*inpaint"):
        task(SCHEMA, Options()).loss(torch.randn(2, 3), torch.zeros(2), smoothing=0.1)


def test_it_is_made_again_from_its_config():
    made = task(SCHEMA, Options(pool="max", layers=("stem", -1)))
    config = json.loads(json.dumps(made.config))
    again = catalog.resolve("task", made.name)(SCHEMA, Options(**{**config, "layers": tuple(config["layers"])}))
    assert again.config == made.config and again.pool == "max" and again.layers == ("stem", -1)
    with pytest.raises(OptionError, match="Did you mean 'avg'"):
        task(SCHEMA, Options(pool="avgg"))


def test_every_method_that_is_named_is_there():
    assert all(catalog.find("method", name) for name in SELF_SUPERVISED)
