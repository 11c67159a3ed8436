import json

import pyarrow as pa
import pytest
from tests.readers.folders import data, rows, tree

from graft.inspect.table import findings
from graft.readers import image_folder, split


def told(made):
    found = findings(made)
    kinds = [one.kind for one in found]
    assert len(kinds) == len(set(kinds)), kinds
    for one in found:
        assert one.text.endswith(".") and one.effect.endswith(".") and one.repair.endswith(".") and one.count >= 1
        assert set().union(*(example["files"] for example in one.examples)) <= set(one.files)
        json.dumps(one.as_dict())
    return {one.kind: one for one in found}


def named(**counts):
    return [name.replace("__", " ") for name, count in counts.items() for _ in range(count)]


def test_sound_data_say_nothing():
    assert told(data(rows(named(ants=120, bees=120)))) == {}
    assert told(data(rows(named(ants=40, bees=40)), rows(named(ants=9, bees=9), name="v"))) == {}
    assert told(split.assign(data(rows(named(ants=120, bees=120))))) == {}
    assert told(data(rows([0.1 * i for i in range(60)], "number"), kind="number")) == {}
    assert told(data(rows([["a"], ["b"], []] * 40, "labels"), kind="labels")) == {}


def test_labels_that_mean_the_same():
    one = told(data(rows(named(cat=40, cats=40, dog=40, Dog_=40))))["same_labels"]
    assert (one.level, one.count) == ("warning", 2) and len(one.files) == 160
    assert one.examples[0]["labels"] == ["Dog_", "dog"] and len(one.examples[0]["files"]) == 2
    assert "'cat' (40) and 'cats' (40) differ only in singular and plural" in one.text


def test_one_letter_is_suspect_where_one_of_the_two_is_rare():
    assert told(data(rows(named(horse=60, house=60))))["similar_labels"].level == "note"
    assert told(data(rows(named(healthy=150, healhty=30, sick=90))))["similar_labels"].level == "warning"


def test_labels_of_several_a_row_are_compared_too():
    assert told(data(rows([["cat"], ["cats", "dog"], ["dog"]] * 40, "labels"), kind="labels"))["same_labels"].count == 1


def test_a_class_that_is_not_scored_or_not_learnt():
    train = rows(named(a=50, b=50, c=50))
    one = told(data(train, rows(named(a=9, b=9), name="v"), rows(named(a=9), name="t")))["missing_class"]
    assert (one.level, one.count) == ("warning", 3) and one.numbers["missing"] == {"val": ["c"], "test": ["b", "c"]}
    assert one.text == "Val has no sample of 'c'; test has no sample of 'b', 'c'."
    one = told(data(rows(named(a=50, b=50)), rows(named(a=9, b=9, c=2), name="v")))["missing_class"]
    assert one.level == "problem" and len(one.files) == 2 and one.text == "Train has no sample of 'c'."


def test_roles_are_told_in_words():
    made = split.assign(data(rows(named(a=200, b=200)), rows(named(a=9), name="v")))
    assert told(made)["missing_class"].text == "The scored rows (val) have no sample of 'b'."


def test_the_readers_word_on_a_missing_class_is_not_said_twice(tmp_path):
    root = tree(tmp_path / "p", {"train/a": 30, "train/b": 30, "val/a": 3})
    made = image_folder.read(str(root), image_folder.Options())
    assert len(made.notes) == 1 and set(told(made)) == {"missing_class"}


def test_tiny_and_small_classes_are_two_levels():
    found = told(data(rows(named(a=9, b=10, c=29, d=30))))
    assert found["tiny_class"].numbers["counts"] == {"a": 9} and found["tiny_class"].level == "warning"
    assert found["small_class"].numbers["counts"] == {"b": 10, "c": 29} and found["small_class"].level == "note"
    assert len(found["tiny_class"].files) == 9 and found["small_class"].text == "There are only 10 of 'b', 29 of 'c' to learn from."


def test_what_counts_are_the_learning_rows():
    """Of 36 samples, a fifth of train is only lent for selecting: 36 are learnt from in the end. Those of val are not."""
    made = split.assign(data(rows(named(a=36, b=300)), rows(named(a=9, b=9), name="v")))
    assert len(made.val) > 60 and "small_class" not in told(made)
    made = split.assign(data(rows(named(a=28, b=300)), rows(named(a=9, b=9), name="v")))
    assert told(made)["small_class"].numbers["counts"] == {"a": 28}


def test_few_numbers():
    assert told(data(rows([float(i) for i in range(29)], "number"), kind="number"))["tiny_class"].text.startswith(
        "There are only 29 samples"
    )


@pytest.mark.parametrize("large, level", [(89, None), (90, "note"), (299, "note"), (300, "warning")])
def test_unequal_classes(large, level):
    one = told(data(rows(named(a=large, b=30)))).get("imbalance")
    assert (one.level if one else None) == level
    if one:
        assert one.numbers["majority"] == large / (large + 30) and f"accuracy of {large / (large + 30):.2f}" in one.effect


def test_groups_that_cross_splits():
    train = rows(["a", "b"] * 30, groups=[f"p{i // 2}" for i in range(60)])
    val = rows(["a", "b"] * 5, groups=["p0", "p1"] + ["v"] * 8, name="v")
    one = told(data(train, val))["shared_groups"]
    assert (one.level, one.count, one.numbers["share"]) == ("problem", 2, 0.2) and len(one.files) == len(set(one.files)) == 6
    assert one.examples[0] == {"files": ["/x/a0000.png", "/x/v0000.png"], "group": "p0", "splits": ["train", "val"]}
    # Drawing the roles keeps groups whole, but splits on disk stay; the note of the drawing is not said twice.
    assert "reader" not in told(split.assign(data(train, val))) and "shared_groups" in told(split.assign(data(train, val)))
    drawn = split.assign(data(pa.concat_tables([train, val])), folds=0)
    assert drawn.test is not None and "shared_groups" not in told(drawn)


def test_rows_that_select_and_are_scored_are_not_compared_with_themselves():
    train = rows(["a", "b"] * 30, groups=[f"p{i}" for i in range(60)])
    val = rows(["a", "b"] * 5, groups=[f"v{i}" for i in range(10)], name="v")
    assert "shared_groups" not in told(split.assign(data(train, val), select_on="val"))


def test_one_class_and_a_constant_label():
    assert told(data(rows(named(a=50))))["one_class"].level == "problem"
    found = told(data(rows([["a", "b"], ["a"]] * 30, "labels"), kind="labels"))
    assert found["constant_label"].level == "problem" and "'a'" in found["constant_label"].text


def test_numbers():
    values = [float(i) for i in range(40)]
    found = told(data(rows([*values, 4000.0], "number"), rows([5.0, -3.0, 5000.0], "number", name="v"), kind="number"))
    assert found["far_numbers"].files == ("/x/a0040.png",)
    assert found["beyond_range"].files == ("/x/v0001.png", "/x/v0002.png") and found["beyond_range"].examples[0]["splits"] == ["val"]
    found = told(data(rows([0.0] * 40 + values, "number"), kind="number"))
    assert (found["constant_number"].level, found["constant_number"].count) == ("warning", 41)
    assert told(data(rows([2.0] * 40, "number"), kind="number"))["constant_number"].level == "problem"


def texts(label, target, classes, **more):
    from graft.core import Data, Schema

    n = len(label)
    table = pa.table({"path": [f"a.csv:{i}" for i in range(n)], "text": ["the same text"] * n, "label": label, **more})
    return Data(table, Schema("text", target, classes, input="text"), "f", "a.csv")


def test_texts_are_named_by_their_lines():
    found = told(texts(["a"] * 30 + ["b"] * 3, "class", ("a", "b")))
    assert found["tiny_class"].files == ("a.csv:30", "a.csv:31", "a.csv:32") and found["tiny_class"].effect.startswith(
        "Single texts decide"
    )
    numbers = told(texts([0.1 * (i % 7) for i in range(60)] + [1e6], "number", ()))
    assert numbers["far_numbers"].files == ("a.csv:60",)


def test_answers_and_running_text_are_no_classes():
    assert told(texts([["one"], ["two"], []], "spans", ())) == {} and told(texts([""] * 3, "language", ())) == {}
