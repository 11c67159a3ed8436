import json
import re

import pytest

from graft import catalog
from graft.advisor import rules


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ([500, 500], "large"),
        ([499, 500], "small"),  # 999 in all
        ([99] * 20, "small"),  # 1,980 in all, 99 a class
        ([100] * 10, "large"),
        ([5] * 400, "small"),
        ([1000, 400, 2], "large"),  # one rare class does not make the others small
        ([1000], "large"),  # a number: rows in all
        ([0, 0], "small"),
    ],
)
def test_large_needs_rows_a_class_and_rows_in_all(counts, wanted):
    assert rules.size(counts) == wanted
    for similarity in rules.SIMILARITIES:
        assert rules.cell(counts, similarity).cell == f"{wanted}, {similarity}"


def test_the_table_says_what_its_sources_say():
    said = {cell: (rule.method, rule.layers, rule.freeze) for cell, rule in rules.TABLE.items()}
    assert said["small", "similar"] == ("extract", "last", None)
    assert said["small", "different"] == ("extract", "best earlier", None)
    assert said["large", "similar"][0] in ("lp_ft", "finetune") and said["large", "similar"][2] == "none"
    assert said["large", "different"] == ("finetune", "last", "none")
    assert set(said) == {(size, similarity) for size in ("small", "large") for similarity in rules.SIMILARITIES}


def test_every_rule_names_a_method_an_option_and_a_source():
    for (size, similarity), rule in rules.TABLE.items():
        options = catalog.options("method", rule.method)
        assert hasattr(options(), "freeze") == (rule.freeze is not None)
        assert rule.cell == f"{size}, {similarity}" and rule.why and rule.strategy
        assert "CS231n" in rule.source and (similarity == "unknown" or re.search(r"\(20\d\d\)", rule.source))
        assert json.loads(json.dumps(rule.as_dict()))["strategy"] == rule.strategy


def test_what_is_no_cell_is_refused():
    with pytest.raises(ValueError, match="similarity"):
        rules.cell([10, 10], "near")
    for counts in ([], [3, -1]):
        with pytest.raises(ValueError, match="count"):
            rules.cell(counts, "similar")


FLAT = {"stage1": (0.90, 0.86, 0.93), "stage2": (0.91, 0.87, 0.94), "stage3": (0.89, 0.85, 0.92)}
RISING = {"stage1": (0.60, 0.55, 0.65), "stage2": (0.70, 0.65, 0.75), "stage3": (0.95, 0.93, 0.97)}
FALLING = {"stage1": (0.60, 0.55, 0.65), "stage2": (0.95, 0.93, 0.97), "stage3": (0.70, 0.65, 0.75)}
WIDE = {"stage1": (0.90, 0.89, 0.91), "stage2": (0.85, 0.75, 0.93)}
OVERLAP = {"stage1": (0.80, 0.75, 0.84), "stage2": (0.83, 0.79, 0.87)}


@pytest.mark.parametrize(
    ("similarity", "measured", "agrees", "word"),
    [
        ("similar", RISING, True, "agrees"),
        ("similar", FALLING, False, "does not agree"),
        ("similar", FLAT, True, "does not tell the layers apart"),
        ("different", RISING, False, "does not agree"),
        ("different", FALLING, True, "agrees"),
        ("different", OVERLAP, True, "does not tell the layers apart"),
        ("similar", WIDE, True, "does not tell the layers apart"),
    ],
)
def test_agreement_shows_both_sides(similarity, measured, agrees, word):
    found, words = rules.agreement(rules.cell([20, 20], similarity), measured)
    assert found is agrees and word in words
    *earlier, last = measured
    best = max(earlier, key=lambda name: measured[name][0])
    assert f"{measured[best][0]:.3f}" in words and f"{measured[last][0]:.3f} [" in words and f"({last})" in words


def test_probes_do_not_test_a_rule_to_fine_tune():
    found, words = rules.agreement(rules.cell([2000, 2000], "similar"), FALLING)
    assert found and "do not put that to the test" in words and "0.950 [0.930, 0.970] (stage2)" in words


def test_one_layer_or_none():
    small, far = rules.cell([9, 9], "similar"), rules.cell([9, 9], "different")
    assert rules.agreement(small, {}) == (True, f"The rule says: {small.strategy}. No layer was measured.")
    one = {"stage3": (0.9, 0.8, 0.95)}
    assert rules.agreement(small, one)[0] and not rules.agreement(far, one)[0] and "Only one layer" in rules.agreement(far, one)[1]
