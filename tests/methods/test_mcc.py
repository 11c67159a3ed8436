"""Predictions that are not torn between classes, on a toy target and by the contract."""

import pytest
from tests import nets
from tests.methods import domains
from tests.methods.phases import collect

from graft.errors import OptionError
from graft.losses import confusion


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "mcc", moved=1.8, epochs=60)
    assert before < 0.9 and after > before + 0.05
    assert outcome.scores["accuracy"] > 0.9, "the source is not lost"


def test_the_loss_is_the_sources_and_the_targets_confusion(tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 24)[0]
    joined = domains.net(made)
    *_, phase = collect("mcc", joined, made, rows, temperature=1.5, weight=0.5)
    batches = {name: next(iter(domains.streams(joined, made).plain(stream.table))) for name, stream in phase.streams.items()}
    said = {name: joined(batch.inputs) for name, batch in batches.items()}
    expected = made.loss(said["train"], batches["train"].targets) + 0.5 * confusion.minimum_class_confusion(said["target"], 1.5)
    assert phase.objective(joined, batches).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("freeze", ["all", 1])
def test_contract(freeze, tmp_path):
    made = nets.task()
    domains.contract(tmp_path, "mcc", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, freeze=freeze)


def test_a_temperature_of_nothing_is_refused(tmp_path):
    with pytest.raises(OptionError, match="temperature"):
        collect("mcc", None, None, None, temperature=0.0)
