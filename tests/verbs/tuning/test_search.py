"""The whole search on drawn photos: from the defaults to tuned.toml, with little time, after a kill, and without Optuna."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.verbs.tuning.conftest import asked_for

import graft.verbs.tuning.search as searching
from graft.errors import OptionError, OutputError, Stopped
from graft.heads import logistic
from graft.spec import Spec, options
from graft.verbs.tuning import space, tune
from graft.verbs.tuning.search import rungs

optuna = pytest.importorskip("optuna")


def told(result: dict) -> list[tuple]:
    return [(row["setting"], row["state"], row["value"], row["key"], row["curve"], row["rungs"]) for row in result["trials"]]


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A search of four settings of frozen features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        heard: list[dict] = []
        result = tune(asked_for(photos, "extract", out=str(tmp_path_factory.mktemp("tune") / "out")), trials=4, on_event=heard.append)
        return result, heard


def test_the_defaults_are_first_and_everything_is_written(whole, photos):
    result, heard = whole
    assert len(result["trials"]) == 4 and result["trials"][0]["setting"] == {"task.layers": "", "task.pool": "auto", "task.head": "auto"}
    out = next(event["folder"] for event in heard if event["event"] == "begun")
    names = {path.name for path in Path(out).iterdir()}
    assert names == {"asked.toml", "journal.jsonl", "trials.jsonl", "tune.json", "tuned.toml", "trials.csv"}
    assert json.loads(Path(out, "tune.json").read_text())["trials"] == result["trials"]
    table = list(csv.DictReader(Path(out, "trials.csv").read_text().splitlines()))
    assert [row["task.head"] for row in table] == [row["setting"]["task.head"] for row in result["trials"]]
    assert result["n"]["train"] + result["n"]["score"] < 36 == result["n"]["select"] + result["n"]["score"]


def test_locked_rows_are_opened_after_the_last_trial_and_once_for_each_arm(whole):
    result, heard = whole
    events = [event["event"] for event in heard if event["event"] in ("trial", "opened")]
    assert events == ["trial"] * 4 + ["opened"] * len(result["scored"])


def test_tuned_toml_is_a_spec_for_a_fit_on_the_same_roles(whole):
    result, _ = whole
    spec = Spec.load(f"{result['folder']}/tuned.toml")
    assert spec.folds == 0 and spec.seed == 0 and spec.out is None and spec.budget is None and spec.precision == "exact"
    assert spec.method.name == "extract" and spec.backbone.values["image_size"] == 32
    for name, value in result["tuned"].items():
        section, _, key = name.partition(".")
        assert str(getattr(options(section, getattr(spec, section)), key)) == str(value)


def test_a_finished_search_is_told_again_and_not_run(whole, monkeypatch):
    result, _ = whole
    monkeypatch.setattr(searching, "explore", None)
    asked = replace(Spec.load(f"{result['folder']}/asked.toml"), out=result["folder"])
    assert tune(asked, trials=9)["trials"] == result["trials"]
    with pytest.raises(OutputError, match="something else"):
        tune(replace(asked, seed=5))


def test_a_search_that_was_stopped_goes_on_as_it_would_have(whole, photos, tmp_path):
    result, _ = whole
    asked = asked_for(photos, "extract", out=str(tmp_path / "out"))

    def stop(event):
        if event["event"] == "trial" and event["number"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="--out"):
        tune(asked, trials=4, on_event=stop)
    assert not (tmp_path / "out" / "tune.json").exists()
    heard: list[dict] = []
    again = tune(asked, trials=4, on_event=heard.append)
    assert [event["number"] for event in heard if event["event"] == "trial"] == [2, 3]
    assert told(again) == told(result) and again["scored"] == result["scored"]


@pytest.fixture
def hard(photos, monkeypatch):
    """A spec whose default rate is far too small, so that there is something to gain: the rate is all that is tuned."""
    knob = space.Knob(1e-8, low=1e-8, high=3e-2, log=True)
    monkeypatch.setattr(searching, "space", lambda parts, asked: {"method.lr": knob})
    sets = ["method.epochs=4", "method.batch=4", "method.warmup=0", "method.smoothing=0", "method.optimizer=adamw"]
    return asked_for(photos, "finetune", *sets, augment="none", freeze="stage3")


@pytest.mark.slow
def test_what_is_gained_is_scored_against_the_defaults(hard, tmp_path):
    result = tune(replace(hard, out=str(tmp_path / "out")), trials=6)
    selection, difference = result["selection"], result["difference"]
    assert selection["better"] and selection["value"] > selection["needed"] > 0
    assert set(result["scored"]) == {"defaults", "tuned"} and result["tuned"]["method.lr"] > 1e-8
    values = [result["scored"][name]["accuracy"]["value"] for name in ("tuned", "defaults")]
    assert difference["value"] == pytest.approx(values[0] - values[1]) and difference["interval"][0] <= difference["value"]
    assert result["verdict"]["kind"] == ("helped" if difference["interval"][0] > 0 else "none")
    spec = Spec.load(tmp_path / "out" / "tuned.toml")
    assert options("method", spec.method).lr == result["tuned"]["method.lr"] and options("method", spec.method).batch == 4


@pytest.mark.slow
def test_poor_settings_are_stopped_early_and_a_kill_in_a_trial_changes_nothing(hard, tmp_path):
    whole = tune(replace(hard, out=str(tmp_path / "whole")), trials=6)
    states = [row["state"] for row in whole["trials"]]
    assert "pruned" in states and states[0] == "done"
    for row in whole["trials"]:
        assert row["epochs"] in ((4,) if row["state"] == "done" else rungs(1, 4)), row
    epochs = []

    def stop(event):
        if event["event"] == "step" and event["run"] == "trial 3":
            epochs.append(event["epoch"])
            raise KeyboardInterrupt

    asked = replace(hard, out=str(tmp_path / "out"))
    with pytest.raises(Stopped):
        tune(asked, trials=6, on_event=stop)
    assert epochs and len((tmp_path / "out" / "trials.jsonl").read_text().splitlines()) == 3
    assert told(tune(asked, trials=6)) == told(whole)


def test_rungs_double():
    assert rungs(2, 9) == [2, 4, 8] and rungs(1, 1) == [1] and rungs(0, 40) == [] and rungs(5, 4) == []


def test_a_spent_budget_begins_no_trial(make_search, monkeypatch):
    search = make_search("extract", budget=1000.0)
    rows = iter(range(100))
    monkeypatch.setattr(searching, "run", lambda s, number, setting, trial=None: _row(next(rows), setting))
    monkeypatch.setattr(searching, "rehearse", lambda s: 10.0)
    search.most, clock = 9, iter((500.0, 880.0, 939.0, 941.0))
    # One look at the clock before each trial but the first.
    monkeypatch.setattr(type(search.journal), "seconds", property(lambda self: next(clock)))
    monkeypatch.setattr(searching, "_keep", lambda s, row: s.rows.append(row))
    searching.explore(search)
    # Not begun where less than half of the defaults' 100 seconds is left before the 10 for scoring.
    assert len(search.rows) == 4 and search.cut == ["the budget ended the search after 4 trials"]


def _row(number: int, setting: dict) -> dict:
    return {
        "number": number, "state": "done", "setting": setting, "value": 0.5, "key": 0.5 - number / 100, "reason": "", "epochs": 0,
        "seconds": 100.0, "limit": None, "limited": False, "first_rung": 0, "rungs": {}, "reserve": 0.0, "curve": {},
    }  # fmt: skip


def test_when_nothing_is_new_the_search_ends(make_search, monkeypatch):
    search = make_search("extract")
    search.knobs, search.most = {"task.head": space.Knob("auto", ("auto", "lda"))}, 200
    monkeypatch.setattr(searching, "run", lambda s, number, setting, trial=None: _row(number, setting))
    monkeypatch.setattr(searching, "rehearse", lambda s: 0.0)
    searching.explore(search)
    heads = {row["setting"]["task.head"] for row in search.rows if row["state"] == "done"}
    assert heads == {"auto", "lda"} and len(search.rows) < 60 and "nothing new" in search.cut[0]


def test_without_optuna_the_command_that_mends_it_is_said(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionError, match=r"pip install 'graft\[tune\]'"):
        tune(asked_for(photos, "extract"))


def test_nothing_left_to_tune_is_said_before_anything_is_written(photos, tmp_path):
    sets = ["task.layers=neck", "task.head=lda", "task.pool=avg"]
    with pytest.raises(OptionError, match="Nothing is left"):
        tune(asked_for(photos, "extract", *sets, out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_features_are_computed_once_for_all_trials(photos, tmp_path, monkeypatch):
    from graft.data.streams import Streams

    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    asked, pixels, solved = [], Streams.inputs, []
    monkeypatch.setattr(Streams, "inputs", lambda self, table, wanted, batch: asked.extend(wanted) or pixels(self, table, wanted, batch))
    solve = logistic.solve
    monkeypatch.setattr(logistic, "solve", lambda *a, **k: solved.append(1) or solve(*a, **k))
    result = tune(asked_for(photos, "extract", "task.layers=neck", "task.pool=avg", out=str(tmp_path / "out")), trials=4)
    assert len({row["setting"]["task.head"] for row in result["trials"]}) > 1 and solved == [1]
    assert len(asked) == 36
