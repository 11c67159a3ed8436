import pytest

from graft.errors import DataError, OptionError
from graft.readers.decode import FEW_WRONG, decoded, wrong_characters


def write(tmp_path, raw):
    (tmp_path / "t.txt").write_bytes(raw)
    return str(tmp_path / "t.txt")


def fails(file, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        decoded(file, **options)
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said
    return said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_are_obeyed(tmp_path, encoding):
    assert decoded(write(tmp_path, "caf\u00e9\n".encode(encoding))) == "caf\u00e9\n"


def test_a_given_encoding_is_used(tmp_path):
    text = "\u041f\u0440\u0438\u0432\u0435\u0442"
    assert decoded(write(tmp_path, text.encode("cp1251")), "cp1251") == text
    assert decoded(write(tmp_path, b"\xef\xbb\xbfa"), "UTF8") == "a"
    fails(write(tmp_path, b"a\n\xff"), "is not ascii", "line 2, byte 2", encoding="ascii")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"one\ntwo caf\xe9 and more", "latin-1"), (b"one\nit\x92s", "cp1252"), ("one\ntwo \u00df".encode("utf-16-le"), "utf-16-le"),
        ("one\ntwo \u00df".encode("utf-16-be") + b"\xff", "utf-16-be"),
    ],
)  # fmt: skip
def test_the_line_and_the_likely_encoding_are_named(tmp_path, raw, name):
    said = fails(write(tmp_path, raw), "not UTF-8", "line 2", "save it again", f"--set data.encoding={name}", flag=True)
    assert "data.encoding" not in fails(write(tmp_path, raw)) and "t.txt" in said


def test_other_scripts_are_not_taken_for_latin(tmp_path):
    fails(write(tmp_path, "\u041f\u0440\u0438\u0432\u0435\u0442".encode("cp1251")), "another script", "cp1251", flag=True)


@pytest.mark.parametrize("name", ["utf-9", "rot13", "hex", "a\0b", ""])
def test_unknown_encodings(tmp_path, name):
    fails(write(tmp_path, b"a"), "no encoding", error=OptionError, encoding=name)


def test_a_file_that_is_gone(tmp_path):
    fails(str(tmp_path / "none"), "cannot be read")


def test_the_traces_of_a_wrong_encoding_are_told():
    right = ["caf\u00e9", "S\u00c3O PAULO", "\u00c2ge", "it\u2019s", "\u20ac5", "na\u00efve \u00e2me"]
    wrong = [text.encode("utf-8").decode(read) for text in ("caf\u00e9", "it\u2019s", "\U0001f600") for read in ("cp1252", "latin-1")]
    names = [str(i) for i in range(len(right) + len(wrong) + 1)]
    (note,) = wrong_characters([*right, *wrong, "caf\ufffd"], names)
    assert note.level == "warning" and note.files == tuple(names[len(right) :]) and "7 of 13" in note.text
    assert wrong_characters(right + wrong[: FEW_WRONG - 1], names) == []
