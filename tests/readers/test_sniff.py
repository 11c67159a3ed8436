import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.readers.folders import tree

from graft.errors import DataError
from graft.readers.sniff import HEAD, reader_of

SQUAD = json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1", "question": "q", "answers": []}]}]}]})
TABLE = "text,label\nhow are you,a\nwell enough,b\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def named(path):
    name, why = reader_of(str(path))
    assert why and "\n" not in why
    return name


def fails(path, *words):
    with pytest.raises(DataError) as caught:
        reader_of(str(path))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


@pytest.mark.parametrize(
    ("name", "text", "reader"),
    [
        ("a.csv", TABLE, "text_table"), ("a.txt", TABLE, "text_table"), ("a.tsv", TABLE.replace(",", "\t"), "text_table"),
        ("a.csv", "was,wie\nein langer satz,a\nnoch einer,b\n", "text_table"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n', "text_table"), ("a.csv", "path,label\nimg/1.png,a\n", "csv_table"),
        ("a.csv", "where,what\nimg/1.JPG,a\nimg/2.jpg,b\n", "csv_table"), ("a.jsonl", '{"image": "1.webp", "label": 1}\n', "csv_table"),
        ("a.csv", "text,image,label\nsome words,1.png,a\n", "csv_table"), ("a.csv", "file,label\ngone,a\n", "csv_table"),
        ("a.csv", "file,text,label\nd1,some words,a\n", "text_table"), ("a.csv", "", "csv_table"),
        ("a.conll", "a O\n", "conll"), ("a.txt", "Ann B-PER\nruns O\n\nso O\n", "conll"), ("a.tsv", "Ann\tX\tB-PER\n\nso\tX\tO\n", "conll"),
        ("a.txt", "# id 1\n-DOCSTART- O\n\nEU NNP I-ORG\n", "conll"),
        ("a.json", SQUAD, "squad"), ("a.txt", "It was a night, dark and stormy.\n\nIt rained.\n", "plain_text"),
        ("a.txt", "", "plain_text"),
    ],
)  # fmt: skip
def test_files(tmp_path, name, text, reader):
    assert named(write(tmp_path / name, text)) == reader


def test_a_table_whose_usual_column_names_files_that_exist(tmp_path):
    write(tmp_path / "one", "x")
    assert named(write(tmp_path / "a.csv", "file,text,label\none,some words,a\n")) == "csv_table"


def test_parquet(tmp_path):
    pq.write_table(pa.table({"sentence": ["a b"], "label": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"path": ["a.png"], "label": [1]}), tmp_path / "b.parquet")
    assert (named(tmp_path / "a.parquet"), named(tmp_path / "b.parquet")) == ("text_table", "csv_table")


@pytest.mark.parametrize(
    ("names", "text", "reader"),
    [
        (("train.csv", "test.csv", "README.md"), TABLE, "text_table"), (("train.conll", "dev.conll"), "a O\n", "conll"),
        (("train.txt", "valid.txt"), "a B-X\n\nb O\n", "conll"), (("dev.json", "train.json"), SQUAD, "squad"),
        (("train.txt", "test.txt"), "Just words.", "plain_text"), (("one.txt", "two.txt"), "Just words.", "plain_text"),
        (("a/1.txt", "b/1.txt"), "Just words.", "text_folder"), (("train/a/1.txt", "train/b/1.txt", "test/a/1.txt"), "x", "text_folder"),
        (("train/1.txt", "test/1.txt"), "Just words.", "plain_text"), (("train.txt", "test.txt"), TABLE, "text_table"),
        (("train/urls.txt", "train/pos/1.txt", "train/neg/1.txt"), "x", "text_folder"),
        (("a/deep/1.txt", "b/deep/1.txt"), "x", "text_folder"),
    ],
)  # fmt: skip
def test_folders(tmp_path, names, text, reader):
    for name in names:
        write(tmp_path / name, text)
    assert named(tmp_path) == reader


def test_folders_of_images(tmp_path, photos):
    assert named(photos) == "image_folder"
    root = tree(tmp_path / "p", {"train/a": 1, "train/b": 1})
    write(root / "labels.csv", TABLE), write(root / "train" / "a" / "note.txt", "x")
    assert named(root) == "image_folder"
    assert named(tree(tmp_path / "loose", {".": 2})) == "image_folder"
    root = tree(tmp_path / "q", {"images": 2})
    write(root / "labels.csv", "path,label\nimages/000.png,a\n")
    fails(root, "'labels.csv'", str(root / "labels.csv"), "itself")


def test_anything_else_is_refused_with_what_can_be_given(tmp_path):
    fails(tmp_path / "none", "does not exist")
    fails(tmp_path, "is empty", "give a folder")
    fails(write(tmp_path / "x.pdf", "x"), "no known kind", "give a folder")
    fails(tmp_path, "nothing that can be read", "'x.pdf'")
    fails(write(tmp_path / "x.json", '[{"text": "a"}]'), "not of questions", "JSONL")
    write(tmp_path / "d" / "all.csv", TABLE)
    fails(tmp_path / "d", "no train file", "all.csv' itself")
    write(tmp_path / "e" / "train.csv", "path,label\n1.png,a\n")
    fails(tmp_path / "e", "tables of images")


def test_only_the_first_lines_are_read(tmp_path):
    """What follows is damaged, and would speak for another reader."""
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode() + b"so,b\n" * HEAD + b"caf\xe9.png,a\n" * HEAD)
    assert named(path) == "text_table"
