"""Unfreezing goes down from the top, and its epochs add up."""

from tests import nets
from tests.methods.phases import collect


def test_more_stages_learn_in_each_phase(tmp_path):
    made = nets.task()
    head, *down = collect("gradual", nets.net(made), made, nets.data(tmp_path), epochs=10)
    assert head.solve is not None and [p.frozen for p in down] == [2, 1, 0] and sum(p.epochs for p in down) == 10


def test_freeze_is_the_floor(tmp_path):
    made = nets.task()
    _, *down = collect("gradual", nets.net(made), made, nets.data(tmp_path), freeze=1, steps_down=9)
    assert [p.frozen for p in down] == [2, 1]
