"""Everything learns at one rate."""

from tests import nets
from tests.methods.phases import collect


def test_everything_learns_at_one_rate(tmp_path):
    made = nets.task()
    net = nets.net(made)
    (phase,) = collect("scratch", net, made, nets.data(tmp_path))
    assert len({g.lr for g in phase.groups}) == 1 and phase.frozen == 0
    assert sum(len(g.parameters) for g in phase.groups) == len(list(net.parameters()))
