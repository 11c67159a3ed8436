"""Features that hide their domain, on a toy target and by the contract."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import domains
from tests.methods.phases import collect

from graft.losses import adversarial
from graft.methods import bridge, dann


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "dann", lr=1e-3, epochs=60)
    assert before < 0.8 and after > before + 0.1
    assert outcome.scores["accuracy"] > 0.9, "the source is not lost"


def test_the_loss_reaches_the_features_reversed_and_the_discriminator_as_it_is(tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    *_, phase = collect("dann", domains.net(made), made, rows, hidden=8)
    torch.manual_seed(0)
    source, target = (torch.randn(6, 12, requires_grad=True) for _ in range(2))
    tell = adversarial.discriminator(12, 8)
    extras = torch.nn.ModuleDict({"discriminator": tell})
    given = dann.align(bridge.Side(source, None), bridge.Side(target, None), 0.25, extras)
    plain = adversarial.domain_loss(tell(source), tell(target))
    assert given.item() == pytest.approx(plain.item())
    weight = tell[0].weight
    (turned, own), (straight, same) = torch.autograd.grad(given, (source, weight)), torch.autograd.grad(plain, (source, weight))
    assert torch.allclose(turned, -0.25 * straight) and torch.allclose(own, same)
    assert {name for group in phase.groups for name in group.parameters if name.startswith("extras.discriminator.")}
    assert phase.extras["discriminator"][0].out_features == 8


@pytest.mark.parametrize("freeze", ["all", 1])
def test_contract(freeze, tmp_path):
    made = nets.task()
    domains.contract(tmp_path, "dann", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, freeze=freeze)


def test_contract_with_the_source_in_the_targets_units(tmp_path):
    made = nets.task()
    domains.contract(
        tmp_path, "dann", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, standardise=True
    )  # fmt: skip


def test_standardised_features_help_where_one_has_moved(tmp_path):
    before, after, _ = domains.gained(tmp_path, "dann", lr=1e-3, epochs=60, standardise=True)
    assert before < 0.8 and after > before + 0.1


def test_half_precision_is_one_way_to_learn(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    outcome = domains.run(tmp_path / "run", "dann", nets.net(made), made, rows, "fast", epochs=1, batch=4, freeze=1)
    assert torch.isfinite(outcome.outputs).all()
