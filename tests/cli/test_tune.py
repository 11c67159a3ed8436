import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from graft.cli.tune import setting, tune
from graft.errors import OptionError

RESULT = {
    "primary": "accuracy", "higher_is_better": True, "scored_as": "val", "n": {"train": 195, "select": 49, "score": 153}, "seconds": 303.0,
    "folder": "runs/photos-tune-1", "cut": ["the budget ended the search after 3 trials"],
    "scored": {name: {"accuracy": {"value": value, "interval": [0.9, 0.97]}} for name, value in (("defaults", 0.941), ("tuned", 0.954))},
    "verdict": {"kind": "helped", "text": "Tuning gained 0.013.", "advice": "Fit with it."},
    "trials": [
        {"number": 0, "state": "done", "value": 0.9, "key": 0.9, "setting": {"method.lr": 1e-4, "augment.name": "light"}},
        {"number": 1, "state": "pruned", "value": 0.99, "key": 0.99, "setting": {"method.lr": 5e-4, "augment.name": "light"}},
        {"number": 2, "state": "done", "value": 0.95, "key": 0.95, "setting": {"method.lr": 3.14159e-4, "augment.name": "none"}},
    ],
}  # fmt: skip
TRIAL = {"t": 1.0, "event": "trial", "number": 2, "trials": 20, "best": 2, "primary": "accuracy", "reason": "", "seconds": 3.0}


@pytest.fixture
def call(api, monkeypatch):
    """The verb alone in an app, against the stand-in for graft.api; call.asked is what it was asked."""

    def stand_in(spec, *, trials=None, on_event=None):
        call.asked = (spec, trials)
        print("a library that prints on stdout")
        for state, value, reason in (("done", 0.95, ""), ("pruned", 0.5, ""), ("failed", None, "the loss is not finite.")):
            on_event(TRIAL | {"state": state, "value": value, "reason": reason, "setting": {"method.lr": 3e-4}})
        return RESULT

    app = typer.Typer()
    app.command("tune")(tune)
    app.command("other")(lambda: None)
    monkeypatch.setattr(sys.modules["graft.api"], "tune", stand_in, raising=False)

    def call(*words):
        return CliRunner().invoke(app, ["tune", *words])

    return call


def test_what_came_of_it_is_told(call):
    result = call(
        "photos", "--trials", "5", "--budget", "10m", "-m", "lp_ft", "-b", "graft-mini", "--seed", "3", "--set", "method.epochs=2"
    )
    assert result.exit_code == 0, result.output
    spec, trials = call.asked
    assert trials == 5 and spec.budget == 600 and spec.seed == 3 and spec.method.name == "lp_ft" and spec.method.values == {"epochs": 2}
    assert result.stdout.startswith("Tuning gained 0.013. Fit with it.\n")
    assert (
        "with the defaults  accuracy 0.941 [0.900, 0.970]" in result.stdout
        and "measured on val, 153 samples; chosen on 49" in result.stdout
    )
    assert "3 trials in 5 min 03 s, 1 of them stopped early; the budget ended the search after 3 trials" in result.stdout
    lines = result.stdout.splitlines()
    best = [line for line in lines if line.startswith("trial")]
    assert best[0].split()[:3] == ["trial", "3", "0.950"] and "lr 0.00031, augment none" in best[0]
    assert "the defaults" in best[1] and len(best) == 3 and "graft fit --spec runs/photos-tune-1/tuned.toml" in result.stdout


def test_trials_are_lines_of_the_progress(call):
    lines = call("photos").stderr.splitlines()
    assert any("trial 3 of at most 20: accuracy 0.950 selecting, the best so far; lr 0.0003" in line for line in lines)
    assert any("(stopped early)" in line for line in lines) and any(
        "no score" in line and "the loss is not finite" in line for line in lines
    )
    assert "trial" not in call("photos", "--quiet").stderr


def test_json_is_the_result(call):
    assert json.loads(call("photos", "--json", "-q").stdout) == RESULT


def test_mistakes_end_with_two(call, monkeypatch):
    assert call("photos", "--set", "method.lr").exit_code == 2 and call().exit_code == 2

    def refuse(*_, **__):
        raise OptionError("Nothing is left to tune.")

    monkeypatch.setattr(sys.modules["graft.api"], "tune", refuse)
    result = call("photos")
    assert result.exit_code == 2 and "Nothing is left to tune." in result.stderr


def test_settings_are_short():
    said = setting({"method.lr": 0.000314159, "task.layers": "", "augment.name": "none", "method.batch": 16})
    assert said == "lr 0.00031, layers the last, augment none, batch 16"
