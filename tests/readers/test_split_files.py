import os

import pytest

from graft.errors import DataError
from graft.readers.split_files import split_files, split_of_file


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("x")
    return str(folder)


def fails(path, *words):
    with pytest.raises(DataError) as caught:
        split_files(path, (".csv", ".tsv"), "tables")
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_a_file_is_train_and_a_folder_has_splits(tmp_path):
    folder = touch(tmp_path / "d", "Train.csv", "dev.tsv", "TEST.CSV", "README.md", "more.csv", ".hidden.csv")
    root, files, notes = split_files(folder, (".csv", ".tsv"), "tables")
    assert root == folder and {split: os.path.basename(file) for split, file in files.items()} == {
        "train": "Train.csv", "val": "dev.tsv", "test": "TEST.CSV",
    }  # fmt: skip
    assert [(note.level, note.files) for note in notes] == [("info", (os.path.join(folder, "more.csv"),))]
    file = os.path.join(folder, "more.csv")
    assert split_files(file, (".csv",), "tables") == (file, {"train": file}, [])


def test_names_of_files():
    assert [split_of_file(name) for name in ("a/valid.csv", "train-00000-of-00001.parquet", "train-00000-of-00002.parquet", "x.csv")] == [
        "val", "train", None, None,
    ]  # fmt: skip


def test_what_is_missing_is_named(tmp_path):
    fails(str(tmp_path / "none"), "does not exist")
    fails(touch(tmp_path / "a"), "no train file among its tables", "there are none", "train.csv")
    fails(touch(tmp_path / "b", "val.csv", "test.csv"), "no train file", "'test.csv', 'val.csv'")
    fails(touch(tmp_path / "c", "all.tsv"), "give 'all.tsv' itself, or call it train.tsv")
    fails(touch(tmp_path / "d", "train.csv", "training.tsv"), "'train.csv' and 'training.tsv'", "both mean train")
