"""What a fit leaves of its target domain: scored once, and never a part of any choice."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from graft import api
from graft.fits import domains
from graft.spec import Spec

CLASSES = ("circle", "cross", "stripes")


@pytest.fixture(scope="module")
def dark(photos, tmp_path_factory):
    """The shapes of `photos` in another domain: inverted, so dark on light ground."""
    root = tmp_path_factory.mktemp("dark")
    for file in sorted(photos.rglob("*.png")):
        (root / file.parent.name).mkdir(exist_ok=True)
        ImageOps.invert(Image.open(file)).save(root / file.parent.name / f"dark_{file.name}")
    return root


def fit(photos, dark, out, method="coral", labels=None, **values):
    given = {} if labels is None else {"target_labels": str(labels)}
    sets = ["backbone.image_size=32", *values.pop("sets", ())]
    return api.fit(
        Spec.make(str(photos), backbone="graft-mini", method=method, out=str(out), target=str(dark), sets=sets, **given), **values
    )


def told(run):
    return json.loads((run.folder / "target.json").read_text())


def journal(run):
    return [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def scored(photos, dark, tmp_path_factory):
    return fit(photos, dark, tmp_path_factory.mktemp("domains") / "scored", labels=dark)


@pytest.fixture(scope="module")
def bare(photos, dark, tmp_path_factory):
    return fit(photos, dark, tmp_path_factory.mktemp("domains") / "bare")


def test_the_score_is_the_share_of_rows_that_are_right(scored):
    found, rows = told(scored), pq.read_table(scored.folder / "target_predictions.parquet").to_pylist()
    right = sum(row["label"] == row["predicted"] for row in rows) / len(rows)
    models = {row["name"]: row for row in found["models"]}
    assert len(rows) == 36 == found["labelled"] == found["rows"]
    assert models["shipped"]["value"] == pytest.approx(right) == found["score"]["accuracy"]["value"]
    assert found["difference"]["value"] == pytest.approx(right - models["source_only"]["value"])
    low, high = models["shipped"]["interval"]
    assert low <= right <= high and found["oracle"]["value"] == max(row["value"] for row in found["models"])
    assert all(row["label"] == row["path"].split("/")[-2] for row in rows)
    assert found["counts"]["labelled"] == {name: 12 for name in CLASSES}
    assert sum(found["counts"]["predicted"].values()) == 36 and "once" in found["opened"]


def test_scores_json_has_it_in_short_and_the_source_as_before(scored):
    found, small = told(scored), scored.scores["target_domain"]
    assert small["accuracy"]["value"] == found["score"]["accuracy"]["value"] and small["difference"] == found["difference"]
    assert small["source_only"]["value"] == next(row["value"] for row in found["models"] if row["name"] == "source_only")
    assert small["verdict"] == found["verdict"]["kind"] and scored.scores["target"] == "class"
    checked = json.loads((scored.folder / "check.json").read_text())["findings"]
    assert "duplicates_across_splits" not in {one["kind"] for one in checked}  # rows that select and are scored are one table


def test_the_labels_are_opened_once_after_everything_was_chosen(scored):
    events = journal(scored)
    opened = [i for i, row in enumerate(events) if row["event"] == "opened" and row["split"] == "target"]
    chosen = [i for i, row in enumerate(events) if row["event"] in ("phase", "kept", "solved", "temperature", "decision")]
    assert len(opened) == 1 and max(chosen) < opened[0]
    assert [row["kind"] for row in events if row["event"] == "target"] == [told(scored)["verdict"]["kind"]]


def test_labels_of_the_target_change_no_bit_of_the_model(photos, dark, scored, bare, tmp_path):
    """Nor do wrong ones: what learns cannot have seen them."""
    names = sorted(file.name for file in dark.rglob("*.png"))
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("path,label\n" + "".join(f"{next(dark.rglob(name))},{CLASSES[i % 3]}\n" for i, name in enumerate(names)))
    other = fit(photos, dark, tmp_path / "wrong", labels=wrong)
    weights = [(run.model / "weights.safetensors").read_bytes() for run in (scored, bare, other)]
    assert weights[0] == weights[1] == weights[2]
    assert told(other)["score"]["accuracy"]["value"] != told(scored)["score"]["accuracy"]["value"]


def test_without_labels_nothing_is_scored_and_the_lists_are_written(bare):
    found, rows = told(bare), pq.read_table(bare.folder / "target_predictions.parquet").to_pylist()
    assert found["labelled"] == 0 and found["verdict"]["kind"] == "unknown" and "score" not in found
    assert all(row["label"] is None for row in rows) and all(row["value"] is None for row in found["models"])
    assert not any(row["event"] == "opened" and row["split"] == "target" for row in journal(bare))
    lists = {name: list(csv.DictReader((bare.folder / name).open())) for name in found["to_label"]}
    assert {name: len(some) for name, some in lists.items()} == found["to_label"] == {"score_these.csv": 36, "label_these.csv": 20}
    lead = {row["path"]: np.diff(np.sort(row["probabilities"])[-2:])[0] for row in rows}
    listed = [lead[row["path"]] for row in lists["label_these.csv"]]
    assert max(listed) <= min(value for path, value in lead.items() if path not in {row["path"] for row in lists["label_these.csv"]})
    assert all(row["label"] == "" and row["predicted"] in CLASSES for row in lists["label_these.csv"])


def test_a_list_that_was_filled_in_is_read_back(photos, dark, bare, tmp_path):
    file, filled = bare.folder / "score_these.csv", tmp_path / "filled.csv"
    rows = list(csv.DictReader(file.open()))
    with filled.open("w", newline="") as out:
        sheet = csv.DictWriter(out, rows[0])
        sheet.writeheader()
        sheet.writerows(row | {"label": row["path"].split("/")[-2] if i < 30 else ""} for i, row in enumerate(rows))
    found = told(fit(photos, dark, tmp_path / "run", labels=filled))
    assert found["labelled"] == 30 and found["to_label"] == {"score_these.csv": 6, "label_these.csv": 6}


def test_what_does_not_adapt_is_scored_and_has_nothing_to_be_compared_with(photos, dark, tmp_path):
    found = told(fit(photos, dark, tmp_path / "run", "extract", labels=dark))
    assert [row["name"] for row in found["models"]] == ["shipped"] and not found["adapts"]
    assert found["verdict"]["kind"] == "plain" and "Nothing was adapted" in found["verdict"]["text"]


def test_a_fit_that_was_stopped_opens_the_labels_no_second_time(photos, dark, scored, tmp_path):
    def stop(event):
        if event["event"] == "target":
            raise KeyboardInterrupt

    with pytest.raises(api.Stopped):
        fit(photos, dark, tmp_path / "run", labels=dark, on_event=stop)
    run = api.resume(tmp_path / "run")
    opened = [row for row in journal(run) if row["event"] == "opened" and row["split"] == "target"]
    assert len(opened) == 1 and told(run)["models"] == told(scored)["models"]


def test_a_number_has_a_difference_in_its_own_unit(photos, dark, tmp_path):
    lines = [f"{file},{i % 7 + 0.5}" for i, file in enumerate(sorted(photos.rglob("*.png")))]
    (tmp_path / "data.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{file},3.5\n" for file in sorted(dark.rglob("*.png"))[:9]))
    run = fit(tmp_path / "data.csv", dark, tmp_path / "run", "extract", labels=tmp_path / "labels.csv")
    found, rows = told(run), pq.read_table(run.folder / "target_predictions.parquet").to_pylist()
    errors = [abs(row["predicted"] - row["label"]) for row in rows if row["label"] is not None]
    assert found["labelled"] == 9 and found["score"]["mae"]["value"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert found["to_label"] == {"score_these.csv": 27} and found["counts"] == {}


def test_what_the_method_wrote_down_is_found(tmp_path):
    table = {"source_only": {"information": 0.7}, "coral": {"information": 0.8}}
    rows = [
        {"event": "solved", "run": "final", "phase": "source_only", "chosen": {"C": 1.0}},
        {
            "event": "solved",
            "run": "final",
            "phase": "shares coral",
            "chosen": {"trusted": [12, 24], "rule": "shares", "changed": 3, "C": 1},
        },
        {
            "event": "solved",
            "run": "final",
            "phase": "chosen: coral",
            "chosen": {"candidates": table, "chosen": "coral", "why": "it leads"},
        },
        {"event": "solved", "run": "fold1", "phase": "head", "chosen": {"candidates": {}, "chosen": "x"}},
        {"event": "epoch"},
    ]
    (tmp_path / "journal.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert domains.by_method(tmp_path) == {"candidates": table, "chosen": "coral", "why": "it leads"}
    assert domains.rounds(tmp_path) == [{"phase": "shares coral", "rule": "shares", "trusted": [12, 24], "changed": 3}]
    assert domains.by_method(tmp_path / "none") == {} and domains.rounds(tmp_path / "none") == []


def test_every_candidate_of_a_choice_stands_beside_what_was_chosen(photos, dark, tmp_path):
    run = fit(photos, dark, tmp_path / "run", "uda", dark, sets=["method.candidates=coral,mixture source_only"])
    found = told(run)
    names = [row["name"] for row in found["models"]]
    assert names[:2] == ["shipped", "source_only"] and set(names[2:]) == {"coral", "mixture source_only"}
    models = {row["name"]: row for row in found["models"]}
    assert found["chosen"] in (*names[2:], "source_only") and models[found["chosen"]]["value"] == models["shipped"]["value"]
    assert models[found["chosen"]]["agreement"] == 1.0 and models["coral"]["told"]["information"] > 0
    assert models["source_only"]["difference"] is None and models["coral"]["difference"]["less"] == "source_only"
    assert [row["right"] for row in found["rounds"]] == [models["mixture source_only"]["value"]]
