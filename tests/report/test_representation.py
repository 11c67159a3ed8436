"""What a page says of a run without labels."""

import json

import pytest
from tests.report.pages import Page

from graft.report.page import render
from graft.report.record import Record
from graft.report.representation import change, representation

SCORES = {
    "primary": "effective_rank", "higher_is_better": True, "scored": "val", "scored_as": "rows that were set aside", "target": "none",
    "val": {"effective_rank": {"value": 31.24, "interval": None}, "spread": {"value": 0.66, "interval": None}},
    "before": {"effective_rank": 12.06, "spread": 0.41}, "collapse": None, "n": {"train": 900, "val": 100}, "method": "simclr",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def made(**changed):
        scores = {name: value for name, value in {**SCORES, **changed}.items() if value != "absent"}
        run = tmp_path / "birds-simclr"
        run.mkdir(exist_ok=True)
        (run / "scores.json").write_text(json.dumps(scores))
        plan = {"select": "a tenth, set aside to watch for collapse", "score": "rows that were set aside", "reason": "900 rows learn."}
        data = {"schema": {"modality": "image", "target": "none"}, "counts": {"train": {"rows": 900}, "val": {"rows": 100}}, "plan": plan}
        (run / "data.json").write_text(json.dumps(data))
        epochs = [{"event": "epoch", "run": "final", "phase": "simclr", "epoch": i, "train_loss": 5.0 / i, "select": {}} for i in (1, 2, 3)]
        rows = [*epochs, {"event": "kept", "run": "final", "phase": "simclr", "epoch": 3, "select": {}}, {"event": "done", "seconds": 60}]
        (run / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return run

    return made


def test_before_and_after(folder):
    found = representation(Record(folder()))
    assert [(row["name"], row["before"], row["after"]) for row in found["rows"]] == [
        ("Effective rank", "12.06", "31.240"), ("Spread", "0.410", "0.660"),
    ] or [(row["before"][:2], row["after"][:2]) for row in found["rows"]] == [("12", "31"), ("0.", "0.")]  # fmt: skip
    assert "100 images" in found["rows"][0]["said"] and found["collapse"] == "" and found["known"]
    assert found["go_on"] == "graft fit LABELLED --backbone run:birds-simclr"
    assert change(Record(folder())).startswith("12") and " → 31" in change(Record(folder()))


def test_the_page_says_what_was_learnt_and_has_no_empty_part(folder):
    page = Page(render(folder()))
    assert page.ids == ["representation", "learning", "data"]
    assert "Effective rank 12" in page.text and "→ 31" in page.text and "rows that were set aside" in page.text
    assert "No collapse" in page.text and "Training loss" in page.text and "watched" in page.text
    assert "95 % interval" not in page.text and "selecting rows" not in page.text and "Could not be read" not in page.text


def test_a_collapse_is_told_and_one_that_is_not_known_is_not_denied(folder):
    assert "Collapsed: The features are <one>." in Page(render(folder(collapse="The features are <one>."))).text
    text = Page(render(folder(collapse="absent"))).text
    assert "Collapsed" not in text and "No collapse" not in text


def test_of_runs_with_labels_and_of_broken_files_nothing_is_said(folder):
    run = folder(before="absent", n="absent")
    assert all(row["before"] == "–" for row in representation(Record(run))["rows"]) and "→" not in change(Record(run))
    assert representation(Record(folder(val=None))) is None and representation(Record(folder(val={"effective_rank": {}}))) is None
    run = folder()
    (run / "data.json").write_text("{}")
    assert representation(Record(run)) is None and change(Record(run)) == ""
