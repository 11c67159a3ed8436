"""A discriminator of features and classes, on a toy target and by the contract."""

import pytest
import torch
from tests import nets
from tests.methods import domains
from tests.methods.phases import collect

from graft.losses import adversarial
from graft.methods import cdan


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "cdan", lr=1e-3, epochs=80)
    assert before < 0.8 and after > before + 0.1
    assert outcome.scores["accuracy"] > 0.9, "the source is not lost"


@pytest.mark.parametrize("entropy", [True, False])
def test_the_loss_is_that_of_the_products_weighted_by_certainty(entropy, tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    joined = domains.net(made)
    *_, phase = collect("cdan", joined, made, rows, entropy=entropy, weight=2.0)
    batches = {name: next(iter(domains.streams(joined, made).plain(stream.table))) for name, stream in phase.streams.items()}
    phase.extras["clock"].step.fill_(1)
    sides, products = {}, []
    for name, batch in batches.items():
        hidden = joined.head.body(joined.advance(batch.inputs, 0, joined.pooled)["x"])
        sides[name] = joined.head.final(hidden)
        products.append(phase.extras["discriminator"](adversarial.multilinear(hidden, sides[name].softmax(1))))
    weights = [adversarial.certainty(sides[name]) for name in ("train", "target")] if entropy else []
    expected = made.loss(sides["train"], batches["train"].targets) + 2 * adversarial.domain_loss(*products, *weights)
    assert phase.objective(joined, batches).item() == pytest.approx(expected.item(), rel=1e-5)


def test_many_classes_are_projected_at_random_and_the_draw_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cdan, "WIDEST", 20)
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    *_, phase = collect("cdan", domains.net(made), made, rows)
    names = {name for name, _ in phase.extras.named_buffers()}
    assert {"pairing.of_features", "pairing.of_classes"} <= names
    assert phase.extras["discriminator"][0].in_features == cdan.PROJECTED
    learning = {name for group in phase.groups for name in group.parameters}
    assert not any("pairing" in name for name in learning)


@pytest.mark.parametrize(("freeze", "widest"), [("all", 4096), (1, 100)])
def test_contract(freeze, widest, tmp_path, monkeypatch):
    monkeypatch.setattr(cdan, "WIDEST", widest)
    made = nets.task()
    domains.contract(tmp_path, "cdan", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, freeze=freeze)


def test_the_certainty_of_a_row_says_how_much_it_counts():
    logits = torch.tensor([[5.0, 0.0], [0.1, 0.0]])
    assert adversarial.certainty(logits)[0] > adversarial.certainty(logits)[1]
