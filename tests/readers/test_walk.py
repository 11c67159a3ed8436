import pytest

from graft.errors import DataError
from graft.readers.walk import Walk, Wanted, kinds, read_classes

SOUNDS = Wanted((".wav", ".ogg"), "sounds", kinds("sound", "sounds"), "put sounds into folders", "sound_table")


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return str(root)


def test_files_are_found_by_their_extension_in_any_case(tmp_path):
    walk = Walk(SOUNDS)
    root = tree(tmp_path, "a.WAV", "b/c.ogg", "b/d.txt", "b/.e.wav")
    assert [path[len(root) + 1 :] for path in walk.files(root)] == ["a.WAV", "b/c.ogg"]
    assert [note.text for note in walk.notes()] == [
        "Ignored hidden or system files and folders: 1.", "Ignored files that are not sounds by their extension: 1.",
    ]  # fmt: skip
    assert walk.fresh().notes() == [] and len(walk.notes()) == 2


def test_classes_in_splits(tmp_path):
    root = tree(tmp_path, "train/x/1.wav", "train/y/1.wav", "val/x/1.wav", "notes/a.txt")
    walk = Walk(SOUNDS)
    found_root, found, classes, notes = read_classes(root, walk)
    assert found_root == root and classes == ("x", "y") and found["val"] == {"x": [f"{root}/val/x/1.wav"]}
    assert [note.text for note in notes] == ["val has no sounds of 'y'."] and "folder" in walk.ignored


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("1.wav",), "1 sounds but no class folders: put sounds into folders"), (("a/1.txt", "b/1.txt"), r"No sounds \(.wav, .ogg\)"),
        (("a/1.wav",), "Only one class, 'a'.*put sounds"), (("train/a/1.wav", "more/1.wav"), "other folders of sounds"),
        (("val/a/1.wav", "val/b/1.wav"), "no train folder"),
    ],
)  # fmt: skip
def test_refusals_speak_of_what_is_wanted(tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        read_classes(tree(tmp_path, *names), Walk(SOUNDS))


def test_a_file_is_no_folder(tmp_path):
    tree(tmp_path, "a.wav")
    with pytest.raises(DataError, match="sound_table reader"):
        read_classes(str(tmp_path / "a.wav"), Walk(SOUNDS))
