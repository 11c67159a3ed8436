"""graft check as a user sees it."""


def test_findings_with_effect_and_repair(api, invoke):
    result = invoke("check", "photos", "-b", "resnet18", "-o", "out", "--seed", "3")
    assert result.exit_code == 0, result.stderr
    name, (data,), named = api.calls[-1]
    assert name == "check" and data == "photos" and named["backbone"] == "resnet18" and named["seed"] == "3" and named["out"] == "out"
    for words in ("1 problem", "One file is there twice.", "It counts twice.", "Remove it.", "out/check.html"):
        assert words in result.stdout


def test_json(api, invoke):
    assert invoke("check", "photos", "--json").json()["findings"][0]["kind"] == "exact_duplicates"
