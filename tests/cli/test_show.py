EVENTS = [
    {"t": 2.0, "event": "kept", "run": "final", "phase": "head", "epoch": 0, "select": {"accuracy": 0.95}},
    {
        "t": 1.0,
        "event": "phase",
        "run": "final",
        "phase": "head",
        "number": 0,
        "optimizer": "solver",
        "groups": [],
        "frozen": 3,
        "stages": 3,
    },
]


def test_score_story_and_settings(api, invoke):
    scores = {"primary": "accuracy", "scored": "val", "val": {"accuracy": {"value": 0.941, "interval": [0.9, 0.97]}}}
    content = {
        "folder": "runs/a-1",
        "state": "done",
        "scores": scores,
        "kept": EVENTS[:1],
        "phases": EVENTS[1:],
        "notes": [],
        "spec": "seed = 0\n",
    }
    api.show = lambda folder: content
    lines = invoke("show", "runs/a-1").stdout.splitlines()
    assert lines[0] == "accuracy 0.941  (95 % interval 0.900 to 0.970)"
    assert lines.index("phase 1   head: solved in one go") < lines.index(
        "kept      head: the head, accuracy 0.950 on the selecting samples"
    )
    assert "state: done" in lines and "seed = 0" in lines[-1]
    assert invoke("show", "runs/a-1", "--json").json() == content


def test_a_run_without_scores(api, invoke):
    api.show = lambda folder: {"folder": "runs/a-1", "state": "stopped", "scores": {}, "value": None}
    assert invoke("show", "runs/a-1").stdout.splitlines() == ["folder: runs/a-1", "state: stopped", "value: -"]
