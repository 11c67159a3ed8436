import pyarrow as pa
import pytest

from graft.errors import DataError, OptionError
from graft.readers import split
from graft.readers.conll import Options, read


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def fails(path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(path, Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_sentences_words_and_tags(tmp_path):
    path = write(tmp_path / "a.conll", "Anna\tB-PER", "in\tO", "New\tB-LOC", "York\tI-LOC", "", "", "No\tO")
    data = read(path, Options())
    assert (data.schema.modality, data.schema.target, data.schema.input, data.schema.longest) == ("text", "tags", "text", 4)
    assert data.schema.classes == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert data.train.to_pylist() == [
        {"path": "a.conll:1", "text": ["Anna", "in", "New", "York"], "label": ["B-PER", "O", "B-LOC", "I-LOC"]},
        {"path": "a.conll:7", "text": ["No"], "label": ["O"]},
    ]
    assert data.train["text"].type == data.train["label"].type == pa.list_(pa.string())
    assert [note.level for note in data.notes] == ["info"]
    assert "IOB2: 2 entities of 2 types in 2 sentences, 5 words" in data.notes[0].text


def test_columns_documents_and_comments(tmp_path):
    lines = [
        "-DOCSTART- -X- -X- O", "", "# id = 4", "# text = # EU O", "EU NNP B-NP I-ORG", "# SYM B-NP O", "rejects VBZ B-VP O",
        "-DOCSTART- -X- O O", "Ann NNP B-NP I-PER",
    ]  # fmt: skip
    data = read(write(tmp_path / "a.txt", *lines), Options())
    assert data.train["text"].to_pylist() == [["EU", "#", "rejects"], ["Ann"]]
    assert data.train["label"].to_pylist() == [["B-ORG", "O", "O"], ["B-PER"]] and "IOB1 and were turned into IOB2" in data.notes[0].text
    path = write(tmp_path / "b.tsv", "# http://x 2010", "1\tAnn\tB-PER\tO", "2\tLee\tI-PER\tO")
    assert read(path, Options(word=1, tag=2)).train["text"].to_pylist() == [["Ann", "Lee"]]
    path = write(tmp_path / "c.txt", "Ann;B-PER", "a b;O")
    assert read(path, Options(separator=";")).train["text"].to_pylist() == [["Ann", "a b"]]
    odd = "a\u00a0b\u2028"
    data = read(write(tmp_path / "d.txt", f"{odd}x\tB-PER", "tab and space\tO"), Options())
    assert data.train["text"].to_pylist() == [[f"{odd}x", "tab and space"]]


def test_splits_of_a_folder(tmp_path):
    for name, place in (("train", "LOC"), ("dev", "LOC"), ("test", "LOC")):
        write(tmp_path / f"{name}.bio", f"{name} B-{place}", "x O")
    data = read(str(tmp_path), Options())
    assert [table["path"].to_pylist() for table in (data.train, data.val, data.test)] == [["train.bio:1"], ["dev.bio:1"], ["test.bio:1"]]
    write(tmp_path / "test.bio", "x B-PER")
    fails(str(tmp_path), "'PER' in test is not in train")
    write(tmp_path / "test.bio", "")
    fails(str(tmp_path), "test.bio", "has no words")


def test_bioes(tmp_path):
    data = read(write(tmp_path / "a.conll", "a B-X", "b E-X", "c S-X", "d O"), Options())
    assert data.train["label"].to_pylist() == [["B-X", "I-X", "B-X", "O"]] and data.schema.classes == ("O", "B-X", "I-X")
    assert "BIOES" in data.notes[0].text and "2 entities" in data.notes[0].text


def test_broken_tags_are_mended_and_told_or_refused(tmp_path):
    good = ["a B-X", "b I-X", ""] * 40
    data = read(write(tmp_path / "a.conll", *good, "c O", "d I-X", "e Q-X"), Options())
    assert data.train["label"].to_pylist()[-1] == ["O", "B-X", "B-Q-X"]
    warned = data.notes[1]
    assert warned.level == "warning" and warned.files == ("a.conll:122 (I-X)", "a.conll:123 (Q-X)") and "2 tags of 42" in warned.text
    path = write(tmp_path / "b.conll", *good, *["c O", "d I-X", ""] * 5)
    fails(path, "5 tags of 45 entities", "b.conll:122 (I-X)", "data.tag=NUMBER")
    assert len(read(path, Options(bad_share=0.2)).train) == 45
    fails(write(tmp_path / "pos.conll", "Dogs NOUN", "run VERB"), "do not follow IOB2")


def test_lines_that_cannot_be_read_are_named(tmp_path):
    fails(write(tmp_path / "a.conll", "a\tO", "b"), "Line 2", "a.conll", "1 of 2 columns")
    fails(write(tmp_path / "a.conll", "a X B-NP O", "b X B-NP"), "Line 2", "3 of 4 columns")
    fails(write(tmp_path / "a.conll", "a\tB-X", "\tO"), "Line 2", "has no word")
    fails(write(tmp_path / "a.conll", "a O B-X"), "one column of 3", error=OptionError, word=2)
    fails(write(tmp_path / "a.conll", "a O", "b O"), "No class", "data.tag=NUMBER")
    fails(write(tmp_path / "a.conll", ""), "has no words")
    fails(str(tmp_path / "none"), "does not exist")
    (tmp_path / "a.conll").write_bytes(b"a O\ncaf\xe9 B-X\n")
    fails(str(tmp_path / "a.conll"), "line 2", "data.encoding=latin-1")
    assert read(str(tmp_path / "a.conll"), Options(encoding="latin-1")).train["text"].to_pylist() == [["a", "caf\u00e9"]]


def test_roles_are_drawn_at_random(tmp_path):
    lines = [line for i in range(600) for line in (f"w{i} B-{'XY'[i % 2]}", "o O", "")]
    data = split.assign(read(write(tmp_path / "a.conll", *lines), Options()))
    assert [len(table) for table in (data.train, data.val, data.test)] == [360, 120, 120]
    few = split.assign(read(write(tmp_path / "b.conll", *lines[:300]), Options()))
    assert few.plan.folds == 5 and len(split.fold_data(few, 0).test) == 20


@pytest.mark.data
def test_real_tags(data_dir):
    data = read(str(data_dir / "wnut17"), Options())
    assert [len(table) for table in (data.train, data.val, data.test)] == [3394, 1009, 1287] and len(data.schema.classes) == 13
    assert [note.level for note in data.notes] == ["info"]
