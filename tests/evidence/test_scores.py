"""Scores with intervals, calibration and the table of predictions."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests import nets

from graft import catalog
from graft.core import Schema
from graft.evidence import scores


def outputs(n=60, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, n)
    raw = rng.normal(0, 1, (n, 2)) + 3 * np.eye(2)[targets]
    return torch.tensor(4 * raw, dtype=torch.float32), torch.tensor(targets)


def test_the_interval_holds_the_value_and_the_value_is_the_metric():
    made, (out, targets) = nets.task(), outputs()
    found = scores.with_intervals(made, out, targets, 1.0)
    right = float((out.argmax(1) == targets).float().mean())
    assert found["accuracy"]["value"] == pytest.approx(right)
    assert all(row["interval"][0] <= row["value"] <= row["interval"][1] for row in found.values())


def test_overconfident_outputs_are_cooled_and_decisions_stay():
    made, (out, targets) = nets.task(), outputs(400)
    degrees, how = scores.temperature(made, 5 * out, targets)
    assert degrees > 2 and "400" in how
    told = scores.calibrated(made, 5 * out, targets, degrees)
    assert told["after"] < told["before"]
    assert torch.equal(made.decode(out, temperature=degrees).argmax(1), out.argmax(1))


def test_few_rows_are_not_calibrated_on():
    made, (out, targets) = nets.task(), outputs(10)
    degrees, how = scores.temperature(made, out, targets)
    assert degrees == 1.0 and "too few" in how


def test_few_rows_that_are_all_right_do_not_make_it_certain():
    made, targets = nets.task(), torch.arange(50) % 2
    sure = 3.0 * torch.eye(2)[targets]
    assert scores.temperature(made, sure, targets)[0] == 1.0
    assert scores.temperature(made, sure.repeat(8, 1), targets.repeat(8))[0] < 1.0


def table(labels):
    return pa.table({"path": [f"{i}.png" for i in range(len(labels))], "label": labels})


def test_predictions_of_classes():
    made, (out, _) = nets.task(), outputs(5)
    rows = scores.predictions(made.schema, made.decode, table(["dark"] * 5), out, 2.0, "test").to_pylist()
    for row, one in zip(rows, out, strict=True):
        assert row["predicted"] == ("dark", "light")[int(one.argmax())]
        assert row["probability"] == pytest.approx(max(row["probabilities"])) and sum(row["probabilities"]) == pytest.approx(1)


def test_predictions_of_several_labels_and_of_numbers():
    schema = Schema("image", "labels", ("a", "b"))
    made = catalog.resolve("task", "multilabel")(schema, catalog.options("task", "multilabel")())
    rows = scores.predictions(schema, made.decode, table([["a"], []]), torch.tensor([[3.0, 2.0], [-3.0, -1.0]]), 1.0, "val").to_pylist()
    assert [row["predicted"] for row in rows] == [["a", "b"], []]
    schema = Schema("image", "number", centre=10.0, spread=2.0)
    made = catalog.resolve("task", "regression")(schema, catalog.options("task", "regression")())
    rows = scores.predictions(schema, made.decode, table([1.0, 2.0]), torch.tensor([[0.0], [1.0]]), 1.0, "val").to_pylist()
    assert [row["predicted"] for row in rows] == pytest.approx([10.0, 12.0])
    assert scores.calibrated(made, torch.zeros(2, 1), torch.zeros(2, 1), 1.0) is None
    assert scores.temperature(made, torch.zeros(50, 1), torch.zeros(50, 1))[0] == 1.0


def test_groups_are_numbered():
    rows = pa.table({"path": ["a", "b", "c"], "label": ["x", "y", "x"], "group": ["g", "h", "g"]})
    assert scores.groups_of(rows).tolist() == [0, 1, 0] and scores.groups_of(table(["x"])) is None


def test_features_without_labels_have_no_interval_and_no_prediction():
    made = catalog.resolve("task", "representation")(Schema("image", "none"), catalog.options("task", "representation")())
    out = torch.randn(12, 5)
    found = scores.with_intervals(made, out, torch.zeros(12), 1.0)
    assert set(found) == {"effective_rank", "spread", "uniformity"} and all(one["interval"] is None for one in found.values())
    rows = scores.predictions(made.schema, made.decode, table([""] * 12), out, 1.0, "val")
    assert rows.column_names == ["split", "path", "norm"]
    assert rows["norm"].to_pylist() == pytest.approx([sum(v * v for v in row) ** 0.5 for row in out.tolist()], rel=1e-5)
    assert scores.temperature(made, out, torch.zeros(12)) == (1.0, "there are no probabilities to calibrate")
