from pathlib import Path


def test_both_arms_are_shown_with_intervals(api, invoke):
    result = invoke("demo", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("accuracy 0.941 [0.902, 0.974]") == 2 and "from scratch" in result.stdout
    assert "difference  0.250 [0.200, 0.300]" in result.stdout and "rows        1,697" in result.stdout
    assert "report      runs/photos-1/report.html" in result.stdout


def test_json_has_the_scores_of_both(api, invoke):
    content = invoke("demo", "--json", "--out", "there").json()
    assert api.calls[-1][1] == (Path("there"),)
    assert (
        content["transfer"]["val"]["accuracy"]["value"] == 0.941
        and content["scratch"]["run"] == "runs/photos-1"
        and content["rows"] == 1697
    )


def test_a_second_demo_does_not_meet_the_first(api, invoke, tmp_path: Path):
    for expected in ("runs/demo", "runs/demo-2", "runs/demo-3"):
        invoke("demo")
        assert api.calls[-1][1] == (Path(expected),)
        Path(expected).mkdir(parents=True)
