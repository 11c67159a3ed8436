import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.errors import DataError, OptionError
from graft.readers import split
from graft.readers.text_table import Options, read
from graft.testing_texts import check_text_tables


def write(path, *lines, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return str(path)


def lines(count=8, header="text,label", text=lambda i: f"text {i}", label=lambda i: "ab"[i % 2]):
    return [header, *(f"{text(i)},{label(i)}" for i in range(count))]


def fails(path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(str(path), Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def told(data, level="warning"):
    return [note for note in data.notes if note.level == level]


def test_texts_and_labels(tmp_path):
    data = read(write(tmp_path / "t.csv", *lines()), Options())
    assert (data.schema.modality, data.schema.target, data.schema.input, data.schema.label) == ("text", "class", "text", "label")
    assert data.schema.classes == ("a", "b") and data.train.column_names == ["path", "text", "label"]
    assert data.train.to_pylist()[1] == {"path": "t.csv:3", "text": "text 1", "label": "b"}
    assert data.val is None and data.test is None and data.plan is None and told(data) == []


def test_the_same_rows_from_every_kind_of_file(tmp_path):
    rows = [{"text": f"text, {i}", "label": "ab"[i % 2]} for i in range(6)]
    files = [
        write(tmp_path / "t.csv", "text,label", *(f'"{row["text"]}",{row["label"]}' for row in rows)),
        write(tmp_path / "t.tsv", "text\tlabel", *(f"{row['text']}\t{row['label']}" for row in rows)),
        write(tmp_path / "t.jsonl", *map(json.dumps, rows)),
        str(tmp_path / "t.parquet"),
    ]
    pq.write_table(pa.Table.from_pylist(rows), files[3])
    found = [read(file, Options()) for file in files]
    assert len({data.fingerprint for data in found}) == 1
    assert all(data.train.select(["text", "label"]).to_pylist() == rows for data in found)
    assert [data.train["path"][0].as_py() for data in found] == ["t.csv:2", "t.tsv:2", "t.jsonl:1", "t.parquet:1"]


@pytest.mark.parametrize("header", ["Review,sentiment", "sentence,label", "Tweet,target", "question,intent", "title,category"])
def test_columns_are_found_by_name(tmp_path, header):
    assert read(write(tmp_path / "t.csv", *lines(header=header)), Options()).schema.classes == ("a", "b")


def test_the_longest_column_is_the_text_where_no_name_is_usual(tmp_path):
    rows = ["id,kurz,lang,label", *(f"{i}00000000000000000000,ja {i},ein langer Satz {i},{'ab'[i % 2]}" for i in range(8))]
    data = read(write(tmp_path / "t.csv", *rows), Options())
    assert data.train["text"][0].as_py() == "ein langer Satz 0" and any("longest cells" in note.text for note in data.notes)
    fails(write(tmp_path / "n.csv", "id,label", "1,a", "2,b"), "no column of texts", "data.text=COLUMN")


def test_columns_can_be_given_joined_and_misspelt(tmp_path):
    path = write(tmp_path / "t.csv", "title,body,what", *(f"T{i},body {i},{'ab'[i % 2]}" for i in range(8)))
    assert read(path, Options(text="title", label=("what",))).train["text"][0].as_py() == "T0"
    data = read(path, Options(label=("what",)))
    assert data.train["text"][0].as_py() == "body 0" and "data.text=title+body" in told(data, "info")[0].text
    assert read(path, Options(text="title+body", label="what")).train["text"][0].as_py() == "T0 body 0"
    fails(path, "no column 'tilte' for data.text", "'title'", error=OptionError, text="tilte")
    fails(path, "no column 'boddy'", "'body'", error=OptionError, text="title+boddy")
    fails(path, "no column 'waht' for data.label", error=OptionError, label=("waht",))
    fails(path, "no target", error=OptionError, target="clas")


def test_several_labels_and_numbers(tmp_path):
    flags = write(tmp_path / "f.csv", "text,rude,loud", *(f"t{i},{i % 2},{int(i > 3)}" for i in range(8)))
    data = read(flags, Options(label=("rude", "loud")))
    assert data.schema.target == "labels" and data.train["label"].to_pylist()[7] == ["loud", "rude"]
    assert data.train["label"].type == pa.list_(pa.string())
    data = read(write(tmp_path / "n.csv", *lines(header="text,score", label=lambda i: i / 4)), Options())
    assert data.schema.target == "number" and data.train["label"].type == pa.float64()


def test_rows_without_a_text_are_left_out_and_told(tmp_path):
    rows = lines(40, text=lambda i: " " if i == 3 else f"t{i}", label=lambda i: "ab"[i % 2])
    data = read(write(tmp_path / "t.csv", *rows), Options())
    assert len(data.train) == 39 and told(data)[0].files == ("t.csv:5",)
    few = write(tmp_path / "f.csv", *lines(8, text=lambda i: "" if i < 2 else f"t{i}"))
    fails(few, "2 of 8 rows", "'f.csv:2', 'f.csv:3'", "data.bad_share")
    assert len(read(few, Options(bad_share=0.5)).train) == 6


def test_one_text_with_two_labels_is_told_and_repetitions_are_kept(tmp_path):
    data = read(write(tmp_path / "t.csv", *lines(), "text 0,a", "text 1,a"), Options())
    assert len(data.train) == 10 and [note.files for note in told(data)] == [("t.csv:3", "t.csv:11")]
    assert told(read(write(tmp_path / "n.csv", *lines(label=lambda i: i / 3), "text 1,7.5"), Options())) == []


def pairs(tmp_path, count=40, second=lambda i: f"second {i}", header="premise,hypothesis,label"):
    return write(tmp_path / "p.csv", header, *(f"first {i},{second(i)},{'ab'[i % 2]}" for i in range(count)))


@pytest.mark.parametrize("header", ["premise,hypothesis,label", "Sentence-1,Sentence-2,gold", "question,passage,label"])
def test_pairs_are_found_by_name(tmp_path, header):
    data = read(pairs(tmp_path, header=header), Options())
    check_text_tables(data)
    assert data.schema.pair and data.train["text"][0].as_py() == "first 0" and data.train["context"][0].as_py() == "second 0"
    assert "pair of texts" in told(data, "info")[0].text and "group" not in data.train.column_names


def test_a_second_text_can_be_named_and_left_out(tmp_path):
    path = pairs(tmp_path, header="premise,hypothesis,label")
    for options in (Options(second=""), Options(text="premise")):
        data = read(path, options)
        assert not data.schema.pair and "context" not in data.train.column_names
    data = read(pairs(tmp_path / "other", header="review,reply,label"), Options(second="reply"))
    assert data.train["text"][0].as_py() == "first 0" and data.train["context"][0].as_py() == "second 0"
    joined = read(path, Options(text="premise", second="hypothesis"))
    assert joined.schema.pair and joined.fingerprint == read(path, Options()).fingerprint != read(path, Options(second="")).fingerprint
    fails(path, "data.second", "'hypothesis'", error=OptionError, second="hypothesys")
    fails(path, "both texts", error=OptionError, text="premise", second="premise")


def test_pairs_with_one_text_alone_are_left_out_and_one_pair_with_two_labels_is_told(tmp_path):
    data = read(pairs(tmp_path, second=lambda i: "" if i == 3 else f"s{i}"), Options())
    assert len(data.train) == 39 and told(data)[0].files == ("p.csv:5",)
    rows = ["premise,hypothesis,label", *(f"f{i},s{i},{'ab'[i % 2]}" for i in range(8)), "f1,s1,a", "f1,s2,a"]
    assert [note.files for note in told(read(write(tmp_path / "t.csv", *rows), Options()))] == [("t.csv:3", "t.csv:10")]


def test_pairs_that_share_a_text_stay_together(tmp_path):
    path = pairs(tmp_path, count=80, second=lambda i: f"page {i % 20}")
    data = read(path, Options())
    assert data.train["group"].to_pylist()[:2] == ["page 0", "page 1"] and "data.group=" in told(data, "info")[-1].text
    assert "group" not in read(path, Options(group="")).train.column_names
    few = read(pairs(tmp_path, count=80, second=lambda i: f"page {i % 3}"), Options())
    assert "group" not in few.train.column_names, "three questions that are put to eighty texts"


def test_splits_in_a_column_and_groups(tmp_path):
    rows = ["text,label,split,group", *(f"t{i},{'ab'[i % 2]},{('train', 'train', 'dev', 'test')[i // 2]},{i // 2}" for i in range(8))]
    data = read(write(tmp_path / "t.csv", *rows), Options())
    assert [len(table) for table in (data.train, data.val, data.test)] == [4, 2, 2]
    assert data.train["group"].to_pylist() == ["0", "0", "1", "1"]
    whole = read(str(tmp_path / "t.csv"), Options(split="", group=""))
    assert len(whole.train) == 8 and "group" not in whole.train.column_names


def test_splits_as_files(tmp_path):
    for name, count in (("train.csv", 6), ("valid.tsv", 4), ("test.jsonl", 2)):
        rows = lines(count)
        if name.endswith("tsv"):
            rows = [row.replace(",", "\t") for row in rows]
        if name.endswith("jsonl"):
            rows = [json.dumps({"label": "ab"[i % 2], "text": f"u{i}"}) for i in range(count)]
        write(tmp_path / "d" / name, *rows)
    data = read(str(tmp_path / "d"), Options())
    assert [len(table) for table in (data.train, data.val, data.test)] == [6, 4, 2] and data.source == str(tmp_path / "d")
    assert [table["path"][0].as_py() for table in (data.train, data.val, data.test)] == ["train.csv:2", "valid.tsv:2", "test.jsonl:1"]
    fails(tmp_path / "d", "no meaning", error=OptionError, split="part")
    write(tmp_path / "d" / "valid.tsv", "text\tlabel", "x\t")
    fails(tmp_path / "d", "line valid.tsv:2")
    write(tmp_path / "d" / "valid.tsv", "text\tclass", "x\ta")
    fails(tmp_path / "d", "valid.tsv' has no column 'label'", "train.csv")


def test_tables_called_txt(tmp_path):
    write(tmp_path / "train.txt", *(row.replace(",", "\t") for row in lines())), write(tmp_path / "README.txt", "About.")
    data = read(str(tmp_path), Options())
    assert len(data.train) == 8 and told(data, "info")[0].files == (str(tmp_path / "README.txt"),)


def test_a_test_file_without_labels_is_left_out(tmp_path):
    write(tmp_path / "train.csv", *lines()), write(tmp_path / "test.csv", "text", "what?")
    data = read(str(tmp_path), Options())
    assert data.test is None and "cannot be scored" in told(data)[0].text


def test_the_target_is_one_over_all_files(tmp_path):
    """Whole numbers that are few in train and many in test are read alike."""
    write(tmp_path / "train.csv", *lines(80, label=lambda i: i % 40))
    write(tmp_path / "test.csv", *lines(8, label=lambda i: i % 2))
    assert read(str(tmp_path), Options()).schema.target == "number"


def test_encodings(tmp_path):
    rows = lines(text=lambda i: f"caf\u00e9 {i}")
    path = write(tmp_path / "t.csv", *rows, encoding="latin-1")
    fails(path, "not UTF-8", "line 2", "--set data.encoding=latin-1")
    assert read(path, Options(encoding="latin-1")).train["text"][0].as_py() == "caf\u00e9 0"
    assert read(write(tmp_path / "b.csv", *rows, encoding="utf-8-sig"), Options()).train["text"][0].as_py() == "caf\u00e9 0"
    fails(path, "no encoding 'latin-11'", error=OptionError, encoding="latin-11")
    twice = [row.encode().decode("latin-1") for row in rows]
    assert told(read(write(tmp_path / "c.csv", *twice), Options()))[0].files[0] == "c.csv:2"


def test_what_is_wrong_is_named(tmp_path):
    fails(write(tmp_path / "a.csv", *lines(label=lambda i: "a")), "Only one class, 'a'")
    fails(write(tmp_path / "b.csv", *lines(), "x,"), "1 of 9 rows have no label", "line 10")
    fails(write(tmp_path / "c.jsonl", '{"text": 5, "label": "a"}', '{"text": "x", "label": "b"}'), "holds a int at line 1")
    fails(write(tmp_path / "d.csv", *(f"message {i},{'ab'[i % 2]}" for i in range(8))), "first line", "'a' is also the label of 3 rows")
    fails(write(tmp_path / "e.csv", "text,x,y2", "t,1,2"), "no column of labels")
    fails(tmp_path / "none.csv", "does not exist")
    fails(write(tmp_path / "f.jsonl", '{"text": "\\ud800", "label": "a"}'), "not a valid text")


def test_quotes_are_letters_in_tables_with_tabs(tmp_path):
    path = write(tmp_path / "t.tsv", "text\tlabel", '"Yes" he said\ta', 'an open " quote\tb', '"open\ta', "x\tb")
    assert read(path, Options()).train["text"].to_pylist() == ['"Yes" he said', 'an open " quote', '"open', "x"]


def test_fingerprint_is_of_rows_and_not_of_places(tmp_path):
    one, two = write(tmp_path / "a" / "t.csv", *lines()), write(tmp_path / "b" / "u.csv", *[lines()[0], *lines()[:0:-1]])
    assert read(one, Options()).fingerprint == read(two, Options()).fingerprint
    assert read(one, Options()).fingerprint != read(write(tmp_path / "c.csv", *lines(text=lambda i: f"text  {i}")), Options()).fingerprint


def test_roles_are_stratified(tmp_path):
    data = split.assign(read(write(tmp_path / "t.csv", *lines(1000, label=lambda i: "aaab"[i % 4])), Options()))
    assert [table["label"].to_pylist().count("b") for table in (data.train, data.val, data.test)] == [150, 50, 50]


@pytest.mark.data
def test_real_tables(data_dir):
    data = read(str(data_dir / "ag_news"), Options())
    assert (len(data.train), len(data.test), len(data.schema.classes)) == (6044, 1556, 4) and told(data) == []
    data = read(str(data_dir / "rt_polarity"), Options())
    assert (len(data.train), len(data.test)) == (8582, 2080) and ["wrong encoding" in note.text for note in told(data)] == [True]
