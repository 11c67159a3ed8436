import math

import pyarrow as pa
import pytest
import torch

from graft.core import Schema
from graft.errors import DataError
from graft.tasks.multilabel import Options, loss, task
from graft.testing import check_task

SCHEMA = Schema("image", "labels", ("cat", "dog", "sky"))


def _table(labels):
    return pa.table({"path": [f"/{i}.png" for i in range(len(labels))], "label": pa.array(labels, pa.list_(pa.string()))})


@pytest.mark.parametrize("head", ["auto", "linear", "logistic", "svm", "svm_rbf", "knn"])
def test_the_contract(head):
    check_task(task(SCHEMA, Options(head=head)), _table([["cat"], ["dog", "sky"], [], ["cat", "sky"], ["dog"]] * 4))


def test_lists_become_zeros_and_ones():
    built = task(SCHEMA, Options())
    assert built.encode(_table([["sky", "cat"], [], ["dog"]])).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    with pytest.raises(DataError, match=r"/0\.png has the label 'dgo'.*Did you mean 'dog'"):
        built.encode(_table([["dgo"]]))
    with pytest.raises(DataError, match=r"/1\.png has no list"):
        built.encode(_table([[], None]))
    with pytest.raises(DataError, match="no labels to learn"):
        task(Schema("image", "labels"), Options())


def test_loss_is_the_formula():
    torch.manual_seed(0)
    outputs, y, weights = torch.randn(5, 3), (torch.rand(5, 3) < 0.5).float(), torch.tensor([0.5, 1.0, 3.0])
    slow = 0.0
    for i in range(5):
        for j in range(3):
            p, t = 1 / (1 + math.exp(-outputs[i, j])), 0.8 * float(y[i, j]) + 0.1
            slow -= (float(weights[j]) * t * math.log(p) + (1 - t) * math.log(1 - p)) / 15
    assert loss(outputs, y, 0.2, weights).item() == pytest.approx(slow, rel=1e-5)
