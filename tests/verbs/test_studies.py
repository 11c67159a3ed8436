"""Studies of tiny real fits: what is left behind, going on after a kill, what is refused before anything is written."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from graft import api
from graft.errors import DataError, OptionError, OutputError, Stopped, WeightsError
from graft.verbs import studies

SETS = ["backbone.image_size=32", "method.batch=8", "method.seconds=0.01", "method.epochs=1"]
ARMS = "extract,finetune@2"


@pytest.fixture(scope="module")
def split_photos(photos, tmp_path_factory):
    """The drawn photos in train/ and test/."""
    root = tmp_path_factory.mktemp("study_data")
    for folder in photos.iterdir():
        for i, file in enumerate(sorted(folder.iterdir())):
            place = root / ("test" if i % 3 == 0 else "train") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(file.read_bytes())
    return root


def study(data, out, *, fit=api.fit, resume=api.resume, **values):
    values = {"arms": ARMS, "seeds": 2, "sets": SETS, "folds": 0, "precision": "exact", **values}
    return studies.compare(data, out=out, fit=fit, resume=resume, **values)


@pytest.fixture(scope="module")
def done(split_photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "one"
    events = []
    return SimpleNamespace(out=out, events=events, found=study(split_photos, out, on_event=events.append))


def test_a_study_leaves_a_run_for_every_fit_a_page_and_a_file(done):
    names = {path.name for path in (done.out / "runs").iterdir()}
    assert names == {f"{arm}-graft-mini-{seed}" for arm in ("extract", "finetune@2") for seed in (0, 1)}
    told = json.loads((done.out / "study.json").read_text())
    assert [arm["label"] for arm in told["arms"]] == ["extract", "finetune@2"] and told["seeds"]["whole"] == 2
    assert told["metric"] == "accuracy" and told["scored_as"] == "test" and told["n"] == 12
    assert (done.out / "study.html").is_file() and done.found["report"] == str(done.out / "study.html")
    assert all((done.out / run / "scores.json").is_file() for arm in told["arms"] for run in arm["runs"])


def test_scores_are_those_of_the_runs(done):
    for arm in done.found["arms"]:
        for seed, run in enumerate(arm["runs"]):
            scores = json.loads((done.out / run / "scores.json").read_text())
            assert arm["values"][seed] == pytest.approx(scores["test"]["accuracy"]["value"]) and scores["seed"] == seed
        assert arm["value"] == pytest.approx(np.mean(arm["values"])) and arm["peak_memory_mb"] > 0


def test_at_a_stage_means_that_it_and_what_is_above_learn(done):
    rows = [json.loads(line) for line in (done.out / "runs/finetune@2-graft-mini-0/journal.jsonl").read_text().splitlines()]
    phase, stages = (next(row for row in rows if row["event"] == name) for name in ("phase", "backbone"))
    names = [stage["name"] for stage in stages["stages"]]
    assert phase["frozen"] == 1 and names[0] not in {group["name"] for group in phase["groups"]}
    assert {group["name"] for group in phase["groups"]} >= {names[1], names[-1]}


def test_called_again_it_fits_nothing_and_says_the_same(done, split_photos):
    def refuse(*_, **__):
        raise AssertionError("a finished fit was begun again")

    again = study(split_photos, done.out, fit=refuse, resume=refuse)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in done.found.items() if k != "seconds"}


def test_a_killed_study_goes_on_where_it_was(done, split_photos, tmp_path):
    def stop(event):
        if event["event"] == "begun" and event["folder"].endswith("finetune@2-graft-mini-0"):
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="same command and --out"):
        study(split_photos, tmp_path / "out", on_event=stop)
    begun, resumed = [], []

    def fit(spec, **more):
        begun.append(spec.out)
        return api.fit(spec, **more)

    def resume(folder, **more):
        resumed.append(folder.name)
        return api.resume(folder, **more)

    found = study(split_photos, tmp_path / "out", fit=fit, resume=resume)
    assert resumed == ["finetune@2-graft-mini-0"] and len(begun) == 2
    assert [arm["label"] for arm in found["arms"]] == ["extract", "finetune@2"]
    # The solved head is the same to the bit; what learns under a time limit is not promised to be.
    assert found["arms"][0]["values"] == done.found["arms"][0]["values"]


@pytest.mark.slow
def test_more_seeds_and_arms_may_follow_but_not_other_settings(done, split_photos, tmp_path):
    study(split_photos, tmp_path / "out", arms="extract,extract:task.layers=2", seeds=1)
    found = study(split_photos, tmp_path / "out", arms="extract,extract:task.pool=max", seeds=2)
    assert found["seeds"]["whole"] == 2 and len(found["arms"]) == 2
    with pytest.raises(OutputError, match="other settings \\(folds\\)"):
        study(split_photos, tmp_path / "out", folds=3)


def test_a_folder_that_holds_something_else_is_left_alone(split_photos, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(OutputError, match="holds no study"):
        study(split_photos, tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        study(split_photos, tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"seeds": 0}, OptionError, "--seeds"),
        ({"arms": "extract,finetune@stage99"}, OptionError, "stage99.*graft-mini"),
        ({"arms": "extract,finetune@99"}, OptionError, "has .* stages"),
        ({"arms": "extract,l2_sp", "sets": ["method.pull=0.1"]}, OptionError, "method.pull"),
        ({"sets": ["method.name=lp_ft"]}, OptionError, "--arms"),
        ({"sets": ["seed=4"]}, OptionError, "--seeds"),
        ({"arms": "extract,scratch", "backbones": "graft-mini,gabor"}, OptionError, "scratch"),
        ({"backbones": "graft-mini,resnet5o"}, OptionError, "resnet5"),
        ({"weights": "gone.safetensors"}, WeightsError, "gone"),
        ({"budget": "soon"}, OptionError, "budget"),
    ],
)
def test_mistakes_are_found_before_anything_is_fitted_or_written(values, error, words, split_photos, tmp_path):
    def refuse(*_, **__):
        raise AssertionError("a fit was begun")

    with pytest.raises(error, match=words):
        study(split_photos, tmp_path / "out", fit=refuse, **values)
    assert not (tmp_path / "out").exists()


def test_bad_data_leave_nothing_behind(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        study(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_go_into_the_bodies_that_they_fit_and_it_is_told(split_photos, tmp_path):
    from safetensors.torch import save_file

    from graft.backbones.from_timm import create

    file = tmp_path / "w.safetensors"
    save_file(create("test_resnet", None, 3).state_dict(), file)
    events, asked = [], []

    def fit(spec, **more):
        asked.append((spec.backbone.name, spec.method.name, spec.backbone.values.get("weights")))
        raise KeyboardInterrupt

    with pytest.raises(Stopped):
        study(split_photos, tmp_path / "a", arms="scratch,extract", backbones="test_resnet,graft-mini", weights=str(file), fit=fit,
              on_event=events.append)  # fmt: skip
    note = next(event for event in events if event["event"] == "note")
    assert "go into test_resnet" in note["text"] and "graft-mini it does not fit" in note["text"]
    assert asked == [("test_resnet", "scratch", None)]
    with pytest.raises(WeightsError, match="does not fit"):
        study(split_photos, tmp_path / "b", weights=str(file))


def test_groups_of_a_table_are_found_again(photos, tmp_path):
    files = sorted(photos.rglob("*.png"))
    lines = [f"{file},{file.parent.name},p{i % 12}" for i, file in enumerate(files)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,patient", *lines]))
    study(tmp_path / "t.csv", tmp_path / "out", arms="extract,extract:task.pool=max", seeds=1, folds=2)
    place = tmp_path / "out" / "runs" / "extract-graft-mini-0"
    read = studies.read(place, studies._groups(place))
    assert dict(zip(read.rows, read.groups, strict=True)) == {str(file): f"p{i % 12}" for i, file in enumerate(files)}
    assert read.about["folds"] == 2 and read.about["higher_is_better"]


def test_rows_add_up_to_the_metric_of_each_kind_of_target():
    from sklearn.metrics import label_ranking_average_precision_score, mean_absolute_error

    table = pa.table({"label": ["a", "b", "a"], "predicted": ["a", "a", "a"]})
    assert studies.row_values(table, {"target": "class"})[1].tolist() == [1, 0, 1]
    table = pa.table({"label": [1.0, 2.0], "predicted": [1.5, -1.0]})
    name, values = studies.row_values(table, {"target": "number"})
    assert name == "absolute_error" and values.mean() == mean_absolute_error([1, 2], [1.5, -1])
    rng, classes = np.random.default_rng(0), ["a", "b", "c", "d"]
    truth, p = rng.random((40, 4)) < 0.4, rng.integers(0, 5, (40, 4)) / 5
    names = [[c for c, on in zip(classes, row, strict=True) if on] for row in truth]
    table = pa.table({"label": names, "predicted": names, "probabilities": p.tolist()})
    values = studies.row_values(table, {"target": "labels", "classes": classes})[1]
    assert values.mean() == pytest.approx(label_ranking_average_precision_score(truth, p))


def test_a_teacher_is_heard_by_the_arms_that_listen_and_by_no_other(done, split_photos, tmp_path):
    teacher = str(done.out / "runs" / "extract-graft-mini-0")
    found = study(split_photos, tmp_path / "out", arms="distill,lp_ft", seeds=1, teacher=teacher)
    told = {arm["label"]: (tmp_path / "out" / arm["runs"][0] / "spec.toml").read_text() for arm in found["arms"]}
    assert "teacher = " in told["distill"] and "teacher = " not in told["lp_ft"]
    for arms, given in (("distill,extract", None), ("extract,lp_ft", teacher)):
        with pytest.raises(OptionError, match=r"--teacher .* give both or neither"):
            study(split_photos, tmp_path / "no", arms=arms, seeds=1, teacher=given)


def test_a_damaged_run_is_named(done, tmp_path):
    with pytest.raises(OutputError, match="damaged"):
        studies.read(tmp_path)


def test_a_free_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    first = studies._free(tmp_path / "my photos")
    first.mkdir(parents=True)
    assert (first.name, studies._free(tmp_path / "my photos").name) == ("compare-my_photos-1", "compare-my_photos-2")


def test_memory_is_counted_anew_for_each_fit_where_the_system_can():
    import os
    import resource

    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the system cannot count a process's peak anew")
    large = np.ones(30_000_000)
    del large
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    studies.forget_peak()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before - 100_000
