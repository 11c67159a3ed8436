"""The words and the kind, from differences that are made up."""

import json

import pytest

from graft.evidence import stats
from graft.evidence.verdict import judge

LABELS = {"chosen": "lp_ft", "probe": "linear probe", "scratch": "from scratch", "majority": "majority class"}
BETTER, WORSE, OPEN = (0.14, 0.3, 1e-5), (-0.3, -0.14, 1e-5), (-0.05, 0.09, 0.6)


def arms(**values):
    return [{"name": name, "label": LABELS[name], "value": value} for name, value in values.items()]


def gap(value, low, high, p):
    return stats.Difference(value, low, high, p, "a test")


def between(**found):
    """chosen_scratch=(low, high, p) and so on, the value being the middle."""
    return {tuple(name.split("_")): gap((low + high) / 2, low, high, p) for name, (low, high, p) in found.items()}


FOUR = arms(chosen=0.94, probe=0.92, scratch=0.72, majority=0.54)


def test_transfer_that_helped_is_told_as_a_user_would_read_it():
    said = judge(FOUR, between(chosen_scratch=BETTER), "accuracy", 153)
    assert said["text"] == "Transfer helped: accuracy 0.94 against 0.72 from scratch, +0.22 [+0.14, +0.30] on 153 images."
    assert said["kind"] == "helped" and said["compared"] == ["chosen", "scratch"] and said["p"] == 1e-5
    assert (said["value"], said["interval"]) == (pytest.approx(0.22), [0.14, 0.3])
    assert json.loads(json.dumps(said)) == said


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (BETTER, "helped"),
        (WORSE, "negative"),
        (OPEN, "none"),
        ((0.01, 0.2, 0.06), "none"),
        ((-0.2, -0.01, 0.06), "none"),
        ((0.0, 0.2, 0.04), "none"),
        ((-0.01, 0.2, 0.04), "none"),
    ],
)
def test_interval_and_p_must_both_say_so(found, kind):
    assert judge(FOUR, between(chosen_scratch=found), "accuracy", 153)["kind"] == kind


@pytest.mark.parametrize(("found", "kind"), [(BETTER, "negative"), (WORSE, "helped"), (OPEN, "none")])
def test_where_less_is_better_the_signs_turn_round(found, kind):
    said = judge(arms(chosen=3.1, scratch=4.0), between(chosen_scratch=found), "rmse", 153, higher=False)
    assert said["kind"] == kind and "RMSE 3.10 against 4.00" in said["text"] and "less being better" in said["text"]
    if kind == "none":
        assert "a gain of up to 0.05 or a loss of up to 0.09 could have been missed" in said["text"]


def test_no_difference_says_what_could_have_been_missed_and_how_many_rows_would_find_it():
    said = judge(arms(chosen=0.94, scratch=0.93), between(chosen_scratch=(-0.04, 0.08, 0.5)), "accuracy", 100)
    assert "a gain of up to 0.08 or a loss of up to 0.04 could have been missed" in said["text"]
    # The interval reaches 0.06 to a side and the difference is 0.02: (0.06 / 0.02)^2 times as many rows.
    assert "about 900 " in said["advice"]
    tight = judge(arms(chosen=0.94, scratch=0.94), between(chosen_scratch=(-0.004, 0.004, 0.9)), "accuracy", 9000)
    assert "cheaper" in tight["advice"] and "0.0040" in tight["text"]
    hopeless = judge(arms(chosen=0.94, scratch=0.94), between(chosen_scratch=(-0.1, 0.1001, 0.9)), "accuracy", 40)
    assert "many more" in hopeless["advice"]


def test_without_scratch_or_above_chance_nothing_is_known():
    alone = judge(arms(chosen=0.9), {}, "accuracy", 153)
    assert alone["kind"] == "unknown" and alone["value"] is None and "scratch" in alone["advice"]
    chance = between(chosen_scratch=OPEN, chosen_majority=OPEN, scratch_majority=OPEN)
    said = judge(arms(chosen=0.55, scratch=0.53, majority=0.52), chance, "accuracy", 80)
    assert said["kind"] == "unknown" and "beat the majority class" in said["text"] and said["compared"] == ["chosen", "majority"]


def test_one_arm_above_chance_is_enough_to_compare():
    found = between(chosen_scratch=OPEN, chosen_majority=OPEN, probe_majority=BETTER)
    assert judge(FOUR, found, "accuracy", 80)["kind"] == "none"


def test_harm_is_harm_also_at_the_level_of_chance():
    found = between(chosen_scratch=WORSE, chosen_majority=OPEN)
    assert judge(FOUR, found, "accuracy", 80)["kind"] == "negative"


def test_fine_tuning_that_is_worse_than_the_probe_is_said():
    found = between(chosen_scratch=BETTER, chosen_probe=(-0.08, -0.02, 0.01))
    said = judge(arms(chosen=0.88, probe=0.93, scratch=0.66), found, "accuracy", 153)
    assert said["kind"] == "helped" and "lp_ft is worse than the linear probe" in said["text"] and "--method extract" in said["advice"]
    found = between(chosen_scratch=WORSE, chosen_probe=WORSE, probe_scratch=OPEN)
    said = judge(arms(chosen=0.6, probe=0.82, scratch=0.82), found, "accuracy", 153)
    assert said["kind"] == "negative" and "fine-tuning did harm" in said["text"] and said["advice"].startswith("Keep the body frozen")
    found = between(chosen_scratch=WORSE, chosen_probe=WORSE, probe_scratch=WORSE)
    assert judge(FOUR, found, "accuracy", 153)["advice"].startswith("Train from scratch")


def test_a_probe_that_is_not_worse_is_the_cheaper_way():
    said = judge(FOUR, between(chosen_scratch=BETTER, chosen_probe=(-0.02, 0.06, 0.4)), "accuracy", 153)
    assert said["advice"].startswith("The linear probe was not shown to be worse")


def test_with_less_time_for_scratch_the_probe_has_to_beat_it():
    both = between(chosen_scratch=BETTER, probe_scratch=(0.12, 0.28, 1e-4))
    said = judge(FOUR, both, "accuracy", 153, equal_time=False)
    assert said["kind"] == "helped" and said["compared"] == ["probe", "scratch"] and said["interval"] == [0.12, 0.28]
    assert "accuracy 0.92 against 0.72" in said["text"] and "less time" in said["text"] and "0.94" in said["text"]
    assert "--evidence full" in said["advice"]
    lead = judge(FOUR, between(chosen_scratch=BETTER, probe_scratch=OPEN), "accuracy", 153, equal_time=False)
    assert lead["kind"] == "none" and lead["compared"] == ["probe", "scratch"] and "scratch had less time" in lead["text"]
    unfair = judge(FOUR, between(chosen_scratch=BETTER), "accuracy", 153, equal_time=False)
    assert unfair["kind"] == "unknown" and "--evidence full" in unfair["advice"]


def test_losing_to_scratch_that_had_less_time_is_harm_all_the_more():
    said = judge(FOUR, between(chosen_scratch=WORSE, probe_scratch=BETTER), "accuracy", 153, equal_time=False)
    assert said["kind"] == "negative" and "although scratch had less time" in said["text"]


def test_a_gain_that_may_be_too_small_is_marked_and_its_end_is_not_shown_as_zero():
    said = judge(arms(chosen=0.95, scratch=0.92), between(chosen_scratch=(0.002, 0.06, 0.04)), "accuracy", 400)
    assert said["kind"] == "helped" and "smaller than matters" in said["text"] and "[+0.002," in said["text"]
    assert "smaller" not in judge(arms(chosen=0.95, scratch=0.92), between(chosen_scratch=(0.006, 0.06, 0.04)), "accuracy", 400)["text"]
    # In another unit it is a share of what scratch scores: 0.5 % of 400.
    found = between(chosen_scratch=(-30.0, -1.5, 0.04))
    assert "smaller" in judge(arms(chosen=385.0, scratch=400.0), found, "mae", 400, higher=False)["text"]


def test_seeds_unit_and_missing_scores():
    said = judge([], between(chosen_scratch=BETTER), "accuracy", 1530, seeds=3, unit="sentences")
    assert "+0.22 [+0.14, +0.30] on 1,530 sentences, 3 seeds" in said["text"] and "None" not in said["text"]


def test_an_interval_without_an_end_is_told_without_a_number():
    found = {("chosen", "scratch"): gap(0.0, float("-inf"), float("inf"), 1.0)}
    said = judge(arms(chosen=1.0, scratch=1.0), found, "rmse", 3, higher=False)
    assert said["kind"] == "none" and "unbounded" in said["text"] and said["interval"] == [None, None]


def test_a_probe_that_took_longer_than_scratch_had_shows_nothing():
    found = {
        ("chosen", "scratch"): stats.Difference(0.1, 0.05, 0.15, 0.01, "t"),
        ("probe", "scratch"): stats.Difference(0.2, 0.1, 0.3, 0.001, "t"),
    }
    for took, kind in ((0.2, "helped"), (0.7, "unknown")):
        arms = [
            {"name": name, "label": name, "value": 0.5, "seconds": s} for name, s in (("chosen", 5.0), ("probe", took), ("scratch", 0.3))
        ]
        assert judge(arms, found, "accuracy", 160, equal_time=False)["kind"] == kind
