"""The part of a run's page about the domain that counts, from made-up files."""

import copy
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.report import folders, samples
from tests.report.pages import Page, outside

from graft.report.page import render
from graft.report.record import Record
from graft.report.target import target

GAP = {"of": "shipped", "less": "source_only", "value": 0.15, "interval": [0.05, 0.25], "p": 0.002, "test": "McNemar, exact"}
TARGET = {
    "source": "/data/photos", "target": "/data/sketches", "modality": "image", "kind": "class", "method": "uda", "metric": "accuracy",
    "higher_is_better": True, "rows": 40, "labelled": 40, "adapts": True, "changed": 0.3, "chosen": "coral",
    "why": "it has the largest nuclear norm", "opened": "The labels of the target were opened once, after everything was chosen.",
    "label_free": {"confidence": 0.8, "information": 0.5}, "rounds": [{"round": "pseudo 1", "trusted": 12, "right": 0.75}],
    "counts": {"source": {"ants": 20, "bees": 60}, "predicted": {"ants": 30, "bees": 10}, "labelled": {"ants": 20, "bees": 20}},
    "models": [
        {"name": "shipped", "what": "method uda, what is in model/", "agreement": 1.0, "label_free": {"information": 0.5}, "told": {},
         "value": 0.75, "interval": [0.6, 0.86], "difference": GAP},
        {"name": "source_only", "what": "nothing was adapted", "agreement": 0.7, "label_free": {"information": 0.3}, "told": {},
         "value": 0.6, "interval": [0.45, 0.74], "difference": None},
        {"name": "coral", "what": "", "agreement": 1.0, "label_free": {"information": 0.5}, "told": {"nuclear": 0.8}, "value": 0.75,
         "interval": [0.6, 0.86], "difference": GAP | {"of": "coral"}},
        {"name": "mcc", "what": "", "agreement": 0.9, "label_free": {"information": 0.6}, "told": {"nuclear": 0.7}, "value": 0.8,
         "interval": [0.65, 0.9], "difference": GAP | {"of": "mcc", "value": 0.2}},
    ],
    "score": {"accuracy": {"value": 0.75, "interval": [0.6, 0.86]}}, "difference": GAP,
    "oracle": {"name": "mcc", "value": 0.8, "difference": GAP | {"of": "mcc", "less": "shipped", "value": 0.05, "interval": [-0.02, 0.12]}},
    "verdict": {"kind": "helped", "text": "Adaptation helped: accuracy 0.750 on the target against 0.600 of source-only.",
                "advice": "Label more of it."},
    "to_label": {"score_these.csv": 4, "label_these.csv": 3},
}  # fmt: skip


def put(folder, content=TARGET, labels=True, texts=False, images=True):
    """target.json and 40 predictions, of which the doubtful ones come last; images beside where they are wanted."""
    samples.put(folder, "target.json", content)
    rng, paths = np.random.default_rng(0), [str(folder.parent / f"sketch_{i:02d}.png") for i in range(40)]
    for path in paths if images else ():
        Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(path)
    true, said = ["ants"] * 20 + ["bees"] * 20, ["ants"] * 30 + ["bees"] * 10
    table = {"path": paths, "label": pa.array(true if labels else [None] * 40, pa.string()), "predicted": said}
    table |= {"probability": np.linspace(0.99, 0.5, 40), "probabilities": [[0.5, 0.5]] * 40}
    table |= {"text": [f"text number {i}" for i in range(40)]} if texts else {}
    pq.write_table(pa.table(table), folder / "target_predictions.parquet")
    return folder


@pytest.fixture
def run(tmp_path):
    return put(folders.classification(tmp_path / "run", ["ants", "bees"], n=40))


def test_the_target_is_the_headline_and_the_source_comes_second(run):
    html = render(run)
    page = Page(html)
    assert page.ids[0] == "target" and outside(html) == [] and "Could not be read" not in page.text
    head = page.text[: page.text.index("Decided for you")]
    assert "Accuracy 0.750 [0.60, 0.86] on the target" in head and "40 images whose labels chose nothing" in head
    assert head.index("on the target") < head.index("On the source: accuracy") < head.index("Adaptation helped")
    for words in (
        "On the target sketches",
        "opened once",
        "What to do next: Label more of it.",
        "score_these.csv (4 images, drawn at random",
    ):
        assert words in page.text, words


def test_candidates_stand_with_scores_agreement_and_what_chose(run):
    text = Page(render(run)).text
    for words in (
        "This model", "Source only", "coral", "chosen by the method, without labels", "best by the labels, which chose nothing", "70 %",
        "0.60 [0.45, 0.74]".replace("0.60 ", "0.600 "), "+0.150 [+0.05, +0.25]", "Why coral was chosen: it has the largest nuclear norm",
        "By the labels, mcc comes out best: +0.050 [−0.02, +0.12] beside this model", "Information", "pseudo 1", "0.750",
    ):  # fmt: skip
        assert words in text, words


def test_probabilities_that_are_not_borne_out_are_said(run):
    assert "too sure of itself there" not in Page(render(run)).text  # 0.80 stated, 0.75 right
    samples.put(run, "target.json", TARGET | {"label_free": {"confidence": 0.97}})
    assert "states a probability of 0.970 on average and is right in 0.750 of cases: it is too sure" in Page(render(run)).text


def test_the_numbers_are_those_of_the_predictions(run):
    """Of 20 ants all were taken for ants, of 20 bees 10: against a slow count."""
    found = target(Record(run))
    assert (found["mistakes"]["wrong"], found["mistakes"]["n"]) == (10, 40)
    assert found["mistakes"]["pairs"] == [{"true": "bees", "predicted": "ants", "n": 10, "share": 0.5}]
    ants = next(row for row in found["classes"]["rows"] if row["name"] == "ants")
    assert [cell["share"] for cell in ants["cells"]] == [20 / 80, 30 / 40, 20 / 40]
    doubtful = [shot["name"] for shot in found["doubtful"]]
    assert doubtful == [f"sketch_{i:02d}.png" for i in range(39, 21, -1)] and all(shot["image"] for shot in found["doubtful"])


def test_without_labels_there_is_no_score_and_no_matrix(tmp_path):
    folder = folders.classification(tmp_path / "run", ["ants", "bees"], n=40)
    content = {key: value for key, value in TARGET.items() if key not in ("score", "difference", "oracle")}
    content |= {"labelled": 0, "verdict": {"kind": "unknown", "text": "The target has no labels.", "advice": "Fill in score_these.csv."}}
    content["counts"] = {key: TARGET["counts"][key] for key in ("source", "predicted")}
    content["models"] = [row | {"value": None, "interval": None, "difference": None} for row in TARGET["models"]]
    page = Page(render(put(folder, content, labels=False)))
    assert "Not scored on the target whose 40 images have no labels" in page.text and "On the source: accuracy" in page.text
    assert (
        "Where it is wrong there" not in page.text
        and "best by the labels" not in page.text
        and "Least certain there predicted" in page.text
    )
    assert "Accuracy with its" not in page.text and "Agrees withthis model" in page.text


def test_texts_are_quoted_and_missing_images_left_out(tmp_path):
    folder = folders.classification(tmp_path / "run", ["ants", "bees"], n=40)
    page = Page(render(put(folder, texts=True, images=False)))
    assert "text number 39" in page.text and "text number 3 " not in page.text
    assert target(Record(put(folder, images=False)))["doubtful"] == [] or not (tmp_path / "sketch_00.png").exists()


@pytest.mark.parametrize("absent", sorted(TARGET))
def test_any_key_may_be_absent(run, absent):
    samples.put(run, "target.json", {key: value for key, value in TARGET.items() if key != absent})
    page = Page(render(run))
    assert "target" in page.ids and "Could not be read" not in page.text


@pytest.mark.parametrize("kind", ["helped", "none", "negative", "plain", "unknown"])
def test_each_verdict_has_a_word_and_a_mark(run, kind):
    samples.put(run, "target.json", TARGET | {"verdict": {"kind": kind, "text": "It is so.", "advice": ""}})
    found = target(Record(run))["verdict"]
    html = render(run)
    assert f'class="verdict {found["style"]}"' in html and found["word"] in html and found["mark"] in html


def test_names_are_escaped(run):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    content = copy.deepcopy(TARGET)
    content |= {"why": evil, "chosen": evil, "target": evil, "opened": evil, "counts": {"predicted": {evil: 3}}, "to_label": {evil: 1}}
    content["models"][2]["name"] = content["models"][1]["what"] = content["verdict"]["text"] = content["verdict"]["advice"] = evil
    samples.put(run, "target.json", content)
    html = render(run)
    assert outside(html) == [] and "alert(1)" in Page(html).text


def test_a_run_without_a_target_looks_as_before(tmp_path):
    folder = folders.classification(tmp_path / "run", ["ants", "bees"], n=40)
    before = render(folder)
    assert "target" not in Page(before).ids and "On the source" not in before
    for content in ("", "{}", "null", "[1]"):
        (folder / "target.json").write_text(content)
        assert "target" not in Page(render(folder)).ids


def test_the_same_folder_gives_the_same_bytes(run):
    assert render(run) == render(run)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*TARGET, "value", "name", "kind"]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=st.dictionaries(st.sampled_from(sorted(TARGET)), JSON, max_size=4))
def test_any_content_still_gives_a_page(run, changes):
    (run / "target.json").write_text(json.dumps(TARGET | changes))
    assert "decided" in Page(render(run)).ids
