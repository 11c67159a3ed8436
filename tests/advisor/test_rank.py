import json

import pytest

from graft.advisor import rules
from graft.advisor.rank import Cost, best_layer, order, rank

SMALL, LARGE = rules.cell([50, 50], "similar"), rules.cell([2000, 2000], "similar")


def layer(name: str, probe: float | None, half: float = 0.04, logme: float | None = 0.1) -> dict:
    interval = None if probe is None else [probe - half, probe + half]
    return {"name": name, "width": 8, "probe": probe, "interval": interval, "logme": logme}


def body(name: str, *layers: dict, licence: str = "MIT") -> dict:
    return {"name": name, "licence": licence, "layers": list(layers), "best_layer": best_layer(layers)}


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ((0.80, 0.90), "s1"),
        ((0.905, 0.90), "s1"),  # within 0.04 / 1.96 = 0.0204
        ((0.921, 0.90), "s0"),
        ((0.95, 0.94, 0.70), "s1"),  # the deepest of those within one error of the best
        ((0.95, None, 0.70), "s0"),
        ((0.70, 0.90, None), "s1"),
    ],
)
def test_the_last_layer_unless_an_earlier_one_is_better_by_more_than_one_error(scores, wanted):
    assert best_layer([layer(f"s{i}", score) for i, score in enumerate(scores)]) == wanted


def test_no_probe_no_best_layer():
    assert best_layer([]) is None and best_layer([layer("s0", None)]) is None


def test_bodies_go_by_the_probe_and_by_logme_where_probes_tie():
    worse = body("worse", layer("s", 0.70, logme=9.0))
    tied, best = body("tied", layer("s", 0.90, logme=0.5)), body("best", layer("s", 0.92, logme=0.2))
    unknown, silent = body("unknown", layer("s", None)), body("silent", layer("s", 0.91, logme=None))
    assert order([worse, unknown, best, silent, tied]) == ["tied", "best", "silent", "worse", "unknown"]
    assert order([best, worse]) == order([worse, best]) == ["best", "worse"]


def test_a_tie_is_with_the_best_not_with_a_neighbour():
    """0.90, 0.87 and 0.84 are each within 0.04 of the next; only the first two are within the interval of the best."""
    bodies = [body(str(p), layer("s", p, logme=-p)) for p in (0.90, 0.87, 0.84)]
    assert order(bodies) == ["0.87", "0.9", "0.84"]


def test_ties_go_to_the_cheaper_and_small_differences_of_time_do_not_count():
    bodies = [body("a", layer("s", 0.91, logme=0.1)), body("b", layer("s", 0.90, logme=0.3)), body("c", layer("s", 0.92, logme=0.2))]
    costs = {"a": {"extract": Cost(10, 100)}, "b": {"extract": Cost(40, 200)}, "c": {"extract": Cost(41, 300)}}
    found = rank(bodies, SMALL, costs, 100)
    assert [row["backbone"] for row in found] == ["a", "b", "c"] and [row["rank"] for row in found] == [1, 2, 3]
    assert found[0]["seconds"] == 10 and found[0]["memory_mb"] == 100 and "of the best of 3" in found[0]["reasons"][-1]
    clear = [body("a", layer("s", 0.80)), body("b", layer("s", 0.90))]
    assert [row["backbone"] for row in rank(clear, SMALL, costs, 100)] == ["b", "a"], "a difference beyond the interval is no tie"


def test_fine_tuning_gets_no_made_up_number():
    one = body("a", layer("s0", 0.80), layer("s1", 0.90), licence="Apache-2.0")
    costs = {"a": {"extract": Cost(5), "lp_ft": Cost(100, 900), "scratch": Cost(100)}}
    found = rank([one], SMALL, costs, 100)
    assert [(row["method"], row["measured"]) for row in found] == [("extract", True), ("lp_ft", False)]
    tuned = found[1]
    assert tuned["expected"] == 0.90 and tuned["interval"] == one["layers"][1]["interval"] and tuned["layers"] == []
    assert "not measured" in tuned["reasons"][0] and tuned["freeze"] == "none" and tuned["licence"] == "Apache-2.0"
    assert found[0]["layers"] == ["s1"] and found[0]["freeze"] is None
    assert set(found[0]) == set(tuned) == {
        "rank", "backbone", "method", "layers", "freeze", "expected", "interval", "measured", "seconds", "memory_mb", "licence", "reasons"
    }  # fmt: skip
    json.dumps(found)


def test_where_numbers_are_silent_the_rule_speaks_and_never_against_numbers():
    near, far = body("near", layer("s", 0.90)), body("far", layer("s", 0.60))
    costs = {name: {"extract": Cost(5), "lp_ft": Cost(100), "finetune": Cost(90)} for name in ("near", "far")}
    found = rank([far, near], LARGE, costs, 4000)
    assert [(row["backbone"], row["method"]) for row in found[:3]] == [("near", "lp_ft"), ("near", "extract"), ("near", "finetune")]
    assert {row["backbone"] for row in found[3:]} == {"far"} and "Kumar" not in " ".join(found[0]["reasons"])
    assert any("large, similar" in reason for reason in found[0]["reasons"])


def test_what_does_not_fit_the_budget_comes_last_and_says_so():
    one = body("a", layer("s", 0.90))
    costs = {"a": {"extract": Cost(5), "lp_ft": Cost(100)}}
    assert rank([one], LARGE, costs, 4000)[0]["method"] == "lp_ft"
    found = rank([one], LARGE, costs, 4000, budget=60)
    assert [row["method"] for row in found] == ["extract", "lp_ft"] and "more than the 60 s" in found[1]["reasons"][-1]


def test_both_layers_are_listed_where_rule_and_measurement_differ():
    falling = body("a", layer("s0", 0.95), layer("s1", 0.70))
    first, second = rank([falling], SMALL, {}, 100)
    assert first["layers"] == ["s0"] and first["expected"] == 0.95 and "one standard error above" in first["reasons"][1]
    assert second["layers"] == ["s1"] and second["expected"] == 0.70 and "the rule for small, similar data" in second["reasons"][0]
    flat, far = body("a", layer("s0", 0.89), layer("s1", 0.90)), rules.cell([50, 50], "different")
    first, second = rank([flat], far, {}, 100)
    assert first["layers"] == ["s1"] and second["layers"] == ["s0"], "a tie keeps the measured choice"
    earlier = body("a", layer("s0", 0.80), layer("s1", 0.95), layer("s2", 0.70))
    assert [row["layers"] for row in rank([earlier], far, {}, 100)] == [["s1"]]


def test_bodies_that_were_not_measured_are_left_out():
    assert rank([body("a", layer("s", None)), body("b")], SMALL, {}, 10) == []
