import pytest

from graft.core import Note
from graft.errors import DataError, OptionError
from graft.readers import columns
from graft.readers.sheet import Sheet


def sheet(**cells):
    return Sheet("/x/t.csv", cells, list(range(2, 2 + len(next(iter(cells.values()))))), "line")


def test_names_are_found_in_any_spelling_the_most_usual_first():
    made = sheet(**{"Data Set": ["a"], "CLASS": ["b"], "y": ["c"]})
    assert columns.matches(made, columns.LABELS) == ["CLASS", "y"] and columns.matches(made, columns.SPLITS) == ["Data Set"]
    assert columns.find(made, None, "label", columns.LABELS) == "CLASS" and columns.find(made, "y", "label", columns.LABELS) == "y"
    assert columns.find(made, "", "label", columns.LABELS) is None
    with pytest.raises(OptionError, match=r"no column 'CLAS' for data.label in '/x/t.csv'. Did you mean 'CLASS'"):
        columns.known(made, "CLAS", "label")
    assert columns.names_of("a") == columns.names_of(["a"]) == ("a",)


def test_the_label_is_found_or_is_what_is_left():
    notes: list[Note] = []
    assert columns.find_label(sheet(a=["1"], mood=["2"]), ("a",), notes, ("mood",)) == "mood" and notes == []
    assert columns.find_label(sheet(a=["1"], b=["2"]), ("a", None), notes) == "b" and "only column left" in notes[0].text
    with pytest.raises(DataError, match=r"no column of labels among 'b', 'c'"):
        columns.find_label(sheet(a=["1"], b=["2"], c=["3"]), ("a",), notes)


def test_a_split_needs_names_of_splits():
    notes: list[Note] = []
    assert columns.find_split(sheet(set=["train", "dev"]), None, notes) == "set" and notes == []
    assert columns.read_splits(sheet(set=["Train", "dev"]), "set") == ["train", "val"]
    assert columns.find_split(sheet(set=["train", "blue"]), None, notes) is None and "'blue'" in notes[0].text
    with pytest.raises(DataError, match="'blue' at line 3"):
        columns.read_splits(sheet(set=["train", "blue"]), "set")


def test_groups_are_told_and_complete():
    notes: list[Note] = []
    assert columns.find_group(sheet(patient=["1"]), None, notes) == "patient" and "kept together" in notes[0].text
    assert columns.find_group(sheet(patient=["1"]), None, notes, ("group",)) is None
    assert columns.read_groups(sheet(g=[1, "b"]), "g") == ["1", "b"]
    with pytest.raises(DataError, match=r"1 of 2 rows .* line 3"):
        columns.read_groups(sheet(g=["a", ""]), "g")


def test_classes_are_those_of_train():
    notes: list[Note] = []
    made = sheet(label=["a"])
    assert columns.classes_of(made, {"train": ["b", "a"], "val": ["a"]}, "class", ["label"], notes) == ("a", "b")
    assert columns.classes_of(made, {"train": [["b"], []]}, "labels", ["b", "c"], notes) == ("b",) and "'c'" in notes[0].text
    assert columns.classes_of(made, {"train": [1.0, 2.0]}, "number", ["label"], notes) == ()
    for labels, target, words in (
        ({"val": ["a"]}, "class", "none of train"), ({"train": ["a"]}, "class", "Only one class"),
        ({"train": [1.0, 1.0]}, "number", "same number"), ({"train": ["a", "b"], "test": ["c"]}, "class", "'c' in test"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            columns.classes_of(made, labels, target, ["label"], notes)
