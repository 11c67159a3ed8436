import pytest

from graft.errors import DataError, OptionError
from graft.readers.sheet import Sheet
from graft.readers.target import FEW_CLASSES, checked, plain, read_labels


def sheet(**columns) -> Sheet:
    return Sheet("/t.csv", columns, list(range(2, 2 + len(next(iter(columns.values()))))), "line")


def labels(cells, target="auto", separator=None):
    notes = []
    return read_labels(sheet(y=cells), ("y",), target, separator, notes)


def fails(cells, *words, **options):
    with pytest.raises(DataError) as caught:
        labels(cells, **options)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("cells", "target"),
    [
        (["cat", "dog"], "class"),
        (["1", "2", "1", "2"], "class"),
        ([1, 2, 1, 2], "class"),
        (["1", "2", "3", "1"], "number"),  # Some once only.
        ([str(i % (FEW_CLASSES + 1)) for i in range(100)], "number"),
        ([str(i % FEW_CLASSES) for i in range(100)], "class"),
        (["1.0", "2.0", "1.0", "2.0"], "number"),
        ([0.5, 1, 2, -3e-2], "number"),
        (["007", "123", "100"], "class"),
        (["1", "2", "x"], "class"),
        ([True, False, True], "class"),
        (["1_0", "2_0", "3.5"], "class"),  # Python would take the underscore for a number.
    ],
)
def test_the_target_is_seen_from_the_cells(cells, target):
    assert labels(cells)[0] == target


def test_the_reason_is_told_with_the_flag():
    notes = []
    read_labels(sheet(y=["1", "2", "1", "2"]), ("y",), "auto", None, notes)
    assert "'y' is read as one class a row" in notes[0].text and "each at least twice" in notes[0].text and "data.target" in notes[0].text


def test_the_target_can_be_given():
    assert labels(["1", "2", "1", "2"], target="number") == ("number", [1.0, 2.0, 1.0, 2.0])
    assert labels(["1.5", "2.5"], target="class") == ("class", ["1.5", "2.5"])
    assert labels(["a b", "b"], target="labels") == ("labels", [["a", "b"], ["b"]])
    assert labels(["a, b", "b"], target="labels") == ("labels", [["a", "b"], ["b"]])


def test_separators():
    assert labels(["a|b", "b", "a | c", "c"]) == ("labels", [["a", "b"], ["b"], ["a", "c"], ["c"]])
    assert labels(["a;b", "a;b", "c"])[0] == "labels"
    assert labels(["a|b", "c", "d"])[0] == "class"  # One cell is no habit.
    assert labels(["x|1", "y|2", "z|3"])[0] == "class"  # The parts do not recur.
    assert labels(["a|", "b|", "a|b"])[0] == "class"  # An empty part.
    assert labels(["big cat", "big dog", "cat dog"])[0] == "class"
    assert labels(["big cat", "dog"], separator="space") == ("labels", [["big", "cat"], ["dog"]])
    assert labels(["a/b", "b"], separator="/") == ("labels", [["a", "b"], ["b"]])


def test_lists():
    assert labels([["b", "a", "b"], [], ["c"]]) == ("labels", [["a", "b"], [], ["c"]])
    assert labels([[1, 2], [2]]) == ("labels", [["1", "2"], ["2"]])
    fails([["a"], "b"], "holds lists")
    fails([["a"], ["b"]], "holds lists", target="class")
    fails([["a"], ["b", None]], "1 of 2 rows have no label", "line 3")
    fails([["a"], [{"b": 1}]], "not a valid text")


def test_columns_of_flags():
    found = read_labels(sheet(b=["1", "0", "true"], a=[0, 1.0, True]), ("b", "a"), "auto", None, [])
    assert found == ("labels", [["b"], ["a"], ["a", "b"]])
    with pytest.raises(DataError, match=r"column 'a' .* holds '2' at line 3.*0 or 1"):
        read_labels(sheet(b=["1", "0"], a=["0", "2"]), ("b", "a"), "auto", None, [])
    with pytest.raises(DataError, match="1 of 2 rows have no label"):
        read_labels(sheet(b=["1", ""], a=["0", "1"]), ("b", "a"), "auto", None, [])
    with pytest.raises(OptionError, match="2 label columns"):
        read_labels(sheet(b=["1", "0"], a=["0", "1"]), ("b", "a"), "class", None, [])


@pytest.mark.parametrize("empty", ["", "  ", "nan", "NaN", None, float("nan"), "null", "<NA>"])
def test_missing_labels(empty):
    fails(["a", empty, "b", empty], "2 of 4 rows have no label", "line 3, 5", "fill these labels in")


def test_words_for_nothing_count_only_among_numbers():
    fails(["1.5", "NA", "2.5"], "1 of 3 rows have no label")
    assert labels(["none", "crack", "crack"])[1] == ["none", "crack", "crack"]


def test_labels_written_alike():
    fails(["cat", "cat "], "'cat '", "rename")
    assert labels([" cat", " dog"])[1] == ["cat", "dog"]


def test_numbers_must_be_finite():
    fails(["1.5", "x"], "'x' at line 3", "not a finite number", "data.target=class", target="number")
    fails(["1.5", "1e999"], "not a finite number")
    fails([1.5, float("inf")], "not a finite number", target="number")


def test_cells_that_are_no_text():
    assert plain((1, None, True)) == ["1", None, "true"]
    with pytest.raises(DataError, match="not a valid text"):
        checked(sheet(y=["a"]), "\ud800", 0)
    fails([{"a": 1}, "b"], "not a valid text")
    fails([b"a", b"b"], "not a valid text")
