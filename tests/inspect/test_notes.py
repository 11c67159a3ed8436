import os

import pytest
from tests.readers.folders import data, rows, tree

from graft.core import Note
from graft.inspect.files import check
from graft.inspect.notes import findings
from graft.readers import csv_table, image_folder, split


def told(made):
    return {one.kind: one for one in findings(made.notes)}


@pytest.fixture
def folder(tmp_path):
    return tree(tmp_path / "p", {"a": 30, "b": 30})


def read(folder):
    return image_folder.read(str(folder), image_folder.Options())


def test_clean_data_say_nothing(folder):
    assert told(read(folder)) == {}


def test_what_the_folder_reader_passed_over(folder):
    tree(folder, {".more": 2})
    (folder / "empty").mkdir()
    (folder / "a" / "photo.heic").write_text("x")
    (folder / "loose.png").write_bytes((folder / "a" / "000.png").read_bytes())
    os.mkfifo(folder / "a" / "pipe.png")
    (folder / "b" / "again").symlink_to(folder / "b")
    found = told(read(folder))
    assert {kind: one.level for kind, one in found.items()} == {
        "hidden": "note", "not_images": "note", "linked_twice": "note", "stray_images": "warning", "not_files": "warning",
        "empty_folder": "warning",
    }  # fmt: skip
    assert found["hidden"].files == (str(folder / ".more"),) and found["hidden"].count == 1
    assert found["stray_images"].examples == ({"files": [str(folder / "loose.png")]},)
    assert all(one.text and one.effect and one.repair for one in found.values())


def test_litter_is_not_worth_a_word(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "a" / "Thumbs.db").write_bytes(b"x")
    (folder / "README.md").write_text("x")
    assert len(read(folder).notes) == 2 and told(read(folder)) == {}


def test_every_kind_of_the_folder_reader_is_known():
    """Words that change in the reader must change here too, or the finding loses its effect and repair."""
    for _, words in image_folder._KINDS.values():
        (one,) = findings([Note("warning", f"Ignored {words}: 1.", ("/x/f.png",))])
        assert one.kind != "reader", words


def test_files_that_cannot_be_read(folder):
    (folder / "a" / "bad.png").write_bytes(b"no")
    found = told(check(read(folder)))
    assert found["unreadable"].files == (str(folder / "a" / "bad.png"),) and "not an image" in found["unreadable"].text


def test_what_the_table_reader_warns_of(folder):
    lines = [f"{folder}/{name}/{i:03d}.png,{name},{i % 2}" for name in "ab" for i in range(4)]
    table = folder.parent / "t.csv"
    table.write_text("\n".join(["path,label,target", *lines, lines[0]]) + "\n")
    found = told(csv_table.read(str(table), csv_table.Options()))
    assert set(found) == {"label_column", "repeated_rows"} and found["label_column"].count == 1


def test_what_the_drawing_of_roles_warns_of():
    few = split.assign(data(rows(["a"] * 400 + ["b"] * 1)), folds=0)
    assert set(told(few)) == {"single_sample"}
    lowered = split.assign(data(rows(["a"] * 20 + ["b"] * 3)), folds=5)
    assert set(told(lowered)) == {"folds"}


def test_an_unknown_warning_is_passed_on_and_a_remark_is_not():
    (one,) = findings([Note("warning", "Something odd."), Note("info", "Read as it is.")])
    assert (one.kind, one.level, one.text, one.count) == ("reader", "warning", "Something odd.", 1)
