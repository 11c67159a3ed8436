import itertools

import pytest

from graft.errors import DataError, OptionError
from graft.readers import split
from graft.readers.plain_text import LINES, Options, read


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return str(path)


def rows(data, table="train"):
    return list(zip(*(getattr(data, table)[name].to_pylist() for name in ("path", "text"))))


def fails(path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(str(path), Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_paragraphs_lines_and_files(tmp_path):
    text = "\n One\r\ntwo. \r\n\n\nThree.\n\t\nFour."
    path = write(tmp_path / "a.txt", text)
    data = read(path, Options())
    assert (data.schema.modality, data.schema.target, data.schema.classes, data.schema.input) == ("text", "language", (), "text")
    assert rows(data) == [("a.txt:2", "One\ntwo."), ("a.txt:6", "Three."), ("a.txt:8", "Four.")]
    assert set(data.train["label"].to_pylist()) == {""} and "A row is a paragraph" in data.notes[0].text
    lines = read(path, Options(unit="line"))
    assert rows(lines) == [("a.txt:2", "One"), ("a.txt:3", "two."), ("a.txt:6", "Three."), ("a.txt:8", "Four.")] and lines.notes == ()
    assert rows(read(path, Options(unit="file"))) == [("a.txt:2", text.strip())]
    assert rows(read(write(tmp_path / "b.txt", "One\ntwo\n"), Options())) == [("b.txt:1", "One"), ("b.txt:2", "two")]


def test_a_stray_empty_line_does_not_make_paragraphs(tmp_path):
    path = write(tmp_path / "a.txt", "line\n" * (2 * LINES + 1) + "\n" + "line\n")
    assert len(read(path, Options()).train) == 2 * LINES + 2
    assert len(read(path, Options(unit="paragraph")).train) == 2


def test_a_folder_of_files(tmp_path):
    write(tmp_path / "b.txt", "Two."), write(tmp_path / "in" / "a.txt", "Three."), write(tmp_path / "a.txt", "One.")
    (tmp_path / "x.pdf").write_text("x")
    data = read(str(tmp_path), Options())
    assert rows(data) == [("a.txt:1", "One."), ("b.txt:1", "Two."), ("in/a.txt:1", "Three.")] and data.val is None
    assert any("x.pdf" in file for note in data.notes for file in note.files)


@pytest.mark.parametrize("names", [("train.txt", "valid.txt", "test.txt"), ("train/1.txt", "val/1.txt", "test/1.txt")])
def test_splits(tmp_path, names):
    for i, name in enumerate(names):
        write(tmp_path / name, f"Text {i}.")
    write(tmp_path / "README.txt", "About.")
    data = read(str(tmp_path), Options())
    assert [rows(data, table) for table in ("train", "val", "test")] == [[(f"{name}:1", f"Text {i}.")] for i, name in enumerate(names)]
    assert [note.files for note in data.notes if note.level == "warning"] == [(str(tmp_path / "README.txt"),)]


def test_what_is_wrong_is_named(tmp_path):
    fails(tmp_path / "none", "does not exist")
    fails(tmp_path, "holds no .txt files")
    path = write(tmp_path / "a.txt", " \n")
    fails(path, "1 of 1 files are empty")
    fails(path, "no unit 'lines'", "'line'", error=OptionError, unit="lines")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    fails(path, "line 1", "data.encoding=latin-1")
    assert rows(read(path, Options(encoding="latin-1"))) == [("a.txt:1", "caf\u00e9")]


def test_roles_are_drawn_at_random(tmp_path):
    path = write(tmp_path / "a.txt", "\n".join(f"line {i}" for i in range(1000)))
    data = split.assign(read(path, Options()))
    assert [len(table) for table in (data.train, data.val, data.test)] == [600, 200, 200]
    with pytest.raises(DataError, match="None of the 1 samples can be spared"):
        split.assign(read(path, Options(unit="file")))


def test_neighbouring_rows_stay_on_one_side_of_a_split(tmp_path):
    path = write(tmp_path / "a.txt", "".join(f"Line {i}.\n" for i in range(1, 1001)))
    data = split.assign(read(path, Options()), "auto", None, 0)
    tables = {name: getattr(data, name) for name in ("train", "val", "test")}
    numbers = {name: {int(one.rpartition(":")[2]) for one in table["path"].to_pylist()} for name, table in tables.items()}
    assert all(150 < len(numbers[name]) < 250 for name in ("val", "test")) and sum(map(len, numbers.values())) == 1000
    whole = sorted((line, name) for name, some in numbers.items() for line in some)
    assert sum(one[1] != other[1] for one, other in itertools.pairwise(whole)) < 50
    # Short files are sections of their own.
    for i in range(60):
        write(tmp_path / "many" / f"{i:02d}.txt", "One.\nTwo.\n")
    table = read(str(tmp_path / "many"), Options()).train
    assert len(set(table["group"].to_pylist())) == 60
