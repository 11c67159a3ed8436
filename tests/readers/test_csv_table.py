import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.readers.folders import image

from graft.errors import DataError, OptionError
from graft.readers.csv_table import Options, read


@pytest.fixture
def folder(tmp_path):
    for i in range(8):
        image(tmp_path / "img" / f"{i}.png", i)
    return tmp_path


def table(folder, lines, name="t.csv"):
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


def eight(folder, header="path,label", cells=lambda i: "ab"[i % 2]):
    return table(folder, [header, *(f"img/{i}.png,{cells(i)}" for i in range(8))])


def fails(file, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(file, Options(**options))
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_one_label(folder):
    data = read(eight(folder), Options())
    assert data.schema.target == "class" and data.schema.classes == ("a", "b")
    assert data.train["path"].to_pylist() == [str(folder / "img" / f"{i}.png") for i in range(8)]
    assert data.train["label"].to_pylist() == list("abababab")
    assert data.val is None and data.train.column_names == ["path", "label"]


@pytest.mark.parametrize("header", ["file,class", "Image Path,Category", "IMG,y", "filename,Target", "filepaths,anything"])
def test_columns_are_found_by_name(folder, header):
    assert read(eight(folder, header), Options()).schema.classes == ("a", "b")


def test_columns_can_be_given_and_misspelt(folder):
    path = eight(folder, "where,what")
    assert read(path, Options(image="where", label=("what",))).schema.classes == ("a", "b")
    assert read(path, Options(image="where", label="what")).schema.classes == ("a", "b")
    fails(path, "no column of image files", "'where', 'what'", "data.image")
    fails(path, "no column 'wher' for data.image", "Did you mean 'where'?", error=OptionError, image="wher")
    fails(path, "Did you mean 'what'?", error=OptionError, image="where", label=("waht",))
    fails(path, "no target 'clas'", "'class'", error=OptionError, target="clas")
    path = table(folder, ["path,colour,size", *(f"img/{i}.png,{i % 2},{i % 3}" for i in range(8))])
    fails(path, "no column of labels", "'colour', 'size'", "--set data.label=A,B")


def test_no_option_is_called_as_the_place_of_the_data_is():
    assert "path" not in {field.name for field in dataclasses.fields(Options)}, "data.path is the table itself"


def test_of_two_likely_labels_the_choice_is_told(folder):
    path = table(folder, ["path,class,label", *(f"img/{i}.png,x{i % 2},y{i % 2}" for i in range(8))])
    data = read(path, Options())
    assert data.schema.classes == ("y0", "y1") and data.notes[0].level == "warning" and "'class'" in data.notes[0].text


def test_regression(folder):
    data = read(eight(folder, cells=lambda i: i / 4), Options())
    assert data.schema.target == "number" and data.schema.classes == ()
    assert data.train["label"].type == pa.float64() and data.train["label"].to_pylist() == [i / 4 for i in range(8)]
    fails(eight(folder, cells=lambda i: 1.5), "the same number")


def test_several_labels_in_flags_cells_and_lists(folder):
    flags = table(folder, ["path,a,b,never", *(f"img/{i}.png,{i % 2},{int(i > 3)},0" for i in range(8))])
    expected = [[name for name, on in (("a", i % 2), ("b", i > 3)) if on] for i in range(8)]
    data = read(flags, Options(label=("b", "a", "never")))
    assert data.schema.target == "labels" and data.schema.classes == ("a", "b")
    assert data.train["label"].to_pylist() == expected and data.train["label"].type == pa.list_(pa.string())
    assert "'never'" in data.notes[-1].text
    rows = [{"path": f"img/{i}.png", "label": names} for i, names in enumerate(expected)]
    assert read(table(folder, map(json.dumps, rows), "t.jsonl"), Options()).train.equals(data.train)
    pq.write_table(pa.Table.from_pylist(rows), folder / "t.parquet")
    assert read(str(folder / "t.parquet"), Options()).train.equals(data.train)
    cells = read(eight(folder, cells=lambda i: "a|b" if i % 2 else "b"), Options())
    assert cells.train["label"].to_pylist() == [["a", "b"] if i % 2 else ["b"] for i in range(8)]


def test_splits(folder):
    path = table(
        folder, ["path,label,split", *(f"img/{i}.png,{'ab'[i % 2]},{('Train', 'train', 'valid', 'TEST')[i // 2]}" for i in range(8))]
    )
    data = read(path, Options())
    assert [len(t) for t in (data.train, data.val, data.test)] == [4, 2, 2]
    whole = read(path, Options(split=""))
    assert len(whole.train) == 8 and whole.val is None
    odd = table(folder, ["path,label,split", *(f"img/{i}.png,{'ab'[i % 2]},{'xtrain'[i % 2 :]}" for i in range(8))])
    assert any("not read as a split" in note.text for note in read(odd, Options()).notes)
    fails(odd, "'xtrain' at line 2", "write train, val or test", split="split")
    late = table(folder, ["path,label,split", *(f"img/{i}.png,{'ab'[i % 2]},test" for i in range(8))])
    fails(late, "none of train")
    alien = table(
        folder, ["path,label,split", *(f"img/{i}.png,{'ab'[i % 2] if i < 7 else 'z'},{'train' if i < 6 else 'val'}" for i in range(8))]
    )
    fails(alien, "'z' in val", "not in train")


def test_groups(folder):
    path = table(folder, ["path,label,patient", *(f"img/{i}.png,{'ab'[i % 2]},{i // 4}" for i in range(8))])
    data = read(path, Options())
    assert data.train["group"].to_pylist() == ["0"] * 4 + ["1"] * 4 and "'patient'" in data.notes[0].text
    assert "group" not in read(path, Options(group="")).train.column_names
    path = table(folder, ["path,label,patient", *(f"img/{i}.png,{'ab'[i % 2]},{i or ''}" for i in range(8))])
    fails(path, "1 of 8 rows", "no group in 'patient'", "line 2", "data.group=")


def test_missing_files_and_root(folder):
    path = table(folder, ["path,label", *(f"{i}.png,{'ab'[i % 2]}" for i in range(8))])
    fails(path, "8 of 8 image files", "'0.png', '1.png', '2.png' and 5 more", "data.root=FOLDER")
    assert len(read(path, Options(root="img")).train) == 8
    assert len(read(path, Options(root=str(folder / "img"))).train) == 8
    fails(path, "root='imgs' does not exist", root="imgs")
    fails(table(folder, ["path,label", "img/0.png,a", ",b"]), "1 of 2", "empty path at line 3")
    fails(table(folder, ["path,label", "img,a", "img/0.png,b"]), "1 of 2", "'img'")
    windows = table(folder, ["path,label", *(f"img\\{i}.png,{'ab'[i % 2]}" for i in range(8))])
    assert len(read(windows, Options()).train) == 8


def test_repeated_rows(folder):
    lines = ["path,label", "img/0.png,a", "img/1.png,b", "./img/0.png,a"]
    data = read(table(folder, lines), Options())
    assert len(data.train) == 2 and data.notes[-1].files == (str(folder / "img" / "0.png"),)
    fails(table(folder, [*lines, "img/1.png,a"]), "two labels, 'b' and 'a'", "line 5", "keep one")
    fails(table(folder, ["path,label,split", "img/0.png,a,train", "img/1.png,b,train", "img/0.png,a,val"]), "two splits")
    fails(table(folder, ["path,label,group", "img/0.png,a,1", "img/1.png,b,1", "img/0.png,a,2"]), "two groups")


def test_labels_are_checked(folder):
    fails(eight(folder, cells=lambda i: "a"), "Only one class, 'a'", "data.label")
    fails(eight(folder, cells=lambda i: "Aa"[i % 2]), "'A'", "'a'", "rename one")
    fails(eight(folder, cells=lambda i: "nan" if i == 3 else "ab"[i % 2]), "1 of 8", "line 5")
    fails(table(folder, ['{"path": "img/0.png", "label": []}', '{"path": "img/1.png", "label": []}'], "t.jsonl"), "No class was found")


def test_paths_that_are_no_texts(folder):
    fails(table(folder, ['{"path": 1, "label": "a"}'], "t.jsonl"), "int values, not paths")
    fails(table(folder, ['{"path": "\\ud800", "label": "a"}'], "t.jsonl"), "not a valid text")
    fails(table(folder, ['{"path": "a\\u0000b", "label": "a"}'], "t.jsonl"), "1 of 1 image files")


def test_order_of_rows_does_not_matter(folder):
    lines = [f"img/{i}.png,{'ab'[i % 2]}" for i in range(8)]
    one, two = (read(table(folder, ["path,label", *rows], f"{k}.csv"), Options()) for k, rows in enumerate((lines, lines[::-1])))
    assert one.train.equals(two.train) and one.fingerprint == two.fingerprint


@pytest.mark.data
def test_a_real_table(data_dir):
    data = read(str(data_dir / "imagenet_sample" / "labels.csv"), Options(label=("wnid",)))
    assert len(data.train) == len(data.schema.classes) == 1000
