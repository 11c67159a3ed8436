"""A net that foresees its slow copy: the loss, the copy's pace, and that nothing flows back through it."""

import math
from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.engine.test_execute import run
from tests.methods import stops, words
from tests.methods.phases import collect
from tests.methods.test_self_supervised import without_labels

from graft import testing
from graft.core import Batch
from graft.errors import OptionError
from graft.losses import contrastive
from graft.methods import byol


def first(made, rows, **values):
    """The phase without labels, and its net."""
    net = nets.net(made)
    return collect("byol", net, without_labels(made), rows, hidden=8, projection=4, **values)[0], net


def test_only_the_net_and_what_foresees_learn_by_gradient(tmp_path):
    phase, net = first(nets.task(), nets.data(tmp_path), freeze=1)
    assert [group.name for group in phase.groups] == ["middle", "top", "projector", "predictor"]
    assert not any(name.startswith("extras.slow") for group in phase.groups for name in group.parameters)
    assert not any(p.requires_grad for p in phase.extras["slow"].parameters())
    assert (phase.frozen, phase.keep, phase.score, phase.streams["train"].views) == (1, "last", False, 2)
    frozen = {f"net.{name}" for name, _ in net.named_parameters() if name.startswith("stages.0.")}
    assert not frozen & {name for name, _ in phase.extras["slow"].named_parameters()}, "what is frozen need not be there twice"


@pytest.mark.parametrize("frozen", [0, 1])
def test_each_view_foresees_the_other_in_the_slow_copy(frozen, tmp_path):
    phase, net = first(nets.task(), nets.data(tmp_path), freeze=frozen, grey=0.0)
    net.eval(), phase.extras.eval()
    slow, extras = phase.extras["slow"], phase.extras
    with torch.no_grad():
        slow["net"].stages[2].body[0].weight.mul_(0.7)
        slow["projector"][0].weight.mul_(1.3)
    images = torch.randn(8, 3, 16, 16)
    pooled = lambda stages, x: stages[2](stages[1](stages[0]({"x": x})))["x"].mean((2, 3))  # noqa: E731
    copies = [net.stages[i] if i < frozen else slow["net"].stages[i] for i in range(3)]
    predicted = extras["predictor"](extras["projector"](pooled(net.stages, images)))
    wanted = slow["projector"](pooled(copies, images))
    expected = contrastive.regression(predicted[:4], wanted[4:]) + contrastive.regression(predicted[4:], wanted[:4])
    batch = Batch(images, torch.zeros(8), torch.arange(8), views=2)
    loss = phase.objective(net, {"train": batch})
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    kept = replace(batch, inputs=net.advance(images, 0, frozen), start=frozen)
    assert phase.objective(net, {"train": kept}).item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = torch.autograd.grad(loss, [net.stages[2].body[0].weight, extras["predictor"][0].weight])
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("step", [0, 3, 10])
def test_the_momentum_rises_along_a_cosine(step):
    assert byol.momentum(0.9, step, 10) == pytest.approx(1 - 0.1 * (math.cos(math.pi * step / 10) + 1) / 2)


def test_the_momentum_ends_at_one():
    assert byol.momentum(0.9, 0, 10) == pytest.approx(0.9) and byol.momentum(0.9, 10, 10) == byol.momentum(0.9, 99, 10) == 1.0


def test_the_slow_copy_follows_the_net(tmp_path):
    rows = nets.data(tmp_path)
    phase, net = first(nets.task(), rows, tau=0.8, epochs=5, batch=3)
    slow = phase.extras["slow"]
    with torch.no_grad():
        net.stages[1].body[0].weight.add_(1.0)
        phase.extras["projector"][3].weight.sub_(1.0)
    pairs = [
        (slow["net"].stages[1].body[0].weight, net.stages[1].body[0].weight),
        (slow["projector"][3].weight, phase.extras["projector"][3].weight),
    ]
    expected = []
    steps = 5 * math.ceil(len(rows.train) / 3)
    share = 0.2 * (math.cos(math.pi * 2 / steps) + 1) / 2
    for late, early in pairs:
        expected.append((1 - share) * late.detach().clone() + share * early.detach())
    phase.after_step(net, phase.extras, 2)
    assert all(torch.allclose(late, wanted, atol=1e-6) for (late, _), wanted in zip(pairs, expected, strict=True))


def test_the_loss_falls_and_frozen_stages_stay(tmp_path):
    from graft.engine.journal import read

    made, rows = nets.task(), nets.data(tmp_path / "photos")
    outcome, place = run(tmp_path / "run", "byol", rows, made, epochs=15, batch=8, lr=3e-3, hidden=16, projection=8, freeze=1)
    losses = [row["train_loss"] for row in read(tmp_path / "run") if row["event"] == "epoch"]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3]) and [row["phase"] for row in outcome.phases] == ["byol", "head"]
    assert torch.equal(place.net.stages[0].body[0].weight, nets.net(made).stages[0].body[0].weight) and outcome.frozen == 1
    assert not any("slow" in name for name in place.net.state_dict())


def test_the_contract(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    rows = replace(rows, unlabelled=nets.photos(tmp_path / "more", 6, seed=9).select(["path"]))
    testing.check_method(byol.phases, byol.Options(epochs=2, batch=8, hidden=8, projection=4), lambda: nets.net(made), made, rows, tmp_path)


def test_a_run_stopped_at_any_checkpoint_ends_bit_identical(tmp_path, monkeypatch):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    stops.check(monkeypatch, tmp_path, lambda folder: run(folder, "byol", rows, made, epochs=2, hidden=8, projection=4)[1].net)


def test_texts_single_views_and_values_out_of_range_are_refused(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="simclr"):
        collect("byol", words.net(words.task()), words.task(), words.data())
    with pytest.raises(OptionError, match="augment"):
        collect("byol", nets.net(made), made, rows, augment=False)
    for values in ({"tau": 1.5}, {"hidden": 0}, {"grey": -0.1}):
        with pytest.raises(OptionError, match=next(iter(values))):
            byol.Options(**values)
