"""Views come together, other samples go apart: images, and texts by dropout."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.engine.test_execute import run
from tests.methods import stops, words
from tests.methods.phases import collect
from tests.methods.test_self_supervised import without_labels
from torch import nn

from graft import testing
from graft.core import Batch
from graft.errors import OptionError
from graft.losses import contrastive
from graft.methods import self_supervised, simclr


def more(rows, folder):
    return replace(rows, unlabelled=nets.photos(folder, 6, seed=9).select(["path"]))


def test_the_body_learns_from_two_views_without_labels_and_the_head_after_it(tmp_path):
    made, rows = nets.task(), more(nets.data(tmp_path / "a"), tmp_path / "b")
    first, head = collect("simclr", nets.net(made), made, rows, freeze=1, hidden=20, projection=5)
    stream = first.streams["train"]
    assert (stream.views, stream.augment, stream.table.column_names) == (2, True, ["path"]) and len(stream.table) == len(rows.train) + 6
    assert (first.frozen, first.keep, first.score, first.ema) == (1, "last", False, 0.0) and head.solve is not None
    assert [group.name for group in first.groups] == ["middle", "top", "projector"]
    assert first.extras["projector"](torch.randn(3, 16)).shape == (3, 5) and first.extras["projector"][0].out_features == 20
    assert [phase.name for phase in collect("simclr", nets.net(made), without_labels(made), rows)] == ["simclr"]


def test_the_objective_is_nt_xent_of_the_projected_features_of_both_views():
    net, projector = nets.net(nets.task()).eval(), self_supervised.mlp(16, 8, 4).eval()
    images = torch.randn(10, 3, 16, 16)
    features = net.stages[2](net.stages[1](net.stages[0]({"x": images})))["x"].mean((2, 3))
    expected = contrastive.nt_xent(projector(features[:5]), projector(features[5:]), 0.3)
    batch = {"train": Batch(images, torch.zeros(10), torch.arange(10), views=2)}
    assert simclr.objective(projector, 0.3, 0.0)(net, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    grey = {"train": replace(batch["train"], inputs=self_supervised.greyed(images, net.prepare, 1.0))}
    found, plain = simclr.objective(projector, 0.3, 1.0)(net, batch).item(), simclr.objective(projector, 0.3, 0.0)
    assert found == pytest.approx(plain(net, grey).item(), rel=1e-5) != plain(net, batch).item()


def test_kept_states_are_taken_as_they_are():
    net, projector = nets.net(nets.task()).eval(), self_supervised.mlp(16, 8, 4).eval()
    state = net.advance(torch.randn(6, 3, 16, 16), 0, 1)
    found = simclr.objective(projector, 0.3, 1.0)(net, {"train": Batch(state, torch.zeros(6), torch.arange(6), 1, views=2)})
    assert found.item() == pytest.approx(contrastive.nt_xent(*projector(net.advance(state, 1, net.pooled)["x"]).chunk(2), 0.3).item())


def views_apart(net, rows):
    """NT-Xent of the features of the scored images and of their mirror images."""
    batch = next(iter(nets.streams(nets.task()).plain(rows.test)))
    with torch.no_grad():
        return float(contrastive.nt_xent(*(net.eval().advance(x, 0, net.pooled)["x"] for x in (batch.inputs, batch.inputs.flip(3))), 0.2))


def test_views_of_images_that_were_not_seen_are_told_better_afterwards(tmp_path):
    made, rows = nets.task(), more(nets.data(tmp_path / "photos"), tmp_path / "more")
    before = views_apart(nets.net(made), rows)
    outcome, place = run(tmp_path / "run", "simclr", rows, made, epochs=20, batch=16, lr=3e-3, freeze=1)
    assert [row["phase"] for row in outcome.phases] == ["simclr", "head"] and outcome.frozen == 1
    start = nets.net(made)
    assert torch.equal(place.net.stages[0].body[0].weight, start.stages[0].body[0].weight)
    assert torch.equal(place.net.stages[0].body[1].running_mean, start.stages[0].body[1].running_mean)
    assert views_apart(place.net, rows) < before - 0.1


def test_the_contract(tmp_path):
    made, rows = nets.task(), more(nets.data(tmp_path / "photos"), tmp_path / "more")
    opts = simclr.Options(epochs=2, batch=8, hidden=8)
    testing.check_method(simclr.phases, opts, lambda: nets.net(made), made, rows, tmp_path)


def test_a_run_stopped_at_any_checkpoint_ends_bit_identical(tmp_path, monkeypatch):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    stops.check(monkeypatch, tmp_path, lambda folder: run(folder, "simclr", rows, made, epochs=2)[1].net)


def test_texts_differ_by_dropout(tmp_path):
    made, rows = words.task(), words.data(unlabelled=10)
    first, head = collect("simclr", words.net(made), made, rows, augment=False)
    assert len(first.streams["train"].table) == len(rows.train) + 10 and first.streams["train"].views == 2
    assert {group.lr for group in first.groups} == {3e-5} and first.epochs == 10 and head.solve is not None
    opts = simclr.Options(epochs=4, batch=8, lr=3e-3)
    net = words.net(made)
    start = net.stages[1].inner.weight.clone()
    outcome = words.run(lambda *given: simclr.phases(*given, opts), tmp_path / "run", net, made, rows)
    assert outcome.phases[0]["phase"] == "simclr" and not torch.equal(net.stages[1].inner.weight, start)
    testing.check_method(simclr.phases, opts, lambda: words.net(made), made, rows, tmp_path)


def test_what_has_but_one_view_is_refused(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="augment"):
        collect("simclr", nets.net(made), made, rows, augment=False)
    with pytest.raises(OptionError, match="--freeze"):
        collect("simclr", nets.net(made), made, rows, freeze="all")
    texts, body = words.task(), words.body()
    for stage in body.stages[1:]:
        stage.dropout = nn.Identity()
    with pytest.raises(OptionError, match="dropout"):
        collect("simclr", words.net(texts, body), texts, words.data())
    with pytest.raises(OptionError, match="each token"):
        collect("simclr", words.net(texts), replace(texts, schema=replace(texts.schema, target="tags")), words.data())
    for values in ({"temperature": 0.0}, {"grey": 2.0}, {"projection": 0}, {"hidden": 0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            simclr.Options(**values)
