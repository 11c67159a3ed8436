import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from graft.core import Schema
from graft.errors import DataError
from graft.tasks.classification import Options, decode, loss, task
from graft.testing import check_task

SCHEMA = Schema("image", "class", ("ant", "bee", "wasp"))


def _table(labels):
    return pa.table({"path": [f"/{i}.png" for i in range(len(labels))], "label": pa.array(labels, pa.string())})


@pytest.mark.parametrize("head", ["auto", "linear", "logistic", "logistic_unit", "svm", "svm_rbf", "knn", "lda"])
def test_the_contract(head):
    check_task(task(SCHEMA, Options(head=head)), _table(["ant", "bee", "wasp", "bee"] * 6))


def test_labels_become_numbers_in_the_order_of_the_classes():
    built = task(SCHEMA, Options())
    assert built.encode(_table(["wasp", "ant"])).tolist() == [2, 0] and built.encode(_table([])).shape == (0,)
    with pytest.raises(DataError, match=r"/1\.png has the label 'wsp'.*Did you mean 'wasp'"):
        built.encode(_table(["ant", "wsp"]))
    with pytest.raises(DataError, match=r"/2\.png has no label"):
        built.encode(_table(["ant", "bee", None]))
    with pytest.raises(DataError, match="the label '', which is none"):
        built.encode(_table([""]))
    with pytest.raises(DataError, match="at least two"):
        task(Schema("image", "class", ("ant",)), Options())


def test_loss_is_the_formula_for_numbers_soft_targets_smoothing_and_weights():
    torch.manual_seed(0)
    outputs, y, weights = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([0.5, 1.0, 2.0])
    smooth = 0.9 * F.one_hot(y, 3) + 0.1 / 3
    slow = 0.0
    for i in range(6):
        p = outputs[i].exp() / outputs[i].exp().sum()
        slow -= sum(float(weights[c] * smooth[i, c] * p[c].log()) for c in range(3)) / 6
    assert loss(outputs, y, 0.1, weights).item() == pytest.approx(slow, rel=1e-5)
    assert loss(outputs, smooth, 0.0, weights).item() == pytest.approx(slow, rel=1e-5)


def test_micro_batches_add_up_to_their_batch():
    outputs, y, weights = torch.randn(8, 3), torch.tensor([0, 0, 0, 0, 1, 2, 2, 1]), torch.tensor([0.2, 1.0, 3.0])
    halves = (loss(outputs[:4], y[:4], 0.1, weights) + loss(outputs[4:], y[4:], 0.1, weights)) / 2
    assert torch.allclose(loss(outputs, y, 0.1, weights), halves)


def test_decode_softens_with_the_temperature_and_takes_bfloat16():
    outputs = torch.tensor([[2.0, 0.0, 0.0]])
    assert decode(outputs, 2.0)[0, 0].item() == pytest.approx(np.e / (np.e + 2))
    assert decode(outputs.bfloat16()).dtype == torch.float32
