import os

import pytest

from graft.errors import DataError, OptionError
from graft.readers.text_folder import Options, read


def tree(root, counts, text="{folder} {i}"):
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / folder / f"{i}.txt").write_text(text.format(folder=folder, i=i) + "\n", encoding="utf-8")
    return root


def fails(root, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(str(root), Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_class_folders(tmp_path):
    data = read(str(tree(tmp_path / "t", {"a": 3, "b": 2})), Options())
    assert (data.schema.modality, data.schema.target, data.schema.classes, data.schema.input) == ("text", "class", ("a", "b"), "text")
    rows = data.train.to_pylist()
    assert rows[0] == {"path": str(tmp_path / "t" / "a" / "0.txt"), "text": "a 0", "label": "a"} and data.notes == ()
    assert all(os.path.basename(os.path.dirname(row["path"])) == row["label"] for row in rows) and len(rows) == 5


def test_split_folders_and_what_is_passed_over(tmp_path):
    root = tree(tmp_path / "t", {"train/a": 2, "train/b": 2, "dev/a": 1, "test/b": 1, "train/a/.more": 1})
    (root / "train" / "a" / "x.html").write_text("x")
    (root / "train" / "loose.txt").write_text("x")
    data = read(str(root), Options())
    assert [len(table) for table in (data.train, data.val, data.test)] == [4, 1, 1]
    words = " ".join(note.text for note in data.notes)
    assert "not texts by their extension" in words and "texts outside any class folder" in words and "val has no texts of 'b'" in words


def test_empty_files(tmp_path):
    root = tree(tmp_path / "t", {"a": 20, "b": 20})
    (root / "a" / "0.txt").write_text(" \n")
    data = read(str(root), Options())
    assert len(data.train) == 39 and data.notes[0].files == (str(root / "a" / "0.txt"),)
    tree(root, {"b": 20}, text="")
    fails(root, "21 of 40 texts", "are empty", "bad_share")
    fails(root, "Only one class, 'a'", bad_share=0.9)


def test_what_is_wrong_is_named(tmp_path):
    fails(tmp_path / "none", "does not exist")
    fails(tree(tmp_path / "one", {"a": 2}), "Only one class", "TEXTS/sports")
    fails(tree(tmp_path / "loose", {".": 2}), "2 texts but no class folders")
    (tmp_path / "t.csv").write_text("x")
    fails(tmp_path / "t.csv", "text_table reader")
    root = tree(tmp_path / "t", {"a": 2, "b": 2})
    (root / "b" / "1.txt").write_bytes(b"one\ncaf\xe9")
    fails(root, "1.txt", "line 2", "data.encoding=latin-1")
    assert read(str(root), Options(encoding="latin-1")).train["text"][3].as_py() == "one\ncaf\u00e9"
    fails(root, "no encoding", error=OptionError, encoding="latin-11")


def test_fingerprint_is_of_texts_and_labels(tmp_path):
    one, two = (tree(tmp_path / name, {"a": 2, "b": 2}) for name in ("one", "two"))
    assert read(str(one), Options()).fingerprint == read(str(two), Options()).fingerprint
    (two / "a" / "0.txt").write_text("else")
    assert read(str(one), Options()).fingerprint != read(str(two), Options()).fingerprint
