import os
import shutil

import pytest
from tests.readers.folders import image, tree

from graft.errors import DataError
from graft.readers.image_folder import Options, read


def load(root):
    return read(str(root), Options())


def fails(root, *words):
    with pytest.raises(DataError) as caught:
        load(root)
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_class_folders(photos):
    data = load(photos)
    assert data.schema.classes == ("circle", "cross", "stripes")
    assert (data.schema.modality, data.schema.target) == ("image", "class")
    assert len(data.train) == 36 and data.val is None and data.test is None and data.notes == ()
    for path, label in zip(data.train["path"].to_pylist(), data.train["label"].to_pylist()):
        assert os.path.isabs(path) and os.path.basename(os.path.dirname(path)) == label
    assert data.train["path"].to_pylist() == sorted(data.train["path"].to_pylist())
    assert data.source == str(photos)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "VALIDATION", "testing"), ("Train", "dev", "Test"), ("train", "valid", "")]
)
def test_split_folders_in_any_spelling(tmp_path, names):
    counts = {f"{split}/{label}": n for split, n in zip(names, (4, 3, 2)) for label in ("a", "b") if split}
    data = load(tree(tmp_path / "p", counts))
    sizes = [len(t) if t is not None else 0 for t in (data.train, data.val, data.test)]
    assert sizes == [8, 6, 4 if names[2] else 0]
    assert data.schema.classes == ("a", "b")


def test_a_class_may_be_called_train(tmp_path):
    assert load(tree(tmp_path / "p", {"bus": 2, "train": 2})).schema.classes == ("bus", "train")


def test_split_folders_beside_other_images_are_not_taken_for_classes(tmp_path):
    fails(tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "val/a": 1, "extra": 2}), "mixes", "'extra'", "move")


def test_folders_without_images_do_not_hide_a_split(tmp_path):
    root = tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "docs": 0})
    data = load(root)
    assert data.schema.classes == ("a", "b")
    assert [(n.text, n.files) for n in data.notes] == [("Ignored folders without images: 1.", (str(root / "docs"),))]


def test_what_is_passed_over_is_counted(tmp_path):
    root = tree(tmp_path / "p", {"a": 2, "b": 2, ".hidden": 2, "__MACOSX": 1, "a/.ipynb_checkpoints": 1})
    (root / "a" / "Thumbs.db").write_bytes(b"x")
    (root / "readme.md").write_text("x")
    (root / "b" / "notes.txt").write_text("x")
    image(root / "loose.png")
    data = load(root)
    assert len(data.train) == 4
    notes = {note.text: note for note in data.notes}
    assert len(notes["Ignored hidden or system files and folders: 4."].files) == 4
    assert len(notes["Ignored files that are not images by their extension: 2."].files) == 2
    stray = notes["Ignored images outside any class folder, which have no label: 1."]
    assert stray.files == (str(root / "loose.png"),) and stray.level == "warning"


def test_extensions_in_any_case_and_nested_folders(tmp_path):
    root = tree(tmp_path / "p", {"a": 1, "b/deep/deeper": 2})
    for i, name in enumerate(("x.JPG", "x.jpeg", "x.Png", "x.webp", "x.bmp", "x.gif", "x.TIF", "x.tiff", "x.ppm", "x.pgm")):
        image(root / "a" / name, i) if not name.endswith("pgm") else (root / "a" / name).write_bytes(b"P5 1 1 255 \x00")
    data = load(root)
    assert data.train["label"].to_pylist().count("a") == 11 and data.train["label"].to_pylist().count("b") == 2


def test_missing_file_and_empty(tmp_path):
    fails(tmp_path / "none", "does not exist", "check the path")
    (tmp_path / "file.csv").write_text("x")
    fails(tmp_path / "file.csv", "is a file", "csv_table")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "is empty", "folder of its own")
    fails("a\0b", "cannot be opened")
    fails("x" * 5000, "cannot be opened")


def test_no_images_or_no_class_folders(tmp_path):
    root = tree(tmp_path / "p", {"a": 0, "b": 0})
    fails(root, "No images")
    (root / "a" / "x.txt").write_text("x")
    fails(root, "No images")
    image(tmp_path / "q" / "x.png")
    fails(tmp_path / "q", "1 images but no class folders")


def test_one_class(tmp_path):
    fails(tree(tmp_path / "p", {"a": 3}), "Only one class, 'a'")
    # An archive unpacked into one folder too many.
    fails(tree(tmp_path / "q", {"archive/a": 2, "archive/b": 2}), str(tmp_path / "q" / "archive"), "one level down")


def test_a_class_of_val_that_train_lacks(tmp_path):
    fails(tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "val/a": 1, "val/c": 1}), "'c'", "val", "not in train")
    # An empty class folder in train is no class either.
    fails(tree(tmp_path / "q", {"train/a": 2, "train/b": 2, "train/c": 0, "val/c": 1}), "'c'", "not in train")


def test_labels_that_differ_in_case_or_spaces(tmp_path):
    fails(tree(tmp_path / "p", {"Cat": 2, "cat": 2}), "'Cat'", "'cat'", "rename one")
    fails(tree(tmp_path / "q", {"train/cat": 2, "train/dog": 2, "val/dog ": 2}), "'dog'", "'dog '")


def test_an_empty_class_folder_is_a_warning(tmp_path):
    root = tree(tmp_path / "p", {"a": 2, "b": 2, "c": 0})
    data = load(root)
    assert data.schema.classes == ("a", "b")
    assert [(n.level, n.files) for n in data.notes] == [("warning", (str(root / "c"),))]


def test_val_without_train_and_two_folders_of_one_split(tmp_path):
    fails(tree(tmp_path / "p", {"val/a": 2, "val/b": 2}), "no train folder")
    fails(tree(tmp_path / "q", {"train/a": 2, "train/b": 2, "val/a": 1, "valid/b": 1}), "'val'", "'valid'", "merge or rename")


def test_unlabelled_test_images_are_left_out_with_a_warning(tmp_path):
    root = tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "test": 3})
    data = load(root)
    assert data.test is None
    assert sorted(len(n.files) for n in data.notes if n.level == "warning") == [0, 3]


def test_a_class_that_val_lacks_is_a_warning(tmp_path):
    data = load(tree(tmp_path / "p", {"train/a": 2, "train/b": 2, "val/a": 1}))
    assert [n.text for n in data.notes] == ["val has no images of 'b'."]


def test_links_in_circles_come_to_an_end(tmp_path):
    root = tree(tmp_path / "p", {"a/in": 2, "b": 2})
    (root / "a" / "in" / "up").symlink_to(root / "a")
    (root / "b" / "self").symlink_to(root / "b" / "self")
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    (root / "b" / "gone.png").symlink_to(root / "nowhere.png")
    data = load(root)
    assert data.train["label"].to_pylist() == ["a"] * 2 + ["b"] * 4  # Dead links are reported by the check of the files.
    assert any("already been read" in n.text for n in data.notes)


def test_linked_class_folders_are_followed(tmp_path, photos):
    (tmp_path / "p").mkdir()
    for name in ("circle", "cross"):
        (tmp_path / "p" / name).symlink_to(photos / name)
    assert len(load(tmp_path / "p").train) == 24


def test_pipes_are_not_opened(tmp_path):
    root = tree(tmp_path / "p", {"a": 2, "b": 2})
    os.mkfifo(root / "a" / "pipe.png")
    assert any("device or pipe" in n.text for n in load(root).notes)


def test_names_that_are_not_utf8(tmp_path):
    root = tree(tmp_path / "p", {"a": 2, "b": 2})
    bad = os.fsencode(root / "a") + b"/x\xff.png"
    shutil.copy(root / "a" / "000.png", bad)
    note = next(n for n in load(root).notes if "UTF-8" in n.text)
    assert note.level == "warning" and note.files[0].endswith("x\\xff.png")
    os.rename(root / "a", os.fsencode(root) + b"/a\xff")
    fails(root, "not valid UTF-8", "rename")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    root = tree(tmp_path / "p", {"a": 2, "b": 2})
    (root / "a").chmod(0)
    try:
        fails(root, "may not read it")
    finally:
        (root / "a").chmod(0o755)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    # As root no folder is closed, so the refusal of the system is put in its place.
    root = tree(tmp_path / "p", {"a": 2, "b": 2})
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    fails(root, "may not read it", "/b'")


def test_fingerprint_is_of_content(tmp_path):
    one, two = tree(tmp_path / "one", {"a": 2, "b": 2}), tree(tmp_path / "two", {"a": 2, "b": 2})
    assert load(one).fingerprint == load(two).fingerprint
    image(two / "a" / "000.png", 77)
    assert load(one).fingerprint != load(two).fingerprint


@pytest.mark.data
def test_real_folders(data_dir):
    data = load(data_dir / "hymenoptera")
    assert (len(data.train), len(data.val)) == (244, 153) and data.schema.classes == ("ants", "bees")
