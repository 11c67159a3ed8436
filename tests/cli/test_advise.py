"""graft advise as a user sees it."""


def test_the_shortlist_and_what_to_run(api, invoke):
    result = invoke("advise", "photos", "-b", "graft-mini, resnet18=w.safetensors", "-o", "out")
    assert result.exit_code == 0, result.stderr
    name, (data,), named = api.calls[-1]
    assert name == "advise" and data == "photos" and named["out"] == "out"
    assert named["backbones"] == ["graft-mini", "resnet18=w.safetensors"]
    assert "0.910 [0.850, 0.950]" in result.stdout and "extract on stage3" in result.stdout
    assert "graft fit photos --advice out/advice.toml" in result.stdout and "it has the best probe" in result.stdout


def test_without_a_folder_it_says_how_to_keep_it(api, invoke):
    assert "--out FOLDER" in invoke("advise", "photos").stdout


def test_json(api, invoke):
    assert invoke("advise", "photos", "--json").json()["strategies"][0]["expected"] == 0.91
