from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.readers.folders import data, rows

from graft.core import Data, Schema
from graft.errors import DataError, OptionError
from graft.readers import split
from graft.readers.split import FEW, assign, final_data, fold_data, split_name


def paths(table) -> set[str]:
    return set(table["path"].to_pylist()) if table is not None else set()


def counts(table) -> Counter:
    return Counter(table["label"].to_pylist())


def test_names_of_splits():
    assert [split_name(n) for n in ("Train", " validation ", "DEV", "testing", "cat", "")] == ["train", "val", "val", "test", None, None]


def test_train_and_val():
    val = rows(["a", "b"] * 10, name="v")
    found = assign(data(rows(["a"] * 40 + ["b"] * 10), val))
    assert found.test.equals(val) and counts(found.val) == {"a": 8, "b": 2} and counts(found.train) == {"a": 32, "b": 8}
    plan = found.plan
    assert (plan.select, plan.score, plan.score_name, plan.drawn, plan.optimistic, plan.folds) == (
        "a fifth of train",
        "val",
        "val",
        True,
        False,
        0,
    )
    assert "20 samples" in plan.reason and "10 of the 50" in plan.reason and "--select-on val" in plan.reason
    assert paths(found.learning()) == paths(rows(["a"] * 50))


def test_train_val_and_test():
    train, val, test = rows(["a", "b"] * 10), rows(["a", "b"], name="v"), rows(["a", "b"], name="t")
    for select_on in ("auto", "val"):
        found = assign(data(train, val, test), select_on)
        assert (found.train, found.val, found.test) == (train, val, test)
        assert (found.plan.select, found.plan.score, found.plan.drawn, found.plan.optimistic) == ("val", "test", False, False)
        assert found.learning() is found.train


def test_train_and_test():
    found = assign(data(rows(["a", "b"] * 10), None, rows(["a", "b"], name="t")))
    assert len(found.val) == 4 and (found.plan.score_name, found.plan.drawn) == ("test", True)


def test_selecting_on_val_is_marked_as_optimistic():
    train, val = rows(["a", "b"] * 10), rows(["a", "b"], name="v")
    found = assign(data(train, val), "val")
    assert found.train.equals(train) and found.val.equals(val) and found.test.equals(val)
    assert found.plan.optimistic and not found.plan.drawn and found.plan.score_name == "val" and "optimistic" in found.plan.reason


def test_wrong_options():
    with pytest.raises(OptionError, match="needs a val split"):
        assign(data(rows(["a", "b"] * 10)), "val")
    with pytest.raises(OptionError, match="Did you mean 'val'"):
        assign(data(rows(["a", "b"] * 10)), "vall")
    with pytest.raises(OptionError, match="below zero"):
        assign(data(rows(["a", "b"] * 10)), folds=-1)
    with pytest.raises(OptionError, match="--folds 3 needs data without a split, but these have train and val"):
        assign(data(rows(["a", "b"] * 10), rows(["a"], name="v")), folds=3)


def test_many_without_a_split_are_drawn_60_20_20():
    table = rows((["a"] * 6 + ["b"] * 3 + ["c"]) * 100)
    found = assign(data(table))
    for part, share in ((found.train, 0.6), (found.val, 0.2), (found.test, 0.2)):
        assert counts(part) == {"a": round(600 * share), "b": round(300 * share), "c": round(100 * share)}
    assert found.plan.folds == 0 and "--folds 5" in found.plan.reason and "1000 samples" in found.plan.reason
    assert not paths(found.train) & paths(found.val) and not paths(found.test) & paths(found.learning())


def test_few_without_a_split_are_scored_in_folds():
    table = rows(["a"] * 37 + ["b"] * 26)
    found = assign(data(table))
    assert found.plan.folds == 5 and found.val is None and found.test is None and len(found.train) == 63
    assert "--folds 0" in found.plan.reason
    tested = []
    for k in range(5):
        one = fold_data(found, k)
        assert paths(one.train) | paths(one.val) | paths(one.test) == paths(table)
        assert len(one.train) + len(one.val) + len(one.test) == 63 and one.train.column_names == ["path", "label"]
        assert 7 <= counts(one.test)["a"] <= 8 and 5 <= counts(one.test)["b"] <= 6
        assert len(one.val) == pytest.approx(10, abs=1)
        tested += one.test["path"].to_pylist()
    assert sorted(tested) == sorted(paths(table))
    last = final_data(found)
    assert last.test is None and paths(last.train) | paths(last.val) == paths(table) and not paths(last.train) & paths(last.val)
    with pytest.raises(ValueError, match="no fold 5"):
        fold_data(found, 5)


def test_how_many_folds():
    assert assign(data(rows(["a", "b"] * FEW)), folds=3).plan.folds == 3
    assert assign(data(rows(["a", "b"] * 20)), folds=0).plan.folds == assign(data(rows(["a", "b"] * 20)), folds=1).plan.folds == 0
    few = assign(data(rows(["a"] * 20 + ["b"] * 3)), folds=10)
    assert few.plan.folds == 3 and "'b', has only 3 samples" in few.notes[-1].text
    lone = assign(data(rows(["a"] * 20 + ["b"])), folds=5)
    assert (
        lone.plan.folds == 0
        and counts(lone.train)["b"] == 1
        and any("'b'" in note.text and "never scored" in note.text for note in lone.notes)
    )


def test_final_data_without_folds_only_loses_the_test():
    found = assign(data(rows(["a", "b"] * FEW)))
    last = final_data(found)
    assert last.test is None and last.train is found.train and last.val is found.val


def test_two_images_a_class():
    found = assign(data(rows(["a", "a", "b", "b"])))
    assert found.plan.folds == 2
    for k in (0, 1):
        one = fold_data(found, k)
        assert counts(one.train) == counts(one.test) == {"a": 1, "b": 1}
        # One image a class is left: nothing can be spared, so it selects too, and no method learns from it twice.
        assert one.val.equals(one.train) and "too few" in one.plan.select and one.learning() is one.train
    single = assign(data(rows(["a", "a", "b", "b"])), folds=0)
    assert counts(single.test) == counts(single.train) == {"a": 1, "b": 1}
    held = assign(data(rows(["a", "b"]), rows(["a", "b"], name="v")))
    assert len(held.train) == 2 and len(held.test) == 2 and not held.plan.drawn and "too small" in held.plan.reason


def test_one_image_a_class_cannot_be_scored():
    with pytest.raises(DataError, match="None of the 2 samples can be spared"):
        assign(data(rows(["a", "b"])))


def test_three_images_a_class_fill_all_roles():
    found = assign(data(rows(["a", "b"] * 3)), folds=0)
    assert counts(found.train) == counts(found.val) == counts(found.test) == {"a": 1, "b": 1}


def test_draws_depend_on_the_seed_and_not_on_the_order_of_rows():
    table = rows(["a", "b", "c"] * 200)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(600)))
    one, two, other = assign(data(table), seed=1), assign(data(shuffled), seed=1), assign(data(table), seed=2)
    assert one.train.equals(two.train) and one.val.equals(two.val) and one.test.equals(two.test)
    assert not one.test.equals(other.test)
    small, turned = rows(["a", "b"] * 9), rows(["a", "b"] * 9).take(pa.array(range(17, -1, -1)))
    assert fold_data(assign(data(small)), 1).train.equals(fold_data(assign(data(turned)), 1).train)


def test_groups_never_part():
    rng = np.random.default_rng(0)
    groups = [str(g) for g in rng.integers(0, 60, 500)]
    labels = ["ab"[int(g) % 2] for g in groups]
    found = assign(data(rows(labels, groups=groups)))
    held = [set(t["group"].to_pylist()) for t in (found.train, found.val, found.test)]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert len(found.test) == pytest.approx(100, abs=30) and len(found.val) == pytest.approx(100, abs=30)
    assert all(counts(t)["a"] / len(t) == pytest.approx(0.5, abs=0.15) for t in (found.train, found.val, found.test))
    few = assign(data(rows(labels[:100], groups=groups[:100])))
    for k in range(few.plan.folds):
        one = fold_data(few, k)
        held = [set(t["group"].to_pylist()) for t in (one.train, one.val, one.test)]
        assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]


def test_a_class_of_one_group_stays_in_train():
    found = assign(data(rows(["a"] * 30 + ["b"] * 10, groups=[str(i // 3) for i in range(30)] + ["z"] * 10)))
    assert found.plan.folds == 0 and counts(found.train)["b"] == 10 and counts(found.test)["a"] > 0
    with pytest.raises(DataError, match="from different groups"):
        assign(data(rows(["a", "b"] * 10, groups=["z"] * 20)))


def test_splits_that_share_groups_are_told():
    found = assign(data(rows(["a", "b"] * 4, groups=list("11223344")), rows(["a", "b"], groups=list("45"), name="v")))
    assert [n.text for n in found.notes] == ["train and val share 1 group ('4'), so scores may be optimistic."]


def test_numbers_are_drawn_over_their_whole_range_and_scaled():
    values = np.random.default_rng(0).normal(5, 2, 500).tolist()
    found = assign(data(rows(values, "number"), kind="number"))
    for part in (found.train, found.val, found.test):
        got = np.array(part["label"].to_pylist())
        assert np.quantile(got, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(values, [0.1, 0.5, 0.9]), abs=0.5)
    learnt = np.array(found.learning()["label"].to_pylist())
    assert (found.schema.centre, found.schema.spread) == pytest.approx((learnt.mean(), learnt.std()))
    few = assign(data(rows(values[:30], "number"), kind="number"))
    one = fold_data(few, 0)
    learnt = np.array(one.learning()["label"].to_pylist())
    assert one.schema.centre == pytest.approx(learnt.mean()) != few.schema.centre
    flat = assign(data(rows([2.0] * 10, "number"), kind="number"))
    assert flat.schema.spread == 1.0


def test_rare_labels_are_spread():
    rng = np.random.default_rng(0)
    labels = [[n for n, p in (("often", 0.8), ("half", 0.4), ("rare", 0.03)) if rng.random() < p] for _ in range(1000)]
    found = assign(data(rows(labels, "labels"), kind="labels"))
    whole = Counter(n for row in labels for n in row)
    for part, share in ((found.train, 0.6), (found.val, 0.2), (found.test, 0.2)):
        got = Counter(n for row in part["label"].to_pylist() for n in row)
        assert got["rare"] == pytest.approx(share * whole["rare"], abs=1.01)
        assert got["half"] == pytest.approx(share * whole["half"], rel=0.1) and got["often"] == pytest.approx(
            share * whole["often"], rel=0.1
        )
    alone = assign(data(rows([[f"l{i}"] for i in range(10)], "labels"), kind="labels"), folds=0)
    assert len(alone.test) == 2


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.sampled_from("abc"), min_size=2, max_size=40),
    groups=st.one_of(st.none(), st.integers(1, 8)),
    folds=st.sampled_from([None, 0, 3]),
    seed=st.integers(0, 5),
)
def test_no_row_is_lost_or_scored_twice(labels, groups, folds, seed):
    table = rows(labels, groups=None if groups is None else [str(i % groups) for i in range(len(labels))])
    try:
        found = assign(data(table), folds=folds, seed=seed)
    except DataError:
        return
    ones = [fold_data(found, k) for k in range(found.plan.folds)] or [found]
    for one in ones:
        assert paths(one.train) | paths(one.val) | paths(one.test) == paths(table)
        assert not paths(one.test) & paths(one.learning()) and len(one.test) and len(one.train)
        assert set(labels) == set(one.train["label"].to_pylist()), "every class can be learnt"
        if one.plan.drawn:
            assert not paths(one.train) & paths(one.val)
        if groups is not None:
            assert not set(one.test["group"].to_pylist()) & set(one.learning()["group"].to_pylist())


@pytest.mark.parametrize("target", ["tags", "spans", "language"])
def test_tags_spans_and_running_text_are_drawn_at_random(target):
    cells = [[f"only {i}"] for i in range(600)] if target != "language" else [""] * 600
    table = pa.table(
        {"path": [f"t:{i}" for i in range(600)], "text": ["x"] * 600, "label": cells, "group": [str(i // 4) for i in range(600)]}
    )
    if target != "spans":
        table = table.drop_columns(["group"])
    found = assign(Data(table, Schema("text", target, input="text"), "f", "/x"))
    assert [len(part) for part in (found.train, found.val, found.test)] == [360, 120, 120]
    if target == "spans":
        groups = [set(part["group"].to_pylist()) for part in (found.train, found.val, found.test)]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    drawn = sorted(int(path[2:]) for path in paths(found.test))
    assert drawn != list(range(120)) and len(set(drawn)) == 120


def test_of_a_large_train_split_a_few_hundred_rows_select(monkeypatch):
    monkeypatch.setattr(split, "MOST", 20)
    made = lambda n, name: pa.table({"path": [f"{name}{i}" for i in range(n)], "label": ["a", "b"] * (n // 2)})  # noqa: E731
    schema = Schema("image", "class", ("a", "b"))
    roles = split.assign(Data(made(200, "l"), schema, "", "", test=made(40, "t")))
    assert len(roles.val) == 20 and len(roles.train) == 180 and roles.plan.select == "a part of train (20 samples)"
    few = split.assign(Data(made(80, "l"), schema, "", "", test=made(40, "t")))
    assert len(few.val) == 16 and few.plan.select == "a fifth of train"


def test_with_a_target_domain_only_a_fifth_of_the_source_is_spared():
    found = assign(data(rows(["a"] * 40 + ["b"] * 10)), adapts=True)
    assert counts(found.train) == {"a": 32, "b": 8} and counts(found.val) == {"a": 8, "b": 2} and found.test.equals(found.val)
    assert found.plan.optimistic and found.plan.score_name == "val" and not found.plan.drawn and not found.plan.folds
    assert paths(found.learning()) == paths(found.train), "what is scored is not learnt from"
    assert assign(data(rows(["a"] * 40 + ["b"] * 10)), adapts=True, folds=5).plan.folds == 5


def test_without_labels_a_tenth_is_watched_and_nothing_is_scored():
    schema = Schema("image", "none")
    found = assign(Data(rows([""] * 60), schema, "", ""))
    assert len(found.val) == 6 and len(found.train) == 54 and found.test is None and not paths(found.val) & paths(found.train)
    plan = found.plan
    assert (plan.folds, plan.drawn, plan.optimistic, plan.score_name) == (0, False, False, "val") and "a tenth" in plan.select
    assert found.learning() is found.train and paths(assign(Data(rows([""] * 60), schema, "", "")).val) == paths(found.val)
    given = assign(Data(rows([""] * 20), schema, "", "", val=rows([""] * 3, name="v")))
    assert len(given.train) == 20 and len(given.val) == 3 and given.plan.select.startswith("val")
    one = assign(Data(rows([""]), schema, "", ""))
    assert one.val is one.train and "too few" in one.plan.reason
    with pytest.raises(OptionError, match=r"--folds 5 .*without labels"):
        assign(Data(rows([""] * 60), schema, "", ""), folds=5)


def test_without_labels_no_more_rows_are_watched_than_select(monkeypatch):
    monkeypatch.setattr(split, "MOST", 4)
    grouped = rows([""] * 60, groups=[f"g{i % 20}" for i in range(60)])
    found = assign(Data(grouped, Schema("image", "none"), "", ""))
    assert 0 < len(found.val) <= 8 and "4 rows" in found.plan.select
    assert not set(found.val["group"].to_pylist()) & set(found.train["group"].to_pylist())
