"""Rows without labels, from whatever holds them, and the labels that are opened at the end."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.readers.folders import image, tree

from graft.core import Schema
from graft.errors import DataError, OptionError
from graft.readers.unlabelled import Options, apart, labels, read, read_texts, rows
from graft.testing import check_reader

IMAGES, TEXTS = Schema("image", "class", ("cat", "dog")), Schema("text", "class", ("bad", "good"), input="text")


def names(table) -> list[str]:
    return [os.path.basename(path) for path in table["path"].to_pylist()]


def fails(error, call, *words):
    with pytest.raises(error) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


@pytest.fixture
def photos(tmp_path):
    """art/cat and art/dog with two images each, one image beside them, and what is passed over."""
    root = tree(tmp_path / "art", {"cat": 2, "dog/deep": 2, ".hidden": 1, "__MACOSX": 1})
    image(root / "loose.png", seed=9)
    (root / "notes.md").write_text("x")
    return root


def test_every_image_below_a_folder_whatever_its_folders_are_called(photos):
    table, notes = rows(str(photos), IMAGES)
    assert table.column_names == ["path"] and table["path"].type == pa.string()
    assert [os.path.relpath(path, photos) for path in table["path"].to_pylist()] == [
        "cat/000.png", "cat/001.png", "dog/deep/000.png", "dog/deep/001.png", "loose.png",
    ]  # fmt: skip
    said = {note.text: note.level for note in notes}
    assert len(said) == 2 and set(said.values()) == {"info"} and any("hidden" in text for text in said)


def test_one_image_a_list_and_tables(photos, tmp_path):
    one = str(photos / "cat" / "000.png")
    assert rows(one, IMAGES)[0]["path"].to_pylist() == [one]
    (tmp_path / "list.txt").write_text("art/cat/000.png\n\n art/loose.png \nart/cat/000.png\n")
    (tmp_path / "t.csv").write_text("label,file\nart,art/cat/000.png\nart,art\\loose.png\n")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"picture": f"art/{name}"}) + "\n" for name in ("cat/000.png", "loose.png")))
    pq.write_table(pa.table({"path": [one, str(photos / "loose.png")]}), tmp_path / "t.parquet")
    for name in ("list.txt", "t.csv", "t.jsonl", "t.parquet"):
        table, notes = rows(str(tmp_path / name), IMAGES)
        assert table["path"].to_pylist() == [one, str(photos / "loose.png")], name
        assert [note.files for note in notes] == ([(one,)] if name == "list.txt" else [])
    assert len(rows(str(tmp_path / "t.csv"), IMAGES, Options(column="file"))[0]) == 2
    fails(OptionError, lambda: rows(str(tmp_path / "t.csv"), IMAGES, Options(column="fil")), "Did you mean 'file'")


def test_what_cannot_be_read_as_images(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("A text.")
    (tmp_path / "texts" / "list.txt").write_text("no/such.png\n")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.wav").write_text("x")
    fails(DataError, lambda: rows(str(tmp_path / "none"), IMAGES), "does not exist")
    fails(DataError, lambda: rows(str(tmp_path / "empty"), IMAGES), "is empty", "give a folder that holds images")
    fails(DataError, lambda: rows(str(tmp_path / "texts"), IMAGES), "holds texts and no images", "the data are images")
    fails(DataError, lambda: rows(str(tmp_path / "texts" / "list.txt"), IMAGES), "1 of 1 files", "'no/such.png'")
    fails(DataError, lambda: rows(str(tmp_path / "table"), IMAGES), "give '", "t.csv'")
    fails(DataError, lambda: rows(str(tmp_path / "table" / "t.csv"), IMAGES), "no column of image files", "call it 'path'")
    fails(DataError, lambda: rows(str(tmp_path / "x.wav"), IMAGES), "no known kind")


def test_texts_from_a_table_a_file_and_a_folder(tmp_path):
    (tmp_path / "t.csv").write_text("label,review\ngood, So good. \nbad,So bad.\n" + "good,Fine.\n" * 18 + "bad,\n")
    (tmp_path / "t.txt").write_text("One two.\n\nThree.\n")
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "folder" / "in" / "a.txt").write_text("A text\nof two lines.\n")
    table, notes = rows(str(tmp_path / "t.csv"), TEXTS)
    assert table.column_names == ["path", "text"] and table.slice(0, 2).to_pylist() == [
        {"path": "t.csv:2", "text": "So good."}, {"path": "t.csv:3", "text": "So bad."},
    ]  # fmt: skip
    assert len(table) == 20 and [note.files for note in notes] == [("t.csv:22",)]
    assert rows(str(tmp_path / "t.txt"), TEXTS)[0].to_pylist() == [
        {"path": "t.txt:1", "text": "One two."},
        {"path": "t.txt:3", "text": "Three."},
    ]
    (one,) = rows(str(tmp_path / "folder"), TEXTS)[0].to_pylist()
    assert one == {"path": str(tmp_path / "folder" / "in" / "a.txt"), "text": "A text\nof two lines."}
    tags, _ = rows(str(tmp_path / "t.txt"), Schema("text", "tags", ("O",), input="text"))
    assert tags["text"].type == pa.list_(pa.string()) and tags["text"].to_pylist() == [["One", "two."], ["Three."]]


def test_what_cannot_be_read_as_texts(photos, tmp_path):
    (tmp_path / "e.txt").write_text("\n \n")
    (tmp_path / "half.csv").write_text('text\na\n""\n')
    (tmp_path / "two.csv").write_text("a,b\n1,2\n")
    fails(DataError, lambda: rows(str(photos), TEXTS), "holds images and no texts", "the data are texts")
    fails(DataError, lambda: rows(str(photos / "loose.png"), TEXTS), "an image", "the data are texts")
    fails(DataError, lambda: rows(str(tmp_path / "e.txt"), TEXTS), "empty")
    fails(DataError, lambda: rows(str(tmp_path / "two.csv"), TEXTS), "call it 'text'")
    fails(OptionError, lambda: rows(str(photos), Schema("text", "spans", input="text")), "leave --target and --unlabelled out")


def test_rows_that_are_also_scored_can_be_kept_apart(photos):
    table, _ = rows(str(photos), IMAGES)
    kept = apart(table, [table.slice(0, 2), None, table.slice(4)])
    assert kept.equals(table.slice(2, 2))
    copy = photos / "copy.png"
    copy.write_bytes(Path(table["path"][0].as_py()).read_bytes())
    copies = pa.table({"path": [str(copy), str(photos / "gone.png")]})
    assert names(apart(copies, [table])) == ["gone.png"] and len(apart(copies, [copies.slice(1)])) == 1
    texts = pa.table({"path": ["a:1", "a:2"], "text": ["one", "two"]})
    assert apart(texts, [pa.table({"path": ["b:7"], "text": ["two"]})])["text"].to_pylist() == ["one"]


def test_the_readers_of_data_without_labels(photos, tmp_path):
    check_reader(read, str(photos))
    data = read(str(photos), Options())
    assert (data.schema, data.source, len(data.train)) == (Schema("image", "none"), str(photos), 5)
    before = data.fingerprint
    image(photos / "cat" / "000.png", seed=77)
    assert read(str(photos), Options()).fingerprint != before
    (tmp_path / "t.csv").write_text("text,label\nSo good.,1\nSo bad.,0\n")
    check_reader(read_texts, str(tmp_path / "t.csv"), Options())
    assert set(read_texts(str(tmp_path / "t.csv"), Options()).train["label"].to_pylist()) == {""}


def test_splits_that_would_learn_are_told(tmp_path):
    data = read(str(tree(tmp_path / "p", {"train/cat": 2, "val/cat": 1})), Options())
    assert len(data.train) == 3 and [note.level for note in data.notes] == ["warning"] and "p/train'" in data.notes[0].text
    assert not read(str(tmp_path / "p" / "train"), Options()).notes


def test_labels_are_the_class_folders_of_the_target_itself(photos):
    table, _ = rows(str(photos), IMAGES)
    found = labels(str(photos), table, IMAGES)
    assert found.select(["path"]).equals(table) and found["label"].to_pylist() == ["cat", "cat", "dog", "dog", None]
    assert found["label"].null_count == 1 and found["label"].type == pa.string()
    # Rows may stand in another order, and the folder may be one above; then the loose image lies in one that is no class.
    assert labels(str(photos.parent), table.take(pa.array([2, 0])), IMAGES)["label"].to_pylist() == ["dog", "cat"]
    fails(DataError, lambda: labels(str(photos.parent), table, IMAGES), "loose.png", "'art'", "no class of the data")


def test_labels_of_copies_are_found_by_the_names_of_files(tmp_path):
    flat = tmp_path / "flat"
    for i in range(3):
        image(flat / f"{i}.png", seed=i), image(tmp_path / "sorted" / ("cat" if i else "dog") / f"{i}.png", seed=i)
    table, _ = rows(str(flat), IMAGES)
    assert labels(str(tmp_path / "sorted"), table, IMAGES)["label"].to_pylist() == ["dog", "cat", "cat"]


def test_labels_from_a_table_of_paths(photos, tmp_path):
    table, _ = rows(str(photos), IMAGES)
    (photos / "own.csv").write_text("path,label\ncat/000.png,dog\ndog/deep/001.png, cat \nloose.png,\n")
    (tmp_path / "far" / "x").mkdir(parents=True)
    (tmp_path / "far" / "x" / "own.csv").write_text((photos / "own.csv").read_text())
    for file in (photos / "own.csv", tmp_path / "far" / "x" / "own.csv"):
        found = labels(str(file), table, IMAGES)
        assert found["label"].to_pylist() == ["dog", None, None, "cat", None]
    number = Schema("image", "number")
    (tmp_path / "n.csv").write_text("path,label\nart/cat/000.png,2.5\n")
    assert labels(str(tmp_path / "n.csv"), table, number)["label"].to_pylist() == [2.5, None, None, None, None]
    several = Schema("image", "labels", ("a", "b"))
    (tmp_path / "s.csv").write_text("path,label\nart/cat/000.png,a|b\nart/cat/001.png,b|a\nart/loose.png,b\n")
    assert labels(str(tmp_path / "s.csv"), table, several)["label"].to_pylist() == [["a", "b"], ["a", "b"], None, None, ["b"]]


def test_labels_of_texts_by_their_line_or_by_themselves(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nSo good.,good\nSo bad.,bad\nNo idea.,\n")
    (tmp_path / "given.csv").write_text("review,sentiment\nSo  bad.,bad\n")
    table, _ = rows(str(tmp_path / "t.csv"), TEXTS)
    assert labels(str(tmp_path / "t.csv"), table, TEXTS)["label"].to_pylist() == ["good", "bad", None]
    assert labels(str(tmp_path / "given.csv"), table, TEXTS)["label"].to_pylist() == [None, "bad", None]


def test_labels_that_do_not_fit(photos, tmp_path):
    table, _ = rows(str(photos), IMAGES)
    (photos / "a.csv").write_text("path,label\ncat/000.png,dgo\n")
    (photos / "b.csv").write_text("path,label\nelse/000.jpg,dog\n")
    (photos / "c.csv").write_text("path,label\ncat/000.png,dog\ncat/000.png,cat\n")
    (photos / "d.csv").write_text("path,one,two\ncat/000.png,dog,cat\n")
    fails(DataError, lambda: labels(str(photos / "a.csv"), table, IMAGES), "'dgo'", "Did you mean 'dog'")
    fails(DataError, lambda: labels(str(photos / "b.csv"), table, IMAGES), "none of the 5 rows")
    fails(DataError, lambda: labels(str(photos / "c.csv"), table, IMAGES), "two labels", "000.png")
    fails(DataError, lambda: labels(str(photos / "d.csv"), table, IMAGES), "call it 'label'")
    fails(DataError, lambda: labels(str(photos), table, Schema("image", "class", ("cat", "hound"))), "'deep'", "no class of the data")
    fails(DataError, lambda: labels(str(photos), table, Schema("image", "number")), "a folder", "give a table")
    fails(OptionError, lambda: labels(str(photos), table, Schema("image", "none")), "leave --target-labels out")
