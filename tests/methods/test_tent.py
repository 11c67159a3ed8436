"""Scales and shifts that make predictions certain, with the target's statistics."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import domains, words
from tests.methods.phases import collect

from graft.errors import OptionError
from graft.losses import confusion
from graft.methods import tent


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "tent", norm=True)
    assert before < 0.85 and after > 0.95
    assert [row["phase"] for row in outcome.phases] == ["source", "statistics", "tent", "statistics again"]
    said = [confusion.entropy(outcome.watched[name]).item() for name in ("statistics", "statistics again")]
    assert said[1] < said[0], "what it learnt was to be certain"


def test_only_scales_shifts_and_statistics_move(tmp_path):
    made, (rows, _) = domains.task(), domains.data(tmp_path / "photos", 48)
    joined = domains.net(made, True, rows.train)
    body = {name: value.clone() for name, value in joined.stages.state_dict().items()}
    outcome = domains.run(tmp_path / "run", "tent", joined, made, rows, tent_lr=0.01)
    moved = {name for name, value in joined.stages.state_dict().items() if not torch.equal(value, body[name])}
    assert {"1.body.0.weight", "1.body.0.bias"} < moved and not any(name.startswith("1.body.1.") for name in moved)
    assert outcome.phases[-1]["phase"] == "statistics again"


def test_the_loss_is_the_entropy_under_the_batchs_own_statistics(tmp_path):
    made, (rows, _) = domains.task(), domains.data(tmp_path / "photos", 24)
    joined = domains.net(made, True, rows.train)
    with torch.no_grad():
        joined.head.final.weight.normal_(0, 1)
    *_, phase, _ = collect("tent", joined, made, rows)
    batch = next(iter(domains.streams(joined, made).plain(rows.target)))
    points = joined.stages[0]({"x": batch.inputs})["x"]
    normed = (points - points.mean(0)) / (points.var(0, correction=0) + 1e-5).sqrt()
    expected = confusion.entropy(joined.head(joined.stages[1].body[1](normed).flatten(1)))
    assert phase.objective(joined, {"train": batch}).item() == pytest.approx(expected.item(), rel=1e-4)
    assert {name for group in phase.groups for name in group.parameters} == {"stages.1.body.0.weight", "stages.1.body.0.bias"}
    assert phase.frozen == 1, "the stage before the first BatchNorm is constant"


def test_without_rows_of_the_source_the_head_stays_as_it_is(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    alone = replace(rows, train=rows.train.slice(0, 0), target=rows.test.drop_columns(["label"]))
    found = collect("tent", nets.net(made), made, alone)
    assert [phase.name for phase in found] == ["statistics", "tent", "statistics again"]
    assert all(phase.streams["train"].table is alone.target for phase in found)
    assert [phase.name for phase in collect("tent", nets.net(made), made, alone, tent_epochs=0)] == ["statistics"]


def test_what_it_is_not_made_for_is_refused(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="--target FOLDER"):
        collect("tent", nets.net(made), made, rows)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    with pytest.raises(OptionError, match="adabn"):
        collect("tent", nets.net(made), replace(made, schema=replace(made.schema, target="number")), rows)
    texts = words.task()
    with pytest.raises(OptionError, match="no BatchNorm"):
        collect("tent", words.net(texts), texts, replace(words.data(), target=words.table(20, 7, label=False)))
    for values in ({"tent_lr": 0.0}, {"tent_epochs": -1}):
        with pytest.raises(OptionError, match=next(iter(values))):
            tent.Options(**values)


def test_contract(tmp_path):
    made = nets.task()
    domains.contract(tmp_path, "tent", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, tent_epochs=2)
