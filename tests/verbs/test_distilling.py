"""A teacher, its student and the student alone, as tiny real fits: the same rows, as many steps, what is left behind and gone on with."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import graft
from graft import api
from graft.assembly import teaching
from graft.engine import journal
from graft.errors import OptionError, OutputError, Stopped
from graft.evidence.stats import Difference
from graft.spec import Spec
from graft.verbs import distilling

SETS = ["backbone.image_size=32", "method.batch=8"]
CHEAP = {"epochs": 1, "sets": SETS, "precision": "exact"}


@pytest.fixture(scope="module")
def placed(photos, tmp_path_factory):
    """The drawn photos in train/, test/ and more/, which has no labels."""
    root = tmp_path_factory.mktemp("distilled")
    for folder in photos.iterdir():
        for i, file in enumerate(sorted(folder.iterdir())):
            place = root / "more" if i >= 10 else root / "data" / ("test" if i % 2 else "train") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(file.read_bytes())
    return root


@pytest.fixture(scope="module")
def teacher(placed, tmp_path_factory):
    out = tmp_path_factory.mktemp("teachers") / "one"
    return api.fit(Spec.make(str(placed / "data"), method="extract", image_size=32, out=str(out), evidence="off")).folder


def distill(teacher, out, data=None, *, fit=api.fit, resume=api.resume, **values):
    return distilling.distill(teacher, data, out=out, fit=fit, resume=resume, **{**CHEAP, **values})


@pytest.fixture(autouse=True)
def _no_child(monkeypatch, request):
    """Memory is asked for in a process of its own, which takes seconds to start; once is enough."""
    if "done" not in request.fixturenames or request.node.name.startswith("test_what_was_stopped"):
        monkeypatch.setattr(distilling, "_memory", lambda *models: [None] * len(models))


@pytest.fixture(scope="module")
def done(teacher, placed, tmp_path_factory):
    out, events = tmp_path_factory.mktemp("distillations") / "one", []
    found = distill(teacher, out, student="graft-mini", unlabelled=str(placed / "more"), on_event=events.append)
    return SimpleNamespace(out=out, found=found, events=events)


def test_three_arms_on_the_same_locked_rows(done, teacher):
    told = json.loads((done.out / "distill.json").read_text())
    assert [arm["name"] for arm in told["arms"]] == ["teacher", "student", "alone"] and told["n"] == 15 and told["left_out"] == 0
    for folder, arm in zip((teacher, done.out / "student", done.out / "alone"), told["arms"], strict=True):
        assert arm["value"] == pytest.approx(json.loads((folder / "scores.json").read_text())["test"]["accuracy"]["value"])
        low, high = arm["interval"]
        assert low <= arm["value"] <= high and arm["rate"] > 0 and arm["parameters"] > 1000 and arm["megabytes"] > 0
    right = {}
    for name in ("student", "alone"):
        table = pq.read_table(done.out / name / "predictions.parquet")
        right[name] = np.mean([a == b for a, b in zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)])
    assert told["differences"][1]["value"] == pytest.approx(right["student"] - right["alone"])
    assert told["unlabelled"] == 6 and told["learnt"] == 12 and (done.out / "distill.html").is_file()
    assert done.found["folder"] == str(done.out) and told["verdict"]["text"]


def test_a_student_of_the_teacher_s_lower_stages_starts_from_them_and_is_saved_without_the_others(teacher, placed, tmp_path):
    found = distill(teacher, tmp_path / "out", student="teacher@stage1", sets=[*SETS[1:], "method.epochs=0"], epochs=None)
    large, small, alone = found["arms"]
    assert small["parameters"] < large["parameters"] / 4 and small["backbone"] == alone["backbone"] == "graft-mini@stage1"
    theirs, ours, lone = (graft.load(place).net for place in (teacher, tmp_path / "out" / "student", tmp_path / "out" / "alone"))
    assert ours.names == lone.names == theirs.names[: len(ours.names)] and ours.names[-1] == "stage1"
    assert all(torch.equal(value, theirs.stages.state_dict()[name]) for name, value in ours.stages.state_dict().items())
    assert not ours.earlier, "its teacher's task is its own, not an earlier one"
    described = json.loads((tmp_path / "out" / "student" / "model" / "graft.json").read_text())
    assert described["teacher"]["name"] == teacher.name and described["teacher"]["body"] == "graft-mini"
    card = (tmp_path / "out" / "student" / "model" / "README.md").read_text()
    assert "## Its teacher" in card and described["teacher"]["sha256"] in card
    assert json.loads((tmp_path / "out" / "alone" / "model" / "graft.json").read_text())["teacher"] is None


def test_a_student_may_be_the_whole_teacher_on_images_of_another_size(teacher, tmp_path):
    sets = [*SETS[1:], "method.epochs=0"]
    found = distill(teacher, tmp_path / "out", student="teacher", image_size=64, sets=sets, epochs=None)
    assert [arm["size"] for arm in found["arms"]] == [32, 64, 64] and found["arms"][0]["parameters"] == found["arms"][1]["parameters"]
    theirs, ours = graft.load(teacher).net, graft.load(tmp_path / "out" / "student").net
    assert ours.names == theirs.names and not ours.earlier


def test_a_student_that_would_be_its_teacher_again_is_refused(teacher):
    model = teaching.load(teacher)
    names, size = model.net.names, model.net.prepare.size
    for student, pixels in (("teacher", None), ("teacher", size), (f"teacher@{names[-1]}", None), ("teacher@", None)):
        with pytest.raises(OptionError, match=f"the teacher again; name a stage .*--student teacher@.*{names[0]}"):
            distilling.own_body(student, teacher, model, [], pixels)
    assert distilling.own_body("teacher", teacher, model, ["a"], 16) == (f"run:{teacher}", ["a"])
    assert distilling.own_body("teacher@stage1", teacher, model, [], None) == (f"run:{teacher}", ["backbone.until=stage1"])
    assert distilling.own_body("resnet18", teacher, model, ["a"], None) == ("resnet18", ["a"])


def test_the_student_alone_has_the_same_recipe_and_as_many_steps(done):
    taught, alone = (Spec.load(done.out / name / "spec.toml") for name in ("student", "alone"))
    assert taught.teacher and not alone.teacher and alone.unlabelled is None and alone.method.name == "lp_ft"
    shared = set(alone.method.values) & set(taught.method.values) - {"epochs"}
    assert {"lr", "decay", "batch", "smoothing"} <= shared
    assert all(alone.method.values[name] == taught.method.values[name] for name in shared)
    assert (alone.seed, alone.backbone, alone.augment, alone.folds) == (taught.seed, taught.backbone, taught.augment, taught.folds)


@pytest.mark.parametrize(("rows", "more", "epochs"), [(16, 0, 5), (16, 48, 15), (17, 17, 5)])
def test_as_many_steps_where_unlabelled_rows_make_the_epochs_longer(rows, more, epochs, done, tmp_path):
    place = tmp_path / "student"
    place.mkdir()
    (place / "spec.toml").write_text((done.out / "student" / "spec.toml").read_text())
    lines = [{"event": "teacher", "rows": rows, "unlabelled": more}, {"event": "phase", "phase": "distill", "epochs": 5, "batch": 8}]
    (place / "journal.jsonl").write_text("".join(json.dumps({"t": 0, **line}) + "\n" for line in lines))
    assert distilling.alone(tmp_path).method.values["epochs"] == epochs


def test_the_teacher_was_heard_on_the_unlabelled_rows(done):
    rows = journal.read(done.out / "student")
    phase = next(row for row in rows if row["event"] == "phase" and row["phase"] == "distill")
    assert phase["epochs"] == 1 and next(row for row in rows if row["event"] == "teacher")["unlabelled"] == 6


def test_called_again_it_fits_nothing_and_says_the_same_of_the_rows(done, teacher, placed):
    def refuse(*_, **__):
        raise AssertionError("a finished fit was begun again")

    again = distill(teacher, done.out, student="graft-mini", unlabelled=str(placed / "more"), fit=refuse, resume=refuse)
    assert again["differences"] == done.found["differences"] and again["verdict"] == done.found["verdict"]
    with pytest.raises(OutputError, match="other settings \\(epochs\\)"):
        distill(teacher, done.out, student="graft-mini", unlabelled=str(placed / "more"), epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["student", "alone"])
def test_what_was_stopped_goes_on(stopped, done, teacher, placed, tmp_path):
    def stop(event):
        if event["event"] == "phase" and (tmp_path / "out" / stopped).exists():
            raise KeyboardInterrupt

    values = {"student": "graft-mini", "unlabelled": str(placed / "more")}
    with pytest.raises(Stopped, match="same command and --out"):
        distill(teacher, tmp_path / "out", on_event=stop, **values)
    begun, resumed = [], []

    def fit(spec, **more):
        begun.append(Path(spec.out).name)
        return api.fit(spec, **more)

    def resume(folder, **more):
        resumed.append(Path(folder).name)
        return api.resume(folder, **more)

    found = distill(teacher, tmp_path / "out", fit=fit, resume=resume, **values)
    assert resumed == [stopped] and begun == (["alone"] if stopped == "student" else [])
    assert [arm["value"] for arm in found["arms"]] == [arm["value"] for arm in done.found["arms"]]
    assert found["differences"] == done.found["differences"]


def test_mistakes_are_found_before_anything_is_written(teacher, placed, tmp_path):
    other = tmp_path / "other"
    for name in ("circle", "spirals"):
        (other / "train").mkdir(parents=True, exist_ok=True)
        (other / "train" / name).mkdir()
        (other / "test" / name).mkdir(parents=True)
        for i, file in enumerate(sorted((placed / "data/train/circle").iterdir())):
            (other / ("train" if i < 3 else "test") / name / file.name).write_bytes(file.read_bytes() + name.encode())
    for asked, words in (
        ({"data": str(other)}, "does not know 'spirals'"), ({"student": "graft-mni"}, "no network called 'graft-mni'"),
        ({"sets": ["method.hint=other"]}, "regression, cosine"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=words):
            distill(teacher, tmp_path / "out", **asked)
        assert not (tmp_path / "out").exists()
    with pytest.raises(OptionError, match="no run in"):
        distill(tmp_path / "gone", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.txt").write_text("keep me")
    with pytest.raises(OutputError, match="holds no distillation"):
        distill(teacher, tmp_path / "mine")


def test_rows_that_the_teacher_has_seen_are_left_out_where_enough_are_left(done, teacher, monkeypatch):
    spec, machine = Spec.load(done.out / "alone" / "spec.toml"), distilling.device.find()
    model, seen = teaching.load(teacher), np.arange(15) % 3 == 0
    monkeypatch.setattr(teaching, "seen", lambda model, table: seen)
    kept = distilling.judged(done.out, model, spec, machine)
    assert kept["left_out"] == 0 and kept["n"] == 15 and "too many to leave out" in kept["notices"][0]
    monkeypatch.setattr(distilling, "FEWEST", 10)
    fewer = distilling.judged(done.out, model, spec, machine)
    assert fewer["left_out"] == 5 and fewer["n"] == 10 and "these are left out" in fewer["notices"][0]
    table = pq.read_table(done.out / "student" / "predictions.parquet")
    right = np.array([a == b for a, b in zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)])
    assert fewer["arms"][1]["value"] == pytest.approx(right[~seen].mean())


def gap(value, low, high, p):
    return Difference(value, low, high, p, "made up")


@pytest.mark.parametrize(
    ("behind", "gained", "close", "taught", "words"),
    [
        (gap(-0.01, -0.025, 0.0, 0.3), gap(0.05, 0.01, 0.09, 0.01), True, True, "1.0 points below its teacher, and with its whole"),
        (gap(-0.01, -0.06, 0.03, 0.3), gap(0.01, -0.02, 0.04, 0.5), None, None, "reaches 6.0 below"),
        (gap(-0.2, -0.3, -0.1, 0.001), gap(-0.1, -0.15, -0.05, 0.001), False, False, "shown to be more than the 3 points"),
        (gap(0.02, -0.01, 0.05, 0.3), gap(0.05, 0.01, 0.09, 0.01), True, True, "2.0 points above its teacher"),
    ],
)  # fmt: skip
def test_the_verdict_says_no_more_than_the_intervals(behind, gained, close, taught, words):
    found = distilling.verdict(behind, gained, True, 0.03)
    assert (found["close"], found["taught"]) == (close, taught) and words in found["text"]


def test_of_errors_less_is_better_and_there_are_no_points():
    found = distilling.verdict(gap(0.4, 0.1, 0.7, 0.01), gap(-0.5, -0.9, -0.1, 0.01), False, None)
    assert found["close"] is None and found["taught"] is True and "points" not in found["text"]


def test_memory_and_rates_are_measured(done):
    student = done.found["arms"][1]
    assert student["memory_mb"] is None or student["memory_mb"] >= 0
    assert done.found["arms"][2]["rate"] == student["rate"]  # the same net
