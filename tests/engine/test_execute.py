"""The engine drives every method; frozen is frozen; a kill after any checkpoint changes nothing."""

from functools import partial

import pytest
import torch
from tests import nets

from graft.core import Group, Phase, Stream
from graft.engine import checkpoint, execute, forward
from graft.engine.journal import Journal, read

FAST = {"epochs": 3, "batch": 4}
METHODS = ("scratch", "extract", "finetune", "gradual", "lp_ft", "l2_sp")


def setting(folder, made, rows, joined=None, journal=None, preset="light", views=0):
    folder.mkdir(parents=True, exist_ok=True)
    if journal is None:
        journal = Journal()
        journal.open(folder)
    joined = joined if joined is not None else nets.net(made)
    return execute.Setting("final", folder, joined, made, rows, nets.passes(made, preset, precision="exact", views=views), journal, 0)


def run(folder, method, rows, made, **values):
    place = setting(folder, made, rows)
    options = {**FAST, **values}
    if method == "gradual":
        options["epochs"] = 3
    return execute.execute(nets.phases(method, place.net, made, rows, **options), place), place


@pytest.fixture
def rows(tmp_path):
    return nets.data(tmp_path / "photos")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_to_an_outcome_and_learns(method, rows, tmp_path):
    values = {"epochs": 12, "lr": 3e-3} if method != "extract" else {}
    outcome, _ = run(tmp_path / "run", method, rows, nets.task(), **values)
    assert outcome.scores["accuracy"] >= 0.75
    assert outcome.outputs.shape[1] == 2 and len(outcome.outputs) == len(outcome.targets)
    assert any(row["event"] == "phase" for row in read(tmp_path / "run"))


@pytest.mark.parametrize("method", METHODS)
def test_a_run_stopped_at_each_checkpoint_ends_bit_identical(method, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "SAVE_EVERY", 0.0)
    whole, place = run(tmp_path / "whole", method, rows, nets.task())
    expected = {k: v.clone() for k, v in place.net.state_dict().items()}
    saves = sum(row["event"] in ("saved", "kept") for row in read(tmp_path / "whole"))
    assert saves >= 1
    real = checkpoint.save
    for stop_after in range(saves):
        done = 0

        def save(*args, limit=stop_after, **kw):
            nonlocal done
            if done == limit:
                raise KeyboardInterrupt  # in the middle of writing: the former checkpoint stands
            done += 1
            real(*args, **kw)

        folder = tmp_path / f"killed{stop_after}"
        monkeypatch.setattr(checkpoint, "save", save)
        with pytest.raises(KeyboardInterrupt):
            run(folder, method, rows, nets.task())
        monkeypatch.setattr(checkpoint, "save", real)
        torch.manual_seed(12345 + stop_after)  # the random state at the second start must not matter
        again, place = run(folder, method, rows, nets.task())
        assert all(torch.equal(expected[k], v) for k, v in place.net.state_dict().items()), f"after {stop_after} checkpoints"
        assert again.scores == whole.scores
        assert torch.equal(again.outputs, whole.outputs)


def test_frozen_stages_and_their_statistics_do_not_move(rows, tmp_path):
    made = nets.task()
    place = setting(tmp_path / "run", made, rows)
    before = {k: v.clone() for k, v in place.net.state_dict().items()}
    execute.execute(nets.phases("finetune", place.net, made, rows, freeze="middle", lr=0.01, **FAST), place)
    after = place.net.state_dict()
    for name, value in before.items():
        if name.startswith(("stages.0.", "stages.1.")):
            assert torch.equal(value, after[name]), name
    assert not torch.equal(before["stages.2.body.0.weight"], after["stages.2.body.0.weight"])
    assert not torch.equal(before["stages.2.body.1.running_mean"], after["stages.2.body.1.running_mean"])


def test_a_phase_that_moves_what_it_froze_is_a_defect_that_is_noticed(rows, tmp_path):
    from dataclasses import replace

    made = nets.task()
    place = setting(tmp_path / "run", made, rows)

    def vandal():
        inner = nets.phases("finetune", place.net, made, rows, freeze="middle", **FAST)()
        yield replace(next(inner), after_step=lambda net, extras, step: net.stages[0].body[0].weight.data.add_(1))

    with pytest.raises(AssertionError, match="froze"):
        execute.execute(vandal, place)


def test_fine_tuning_that_harms_is_not_kept(rows, tmp_path):
    made = nets.task()
    place = setting(tmp_path / "run", made, rows)
    outcome = execute.execute(nets.phases("lp_ft", place.net, made, rows, lr=5.0, decay=1.0, clip=0.0, optimizer="sgd", **FAST), place)
    probe, tuned, *again = outcome.phases
    assert tuned["select"]["accuracy"] >= probe["select"]["accuracy"]
    # Where the start was kept, the head is solved once more, on the selecting rows too.
    assert [row["phase"] for row in again] == (["head, all rows"] if tuned["epoch"] == 0 else [])
    assert tuned["epoch"] == 0, "a rate of 5 should have harmed; give the test a worse one"


def test_selecting_rows_are_run_once_an_epoch_and_a_drawn_head_is_no_candidate(rows, tmp_path, monkeypatch):
    counted, real = [], forward.outputs
    monkeypatch.setattr(execute.forward, "outputs", lambda *given, **more: counted.append(1) or real(*given, **more))
    outcome, place = run(tmp_path / "run", "finetune", rows, nets.task(), lr=3e-3)
    assert len(counted) == 3 and outcome.phases[0]["epoch"] in (1, 2, 3)
    with nets.passes(nets.task(), "light", precision="exact").streams as streams:
        assert torch.equal(outcome.outputs, real(place.net, streams.plain(rows.val), place.machine))


def test_extras_are_checkpointed_and_learn(rows, tmp_path):
    from graft.core import Group, Phase, Stream
    from graft.methods import recipe

    made = nets.task()

    def phases(place):
        extra = torch.nn.ModuleDict({"scale": torch.nn.Linear(1, 1)})
        supervised = recipe.supervised(made)

        def objective(net, batches):
            return supervised(net, batches) + extra["scale"](torch.ones(1, 1)).square().sum()

        groups = (Group("extra", ("extras.scale.weight", "extras.scale.bias"), 0.1),)
        names = [n for n, _ in place.net.head.named_parameters()]
        groups = (*groups, Group("head", tuple(f"head.{n}" for n in names), 0.01))
        yield Phase("both", {"train": Stream(rows.train, 4)}, 3, groups, objective, frozen=3, extras=extra)
        phases.value = float(extra["scale"](torch.ones(1, 1)).detach())

    place = setting(tmp_path / "run", made, rows)
    execute.execute(lambda: phases(place), place)
    first = phases.value
    again = setting(tmp_path / "run", made, rows)
    execute.execute(lambda: phases(again), again)
    assert phases.value == first


def unlabelled(rows):
    return rows.test.drop_columns(["label"])


def test_a_solver_gets_the_features_of_every_stream_and_the_watched_outputs_survive_a_replay(rows, tmp_path):
    made, seen = nets.task(), []
    watched = unlabelled(rows)

    def solve(x, y, seed, target):
        seen.append((x.shape, y.shape, target.shape))
        return made.solve(x, y, seed)

    def method(place):
        sent = yield Phase("head", {"train": Stream(rows.train), "target": Stream(watched)}, solve=solve, frozen=3, watch=watched)
        seen.append(sent.watched)
        seen.append(sent.predict(watched))

    for _ in range(2):
        place = setting(tmp_path / "run", made, rows)
        outcome = execute.execute(partial(method, place), place)
    n = len(rows.train)
    assert seen[0] == ((n, 16), (n,), (len(watched), 16))
    first, predicted, again = seen[1], seen[2], seen[3]
    assert torch.equal(first, again) and torch.equal(outcome.watched["head"], first)
    assert torch.allclose(first, predicted, atol=1e-5)
    assert len(seen) == 5, "the second start read the snapshot and solved nothing"


def test_a_judge_chooses_the_epoch_in_place_of_the_selecting_rows(rows, tmp_path):
    made, watched, told = nets.task(), unlabelled(rows), []

    def judge(outputs, scores):
        assert outputs.shape == (len(watched), 2) and "accuracy" in scores
        told.append(len(told))
        return -abs(len(told) - 3)  # the third time it is asked: after the second epoch

    place = setting(tmp_path / "run", made, rows)
    names = tuple(f"head.{name}" for name, _ in place.net.head.named_parameters())
    loss = lambda net, batches: made.loss(net(batches["train"].inputs, batches["train"].start), batches["train"].targets)  # noqa: E731
    phase = Phase("all", {"train": Stream(rows.train, 4)}, 4, (Group("head", names, 0.01),), loss, frozen=3, watch=watched, judge=judge)
    outcome = execute.execute(lambda: (one for one in [phase]), place)
    assert outcome.phases[0]["epoch"] == 2 and len(told) == 5
    assert [row["judged"] for row in read(tmp_path / "run") if row["event"] == "epoch"] == [-1.0, 0.0, -1.0, -2.0]


def test_without_groups_only_running_statistics_move(rows, tmp_path):
    made = nets.task()
    place = setting(tmp_path / "run", made, rows)
    before = {name: value.clone() for name, value in place.net.state_dict().items()}
    nothing = lambda net, batches: net(batches["train"].inputs, batches["train"].start).sum() * 0  # noqa: E731
    streams = {"train": Stream(unlabelled(rows), 4)}
    phase = Phase("statistics", streams, 1, objective=nothing, frozen=1, keep="last", score=False)
    execute.execute(lambda: (one for one in [phase]), place)
    moved = {name for name, value in place.net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all("running_" in name or "num_batches" in name for name in moved)
    assert not any(name.startswith("stages.0.") for name in moved)


def test_earlier_heads_learn_only_where_a_phase_names_them(rows, tmp_path):
    made = nets.task()
    place = setting(tmp_path / "run", made, rows)
    place.net.earlier["first"] = made.head(16)
    before = place.net.earlier["first"].final.weight.clone()
    execute.execute(nets.phases("finetune", place.net, made, rows, **FAST), place)
    assert torch.equal(place.net.earlier["first"].final.weight, before) and "earlier.first.final.weight" in place.net.state_dict()
