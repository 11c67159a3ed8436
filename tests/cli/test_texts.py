import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.cli.texts import find, names, pairs, told
from graft.errors import DataError, OptionError


def put(folder, name, text, encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding, newline="")
    return str(folder / name)


def test_texts_tables_files_and_stdin_in_order(tmp_path, monkeypatch):
    table = put(tmp_path, "a.csv", '\ufefftext,label\r\n"one, two",x\r\n"over\r\ntwo lines",y\r\n\r\n,z\r\nlast,x\r\n')
    tabs = put(tmp_path, "b.tsv", 'id\treview\n1\tfine "film"\n')
    lines = put(tmp_path, "c.txt", "first\n\n second \n")
    monkeypatch.setattr("sys.stdin", io.StringIO("from stdin\n\nmore\r\n"))
    assert find([table, "a text of my own. It ends with a.csv", tabs, "-", lines]) == [
        ("a.csv:2", "one, two"), ("a.csv:3", "over\r\ntwo lines"), ("a.csv:6", ""), ("a.csv:7", "last"),
        ("a text of my own. It ends with a.csv", "a text of my own. It ends with a.csv"), ("b.tsv:2", 'fine "film"'),
        ("stdin:1", "from stdin"), ("stdin:3", "more"), ("c.txt:1", "first"), ("c.txt:3", " second "),
    ]  # fmt: skip


def test_a_long_text_is_called_by_its_beginning():
    ((name, text),) = find(["word " * 50])
    assert text == "word " * 50 and name.endswith("word…") and len(name) <= 40


def test_the_column_that_is_named_and_the_one_that_is_guessed(tmp_path):
    table = put(tmp_path, "a.csv", "title,body,text\nt,b,x\n")
    assert find([table], "body") == [("a.csv:2", "b")] and find([table]) == [("a.csv:2", "x")]
    assert find([put(tmp_path, "b.csv", "whatever\nx\n")]) == [("b.csv:2", "x")]


def test_questions_with_their_context(tmp_path):
    table = put(tmp_path, "a.csv", "question,passage\nwho?,Ann came\n")
    assert find([table], context="passage") == [("a.csv:2", ("who?", "Ann came"))]
    assert find(["who?"], context="Ann came") == [("who?", ("who?", "Ann came"))]
    assert find(["who?"], context=put(tmp_path, "c.txt", "Ann\ncame\n")) == [("who?", ("who?", "Ann\ncame"))]


def test_pairs_are_found_by_the_names_of_their_columns(tmp_path):
    table = put(tmp_path, "a.csv", "id,Sentence 2,Sentence 1,passage\n1,b,a,c\n")
    assert find([table], pair=True) == [("a.csv:2", ("a", "b"))]
    assert find([table], "Sentence 1", pair=True) == [("a.csv:2", ("a", "b"))]
    assert find([table], "passage", "id", pair=True) == [("a.csv:2", ("c", "1"))]
    sheet = put(tmp_path, "a.jsonl", '{"premise": "a", "hypothesis": "b"}\n')
    assert find([sheet], pair=True) == [("a.jsonl:1", ("a", "b"))] and find(["a"], context="b", pair=True) == [("a", ("a", "b"))]
    with pytest.raises(DataError, match=r"no two columns.*--text.*--context"):
        find([table], "passage", pair=True)
    with pytest.raises(OptionError, match="--context"):
        find(["a"], pair=True)


def test_tables_that_a_fit_reads_are_read(tmp_path):
    lines = put(tmp_path, "a.jsonl", '{"id": 1, "review": "fine"}\n\n{"id": 2}\n{"review": "dull", "page": "p"}\n')
    assert find([lines]) == [("a.jsonl:1", "fine"), ("a.jsonl:3", ""), ("a.jsonl:4", "dull")]
    assert find([lines], context="page")[2] == ("a.jsonl:4", ("dull", "p"))
    pq.write_table(pa.table({"n": [1, 2], "words": [["Ada", "wrote"], ["Bob"]]}), tmp_path / "a.parquet")
    assert find([str(tmp_path / "a.parquet")], "words") == [("a.parquet:1", ["Ada", "wrote"]), ("a.parquet:2", ["Bob"])]


@pytest.mark.parametrize(
    ("name", "content", "column", "words"),
    [
        ("a.csv", "id,body\n1,x\n", "", "has the columns 'id', 'body'; name the one that holds the texts with --text"),
        ("a.csv", "id,body\n1,x\n", "text", "has no column 'text'; it has 'id', 'body'"),
        ("a.csv", "", "", "is empty"),
        ("a.csv", "", "text", "has no column 'text'; it has none"),
        ("a.csv", "text\n", "", "There is no text to predict"),
        ("a.csv", "id,text\n1,x\n2\n", "", "Line 3 of .* has 1 cells where the header has 2"),
        ("a.csv", b"text\n\xff\xfe\n", "", "not encoded in UTF-8"),
        ("a.txt", b"\xff\n", "", "not encoded in UTF-8"),
        ("a.txt", "\n\n", "", "There is no text to predict"),
        ("a.doc", "x", "", "neither a table"),
        ("a.parquet", "x", "", "cannot be read as Parquet"),
        ("a.jsonl", '{"text": 3}\n', "", "Line 1 of .* holds no text"),
        ("a.jsonl", '{"body": "x", "id": 1}\n', "", "has the columns 'body', 'id'; name the one"),
    ],
)
def test_each_kind_of_bad_input_is_told_in_one_sentence(tmp_path, name, content, column, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words) as error:
        find([str(path)], column)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_files_that_are_not_there_folders_and_columns_of_nothing(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read .*give a file that is there"):
        find([str(tmp_path / "gone.csv")])
    with pytest.raises(DataError, match="cannot be read"):
        find(["gone.txt"])
    with pytest.raises(DataError, match="is a folder"):
        find([str(tmp_path)])
    with pytest.raises(OptionError, match="no table for the column 'text'"):
        find(["a text"], "text")
    with pytest.raises(DataError, match="There is no text"):
        find([])


def test_an_open_quotation_mark_and_a_long_cell(tmp_path):
    table = put(tmp_path, "a.csv", f'text\n{"x" * 200_000}\n"open\nuntil the end\n')
    assert [len(text) for _, text in find([table])] == [200_000, len("open\nuntil the end\n")]


def test_names_in_words_and_tags():
    label = [("Ann", "B-PER"), ("of", "O"), ("New", "B-LOC"), ("York", "I-LOC"), ("Bo", "I-PER"), ("Li", "B-PER")]
    assert names(label) == ["Ann (PER)", "New York (LOC)", "Bo (PER)", "Li (PER)"] and names([("a", "O")]) == []
    assert pairs(label) and not pairs(()) and not pairs(("red", "round")) and not pairs("text")
    assert told(label) == "Ann (PER), New York (LOC), Bo (PER), Li (PER)" and told([("a", "O")]) == "-"
    assert told("") == "no answer" and told("a\n b") == "a b" and told("ant") is None and told(("red",)) is None and told(1.5) is None


def test_semicolons_part_the_columns_where_the_header_has_no_comma(tmp_path):
    (tmp_path / "t.csv").write_text("title;text\nA;so, so\n", encoding="utf-8")
    assert find([str(tmp_path / "t.csv")]) == [("t.csv:2", "so, so")]
