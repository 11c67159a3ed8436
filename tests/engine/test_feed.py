"""Streams of different lengths, and batches out of kept states in the same order as out of images."""

import torch
from tests import nets

from graft.core import Phase, Stream
from graft.engine.feed import Feed


def make(tmp_path, start, streams_by_name, views=0):
    made = nets.task()
    phase = Phase("p", streams_by_name, 1, frozen=3)
    return Feed(nets.passes(made, views=views), nets.net(made), phase, start, lambda n: None)


def test_the_longest_stream_makes_the_epoch(tmp_path):
    rows = nets.data(tmp_path)
    feed = make(tmp_path, 0, {"train": Stream(rows.train, 4), "other": Stream(rows.val[:3], 2)})
    steps = list(feed.epoch("final", 0, 1))
    assert len(steps) == feed.steps == 2 and all(set(step) == {"train", "other"} for step in steps)


def test_kept_states_come_in_the_order_of_the_images(tmp_path):
    rows = nets.data(tmp_path)
    images = make(tmp_path, 0, {"train": Stream(rows.train, 4)})
    kept = make(tmp_path, 4, {"train": Stream(rows.train, 4)})
    for a, b in zip(images.epoch("final", 0, 1), kept.epoch("final", 0, 1), strict=True):
        assert torch.equal(a["train"].rows, b["train"].rows) and torch.equal(a["train"].targets, b["train"].targets)
        assert b["train"].start == 4 and b["train"].inputs["x"].shape == (4, 16)


def test_kept_views_differ_from_epoch_to_epoch_and_come_again(tmp_path):
    rows = nets.data(tmp_path)
    feed = make(tmp_path, 2, {"train": Stream(rows.train, 8, augment=True)}, views=2)

    def states(epoch):
        (step,) = feed.epoch("final", 0, epoch)
        return step["train"].inputs["x"][step["train"].rows.argsort()]

    first, second, third = states(1), states(2), states(3)
    assert not torch.equal(first, second) and torch.equal(first, third)


def test_features_of_a_table_are_those_of_its_images(tmp_path):
    rows = nets.data(tmp_path)
    feed = make(tmp_path, 4, {"train": Stream(rows.train, 4)})
    features, targets = feed.features(rows.train)
    assert features.shape == (8, 16) and targets.tolist() == [0, 1] * 4
