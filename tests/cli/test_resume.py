from pathlib import Path


def test_resume_answers_as_fit_does(api, invoke):
    result = invoke("resume", "runs/photos-1")
    assert result.exit_code == 0 and result.stdout.startswith("accuracy 0.941")
    assert api.calls == [("resume", (Path("runs/photos-1"),), {})]
    assert invoke("resume", "runs/photos-1", "--json").json()["run"] == "runs/photos-1"
