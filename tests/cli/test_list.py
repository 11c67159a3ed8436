from pathlib import Path

RUNS = [
    {"folder": "runs/a-1", "primary": "accuracy", "value": 0.941, "interval": [0.9, 0.97], "method": "lp_ft", "backbone": "graft-mini",
     "data": "/photos/hymenoptera", "seconds": 72.3, "state": "done"},
    {"folder": "runs/a-2", "primary": None, "value": None, "interval": None, "method": "extract", "backbone": "gabor", "data": "",
     "seconds": None, "state": "stopped"},
]  # fmt: skip


def test_runs_are_a_table(api, invoke):
    api.runs = lambda folder: RUNS
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split() == ["run", "score", "method", "backbone", "data", "time", "state"]
    assert "accuracy 0.941 [0.900, 0.970]" in lines[1] and "1 min 12 s" in lines[1] and "hymenoptera" in lines[1]
    assert lines[2].split() == ["runs/a-2", "-", "extract", "gabor", "-", "-", "stopped"]
    assert invoke("list", "--json").json() == RUNS


def test_no_runs_says_how_to_begin(api, invoke):
    result = invoke("list", "elsewhere")
    assert result.exit_code == 0 and "graft fit" in result.stdout and api.calls == [("runs", (Path("elsewhere"),), {})]
    assert invoke("list", "--json").json() == []


def test_names_come_from_the_catalogue(invoke):
    assert "lp_ft" in invoke("list", "--kind", "method").stdout
    assert {row["kind"] for row in invoke("list", "--kind", "all", "--json").json()} >= {"reader", "backbone", "task", "head", "method"}
    result = invoke("list", "--kind", "methd")
    assert result.exit_code == 2 and "Did you mean 'method'?" in result.stderr
