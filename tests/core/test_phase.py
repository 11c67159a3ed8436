"""Phases are values: their defaults are the safe ones."""

import dataclasses

import pytest

from graft.core import Phase, Stream


def test_a_phase_freezes_nothing_and_keeps_the_best_by_default():
    phase = Phase("p", {"train": Stream(None)})
    assert (phase.frozen, phase.keep, phase.ema, phase.patience, phase.seconds) == (0, "best", 0.0, 0, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        phase.epochs = 3
