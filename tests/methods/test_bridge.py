"""The head the adaptations start from says what the solved head said; who learns, on what, and who chooses."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests import nets
from tests.methods import domains, words
from tests.methods.phases import collect

from graft import catalog
from graft.data import order
from graft.errors import OptionError
from graft.heads import rebuild
from graft.methods import bridge, recipe
from graft.metrics import label_free

METHODS = ("dann", "cdan", "mmd", "mcc", "fixmatch")


def features(rows=60, width=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.normal(size=(rows, width)) * [1, 10, 0.1, 1, 0][:width] + 3.0
    x[:, 0] += y
    return x.astype(np.float32), y


def three(**values):
    schema = replace(domains.SCHEMA, classes=("a", "b", "c"))
    return catalog.resolve("task", "classification")(schema, catalog.options("task", "classification")(**values))


def test_the_bottleneck_says_what_the_solved_head_says(tmp_path):
    made, (x, y) = three(), features()
    found = made.solve(x, y, 0)
    wide = bridge.bottleneck(made.head(5), made.solve, 16)(x, y, 0)
    assert wide.head.config["hidden"] == [16] and np.array_equal(wide.outputs, found.outputs) and wide.chosen == found.chosen
    other = torch.from_numpy(features(seed=1)[0]) * 2
    assert torch.allclose(wide.head(other), found.head(other), atol=1e-3)
    again = rebuild(wide.head.config)
    again.load_state_dict(wide.head.state_dict())
    assert torch.equal(again(other), wide.head(other))


def test_its_other_units_are_of_one_size_whatever_the_features_units_and_say_nothing_yet():
    made, (x, y) = three(), features(rows=600)
    head = bridge.bottleneck(made.head(5), made.solve, 200)(x, y, 0).head
    values = head.body[0](torch.from_numpy(x)).detach()
    spread = values[:, 6:].std(0)
    assert spread.min() > 0.1 and spread.max() < 10 and values[:, :6].std(0).max() < 10
    assert torch.equal(head.final.weight[:, 6:], torch.zeros(3, 194)) and head.final.weight[:, :6].abs().sum() > 0
    assert torch.equal(head.body[0].weight, bridge.bottleneck(made.head(5), made.solve, 200)(x, y, 0).head.body[0].weight)
    assert not torch.equal(head.body[0].weight, bridge.bottleneck(made.head(5), made.solve, 200)(x, y, 1).head.body[0].weight)


def test_without_a_solver_the_bottleneck_is_trained_on_the_source_first(tmp_path):
    made, rows = domains.task(head="linear"), domains.data(tmp_path, 24)[0]
    first, source, last = collect("mmd", domains.net(made), made, rows, head_epochs=7)
    assert first.name == "bottleneck" and (source.name, source.epochs, source.frozen) == ("source", 7, 2) and last.name == "mmd"
    deep = domains.task(hidden=(9, 4))
    joined = domains.net(deep)
    head = joined.head
    source, last = collect("mmd", joined, deep, rows)
    assert source.name == "source" and joined.head is head, "the user's own hidden layers stay"


@pytest.mark.parametrize("name", METHODS)
def test_everything_is_frozen_by_default_and_a_stage_that_learns_brings_augmentation(name, tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))

    def last(**values):
        return collect(name, nets.net(made), made, rows, **values)[-1]

    still, moving = last(batch=4), last(freeze=2, lr=1e-3, batch=4)
    assert still.frozen == 3 and not still.streams["target"].augment and {g.name for g in still.groups} <= {"head", "beside"}
    assert moving.frozen == 2 and all(stream.augment for stream in moving.streams.values())
    assert {g.name: g.lr for g in moving.groups}["top"] == 1e-3 and {g.name: g.lr for g in moving.groups}["head"] == 1e-2
    assert still.keep == "best" and still.watch is rows.target and still.judge is not None
    assert not last(freeze=2, augment=False).streams["train"].augment and last(augment=True).streams["train"].augment
    assert still.streams["train"].table is rows.train and still.streams["target"].table is rows.target


def test_the_rounds_are_about_a_thousand_steps_and_fewer_where_they_cost_something(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    counts = {
        name: collect("mcc", nets.net(made), made, rows, **values)[-1].epochs
        for name, values in (("kept", {}), ("learns", {"freeze": 2}), ("augmented", {"augment": True}), ("said", {"epochs": 7}))
    }
    assert counts == {"kept": bridge.ROUNDS, "learns": 60, "augmented": 60, "said": 7}
    assert collect("mcc", nets.net(made), made, rows, batch=2)[-1].epochs == bridge.ROUNDS
    large = replace(rows, target=pa.concat_tables([rows.target] * 200))
    assert collect("mcc", nets.net(made), made, large)[-1].epochs == round(1000 * 64 / len(large.target))


def test_the_clock_goes_from_nothing_to_all(tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 40)[0]
    *_, phase = collect("dann", domains.net(made), made, rows, epochs=3, batch=16)
    steps = 3 * max(order.steps(stream) for stream in phase.streams.values())
    assert steps == 9 and phase.extras["clock"].done == 0
    phase.after_step(None, phase.extras, 3)
    assert phase.extras["clock"].done == pytest.approx(1 / 3)
    phase.after_step(None, phase.extras, steps)
    assert phase.extras["clock"].done == 1.0


@pytest.mark.parametrize("validator", bridge.VALIDATORS)
def test_the_judge_adds_the_sources_score_to_what_the_target_looks_like(validator):
    outputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * 3
    look = {
        "nuclear": label_free.nuclear_norm(outputs.numpy()),
        "information": label_free.information(outputs.numpy()) / np.log(3),
    }[validator]
    judge = bridge.judge(three(), validator)
    assert judge(outputs, {"accuracy": 0.75}) == pytest.approx(look + 0.75) and 0 <= look <= 1
    assert judge(outputs, {}) == pytest.approx(look)


@pytest.mark.parametrize("name", METHODS)
def test_what_it_is_not_made_for_is_refused(name, tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="--target FOLDER"):
        collect(name, nets.net(made), made, rows)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    for task, words_ in (
        (replace(made, schema=replace(made.schema, target="labels")), "adabn"),
        (nets.task(head="knn"), "--head linear"),
        (replace(made, config={**made.config, "mix": True}), "mix"),
    ):
        with pytest.raises(OptionError, match=words_):
            collect(name, nets.net(made), task, rows)
    for values in ({"bottleneck": 3}, {"validator": "labels"}, {"weight": -1.0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            collect(name, nets.net(made), made, rows, **values)


def test_rows_of_the_same_domain_serve_where_there_is_no_target(tmp_path):
    rows = nets.data(tmp_path)
    more = rows.test.drop_columns(["label"])
    assert recipe.target_of("mcc", replace(rows, unlabelled=more)) is more
    assert recipe.target_of("mcc", replace(rows, unlabelled=rows.val, target=more)) is more


@pytest.mark.parametrize("name", METHODS)
def test_texts_adapt_too(name, tmp_path):
    made, rows = words.task(), words.data()
    rows = replace(rows, target=words.table(20, 7, label=False))
    options = catalog.options("method", name)(epochs=2, batch=8)
    outcome = words.run(lambda *given: catalog.resolve("method", name)(*given, options), tmp_path / "run", words.net(made), made, rows)
    assert [row["phase"] for row in outcome.phases] == ["source", name] and outcome.watched[name].shape == (20, 2)


def test_a_method_whose_weight_is_nothing_is_training_on_the_source(tmp_path):
    made, (rows, truth) = domains.task(), domains.data(tmp_path / "photos", 60)
    joined = domains.net(made)
    outcome = domains.run(tmp_path / "run", "mmd", joined, made, rows, epochs=3, weight=0.0)
    assert outcome.scores["accuracy"] >= 0.9 and domains.accuracy(outcome.watched["mmd"], truth) < 0.8


def test_units_give_the_source_the_moments_of_all_that_was_seen_of_the_target():
    rng = np.random.default_rng(0)
    source, target = rng.normal(3, 2, (6, 10, 4)), rng.normal(-1, 0.5, (6, 10, 4))
    source[..., 3] = 7.0  # what does not vary has no spread to give
    units = bridge.Units(4)
    for k in range(6):
        last = units(*(torch.tensor(x[k], dtype=torch.float32) for x in (source, target))).numpy()
    (mean, spread), (wanted, scale) = ((x.reshape(-1, 4).mean(0), x.reshape(-1, 4).std(0)) for x in (source, target))
    expected = (source[5] - mean) / np.where(spread > 0, spread, 1) * np.where(spread > 0, scale, 0) + wanted
    np.testing.assert_allclose(last, expected, rtol=1e-3, atol=1e-3)
    again = bridge.Units(4)
    again.load_state_dict(units.state_dict())
    assert torch.equal(again(*(torch.ones(5, 4), torch.zeros(5, 4))), units(torch.ones(5, 4), torch.zeros(5, 4)))


def test_a_standardised_start_is_one_phase_more_and_wants_frozen_features(tmp_path):
    made, rows = domains.task(), domains.data(tmp_path, 40)[0]
    first, second, last = collect("dann", domains.net(made), made, rows, standardise=True)
    assert (first.name, second.name, last.name) == ("source", "standardised", "dann") and "units" in last.extras
    assert set(second.streams) == {"train", "target"} and second.watch is rows.target
    outputs = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert last.judge(outputs, {"accuracy": 0.9}) == last.judge(outputs, {"accuracy": 0.1}), "raw rows of the source say nothing of it"
    for values in ({"freeze": "none"}, {"augment": True}):
        with pytest.raises(OptionError, match="standardise"):
            collect("dann", domains.net(made), made, rows, standardise=True, **values)
    with pytest.raises(OptionError, match="standardise"):
        deep = domains.task(hidden=(9, 4))
        collect("dann", domains.net(deep), deep, rows, standardise=True)
