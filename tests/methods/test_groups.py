"""Who learns at what rate, as a table."""

import pytest
from tests import nets

from graft.errors import OptionError
from graft.methods import groups


@pytest.mark.parametrize(
    ("frozen", "decay", "expected"),
    [
        (0, 0.5, [("stem", 0.025), ("middle", 0.05), ("top", 0.1)]),
        (1, 0.5, [("middle", 0.05), ("top", 0.1)]),
        (3, 0.5, []),
        (0, 1.0, [("stem", 0.1), ("middle", 0.1), ("top", 0.1)]),
    ],
)
def test_rates_fall_from_the_top(frozen, decay, expected):
    found = groups.layerwise(nets.net(nets.task()), 0.1, decay, 0.01, frozen)
    assert [(g.name, pytest.approx(g.lr)) for g in found] == [(n, pytest.approx(r)) for n, r in expected]


def test_groups_are_a_partition_of_what_learns():
    net = nets.net(nets.task())
    found = groups.layerwise(net, 0.1, 0.9, 0.0) + groups.head(net, 1.0, 0.0)
    names = [n for g in found for n in g.parameters]
    assert sorted(names) == sorted(n for n, _ in net.named_parameters()) and len(set(names)) == len(names)


@pytest.mark.parametrize(("freeze", "depth"), [(None, 0), ("none", 0), ("all", 3), ("stem", 1), ("top", 3), (2, 2), ("2", 2)])
def test_freeze_by_name_or_number(freeze, depth):
    assert groups.depth(nets.net(nets.task()), freeze) == depth


@pytest.mark.parametrize("freeze", ["midle", 4, -1])
def test_unknown_depths_are_refused(freeze):
    with pytest.raises(OptionError, match=r"middle|has 3"):
        groups.depth(nets.net(nets.task()), freeze)


def test_stages_above_the_last_tap_do_not_learn():
    net = nets.net(nets.task())
    net.taps = (1,)
    assert [g.name for g in groups.layerwise(net, 0.1, 0.5, 0.0)] == ["stem", "middle"]
