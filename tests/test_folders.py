"""JSON is whole or not there; a folder is new, gone on with, or refused; a name that is free is found."""

import pytest

from graft import folders
from graft.errors import OutputError


def test_json_is_replaced_whole_and_what_cannot_be_read_is_empty(tmp_path):
    path = tmp_path / "deep" / "a.json"
    folders.write_json(path, {"a": 1})
    folders.write_json(path, {"b": path})
    assert folders.read_json(path) == {"b": str(path)} and [one.name for one in path.parent.iterdir()] == ["a.json"]
    path.write_text("[1]")
    assert folders.read_json(path) == {} == folders.read_json(tmp_path / "none.json")


def test_a_folder_is_new_or_begun_or_refused(tmp_path):
    assert folders.begun(tmp_path / "new", "study") == {} == folders.begun(tmp_path, "study")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        folders.begun(tmp_path / "file", "study")
    with pytest.raises(OutputError, match="holds no study"):
        folders.begun(tmp_path, "study")
    folders.write_json(tmp_path / folders.PLAN, {"a": 1, "b": 2})
    assert folders.begun(tmp_path, "study") == {"a": 1, "b": 2}


def test_settings_differ_by_name_as_they_are_read_back(tmp_path):
    before = folders.as_kept({"path": tmp_path, "names": ("a", "b"), "seed": 0})
    assert folders.differing(before, {"path": tmp_path, "names": ["a", "b"], "seed": 0}) == []
    assert folders.differing(before, {"path": tmp_path, "seed": 1}) == ["names", "seed"]
    assert folders.differing({}, {"seed": 1}) == []


def test_the_next_free_folder_has_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = folders.free("chain", folders.plain("my photos!"))
    assert first == tmp_path / "runs" / "chain-my_photos-1" and folders.plain("..", "run") == "run"
    first.mkdir(parents=True)
    assert folders.free("chain", "my_photos").name == "chain-my_photos-2"


def test_a_result_is_published_with_its_page_or_one_sentence_says_why_not(tmp_path):
    found = folders.publish(tmp_path, "r.json", {"a": 1}, lambda folder: folder / "r.html")
    assert found == {"a": 1, "folder": str(tmp_path), "report": str(tmp_path / "r.html")} and folders.read_json(tmp_path / "r.json") == {
        "a": 1
    }

    def full(folder):
        raise OSError(28, "no space")

    with pytest.raises(OutputError, match="disk is full"):
        folders.publish(tmp_path, "r.json", {}, full)
