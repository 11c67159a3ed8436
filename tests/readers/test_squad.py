import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import DataError
from graft.readers import split
from graft.readers.squad import NEAR, Options, place, read

CONTEXT = "Bonn was the capital. Now Berlin is the capital."


def question(text="Which?", answers=(("Berlin", 26),), name="q1", **more):
    return {"id": name, "question": text, "answers": [{"text": one, "answer_start": at} for one, at in answers], **more}


def write(path, *paragraphs, raw=None):
    """Each paragraph: (context, questions)."""
    content = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": one, "qas": list(qas)} for one, qas in paragraphs]}]}
    path.write_text(json.dumps(content) if raw is None else raw, encoding="utf-8")
    return str(path)


def fails(path, *words, **options):
    with pytest.raises(DataError) as caught:
        read(path, Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_questions_contexts_and_answers(tmp_path):
    two = question("Was?", [("Bonn", 0), ("the capital", 36), ("Bonn", 0)], "q2")
    data = read(
        write(tmp_path / "a.json", (CONTEXT, [question(), two]), ("Other Berlin", [question(answers=[("Berlin", 6)], name="q3")])),
        Options(),
    )
    assert (data.schema.modality, data.schema.target, data.schema.input, data.schema.classes) == ("text", "spans", "text", ())
    rows = data.train.to_pylist()
    assert [row["path"] for row in rows] == ["q1", "q2", "q3"] and [row["text"] for row in rows] == ["Which?", "Was?", "Which?"]
    assert rows[1]["label"] == ["Bonn", "the capital"] and rows[1]["starts"] == [0, 36] and rows[1]["context"] == CONTEXT
    assert rows[0]["group"] == rows[1]["group"] != rows[2]["group"] and data.notes == ()


def test_impossible_questions_have_no_answer(tmp_path):
    none = question("Why?", [], "q2", is_impossible=True, plausible_answers=[{"text": "Bonn", "answer_start": 0}])
    data = read(write(tmp_path / "a.json", (CONTEXT, [question(), none])), Options())
    assert data.train["label"].to_pylist() == [["Berlin"], []] and data.train["starts"].to_pylist() == [[26], []]
    fails(write(tmp_path / "b.json", (CONTEXT, [none])), "No question", "has an answer")


def test_ids_are_made_unique_and_are_never_empty(tmp_path):
    path = write(tmp_path / "a.json", (CONTEXT, [question(), question(), question(name=""), question(name=None), question(name=7)]))
    assert read(path, Options()).train["path"].to_pylist() == ["q1", "q1#2", "a.json:3", "a.json:4", "7"]


def test_wrong_offsets_are_mended_where_it_is_clear(tmp_path):
    many = [question(name=f"g{i}") for i in range(40)]
    moved = question(answers=[("Berlin", 3)], name="once")
    near = question(answers=[("the capital", 38)], name="near")
    lost = question(answers=[("capital city", 5)], name="lost")
    half = question(answers=[("Berlin", 26), ("Paris", 26)], name="half")
    data = read(write(tmp_path / "a.json", (CONTEXT, [*many, moved, near, lost, half])), Options())
    rows = {row["path"]: (row["label"], row["starts"]) for row in data.train.to_pylist()}
    assert rows["once"] == (["Berlin"], [26]) and rows["near"] == (["the capital"], [36]) and rows["half"] == (["Berlin"], [26])
    assert "lost" not in rows and [(note.level, note.files) for note in data.notes] == [
        ("warning", ("once", "near", "half")), ("warning", ("lost",)),
    ]  # fmt: skip
    assert all("'" + note.files[0] + "'" in note.text for note in data.notes)
    fails(write(tmp_path / "b.json", (CONTEXT, [question(), lost])), "1 of 2 questions", "'lost'", "bad_share")
    assert len(read(str(tmp_path / "b.json"), Options(bad_share=0.5)).train) == 1


@settings(deadline=None)
@given(st.text("ab ", max_size=60), st.text("ab ", min_size=1, max_size=4), st.integers(-5, 70))
def test_an_answer_is_placed_as_by_trying_every_offset(context, text, start):
    found, at = place(context, text, start)
    for one in (text, text.strip()):
        places = [i for i in range(len(context) + 1) if context[i : i + len(one)] == one]
        near = [i for i in places if abs(i - start) <= NEAR]
        expected = start if start in places else places[0] if len(places) == 1 else near[0] if len(near) == 1 else None
        if expected is not None:
            break
    assert at == expected and (at is None or context[at : at + len(found)] == found)


def test_rows_that_cannot_be_used_are_dropped(tmp_path):
    many = [question(name=f"g{i}") for i in range(60)]
    odd = [
        question("  ", name="blank"),
        question(None, name="null"),
        question("a\ud800", name="half"),
        question(name="both", is_impossible=True),
    ]
    data = read(write(tmp_path / "a.json", (CONTEXT, [*many, *odd])), Options(bad_share=0.1))
    assert data.notes[0].files == ("blank", "null", "half", "both") and len(data.train) == 60


def test_splits_and_a_test_without_answers(tmp_path):
    for name in ("train", "dev"):
        write(tmp_path / f"{name}.json", (f"{CONTEXT} {name}", [question(name=name)]))
    write(tmp_path / "test.json", (CONTEXT, [question(answers=[], name="t")]))
    data = read(str(tmp_path), Options())
    assert data.train["path"].to_pylist() == ["train"] and data.val["path"].to_pylist() == ["dev"] and data.test is None
    assert data.notes[0].level == "warning" and "test.json" in data.notes[0].text


def test_files_of_another_shape_are_refused(tmp_path):
    fails(write(tmp_path / "a.json", raw="{"), "is not JSON", "paragraphs")
    fails(write(tmp_path / "a.json", raw="[1]"), "is not a SQuAD file", "nested")
    fails(write(tmp_path / "a.json", raw='{"data": [{"paragraphs": [{"qas": []}]}]}'), "'context' is missing")
    fails(write(tmp_path / "a.json", raw='{"data": []}'), "has no questions")
    bad = {"id": "x", "question": "?", "answers": [{"text": "Bonn"}]}
    fails(write(tmp_path / "a.json", (CONTEXT, [bad])), "'x'", "without 'text' and 'answer_start'")


def test_paragraphs_never_part(tmp_path):
    paragraphs = [
        (f"{i} {CONTEXT}", [question(answers=[("Bonn", 2 + len(str(i)) - 1)], name=f"{i}-{k}") for k in range(5)]) for i in range(120)
    ]
    data = split.assign(read(write(tmp_path / "a.json", *paragraphs), Options()))
    groups = [set(table["group"].to_pylist()) for table in (data.train, data.val, data.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len(data.train) + len(data.val) + len(data.test) == 600 and abs(len(data.test) - 120) <= 30


@pytest.mark.data
def test_real_questions(data_dir):
    data = read(str(data_dir / "xquad_en"), Options())
    assert (len(data.train), len(data.val)) == (925, 265) and data.notes == ()
    roles = split.assign(data)
    assert not set(roles.train["group"].to_pylist()) & set(roles.val["group"].to_pylist())
