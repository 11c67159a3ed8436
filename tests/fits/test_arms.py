"""The alternatives that run beside a fit."""

import json

import pytest

from graft import api
from graft.assembly import wiring
from graft.engine import choice, forward, passes
from graft.engine.journal import Journal
from graft.fits import arms
from graft.fits.arms import Arm
from graft.spec import Spec

SETS = ["backbone.image_size=32", "method.epochs=2"]


def fit(photos, out, method="lp_ft", **values):
    sets = SETS if method != "extract" else SETS[:1]
    return api.fit(Spec.make(str(photos), backbone="graft-mini", method=method, out=str(out), sets=sets, **values))


def evidence(run):
    return json.loads((run.folder / "evidence.json").read_text())


@pytest.fixture(scope="module")
def tuned(photos, tmp_path_factory):
    return fit(photos, tmp_path_factory.mktemp("arms") / "run", folds=0)


def test_a_fit_runs_probe_scratch_and_majority_beside(tuned):
    found = evidence(tuned)
    assert [row["name"] for row in found["arms"]] == ["chosen", "probe", "scratch", "majority"]
    assert found["level"] == "quick" and found["verdict"]["kind"] in ("helped", "none", "negative", "unknown")
    scratch = next(row for row in found["arms"] if row["name"] == "scratch")
    assert scratch["seconds"] > 0 and scratch["trainable"] > 1000 and scratch["peak_memory_mb"] > 0
    chosen = next(row for row in found["arms"] if row["name"] == "chosen")
    assert chosen["value"] == tuned.scores["test"]["accuracy"]["value"] and 0 <= chosen["learning_value"] <= 1


def test_a_finished_run_keeps_journals_of_its_arms_and_no_checkpoints(tuned):
    assert sorted(path.name for path in (tuned.folder / "arms").rglob("*") if path.is_file()) == ["journal.jsonl"] * 2
    assert not (tuned.folder / "checkpoints").exists()


def test_the_scored_rows_are_opened_once_for_all_arms(tuned):
    opened = [row for row in map(json.loads, (tuned.folder / "journal.jsonl").read_text().splitlines()) if row["event"] == "opened"]
    assert len(opened) == 1 and opened[0]["arms"] == ["chosen", "probe", "scratch"]
    trained = [json.loads(line)["t"] for line in (tuned.folder / "arms" / "scratch" / "journal.jsonl").read_text().splitlines()]
    assert trained


def test_the_time_of_scratch_is_an_announced_choice(tuned):
    assert any(what == "epochs from scratch" and "--evidence" in flag for what, _, _, flag in tuned.decisions)


def test_only_a_small_network_has_a_trial_in_little_time(photos):
    def seconds(size: int) -> float:
        spec = Spec.make(str(photos), backbone="graft-mini", method="scratch", folds=0, sets=[f"backbone.image_size={size}"])
        parts = wiring.assemble(spec, Journal())
        return arms._trial_seconds(parts.net("trial"), 0)

    small, large = seconds(32), seconds(448)
    assert small < arms.TRIED * 0.5 < large < 1000 * small


def test_the_control_says_how_many_epochs_it_had(tuned):
    what = next(row["what"] for row in evidence(tuned)["arms"] if row["name"] == "scratch")
    epochs = next(value for about, value, *_ in tuned.decisions if about == "epochs from scratch")
    assert what.startswith("the same network from random weights, ") and f"{float(epochs):.3g} epoch" in what


def test_extract_is_its_own_probe(photos, tmp_path):
    names = [row["name"] for row in evidence(fit(photos, tmp_path / "run", "extract", folds=0))["arms"]]
    assert names == ["chosen", "scratch", "majority"]


def test_features_that_it_learnt_from_are_not_computed_again_and_a_control_is_scored_as_its_whole_net_would_be(
    photos, tmp_path, monkeypatch
):
    learning, outputs, filled, by_rule, asked, far = Arm.learning, Arm.outputs, passes._Job._fill, choice.by_rule, [], []

    def gap(self, outcome, data, level):
        before = len(asked)
        found = learning(self, outcome, data, level)
        assert self.key != "chosen" or len(asked) == before, "its features are kept"
        return found

    def scored(self, outcome, table):
        found = outputs(self, outcome, table)
        if self.epochs is not None:
            plain = forward.outputs(outcome.net, self.parts.streams.plain(table), self.parts.machine)
            far.append(float((found - plain).abs().max() / plain.abs().max()))
        return found

    def rule(net, stop, rows, *rest):
        # 30 rows learn, 24 of them train: as where a compiled form pays for the first and not for the second.
        monkeypatch.setattr(choice, "WORTH_COMPILING", 1e9 if rows == 24 else 0.0)
        return by_rule(net, stop, rows, *rest)

    monkeypatch.setattr(passes._Job, "_fill", lambda self, *rest: asked.append(rest) or filled(self, *rest))
    monkeypatch.setattr(choice, "by_rule", rule)
    monkeypatch.setattr(Arm, "learning", gap)
    monkeypatch.setattr(Arm, "outputs", scored)
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    fit(photos, tmp_path / "run", "extract", folds=0)
    assert asked and far and max(far) < 1e-4


def test_evidence_can_be_left_out(photos, tmp_path):
    run = fit(photos, tmp_path / "run", "extract", folds=0, evidence="off")
    assert not (run.folder / "evidence.json").exists() and not (run.folder / "arms").exists()


def test_the_model_is_the_same_with_and_without_evidence(photos, tmp_path):
    with_, without = (fit(photos, tmp_path / level, folds=0, evidence=level) for level in ("quick", "off"))
    assert (with_.model / "weights.safetensors").read_bytes() == (without.model / "weights.safetensors").read_bytes()
    assert with_.scores["test"] == without.scores["test"]


def test_in_folds_every_arm_sees_the_same_rows(photos, tmp_path):
    found = evidence(fit(photos, tmp_path / "run", "extract"))
    assert found["folds"] > 1 and found["n"] == sum(1 for _ in photos.rglob("*.png"))


def test_a_body_without_a_random_start_says_so(photos, tmp_path):
    run = api.fit(Spec.make(str(photos), backbone="gabor", method="extract", out=str(tmp_path / "run"), folds=0))
    found = evidence(run)
    assert found["verdict"]["kind"] == "unknown" and any("no random start" in text for text in found["cut"])


def test_a_stopped_fit_goes_on_to_the_same_arms(photos, tmp_path):
    def stop(event):
        if event["event"] == "opened":
            raise KeyboardInterrupt

    spec = Spec.make(str(photos), backbone="graft-mini", method="lp_ft", out=str(tmp_path / "run"), sets=SETS, folds=0)
    with pytest.raises(api.Stopped):
        api.fit(spec, on_event=stop)
    trained = []
    run = api.resume(tmp_path / "run", on_event=lambda e: trained.append(e) if e["event"] == "epoch" else None)
    assert not trained and {row["name"] for row in evidence(run)["arms"]} == {"chosen", "probe", "scratch", "majority"}


@pytest.mark.slow
def test_full_evidence_has_several_seeds(photos, tmp_path):
    found = evidence(fit(photos, tmp_path / "run", folds=0, evidence="full"))
    assert found["seeds"] == 3 and all(len(row["each"]) == 3 for row in found["arms"] if row["name"] in ("chosen", "scratch"))
