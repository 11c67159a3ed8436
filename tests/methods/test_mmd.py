"""Features drawn together under kernels, on a toy target and by the contract."""

import pytest
from tests import nets
from tests.methods import domains
from tests.methods.phases import collect

from graft.losses import discrepancy
from graft.losses.adversarial import ramp


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "mmd", epochs=50)
    assert before < 0.8 and after > before + 0.1
    assert outcome.scores["accuracy"] > 0.9, "the source is not lost"


@pytest.mark.parametrize("outputs", [True, False])
def test_the_loss_is_the_sources_and_the_discrepancy_of_features_and_outputs(outputs, tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    joined = domains.net(made)
    *_, phase = collect("mmd", joined, made, rows, outputs=outputs, weight=2.0, epochs=4)
    batches = {name: next(iter(domains.streams(joined, made).plain(stream.table))) for name, stream in phase.streams.items()}
    phase.extras["clock"].step.fill_(1)
    hidden = [joined.head.body(joined.advance(batches[name].inputs, 0, joined.pooled)["x"]) for name in ("train", "target")]
    said = [joined.head.final(one) for one in hidden]
    apart = discrepancy.mmd(*hidden, unbiased=True) + (discrepancy.mmd(*said, unbiased=True) if outputs else 0)
    expected = made.loss(said[0], batches["train"].targets) + 2 * ramp(phase.extras["clock"].done) * apart
    assert 0 < phase.extras["clock"].done < 1
    assert phase.objective(joined, batches).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("freeze", ["all", 1])
def test_contract(freeze, tmp_path):
    made = nets.task()
    domains.contract(tmp_path, "mmd", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, freeze=freeze)
