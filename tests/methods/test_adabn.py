"""Statistics of the target in place of the source's, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests import nets
from tests.methods import domains, words
from tests.methods.phases import collect

from graft.errors import OptionError
from graft.methods import adabn


def pixels(rows, made, joined):
    with domains.streams(joined, made) as held:
        return next(iter(held.plain(rows, 1000))).inputs


def test_the_target_is_read_better_than_by_the_sources_head(tmp_path):
    before, after, outcome = domains.gained(tmp_path, "adabn", norm=True)
    assert before < 0.85 and after > 0.95
    assert [row["phase"] for row in outcome.phases] == ["source", "statistics"]


def test_mean_and_variance_are_those_of_the_batches_in_the_mean(tmp_path):
    """Batches of all rows: exactly the target's own; smaller ones: near, with the mean exact where all are equally large."""
    made, (rows, _) = domains.task(), domains.data(tmp_path / "photos", 48)
    for batch, exact in ((48, True), (16, False)):
        joined = domains.net(made, True, rows.train)
        domains.run(tmp_path / str(batch), "adabn", joined, made, rows, batch=batch)
        points = joined.stages[0]({"x": pixels(rows.target, made, joined)})["x"].squeeze().double().numpy()
        norm = joined.stages[1].body[0]
        assert np.allclose(norm.running_mean, points.mean(0), atol=1e-4)
        variance = points.var(0, ddof=1)
        assert np.allclose(norm.running_var, variance, rtol=1e-4) == exact and np.allclose(norm.running_var, variance, rtol=0.3)
        assert norm.momentum == 0.1 and int(norm.num_batches_tracked) == 48 // batch


def test_nothing_but_statistics_changes_and_the_head_knows_the_sources(tmp_path):
    made, (rows, _) = domains.task(), domains.data(tmp_path / "photos", 48)
    joined = domains.net(made, True, rows.train)
    body = {name: value.clone() for name, value in joined.stages.state_dict().items()}
    with torch.no_grad():
        features = joined.eval().advance(pixels(rows.train, made, joined), 0, joined.pooled)["x"].numpy()
    expected = made.solve(features, made.encode(rows.train).numpy(), 0).head
    domains.run(tmp_path / "run", "adabn", joined, made, rows)
    moved = {name for name, value in joined.stages.state_dict().items() if not torch.equal(value, body[name])}
    assert moved - {"1.body.0.num_batches_tracked"} == {"1.body.0.running_mean", "1.body.0.running_var"}
    assert torch.allclose(joined.head.final.weight, expected.final.weight, atol=1e-4)


def test_dropout_is_off_while_the_statistics_are_taken(tmp_path):
    joined = nets.net(nets.task())
    joined.train()
    adabn.only_norms_in_training(joined)
    training = {type(module).__name__ for module in joined.modules() if module.training}
    assert training == {"BatchNorm2d"} and sum(module.training for module in joined.modules()) == 3


def test_momenta_come_back_though_the_run_is_broken_off(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    rows, joined = replace(rows, target=rows.test.drop_columns(["label"])), nets.net(nets.task())
    layers = adabn.layers(joined, "adabn")
    layers[1].momentum = 0.3
    generator = adabn.retaken(joined, rows.target, 4)
    phase = next(generator)
    assert [layer.momentum for layer in layers] == [None] * 3 and phase.groups == () and phase.frozen == 0
    generator.close()
    assert [layer.momentum for layer in layers] == [0.1, 0.3, 0.1]
    assert [phase.name for phase in collect("adabn", joined, made, rows)] == ["source", "statistics"]


def test_a_stage_may_learn_on_the_source_first(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    rows = replace(rows, target=rows.test.drop_columns(["label"]))
    head, source, last = collect("adabn", nets.net(made), made, rows, freeze=2)
    assert (head.name, source.name, source.frozen, last.name) == ("head", "source", 2, "statistics")
    assert head.watch is None and source.watch is rows.target and last.watch is rows.target
    with pytest.raises(OptionError, match="--head linear"):
        collect("adabn", nets.net(made), nets.task(head="knn"), rows, freeze=2)
    assert len(collect("adabn", nets.net(made), nets.task(head="knn"), rows)) == 2, "a head that cannot learn is solved all the same"


def test_bodies_without_batch_norm_and_no_target_are_refused(tmp_path):
    made, rows = words.task(), words.data()
    with pytest.raises(OptionError, match=r"no BatchNorm.*--method coral"):
        collect("adabn", words.net(made), made, replace(rows, target=words.table(20, 7, label=False)))
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="--target FOLDER"):
        collect("adabn", nets.net(made), made, rows)


@pytest.mark.parametrize("freeze", ["all", 2])
def test_contract(freeze, tmp_path):
    made = nets.task()
    domains.contract(tmp_path, "adabn", lambda: nets.net(made), made, nets.data(tmp_path / "photos"), epochs=2, batch=4, freeze=freeze)
