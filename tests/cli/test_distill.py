"""graft distill against a stand-in for graft.api: what is passed on, what is printed, what is told on the way."""

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from graft.cli import distill as verb
from graft.errors import OptionError


def found() -> dict:
    def arm(name, value, **more):
        return {"name": name, "backbone": "graft-mini", "value": value, "interval": [value - 0.04, value + 0.03], "parameters": 310_000,
                "megabytes": 1.27, "rate": 841.3, "memory_mb": 95.2, **more}  # fmt: skip

    gaps = [("student", "teacher", -0.02, 0.4), ("student", "alone", 0.06, 0.0001), ("teacher", "alone", 0.08, 0.001)]
    rows = [{"of": of, "less": less, "value": value, "interval": [value - 0.03, value + 0.03], "p": p} for of, less, value, p in gaps]
    return {
        "modality": "image", "metric": "accuracy", "arms": [arm("teacher", 0.95, memory_mb=None), arm("student", 0.93), arm("alone", 0.87)],
        "differences": rows, "verdict": {"text": "It learnt from its teacher."}, "notices": ["Look here."], "folder": "runs/d",
        "report": "runs/d/distill.html",
    }  # fmt: skip


@pytest.fixture
def invoke(api):
    app = typer.Typer()
    app.command("distill")(verb.distill)
    app.callback()(lambda: None)

    def distill(teacher, data, *, on_event, **asked):
        api.calls.append((teacher, data, asked))
        on_event({"t": 1.0, "event": "decision", "what": "augment", "value": "light", "reason": "", "flag": ""})
        on_event({"event": "fitting", "number": 1, "of": 2, "arm": "the student with its teacher"})
        on_event({"t": 1.0, "event": "note", "level": "warning", "text": "The teacher has learnt from 3.", "files": [], "count": 0})
        return found()

    api.distill = distill
    return lambda *words: CliRunner().invoke(app, ["distill", *words])


def test_the_table_the_differences_and_what_they_mean(invoke):
    result = invoke("runs/one", "--quiet")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[1:4]] == ["teacher", "student", "student alone"]
    assert "images/s" in lines[0] and "0.930 [0.890, 0.960]" in lines[2] and "1.3 MB" in lines[2] and "841" in lines[2]
    assert "student less teacher" in result.stdout and "-0.020 [-0.050, 0.010]  0.400" in result.stdout and "<0.001" in result.stdout
    for words in ("It learnt from its teacher.", "Look here.", "runs/d/distill.html"):
        assert words in result.stdout
    assert result.stderr == ""


def test_progress_is_of_both_fits_and_of_what_they_warn(invoke):
    told = invoke("runs/one").stderr
    assert "fit 1 of 2: the student with its teacher" in told and "The teacher has learnt from 3." in told and "augment" not in told


def test_flags_reach_the_call_and_what_is_not_given_is_left_to_it(invoke, api):
    invoke("runs/one", "photos", "--student", "graft-mini", "--unlabelled", "more", "--epochs", "3", "-o", "here", "--weights", "w",
           "--set", "method.temperature=2", "--image-size", "64", "--threads", "2")  # fmt: skip
    teacher, data, asked = api.calls[-1]
    assert (teacher, data) == ("runs/one", "photos")
    assert {name: value for name, value in asked.items() if value is not None} == {
        "student": "graft-mini", "unlabelled": "more", "epochs": "3", "out": "here", "weights": "w", "sets": ["method.temperature=2"],
        "image_size": "64", "threads": "2",
    }  # fmt: skip
    invoke("runs/one")
    assert api.calls[-1][1] is None and api.calls[-1][2]["student"] is None


def test_json_is_the_result_and_an_error_is_one_sentence(invoke):
    assert json.loads(invoke("runs/one", "--json", "--quiet").stdout)["arms"][1]["name"] == "student"

    def fail(*_, **__):
        raise OptionError("There is no run in 'x'.")

    sys.modules["graft.api"].distill = fail
    result = invoke("x", "--json")
    assert result.exit_code == 2 and json.loads(result.stdout) == {"error": "There is no run in 'x'."}
