"""How deep the constant prefix goes, the reason, and what a kept state depends on."""

import copy

import pytest
import torch
from tests import nets
from tests.methods import words

from graft.core import Phase, Stream
from graft.engine import prefix


@pytest.mark.parametrize(
    ("frozen", "augment", "views", "limit", "depth", "words"),
    [
        (3, False, 0, 1e9, 4, "only the head"),
        (2, False, 0, 1e9, 2, "next stage learns"),
        (0, False, 0, 1e9, 0, "first stage learns"),
        (0, True, 4, 1e9, 0, "first stage learns"),
        (3, True, 0, 1e9, 0, "--views 4 draws four of each once, and keeps what all stages make"),
        (1, True, 0, 1e9, 0, "the frozen stage makes"),
        (2, True, 4, 1e9, 2, "next stage learns"),
        (3, True, 4, 1e9, 4, "only the head"),
        (2, False, 0, 100, 0, "neither in memory nor in the store"),
    ],
)
def test_depth_and_reason(frozen, augment, views, limit, depth, words):
    net = nets.net(nets.task())
    phase = Phase("p", {"train": Stream(None, augment=augment)}, 1, frozen=frozen)
    found, why = prefix.depth(net, phase, 10, lambda nbytes: nbytes <= limit, views=views)
    assert found == depth and words in why


def test_a_shallower_depth_is_taken_where_only_that_fits():
    net = nets.net(nets.task())
    sizes = [prefix.state_bytes(net, stop) for stop in (1, 2)]
    phase = Phase("p", {"train": Stream(None)}, 1, frozen=2)
    assert sizes[1] < sizes[0] == 8 * 8 * 8 * 4  # deeper states are smaller here, so nothing shallower can help
    assert prefix.depth(net, phase, 1, lambda nbytes: nbytes == sizes[0])[0] == 1


def test_work_counts_the_multiply_adds():
    net = nets.net(nets.task())
    first, second = 8 * 8 * 8 * 3 * 9, 12 * 4 * 4 * 8 * 9
    assert prefix.work(net, 1) == pytest.approx(first / 1e9) and prefix.work(net, 2) == pytest.approx((first + second) / 1e9)


def test_the_digest_changes_with_all_that_a_state_depends_on_and_nothing_else():
    from dataclasses import replace

    made = nets.task()
    net = nets.net(made)
    start = prefix.digest(net, 2)
    assert prefix.digest(copy.deepcopy(net), 2) == start

    def changed(change, stop=2):
        other = copy.deepcopy(net)
        with torch.no_grad():
            change(other)
        return prefix.digest(other, stop) != start

    bump = lambda name: lambda other: other.get_parameter(name).view(-1)[0].add_(1e-6)  # noqa: E731
    assert changed(bump("stages.0.body.0.weight")) and changed(bump("stages.1.body.1.bias"))
    assert changed(lambda other: other.stages[0].body[1].running_mean.add_(1e-6))
    assert changed(lambda other: setattr(other, "prepare", replace(other.prepare, mean=(0.5, 0.5, 0.5))))
    assert changed(lambda other: setattr(other, "prepare", replace(other.prepare, crop=0.9)))
    assert changed(lambda other: other.stages[1].body.__setitem__(2, torch.nn.GELU()))
    assert changed(lambda other: None, stop=1) and changed(lambda other: None, stop=net.pooled)
    assert not changed(bump("stages.2.body.0.weight")) and not changed(bump("head.final.weight"))


def test_what_a_table_gives_is_looked_up_again():
    """A text's embeddings take a hundred times its own space and no arithmetic."""
    net = words.net(words.task())
    depth = lambda frozen: prefix.depth(net, Phase("p", {"train": Stream(None)}, 1, frozen=frozen), 10, lambda n: True, cells=16)  # noqa: E731
    assert depth(1)[0] == 0 and "looked up" in depth(1)[1] and depth(2)[0] == 2 and depth(3)[0] == net.pooled
    assert prefix.looked_up(net, 1, 16) and not prefix.looked_up(net, 2, 16) and not prefix.looked_up(nets.net(nets.task()), 1, 0)
