"""Adapters: the formula, what they leave alone, what is left of them, and a kill at any moment."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from tests import nets
from tests.engine.test_execute import run
from tests.methods import words
from tests.methods.phases import collect
from torch import nn

from graft import catalog
from graft.engine import checkpoint, execute
from graft.errors import OptionError
from graft.methods import lora, recipe

SMALL = {"rank": 2, "alpha": 6.0}


@pytest.fixture
def last_epoch(monkeypatch):
    """The last epoch is kept, so that adapters have moved whatever the selecting rows say."""
    monkeypatch.setattr(recipe, "phase", partial(recipe.phase, keep="last"))


def moved(net, names):
    """The net with adapters that are no longer where they started, and their hooks."""
    hooks = lora.attach(net, names, 2, 6.0)
    for name in names:
        nn.init.normal_(net.get_submodule(name).adapter.up, std=0.3)
    return hooks


def by_hand(weight, down, up, scale):
    """weight + scale x B A, entry by entry."""
    out = weight.clone().flatten(1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += scale * sum(float(up[i, k]) * float(down.flatten(1)[k, j]) for k in range(up.shape[1]))
    return out.view_as(weight)


def test_the_update_of_a_layer_is_the_papers():
    net = words.net(words.task()).eval()
    layer = net.stages[1].inner
    moved(net, ("stages.1.inner",))
    x, down, up = torch.randn(5, 2 * words.WIDTH), layer.adapter.down, layer.adapter.up
    wanted = by_hand(layer.weight.detach(), down.detach(), up.detach(), 3.0)
    torch.testing.assert_close(layer(x), x @ wanted.T + layer.bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("values", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"kernel_size": 1}])
def test_a_convolution_with_its_update_merged_gives_what_both_gave(values):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, **{"kernel_size": 3, **values})
    net = SimpleNamespace(get_submodule={"stages.0.c": layer}.__getitem__)
    before, hooks, x = layer.weight.detach().clone(), moved(net, ("stages.0.c",)), torch.randn(2, 3, 9, 9)
    wanted = by_hand(before, layer.adapter.down.detach(), layer.adapter.up.detach(), 3.0)
    both = layer(x)
    lora.merge(net, hooks)
    torch.testing.assert_close(layer.weight.detach(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(x), both, rtol=1e-4, atol=1e-5)


def test_the_transposed_layers_of_gpt2_have_updates_too():
    library = pytest.importorskip("transformers.pytorch_utils")
    torch.manual_seed(0)
    layer = library.Conv1D(5, 3)
    assert lora._takes_adapter(layer)
    net = SimpleNamespace(get_submodule={"l": layer}.__getitem__)
    before, hooks, x = layer.weight.detach().clone(), moved(net, ("l",)), torch.randn(4, 3)
    wanted = by_hand(before.T, layer.adapter.down.detach(), layer.adapter.up.detach(), 3.0).T
    both = layer(x)
    lora.merge(net, hooks)
    torch.testing.assert_close(layer.weight.detach(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(x), both, rtol=1e-4, atol=1e-5)


def test_an_adapter_starts_without_effect_and_goes_without_a_trace():
    net = nets.net(nets.task()).eval()
    before, x = {k: v.clone() for k, v in net.state_dict().items()}, torch.randn(2, 3, 16, 16)
    first = net(x)
    hooks = lora.attach(net, lora.chosen(net, 0), 2, 6.0)
    assert torch.equal(net(x), first) and set(before) < set(net.state_dict())
    lora.merge(net, hooks)
    assert list(net.state_dict()) == list(before) and all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_dropout_falls_on_what_an_adapter_reads_and_only_in_training():
    layer = nn.Linear(40, 3)
    adapter = lora.Adapter(layer, 2, 2.0, 0.5)
    nn.init.normal_(adapter.up)
    x = torch.ones(1, 40)
    assert not torch.equal(adapter(layer, x), adapter(layer, x))
    adapter.eval()
    assert torch.equal(adapter(layer, x), adapter(layer, x))


class Odd(nn.Module):
    """Layers of every kind that may or may not be adapted."""

    def __init__(self):
        super().__init__()
        self.attention, self.linear = nn.MultiheadAttention(4, 2), nn.Linear(4, 4)
        self.deep, self.plain = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1)


def test_layers_are_chosen_by_kind_stage_and_name():
    net = nets.net(nets.task())
    assert lora.chosen(net, 1) == ("stages.1.body.0", "stages.2.body.0")
    net.stages[2].body.append(Odd())
    assert lora.chosen(net, 2) == ("stages.2.body.0", "stages.2.body.4.linear", "stages.2.body.4.plain")
    assert lora.chosen(net, 0, ("linear", "4.plain")) == ("stages.2.body.4.linear", "stages.2.body.4.plain")
    net.taps = (1,)
    assert lora.chosen(net, 1) == ("stages.1.body.0",)


def test_what_cannot_be_adapted_is_said(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match=r"called 'liner'.*'linear'"):
        net = nets.net(made)
        net.stages[2].body.append(Odd())
        collect("lora", net, made, rows, targets=("liner",))
    with pytest.raises(OptionError, match="lp_ft"):
        collect("lora", nets.net(made), made, rows, freeze="all")
    with pytest.raises(OptionError, match=r"rank.*method\.rank=8"):
        lora.Options(rank=0)


def test_only_adapters_and_the_head_learn(tmp_path):
    made = nets.task()
    net = nets.net(made)
    head, phase = collect("lora", net, made, nets.data(tmp_path), lr=1e-3, decay=0.5, freeze=1, **SMALL)
    assert head.solve is not None and phase.frozen == 1
    rates = {group.name: group.lr for group in phase.groups}
    assert rates == pytest.approx({"adapters of middle": 5e-4, "adapters of top": 1e-3, "head": 1e-4})
    body = [name for group in phase.groups for name in group.parameters if not name.startswith("head.")]
    assert body == [f"stages.{i}.body.0.adapter.{part}" for i in (1, 2) for part in ("down", "up")]


def test_the_body_moves_by_a_matrix_of_low_rank_and_its_other_numbers_do_not(last_epoch, tmp_path):
    rows, made = nets.data(tmp_path / "photos"), nets.task()
    start = nets.net(made).state_dict()
    outcome, place = run(tmp_path / "run", "lora", rows, made, epochs=12, lr=1e-2, **SMALL)
    after = place.net.state_dict()
    assert list(after) == list(start)
    for name, value in after.items():
        if name.startswith("stages.") and name.endswith("body.0.weight"):
            change = (value - start[name]).flatten(1)
            assert change.abs().max() > 1e-4 and torch.linalg.matrix_rank(change, rtol=1e-3) <= 2, name
        elif name.startswith("stages.") and "running" not in name and "tracked" not in name:
            assert torch.equal(value, start[name]), name
    assert not torch.equal(after["stages.2.body.1.running_mean"], start["stages.2.body.1.running_mean"])
    # What the merged net says is what the net with adapters said when it was scored.
    predicted = execute.forward.outputs(place.net, place.streams.plain(rows.val), place.machine)
    assert outcome.phases[-1]["phase"] == "lora"
    torch.testing.assert_close(predicted, outcome.outputs, rtol=1e-4, atol=1e-4)


def test_a_run_stopped_at_any_checkpoint_or_before_the_merge_ends_bit_identical(last_epoch, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "SAVE_EVERY", 0.0)
    rows, real, merge = nets.data(tmp_path / "photos"), checkpoint.save, lora.merge
    values = {"lr": 1e-2, **SMALL}
    whole, place = run(tmp_path / "whole", "lora", rows, nets.task(), **values)
    expected = {k: v.clone() for k, v in place.net.state_dict().items()}
    saves = 2 + 3  # two phases, and three epochs of the second

    def stop(*_):
        raise KeyboardInterrupt

    for limit in (*range(saves), "merge"):
        calls = iter(range(99))
        if limit == "merge":
            monkeypatch.setattr(lora, "merge", stop)
        else:
            monkeypatch.setattr(checkpoint, "save", lambda *args, calls=calls, limit=limit: stop() if next(calls) == limit else real(*args))
        folder = tmp_path / f"killed {limit}"
        with pytest.raises(KeyboardInterrupt):
            run(folder, "lora", rows, nets.task(), **values)
        monkeypatch.setattr(checkpoint, "save", real)
        monkeypatch.setattr(lora, "merge", merge)
        torch.manual_seed(777)  # the random state at the second start must not matter
        again, place = run(folder, "lora", rows, nets.task(), **values)
        assert all(torch.equal(expected[k], v) for k, v in place.net.state_dict().items()), f"stopped at {limit}"
        assert again.scores == whole.scores and torch.equal(again.outputs, whole.outputs)


def test_a_body_of_texts_is_adapted_above_its_embeddings(last_epoch, tmp_path):
    made, rows = words.task(), words.data()
    net = words.net(made)
    start = net.stages[1].inner.weight.detach().clone()
    options = catalog.options("method", "lora")(epochs=3, batch=8, lr=1e-2, **SMALL)
    outcome = words.run(lambda *given: catalog.resolve("method", "lora")(*given, options), tmp_path / "run", net, made, rows)
    assert [row["phase"] for row in outcome.phases][:2] == ["head", "lora"] and outcome.frozen == 1
    change = (net.stages[1].inner.weight - start).detach()
    assert change.abs().max() > 1e-4 and torch.linalg.matrix_rank(change, rtol=1e-3) <= 2
