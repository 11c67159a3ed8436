"""Weak and strong views of the target's rows, on a toy target and by the contract."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import domains
from tests.methods.phases import collect

from graft.core import Batch
from graft.errors import OptionError
from graft.losses import confusion
from graft.methods import fixmatch


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "fixmatch", moved=1.8, threshold=0.8, epochs=60)
    assert before < 0.9 and after > before + 0.05
    assert outcome.scores["accuracy"] > 0.9, "the source is not lost"


def test_the_target_comes_in_two_views_and_more_rows(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    *_, phase = collect("fixmatch", nets.net(made), made, rows, batch=8, ratio=2)
    assert (phase.streams["target"].views, phase.streams["target"].batch, phase.streams["train"].batch) == (2, 16, 8)
    assert phase.streams["train"].views == 1


def test_the_loss_is_the_sources_and_what_the_weak_view_teaches_the_strong(tmp_path, monkeypatch):
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    joined = domains.net(made)
    with torch.no_grad():
        joined.head.final.weight.normal_(0, 1)
    *_, phase = collect("fixmatch", joined, made, rows, threshold=0.6, weight=2.0)
    held = domains.streams(joined, made)
    batches = {name: next(iter(held.plain(stream.table))) for name, stream in phase.streams.items()}
    both = torch.cat([batches["target"].inputs, batches["target"].inputs + 0.1])
    batches["target"] = Batch(both, torch.zeros(len(both)), torch.arange(len(both)), views=2)
    monkeypatch.setattr(fixmatch, "hardened", lambda inputs, hardness: inputs + 0.05)
    weak, strong = joined(both + 0.05).chunk(2)
    expected = made.loss(joined(batches["train"].inputs), batches["train"].targets) + 2 * confusion.consistency(weak, strong, 0.6)
    assert confusion.consistency(weak, strong, 0.6) > 0
    assert phase.objective(joined, batches).item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_the_second_view_is_made_harder():
    torch.manual_seed(0)
    pictures = torch.randn(6, 3, 16, 16)
    found = fixmatch.hardened(pictures, 0.5)
    assert torch.equal(found[:3], pictures[:3]) and not torch.equal(found[3:], pictures[3:])
    assert ((found[3:] == 0).flatten(1).sum(1) == 3 * 8 * 8).all(), "a square of half the side is cut out of each"
    features = {"x": torch.randn(6, 40) + 5, "mask": torch.ones(6, 4)}
    found = fixmatch.hardened(features, 0.25)
    assert torch.equal(found["x"][:3], features["x"][:3]) and found["mask"] is features["mask"]
    strong, before, mean = found["x"][3:], features["x"][3:], features["x"][3:].mean(0)
    changed = strong != before
    assert 0.1 < changed.float().mean() < 0.4 and torch.allclose(strong[changed], mean.expand(3, 40)[changed])
    words = {"ids": torch.arange(6), "mask": torch.ones(6)}
    assert fixmatch.hardened(words, 0.5) is words


@pytest.mark.parametrize(("shape", "axes"), [((6, 5), (0,)), ((4, 7, 5), (0, 1)), ((4, 5, 3, 3), (0, 2, 3))])
def test_features_are_put_to_the_mean_of_their_own_channel(shape, axes):
    torch.manual_seed(0)
    x = torch.randn(shape) + 3
    found, mean = fixmatch.replaced(x, 0.5), x.mean(axes, keepdim=True).expand(shape)
    changed = found != x
    assert 0.2 < changed.float().mean() < 0.8 and torch.allclose(found[changed], mean[changed])


def test_colours_move_within_their_bounds():
    torch.manual_seed(0)
    flat = torch.full((200, 3, 4, 4), 0.3)
    moved = fixmatch.recoloured(flat) - flat
    assert moved.abs().max() <= 1.5 and moved.std() > 0.3
    assert (moved.flatten(2).std(2) < 1e-5).all(), "a flat picture stays flat"
    lively = torch.randn(200, 3, 8, 8)
    scale = fixmatch.recoloured(lively).flatten(2).std(2) / lively.flatten(2).std(2)
    assert scale.min() >= 0.49 and scale.max() <= 1.51 and scale.std() > 0.1


@pytest.mark.parametrize("freeze", ["all", 1])
def test_contract(freeze, tmp_path):
    made = nets.task()
    rows = nets.data(tmp_path / "photos")
    domains.contract(tmp_path, "fixmatch", lambda: nets.net(made), made, rows, epochs=2, batch=4, freeze=freeze, threshold=0.5)


@pytest.mark.parametrize("values", [{"threshold": 1.5}, {"ratio": 0}, {"hardness": 1.0}])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(OptionError, match=next(iter(values))):
        fixmatch.Options(**values)
