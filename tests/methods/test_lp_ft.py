"""The head first, then everything at a small rate."""

from tests import nets
from tests.methods.phases import collect


def test_the_probe_does_not_see_the_selecting_rows(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    probe, tune = collect("lp_ft", nets.net(made), made, rows)
    assert len(probe.streams["train"].table) == len(rows.train) and probe.solve is not None
    assert max(g.lr for g in tune.groups) == 1e-4 and tune.keep == "best"


def test_a_head_by_gradient_descent_has_its_own_epochs(tmp_path):
    made = nets.task(head="linear")
    probe, tune = collect("lp_ft", nets.net(made), made, nets.data(tmp_path), head_epochs=7, epochs=2)
    assert probe.epochs == 7 and probe.frozen == 3 and tune.epochs == 2
