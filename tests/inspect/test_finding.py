"""A finding as a value."""

import json

import pytest

from graft.inspect.finding import Finding, noun, ordered


def make(level, kind="k"):
    return Finding(kind, level, 2, "Two.", "Bad.", "Mend.", ("a", "b"), ({"files": ["a", "b"]},), {"x": 1.0})


def test_it_is_json():
    row = json.loads(json.dumps(make("note").as_dict()))
    assert row["files"] == ["a", "b"] and row["examples"] == [{"files": ["a", "b"]}] and row["count"] == 2


def test_what_samples_are_called():
    assert [noun(modality) for modality in ("text", "image", "")] == ["texts", "images", "images"]


def test_problems_come_first_and_order_stays():
    found = ordered([make("note", "1"), make("problem", "2"), make("warning", "3"), make("problem", "4")])
    assert [one.kind for one in found] == ["2", "4", "3", "1"]


def test_a_level_that_is_none():
    with pytest.raises(ValueError, match="severe"):
        make("severe")
