from pathlib import Path

from graft.errors import DataError
from graft.spec import Part, Spec


def _spec(api) -> Spec:
    name, (spec,), _ = api.calls[-1]
    assert name == "fit"
    return spec


def test_the_score_and_where_things_are(api, invoke):
    result = invoke("fit", "photos")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("accuracy 0.941  (95 % interval 0.902 to 0.974)\n")
    assert "graft predict runs/photos-1/model" in result.stdout and "runs/photos-1/report.html" in result.stdout
    assert "graft     9.9" in result.stderr and "library" not in result.stdout


def test_json_is_the_scores_and_the_places(api, invoke):
    result = invoke("fit", "photos", "--json", "--quiet")
    content = result.json()
    assert content["val"]["accuracy"] == {"value": 0.941, "interval": [0.902, 0.974]} and content["val"]["log_loss"]["value"] is None
    assert content["run"] == "runs/photos-1" and content["report"] == "runs/photos-1/report.html"
    assert "graft     9.9" not in result.stderr


def test_flags_and_sets_become_the_spec(api, invoke, tmp_path: Path):
    invoke(
        "fit", "photos", "-b", "resnet18", "--method", "finetune", "--epochs", "3", "--lr", "1e-3", "--freeze", "layer2", "--task",
        "classification", "--head", "linear", "--layers", "layer3,layer4", "--pool", "max", "--image-size", "96", "--augment", "medium",
        "--views", "4", "--reader", "image_folder", "--set", "task.hidden=256,128",
        "--set", "method.balance=yes", "--seed", "7", "--budget", "1h30m",
        "--select-on", "val", "--folds", "5", "--fetch", "no", "--precision", "exact", "--threads", "1", "--out", "here",
    )  # fmt: skip
    assert _spec(api) == Spec(
        Part("image_folder", {"path": str(tmp_path / "photos")}), Part("resnet18", {"image_size": 96}),
        Part("classification", {"head": "linear", "layers": ("layer3", "layer4"), "pool": "max", "hidden": (256, 128)}),
        Part("finetune", {"epochs": 3, "lr": 1e-3, "freeze": "layer2", "balance": True}), Part("medium", {"views": 4}),
        seed=7, out="here", budget=5400.0, select_on="val", folds=5, fetch="no", precision="exact", threads=1,
    )  # fmt: skip


def test_a_spec_file_is_a_start_that_flags_change(api, invoke, tmp_path: Path):
    run = tmp_path / "old"
    run.mkdir()
    spec = Spec.make("photos", method="finetune", epochs=3, out=str(run), seed=4)
    (run / "spec.toml").write_text(spec.to_toml())
    assert invoke("fit", "--spec", str(run / "spec.toml"), "--epochs", "5").exit_code == 0
    made = _spec(api)
    assert made.method == Part("finetune", {"epochs": 5}) and made.seed == 4 and made.data == spec.data
    assert made.out is None  # the copy that a run kept: its folder is taken


def test_errors_come_before_the_call(api, invoke):
    for words, said in (
        (("fit",), "No data are named"),
        (("fit", "x", "--method", "finetun"), "Did you mean 'finetune'?"),
        (("fit", "x", "--epochs", "3", "--set", "method.epochs=4"), "contradict"),
        (("fit", "--spec", "none.toml"), "none.toml"),
    ):
        result = invoke(*words)
        assert result.exit_code == 2 and said in result.stderr and result.stdout == ""
    assert api.calls == []


def test_an_error_of_the_fit_is_one_sentence(api, invoke):
    def fail(spec, on_event):
        raise DataError("The folder is empty; give another.")

    api.fit = fail
    result = invoke("fit", "photos", "--json")
    assert result.exit_code == 2 and result.json() == {"error": "The folder is empty; give another."}


def test_ctrl_c_names_the_run(api, invoke, tmp_path: Path):
    folder = tmp_path / "runs" / "photos-1"
    folder.mkdir(parents=True)
    (folder / "spec.toml").touch()

    def stop(spec, on_event):
        on_event({"event": "start", "folder": str(folder)})
        raise KeyboardInterrupt

    api.fit = stop
    result = invoke("fit", "photos", "--quiet")
    assert result.exit_code == 130 and result.stderr == f"stopped; go on with: graft resume {folder}\n"
