"""graft chain: what it asks of the library, what it prints, how it fails."""

import sys

import pytest

from graft.errors import OptionError

STEP = {"task": "shapes", "method": "finetune", "name": "01-shapes"}
RESULT = {
    "steps": [STEP, {**STEP, "task": "marks", "method": "lwf"}],
    "matrix": [[{"value": 0.95, "interval": [0.9, 0.98], "n": 50}], [{"value": 0.8, "interval": None, "n": 50}, None]],
    "numbers": {"average": 0.8, "kept_first": 0.842, "forgetting": 0.15}, "notices": ["Nothing was selected on them."],
    "folder": "runs/chain-steps-1", "report": "runs/chain-steps-1/chain.html",
}  # fmt: skip


@pytest.fixture
def chain(api, monkeypatch):
    """chain.asked is what the library was asked."""

    def stand_in(steps, *, out=None, remedy=None, on_event=None):
        stand_in.asked = (str(steps), out, remedy)
        print("a library that prints on stdout")
        on_event({"event": "note", "level": "info", "text": "step 1 of 2: 01-shapes", "count": 0, "files": []})
        return RESULT

    monkeypatch.setattr(sys.modules["graft.api"], "chain", stand_in, raising=False)
    return stand_in


def test_the_matrix_and_its_numbers_are_printed(chain, invoke):
    result = invoke("chain", "steps.toml", "-o", "out", "--remedy", "lwf")
    assert result.exit_code == 0, result.output
    assert chain.asked == ("steps.toml", "out", "lwf") and "step 1 of 2" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["after", "learning", "method", "shapes", "marks"]
    assert lines[1].split() == ["1.", "shapes", "finetune", "0.950", "[0.900,", "0.980]"] and lines[2].split() == [
        "2.",
        "marks",
        "lwf",
        "0.800",
    ]
    assert "kept of shapes" in result.stdout and "0.842" in result.stdout and "Nothing was selected on them." in result.stdout
    assert "runs/chain-steps-1/chain.html" in lines[-1] and "a library" not in result.stdout


def test_json_is_the_result(chain, invoke):
    result = invoke("chain", "steps.toml", "--json", "-q")
    assert result.json() == RESULT and result.stderr.strip() == "a library that prints on stdout"


def test_mistakes_end_with_two(chain, invoke, monkeypatch):
    def refuse(*_, **__):
        raise OptionError("There is no [[step]] in steps.toml.")

    monkeypatch.setattr(sys.modules["graft.api"], "chain", refuse)
    result = invoke("chain", "steps.toml")
    assert result.exit_code == 2 and "error: There is no [[step]]" in result.stderr
    assert invoke("chain").exit_code == 2
