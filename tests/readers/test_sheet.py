import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.errors import DataError
from graft.readers.sheet import joined, load


def write(tmp_path, raw: bytes | str, name: str = "t.csv") -> str:
    file = tmp_path / name
    file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return str(file)


def fails(path, *words):
    with pytest.raises(DataError) as caught:
        load(str(path))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_separator_is_found(tmp_path, sign):
    sheet = load(write(tmp_path, sign.join(["path", "label"]) + "\n" + sign.join(["a.png", "x"]) + "\n"))
    assert sheet.columns == {"path": ["a.png"], "label": ["x"]} and sheet.numbers == [2] and sheet.unit == "line"


def test_byte_order_marks_crlf_quotes_and_blank_lines(tmp_path):
    text = 'path,label\r\n\r\n"a, b.png","he said ""x"""\r\n"two\r\nlines",y\r\n,,\r\n'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        sheet = load(write(tmp_path, text.encode(encoding)))
        assert sheet.columns == {"path": ["a, b.png", "two\r\nlines"], "label": ['he said "x"', "y"]}
        assert sheet.numbers == [3, 5]


def test_a_space_after_every_separator_belongs_to_it(tmp_path):
    sheet = load(write(tmp_path, 'path, label\na.png, "x, y"\n'))
    assert sheet.columns == {"path": ["a.png"], "label": ["x, y"]}
    assert load(write(tmp_path, "path,label\na.png, x\n")).columns["label"] == [" x"]


def test_tsv_keeps_commas(tmp_path):
    assert load(write(tmp_path, "path\ta,b\nx\t1,2\n", "t.tsv")).columns == {"path": ["x"], "a,b": ["1,2"]}


def test_unnamed_columns_are_numbered_and_equal_names_refused(tmp_path):
    assert list(load(write(tmp_path, ",path,\n0,a,b\n")).columns) == ["column1", "path", "column3"]
    fails(write(tmp_path, "path,label,label\na,b,c\n"), "two columns called 'label'")


def test_names_of_columns_are_put_on_one_line(tmp_path):
    assert list(load(write(tmp_path, '"image\n path",label\na,b\n')).columns) == ["image path", "label"]
    fails(write(tmp_path, "path,la\x00bel\na,b\n"), "la\\x00bel", "rename it")
    file = write(tmp_path, "path\n", "a\nb.csv")
    fails(file, "a\\nb.csv")
    assert load(write(tmp_path, "path\nx\n", "a\nb.csv")).shown.endswith("a\\nb.csv")


def test_rows_of_another_length_are_named(tmp_path):
    fails(write(tmp_path, "path,label\na,b\nc\n"), "Line 3", "1 cells", "has 2")
    fails(write(tmp_path, "path,label\na,b,c\n"), "Line 2", "3 cells")
    assert load(write(tmp_path, "path,label\na,b,\n")).columns["label"] == ["b"]


def test_damaged_text_is_refused(tmp_path):
    fails(write(tmp_path, b"path,label\na.png,caf\xe9\n"), "not UTF-8", "byte 20", "save it again")
    fails(write(tmp_path, 'path,label\n"a.png,x\n'), "damaged at line 2")
    fails(write(tmp_path, b"\xff\xfea"), "not UTF-8")


def test_missing_empty_and_unknown_files(tmp_path):
    fails(tmp_path / "none.csv", "does not exist")
    fails(tmp_path, "is a folder", "image_folder")
    fails(write(tmp_path, ""), "no rows")
    fails(write(tmp_path, "path,label\n"), "no rows")
    fails(write(tmp_path, "x", "t.xlsx"), "save it as .csv, .tsv, .jsonl, .parquet")
    fails("a\0.csv", "does not exist")


def test_json_lines(tmp_path):
    sheet = load(write(tmp_path, '{"path": "a", "label": ["x"]}\n\n{"path": "b", "n": NaN}\n', "t.jsonl"))
    assert sheet.columns["label"] == [["x"], None] and sheet.numbers == [1, 3]
    assert sheet.columns["n"][0] is None and sheet.columns["n"][1] != sheet.columns["n"][1]


@pytest.mark.parametrize(
    ("line", "word"),
    [("{", "Line 1"), ("[1]", "not an object"), ("[" * 100_000, "not JSON"), ("1" * 5000, "not JSON"), ('{"\\ud800": 1}', "rename it")],
)
def test_damaged_json(tmp_path, line, word):
    fails(write(tmp_path, line + "\n", "t.jsonl"), word)


def test_parquet(tmp_path):
    pq.write_table(pa.table({"path": ["a", "b"], "label": [1.5, None]}), tmp_path / "t.parquet")
    sheet = load(str(tmp_path / "t.parquet"))
    assert sheet.columns == {"path": ["a", "b"], "label": [1.5, None]} and (sheet.numbers, sheet.unit) == ([1, 2], "row")
    raw = (tmp_path / "t.parquet").read_bytes()
    fails(write(tmp_path, raw[:-20], "cut.parquet"), "cannot be read as Parquet", "write it again")
    fails(write(tmp_path, b"", "zero.parquet"), "cannot be read as Parquet")


def test_a_given_encoding_is_used_and_may_be_named(tmp_path):
    file = write(tmp_path, b"text,label\ncaf\xe9,x\n")
    assert load(file, "latin-1").columns["text"] == ["caf\u00e9"]
    with pytest.raises(DataError, match=r"line 2.*--set data.encoding=latin-1"):
        load(file, flag=True)
    file = write(tmp_path, b'{"text": "caf\xe9"}\n', "t.jsonl")
    assert load(file, "latin-1").columns["text"] == ["caf\u00e9"]


def test_quotes_are_letters_where_every_line_with_tabs_is_a_row(tmp_path):
    for text, cells in (
        ('a\tb\n"x" y\t1\n', ['"x" y']), ('a\tb\n"x\t1\ny"\t2\n', ['"x', 'y"']), ('a\tb\n"x ""y"""\t1\n', ['x "y"']),
        ('a\tb\n"two\nlines"\t1\n', ["two\nlines"]),
    ):  # fmt: skip
        assert load(write(tmp_path, text, "t.tsv")).columns["a"] == cells


def test_long_cells_are_read(tmp_path):
    assert load(write(tmp_path, f"a,b\n{'x' * 200_000},1\n")).columns["a"] == ["x" * 200_000]


def test_tables_are_taken_from_and_joined(tmp_path):
    one, two = load(write(tmp_path, "a,b\n1,2\n3,4\n")), load(write(tmp_path, "b,a\n5,6\n", "u.csv"))
    made = joined(str(tmp_path), [one, two], ["a"])
    assert made.columns == {"a": ["1", "3", "6"]} and made.numbers == ["t.csv:2", "t.csv:3", "u.csv:2"] and made.file == str(tmp_path)
    assert made.take([2, 0]).columns == {"a": ["6", "1"]} and made.take([2, 0]).numbers == ["u.csv:2", "t.csv:2"]
