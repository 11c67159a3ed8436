import numpy as np
import pyarrow as pa
import pytest
import torch

from graft.core import Schema
from graft.errors import DataError
from graft.metrics.bootstrap import intervals
from graft.tasks.regression import Options, loss, task
from graft.testing import check_task

SCHEMA = Schema("image", "number", centre=50.0, spread=20.0)


def _table(labels):
    return pa.table({"path": [f"/{i}.png" for i in range(len(labels))], "label": pa.array(labels, pa.float64())})


@pytest.mark.parametrize("head", ["auto", "linear", "logistic", "svm_rbf", "knn"])
def test_the_contract(head):
    check_task(task(SCHEMA, Options(head=head)), _table([10.0, 70.0, 35.5, 88.0, 61.0] * 4))


def test_numbers_are_standardised_and_come_back_in_their_own_unit():
    built = task(SCHEMA, Options())
    targets = built.encode(_table([50.0, 90.0]))
    assert targets.tolist() == [[0.0], [2.0]] and built.decode(targets).tolist() == [[50.0], [90.0]]
    for wrong in (None, float("nan"), float("inf")):
        with pytest.raises(DataError, match=r"/1\.png has no finite number"):
            built.encode(_table([1.0, wrong]))
    with pytest.raises(DataError, match="equal"):
        task(Schema("image", "number", spread=0.0), Options())


def test_errors_are_in_the_targets_own_unit_and_have_intervals():
    built = task(SCHEMA, Options())
    targets = built.encode(_table([50.0, 90.0, 10.0]))
    decoded = built.decode(targets).numpy() + np.array([[2.0], [-4.0], [0.0]])
    assert built.metrics(decoded, targets.numpy())["mae"] == pytest.approx(2.0) and not built.higher
    value, lo, hi = intervals(decoded, targets.numpy(), built.metrics, 100)["mae"]
    assert lo <= value <= hi and value == pytest.approx(2.0)


def test_loss_is_squared_near_and_linear_far():
    outputs, targets = torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1)
    assert loss(outputs, targets).item() == pytest.approx((0.5 * 0.5**2 + 3.0 - 0.5) / 2)
