"""Shared training options: ranges, the number of epochs, and heads that cannot learn."""

import pytest
from tests import nets

from graft.errors import OptionError
from graft.methods import recipe


@pytest.mark.parametrize(("rows", "expected"), [(10, 40), (240, 40), (1000, 10), (100_000, 8)])
def test_epochs_give_about_300_steps(rows, expected):
    assert recipe.epochs(recipe.Training(), rows) == expected
    assert recipe.epochs(recipe.Training(epochs=3), rows) == 3


@pytest.mark.parametrize(
    "values", [{"lr": -1.0}, {"lr": float("nan")}, {"batch": 0}, {"decay": 1.5}, {"optimizer": "adam"}, {"schedule": "step"}]
)
def test_values_out_of_range_are_refused_with_a_repair(values):
    with pytest.raises(OptionError, match=next(iter(values))):
        recipe.Training(**values)


def test_a_head_that_cannot_learn_is_refused():
    made = nets.task(head="knn")
    with pytest.raises(OptionError, match="extract"):
        recipe.check_trainable(made, "finetune")


def test_phases_keep_the_last_epoch_where_nothing_selects(tmp_path):
    from dataclasses import replace

    rows, made = replace(nets.data(tmp_path), val=None), nets.task()
    assert recipe.phase("p", made, rows, recipe.Training(), ()).keep == "last"
