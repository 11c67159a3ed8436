"""One phase; freeze partitions the net."""

import pytest
from tests import nets
from tests.methods.phases import collect

from graft.errors import OptionError


def test_head_learns_faster_than_the_body(tmp_path):
    made = nets.task()
    (phase,) = collect("finetune", nets.net(made), made, nets.data(tmp_path), lr=1e-3, decay=0.5)
    rates = {g.name: g.lr for g in phase.groups}
    assert rates == pytest.approx({"stem": 2.5e-4, "middle": 5e-4, "top": 1e-3, "head": 1e-2})


def test_freeze_leaves_stages_out(tmp_path):
    made = nets.task()
    (phase,) = collect("finetune", nets.net(made), made, nets.data(tmp_path), freeze="middle")
    assert phase.frozen == 2 and [g.name for g in phase.groups] == ["top", "head"]


def test_a_head_without_gradients_is_refused(tmp_path):
    made = nets.task(head="svm_rbf")
    with pytest.raises(OptionError, match="svm_rbf"):
        collect("finetune", nets.net(made), made, nets.data(tmp_path))
