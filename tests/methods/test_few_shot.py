"""Contrast first, then a head; how many pairs are seen, and what the selecting rows are for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests import nets
from tests.engine.test_execute import run
from tests.methods import words
from tests.methods.phases import collect

from graft import catalog
from graft.core import Batch, Solution
from graft.engine import checkpoint, execute
from graft.errors import OptionError
from graft.losses import contrastive
from graft.methods import few_shot


@pytest.mark.parametrize(
    ("rows", "batch", "classes", "expected"),
    [
        (64, 16, 2, 40), (80, 16, 2, 32), (5, 16, 2, 150), (8000, 16, 40, 4), (80, 31, 2, 20), (128, 16, 2, 20), (128, 16, 4, 20),
        (256, 16, 2, 20), (320, 16, 40, 40), (512, 16, 4, 10), (9000, 16, 2, 1),
    ],
)  # fmt: skip
def test_each_row_meets_600_others_or_half_of_them_within_2000_steps_and_1280_rows_of_a_class(rows, batch, classes, expected):
    assert few_shot.epochs(few_shot.Options(batch=batch), rows, classes) == expected
    assert few_shot.epochs(few_shot.Options(batch=batch, epochs=3), rows, classes) == 3


def test_the_body_learns_without_being_scored_and_the_head_after_it(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    contrast, head = collect("few_shot", nets.net(made), made, rows, freeze=1, batch=4)
    assert (contrast.frozen, contrast.keep, contrast.score) == (1, "last", False) and contrast.streams["train"].balanced
    assert {group.name: group.lr for group in contrast.groups} == {"middle": 2e-5, "top": 2e-5}
    both = len(rows.train) + len(rows.val)
    assert len(contrast.streams["train"].table) == both and head.solve is not None and len(head.streams["train"].table) == both


def test_enough_selecting_rows_and_those_of_a_split_of_their_own_stay_unseen(tmp_path, monkeypatch):
    made, rows = nets.task(), nets.data(tmp_path)
    own = replace(rows, plan=replace(rows.plan, drawn=False))
    for phase in collect("few_shot", nets.net(made), made, own):
        assert phase.streams["train"].table is rows.train
    monkeypatch.setattr(few_shot, "SPARED", len(rows.val))
    contrast, head = collect("few_shot", nets.net(made), made, rows)
    assert contrast.streams["train"].table is rows.train and len(head.streams["train"].table) == len(rows.train) + len(rows.val)


@pytest.mark.parametrize(
    ("loss", "function"), [("pairs", lambda x, y: contrastive.pairs(x, y, 0.3)), ("supervised", contrastive.supervised)]
)
def test_the_objective_is_the_loss_of_the_pooled_features(loss, function):
    net = nets.net(nets.task()).eval()
    batch = Batch(torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 0, 1, 1, 0]), torch.arange(6))
    features = net.stages[2](net.stages[1](net.stages[0]({"x": batch.inputs})))["x"].mean((2, 3))
    objective = few_shot.objective(few_shot.Options(loss=loss))
    assert objective(net, {"train": batch}).item() == pytest.approx(function(features, batch.targets).item(), rel=1e-5)
    soft = replace(batch, targets=torch.nn.functional.one_hot(batch.targets).float() * 0.6 + 0.2)
    assert objective(net, {"train": soft}).item() == pytest.approx(function(features, batch.targets).item(), rel=1e-5)


def test_held_out_outputs_of_rows_that_the_body_knows_are_left_out():
    outputs = np.arange(10.0).reshape(5, 2)
    solved = lambda rows: few_shot._honest(lambda *_: Solution(None, outputs[: len(rows)] if rows is not None else outputs, {}, rows), 3)  # noqa: E731
    given = np.zeros((5, 1)), np.zeros(5), 0
    all_rows, some, none = solved(None)(*given), solved(np.array([0, 1, 4]))(*given), solved(np.array([0, 2]))(*given)
    assert all_rows.rows.tolist() == [3, 4] and np.array_equal(all_rows.outputs, outputs[3:])
    assert some.rows.tolist() == [4] and np.array_equal(some.outputs, outputs[2:3])
    assert none.outputs is None


def test_the_strength_of_a_head_on_directions_is_not_chosen_by_rows_that_the_body_knows(tmp_path):
    made, rows = nets.task(head="logistic_unit"), nets.data(tmp_path)
    *_, head = collect("few_shot", nets.net(made), made, rows)
    x, y = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), np.arange(20) % 2
    assert head.solve(x, y, 0).chosen["C"] == few_shot.UNIT_C
    *_, plain = collect("few_shot", nets.net(made), nets.task(head="logistic"), rows)
    assert plain.solve(x, y, 0).chosen["criterion"] == "held-out log-loss"


def test_other_targets_and_values_are_refused(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    many = replace(made, schema=replace(made.schema, target="labels"))
    with pytest.raises(OptionError, match="lp_ft"):
        collect("few_shot", nets.net(made), many, rows)
    for values in ({"loss": "triplet"}, {"temperature": 0.0}, {"pairs": 0}, {"batch": 1}, {"margin": 1.0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            few_shot.Options(**values)


def test_features_of_one_class_come_together(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    start = nets.net(made).state_dict()
    outcome, place = run(tmp_path / "run", "few_shot", rows, made, epochs=6, lr=3e-3)
    assert [row["phase"] for row in outcome.phases] == ["contrast", "head"] and outcome.frozen == 0
    assert outcome.scores["accuracy"] >= 0.75
    before = nets.net(made)
    before.load_state_dict(start)
    labels, loss = made.encode(rows.test), []
    for net in (before.eval(), place.net.eval()):
        batch = next(iter(place.streams.plain(rows.test)))
        with torch.no_grad():
            loss.append(float(contrastive.pairs(net.advance(batch.inputs, 0, net.pooled)["x"], labels)))
    assert loss[1] < 0.9 * loss[0]


@pytest.mark.parametrize("head", ["linear", "knn", "logistic_unit"])
def test_any_head_comes_after(head, tmp_path):
    made, rows = nets.task(head=head), nets.data(tmp_path / "photos")
    outcome, _ = run(tmp_path / "run", "few_shot", rows, made, epochs=2, head_epochs=3)
    assert outcome.phases[-1]["phase"] == "head"


def test_a_run_stopped_at_its_second_checkpoint_ends_bit_identical(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "SAVE_EVERY", 0.0)
    rows, real, calls = nets.data(tmp_path / "photos"), checkpoint.save, iter(range(99))
    _, whole = run(tmp_path / "whole", "few_shot", rows, nets.task())

    def save(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", "few_shot", rows, nets.task())
    monkeypatch.setattr(checkpoint, "save", real)
    _, again = run(tmp_path / "killed", "few_shot", rows, nets.task())
    assert all(torch.equal(a, b) for a, b in zip(whole.net.state_dict().values(), again.net.state_dict().values(), strict=True))


def test_texts_are_told_apart(tmp_path):
    made, rows = words.task(), words.data()
    options = catalog.options("method", "few_shot")(batch=8, epochs=10, lr=1e-2)
    outcome = words.run(lambda *given: few_shot.phases(*given, options), tmp_path / "run", words.net(made), made, rows)
    assert outcome.scores["accuracy"] >= 0.75
