"""A task is rebuilt from its config alone, as a saved model does."""

import torch
from tests import nets

from graft import catalog


def test_a_task_is_rebuilt_from_its_config():
    made = nets.task(head="svm", pool="max")
    again = catalog.resolve("task", made.name)(made.schema, catalog.options("task", made.name)(**made.config))
    outputs = torch.randn(4, 2)
    assert torch.equal(made.decode(outputs), again.decode(outputs)) and again.pool == "max" and again.config == made.config
