"""The verbs, on drawn photos and the smallest body: fit, resume, load, report, list, show, and what each refuses."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.torch import load_file

import graft
from graft import api
from graft.errors import DataError, GraftError, OptionError, OutputError, Stopped, TrainingError, WeightsError
from graft.spec import Spec

SMALL = ["backbone.image_size=32"]
QUICK = [*SMALL, "method.epochs=2"]


def fit(data, out, method="extract", sets=SMALL, **values):
    return api.fit(Spec.make(str(data), backbone="graft-mini", method=method, out=str(out), sets=sets, **values))


@pytest.fixture(scope="module")
def split_photos(photos, tmp_path_factory):
    """The drawn photos in train/ and val/."""
    root = tmp_path_factory.mktemp("split")
    for folder in photos.iterdir():
        for i, file in enumerate(sorted(folder.iterdir())):
            place = root / ("val" if i % 3 == 0 else "train") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(file.read_bytes())
    return root


@pytest.fixture(scope="module")
def run(split_photos, tmp_path_factory):
    return fit(split_photos, tmp_path_factory.mktemp("runs") / "one")


def test_a_fit_leaves_everything_and_the_score_is_what_the_rows_say(run):
    names = {path.name for path in run.folder.iterdir()}
    assert {"spec.toml", "journal.jsonl", "scores.json", "predictions.parquet", "splits.parquet", "model", "report.html"} <= names
    assert "checkpoints" not in names
    scores = json.loads((run.folder / "scores.json").read_text())
    assert scores["scored"] == "val" and scores["test"] is None and scores["primary"] == "accuracy"
    rows = pq.read_table(run.folder / "predictions.parquet").to_pylist()
    assert len(rows) == 12
    assert scores["val"]["accuracy"]["value"] == pytest.approx(np.mean([r["label"] == r["predicted"] for r in rows]))
    roles = pq.read_table(run.folder / "splits.parquet").to_pylist()
    scored = {r["path"] for r in roles if r["role"] == "score"}
    assert scored == {r["path"] for r in rows} and not scored & {r["path"] for r in roles if r["role"] != "score"}


def test_locked_rows_are_opened_once(run):
    events = [row for row in map(json.loads, (run.folder / "journal.jsonl").read_text().splitlines()) if row["event"] == "opened"]
    assert len(events) == 1


def test_the_model_predicts_the_same_in_a_process_that_knows_nothing(run):
    rows = pq.read_table(run.folder / "predictions.parquet").to_pylist()
    code = (
        "import json, sys, graft; m = graft.load(sys.argv[1]);"
        "print(json.dumps([[p.label, p.probability] for p in m.predict(json.loads(sys.argv[2]))]))"
    )
    argv = [sys.executable, "-c", code, str(run.model), json.dumps([r["path"] for r in rows])]
    told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert [t[0] for t in told] == [r["predicted"] for r in rows]
    np.testing.assert_allclose([t[1] for t in told], [r["probability"] for r in rows], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["scratch", "finetune", "gradual", "lp_ft", "l2_sp"])
def test_every_method_ends_in_a_model(method, split_photos, tmp_path):
    values = {"sets": [*QUICK, "method.batch=8"]}
    done = fit(split_photos, tmp_path / "run", method, **values)
    assert done.scores["method"] == method and done.report.exists()
    assert graft.load(done.model).predict([next((split_photos / "val" / "cross").iterdir())])[0].label in done.scores["classes"]


def test_few_photos_without_a_split_are_cross_validated(photos, tmp_path):
    done = fit(photos, tmp_path / "run")
    assert done.scores["folds"] == 5 and done.scores["n"]["test"] == 36
    assert len(pq.read_table(done.folder / "predictions.parquet")) == 36


def test_a_run_of_a_former_run(run, split_photos, tmp_path):
    done = api.fit(Spec.make(str(split_photos), backbone=f"run:{run.folder}", method="extract", out=str(tmp_path / "run")))
    chain = json.loads((done.model / "graft.json").read_text())["backbone"]["origin"]
    assert len(chain["parents"]) == 1 and chain["weights"].startswith("run:")


@pytest.mark.parametrize("head", ["svm", "svm_rbf", "knn", "lda", "linear"])
def test_every_head_is_saved_and_predicts(head, split_photos, tmp_path):
    done = fit(split_photos, tmp_path / "run", head=head, sets=[*SMALL, *(["method.epochs=5"] if head == "linear" else [])])
    journal = [json.loads(line) for line in (done.folder / "journal.jsonl").read_text().splitlines()]
    assert next(row["parity"] for row in journal if row["event"] == "exported") <= 1e-6


def test_features_of_several_layers(split_photos, tmp_path):
    done = fit(split_photos, tmp_path / "run", layers="2,-1", pool="max")
    assert graft.load(done.model).probabilities([next((split_photos / "val" / "cross").iterdir())]).shape == (1, 3)


def test_the_usual_habit_is_called_optimistic(split_photos, tmp_path):
    done = fit(split_photos, tmp_path / "run", select_on="val")
    assert done.scores["optimistic"] and "optimistic" in done.report.read_text(encoding="utf-8").lower()


def test_two_fits_with_one_seed_are_identical(split_photos, run, tmp_path):
    again = fit(split_photos, tmp_path / "run")
    one, two = (load_file(r.model / "weights.safetensors") for r in (run, again))
    assert all((one[k] == two[k]).all() for k in one) and again.scores["val"] == run.scores["val"]


def table(folder, rows, head="path,label"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_tables_with_several_labels_and_with_numbers(photos, tmp_path):
    files = sorted(photos.rglob("*.png"))
    several = table(tmp_path / "a", [f"{f},{f.parent.name}|{'even' if i % 2 else 'odd'}" for i, f in enumerate(files)])
    done = fit(several, tmp_path / "ra", folds=2)
    assert done.scores["target"] == "labels" and done.scores["primary"] == "mean_average_precision"
    numbers = table(tmp_path / "b", [f"{f},{i * 0.5 + 0.25}" for i, f in enumerate(files)])
    done = fit(numbers, tmp_path / "rb", folds=2)
    assert done.scores["target"] == "number" and {"mae", "r2"} <= set(done.scores["test"]) and not done.scores["higher_is_better"]
    assert isinstance(graft.load(done.model).predict([files[0]])[0].label, float)


def test_a_bad_file_is_reported_and_the_fit_goes_on(split_photos, tmp_path):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(split_photos, data)
    (data / "train" / "cross" / "zz_bad.png").write_bytes(b"not an image")
    done = fit(data, tmp_path / "run", sets=[*SMALL, "data.bad_share=0.2"])
    assert "zz_bad.png" in (done.folder / "data.json").read_text()


def nan(photos, tmp_path):
    return table(tmp_path / "t", [f"{photos}/circle/circle_00.png,0.5", f"{photos}/cross/cross_00.png,nan"])


def one_class(photos, tmp_path):
    import shutil

    shutil.copytree(photos / "circle", tmp_path / "d" / "circle")
    return tmp_path / "d"


def case(photos, tmp_path):
    import shutil

    shutil.copytree(photos, tmp_path / "d")
    shutil.copytree(photos / "circle", tmp_path / "d" / "Circle ")
    return tmp_path / "d"


def stray_class(photos, tmp_path):
    import shutil

    shutil.copytree(photos, tmp_path / "d" / "train")
    shutil.copytree(photos, tmp_path / "d" / "val")
    shutil.copytree(photos / "circle", tmp_path / "d" / "val" / "square")
    return tmp_path / "d"


def broken(photos, tmp_path):
    import shutil

    shutil.copytree(photos, tmp_path / "d")
    for file in list((tmp_path / "d" / "cross").iterdir())[:6]:
        file.write_bytes(file.read_bytes()[:100])
    return tmp_path / "d"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p, t: t / "missing", DataError, "missing"),
        (lambda p, t: (t / "empty").mkdir() or t / "empty", DataError, "empty|no "),
        (one_class, DataError, "one class|circle"),
        (case, DataError, "ircle"),
        (stray_class, DataError, "square"),
        (broken, DataError, "cross"),
        (nan, DataError, "NaN|nan|label"),
        (lambda p, t: table(t / "t", ["nowhere.png,a", "other.png,b"]), DataError, "nowhere"),
        (lambda p, t: table(t / "t", ["x,y"], "first,second"), DataError, "first|column"),
    ],
)
def test_bad_data_are_one_sentence_and_nothing_is_written(make, error, words, photos, tmp_path):
    data, out = make(photos, tmp_path), tmp_path / "run"
    with pytest.raises(error, match=words) as caught:
        fit(data, out)
    assert "\n" not in str(caught.value) and not out.exists()


def test_bad_options_are_one_sentence_and_nothing_is_written(photos, tmp_path):
    out = tmp_path / "run"
    for values, words in (
        ({"method": "finetun"}, "finetune"), ({"sets": ["method.epoch=3"]}, "method.epochs"), ({"sets": ["methd.epochs=3"]}, "method"),
        ({"layers": "stage99"}, "stage99"), ({"head": "logistc"}, "logistic"), ({"method": "finetune", "freeze": "stage99"}, "stage99"),
        ({"method": "finetune", "head": "knn"}, "extract"), ({"lr": -1.0, "method": "lp_ft"}, "lr"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=words) as caught:
            fit(photos, out, **{"sets": SMALL, **values})
        assert "\n" not in str(caught.value)
        assert not out.exists(), values


def test_bad_bodies_and_weights_are_refused(photos, tmp_path):
    import torch

    torch.save({"a": print}, tmp_path / "pickle.pth")
    (tmp_path / "text.safetensors").write_text("no tensors")
    spec = lambda **v: Spec.make(str(photos), method="extract", out=str(tmp_path / "run"), **v)  # noqa: E731
    with pytest.raises(OptionError, match="resnet50"):
        api.fit(spec(backbone="resnet5o"))
    for weights, words in (("pickle.pth", "pickl"), ("text.safetensors", "text"), ("gone.safetensors", "gone")):
        with pytest.raises(WeightsError, match=words):
            api.fit(spec(backbone="test_resnet", weights=str(tmp_path / weights)))
    with pytest.raises(GraftError, match="scratch"):
        api.fit(Spec.make(str(photos), method="scratch", backbone="test_resnet", weights=str(tmp_path / "gone"), out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_an_out_folder_that_cannot_be_used_is_refused_before_anything_is_read(photos, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(OutputError, match="not empty"):
        fit(tmp_path / "does-not-matter", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep me"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        fit(photos, tmp_path / "file")
    with pytest.raises(OutputError, match="Cannot write"):
        fit(photos, "/proc/nothing/here")


def test_ctrl_c_says_how_to_go_on_and_resuming_gives_the_undisturbed_result(split_photos, tmp_path):
    values = {"method": "finetune", "sets": [*SMALL, "method.epochs=3", "method.batch=8"], "precision": "exact"}
    whole = fit(split_photos, tmp_path / "whole", **values)

    def stop(event):
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    spec = Spec.make(str(split_photos), backbone="graft-mini", out=str(tmp_path / "run"), **values)
    with pytest.raises(Stopped, match="graft resume"):
        api.fit(spec, on_event=stop)
    assert api.runs(tmp_path)[-1]["state"] == "stopped" or api.show(tmp_path / "run")["state"] == "stopped"
    done = api.resume(tmp_path / "run")
    one, two = (load_file(r.model / "weights.safetensors") for r in (whole, done))
    assert all((one[k] == two[k]).all() for k in one) and done.scores["val"] == whole.scores["val"]
    assert api.resume(tmp_path / "run").scores == json.loads((tmp_path / "run" / "scores.json").read_text())


def test_resume_refuses_changed_data_and_folders_without_a_run(split_photos, tmp_path):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(split_photos, data)

    def stop(event):
        if event["event"] == "epoch":
            raise KeyboardInterrupt

    spec = Spec.make(str(data), backbone="graft-mini", method="finetune", out=str(tmp_path / "run"), sets=QUICK)
    with pytest.raises(Stopped):
        api.fit(spec, on_event=stop)
    Image.new("RGB", (48, 48)).save(next((data / "train" / "cross").iterdir()))
    with pytest.raises(DataError, match="changed"):
        api.resume(tmp_path / "run")
    with pytest.raises(OutputError, match="no run"):
        api.resume(tmp_path)


def test_a_loss_that_is_not_finite_names_files_and_the_run_says_so(split_photos, tmp_path):
    sets = [*SMALL, "method.epochs=30", "method.clip=0", "method.optimizer=sgd", "method.warmup=0", "method.batch=8"]
    with pytest.raises(TrainingError, match=r"\.png"):
        fit(split_photos, tmp_path / "run", "scratch", sets, lr=10.0, precision="fast")
    assert api.show(tmp_path / "run")["state"] == "failed"


def test_runs_are_listed_and_shown(run):
    listed = api.runs(run.folder.parent)
    assert [row["state"] for row in listed] == ["done"] and listed[0]["value"] == run.scores["val"]["accuracy"]["value"]
    shown = api.show(run.folder)
    assert shown["scores"]["method"] == "extract" and shown["decisions"] and api.report(run.folder).exists()
    assert api.runs(run.folder / "nowhere") == []
    with pytest.raises(OptionError, match="no run"):
        api.show(run.folder.parent)
