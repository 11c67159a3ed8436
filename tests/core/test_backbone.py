"""What a body declares about itself is checked and measured."""

from dataclasses import replace

import pytest
import torch
from tests import nets

from graft.core import Prepare


def test_widths_and_strides_are_measured_and_modes_kept():
    body = nets.body()
    body.stages.train()
    wrong = replace(body, widths=(1, 1, 1), strides=(1, 1, 1)).measured()
    assert wrong.widths == (8, 12, 16) and wrong.strides == (2, 4, 8)
    assert all(m.training for m in body.stages.modules())


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one name"):
        replace(nets.body(), names=("a",))


def test_the_whole_body_runs_and_resize_follows_the_crop():
    assert nets.body().forward(torch.zeros(2, 3, 16, 16)).shape == (2, 16, 2, 2)
    assert Prepare(224, 0.875).resize == 256 and Prepare(96, 1.0).resize == 96
