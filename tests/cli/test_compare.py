"""graft compare against a stand-in for graft.api: what is passed on, what is printed, what is told on the way."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from graft.cli import compare as verb
from graft.errors import OptionError

ARMS = ("extract on graft-mini", "lp_ft on graft-mini")


def found() -> dict:
    def arm(name, value):
        return {
            "name": name, "label": name.partition(" ")[0], "backbone": "graft-mini", "value": value,
            "interval": [value - 0.04, value + 0.03], "seconds": 12.0, "peak_memory_mb": 812.0, "trainable": 4098,
        }  # fmt: skip

    less = {"of": ARMS[1], "less": ARMS[0], "value": 0.018, "interval": [-0.01, 0.05], "p": 0.2, "p_holm": 0.2, "family": "reference"}
    return {
        "metric": "accuracy", "arms": [arm(ARMS[0], 0.9), arm(ARMS[1], 0.918)], "reference": ARMS[0], "differences": [less],
        "recommended": {"arm": ARMS[1], "text": "lp_ft selects best."}, "best": {"text": "The best flatters."},
        "cut": ["Seed 4 was left out."], "notices": [], "folder": "studies/one", "report": "studies/one/study.html",
    }  # fmt: skip


@pytest.fixture
def invoke(api):
    app = typer.Typer()
    app.command("compare")(verb.compare)
    app.callback()(lambda: None)

    def compare(data, *, on_event, **asked):
        api.calls.append((data, asked))
        on_event({"t": 1.0, "event": "decision", "what": "augment", "value": "light", "reason": "", "flag": ""})
        on_event({"event": "fitting", "number": 3, "of": 10, "arm": ARMS[0], "seed": 1, "limit": 20.0})
        on_event({"event": "fitted", "arm": ARMS[0], "seed": 1, "metric": "accuracy", "value": 0.9, "seconds": 12.0})
        on_event({"event": "failed", "arm": ARMS[1], "seed": 1, "reason": "The loss is not finite."})
        on_event({"event": "cut", "text": "Seed 4 was left out."})
        return found()

    api.compare = compare
    return lambda *words: CliRunner().invoke(app, ["compare", *words])


def test_the_table_and_what_to_take(invoke):
    result = invoke("photos", "--quiet")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["arm", "body"] and lines[1].startswith("  extract") and lines[2].startswith("* lp_ft")
    assert "reference" in lines[1] and "0.018 [-0.010, 0.050]  0.200" in lines[2] and "812 MB" in lines[2]
    for words in ("lp_ft selects best.", "The best flatters.", "Seed 4 was left out.", "studies/one/study.html"):
        assert words in result.stdout
    assert result.stderr == ""


def test_progress_is_of_the_study_not_of_every_fit(invoke):
    told = invoke("photos").stderr
    assert "fit 3 of 10: extract on graft-mini, seed 1, at most 20 s to learn" in told
    assert "extract on graft-mini, seed 1: accuracy 0.900 in 12 s" in told and "failed: The loss is not finite." in told
    assert "warning   Seed 4 was left out." in told and "augment" not in told


def test_flags_reach_the_call_and_what_is_not_given_is_left_to_it(invoke, api):
    invoke("photos", "--arms", "extract,lp_ft@3", "--backbones", "a,b", "--seeds", "2", "--budget", "10m", "--out", "here", "--weights",
           "w", "--set", "method.epochs=2", "--set", "task.pool=max", "--select-on", "val", "--folds", "0",
           "--image-size", "64")  # fmt: skip
    data, asked = api.calls[-1]
    assert data == "photos" and {name: value for name, value in asked.items() if value is not None} == {
        "arms": "extract,lp_ft@3", "backbones": "a,b", "seeds": 2, "budget": "10m", "out": "here", "weights": "w",
        "sets": ["method.epochs=2", "task.pool=max"], "select_on": "val", "folds": "0", "image_size": "64",
    }  # fmt: skip


def test_json_is_the_study_and_an_error_is_one_sentence(invoke, api):
    import json

    assert json.loads(invoke("photos", "--json", "--quiet").stdout)["recommended"]["arm"] == ARMS[1]

    def fail(*_, **__):
        raise OptionError("There is no method called 'x' (in --arms).")

    sys.modules["graft.api"].compare = fail
    result = invoke("photos", "--json")
    assert result.exit_code == 2 and json.loads(result.stdout) == {"error": "There is no method called 'x' (in --arms)."}
