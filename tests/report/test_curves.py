import math
from itertools import pairwise

import pytest
from tests.report import samples
from tests.report.test_charts import shapes

from graft.report import charts, curves

POINTS = samples.EVIDENCE["curve"]["points"]
TWICE = {"n": 488, "value": 0.941, "interval": [0.9, 0.965]}


def law(n):
    return 0.96 - 1.1 * n**-0.65


def drawn(**more):
    given = {"law": law, "twice": TWICE, "scratch": {"value": 0.673}, "saved": None} | more
    return curves.efficiency(POINTS, given["law"], given["twice"], given["scratch"], given["saved"], "Accuracy <by> labels")


def ends(path):
    """First and last x of a path "M1 2 L3 4"."""
    points = [tuple(map(float, p.split())) for p in path.get("d")[1:].split(" L")]
    return points[0][0], points[-1][0]


def test_points_have_whiskers_and_the_guess_looks_like_one():
    picture = drawn()
    assert len(shapes(picture, "whisker")) == len(POINTS) + 1 and len(shapes(picture, "ring")) == 1
    assert "extrapolated, not measured: 488 labels" in shapes(picture, "ring")[0][0].text
    (ground,) = shapes(picture, "band")
    last = max(float(dot.get("cx")) for dot in shapes(picture, "dot") if "strong" in dot.get("class"))
    assert last < float(ground.get("x")) < float(shapes(picture, "ring")[0].get("cx"))
    assert ">extrapolated</text>" in picture and "&lt;by&gt;" in picture


def test_the_law_is_solid_over_the_data_and_dashed_beyond():
    picture = drawn()
    (solid,) = [e for e in shapes(picture, "line") if "strong" in e.get("class")]
    (dashed,) = shapes(picture, "beyond")
    dots = {float(d.get("cx")) for d in shapes(picture, "dot") if "strong" in d.get("class")}
    assert ends(solid)[1] <= max(dots) + 6 <= ends(dashed)[1] and ends(solid)[1] <= ends(dashed)[0]
    assert not shapes(drawn(law=None), "beyond") and len(shapes(drawn(law=None), "thin")) == 1


def test_equal_steps_across_are_equal_ratios():
    dots = sorted(float(d.get("cx")) for d in shapes(drawn(), "dot") if "strong" in d.get("class"))
    steps = [b - a for a, b in pairwise(dots)]
    ratios = [math.log(b["n"] / a["n"]) for a, b in pairwise(POINTS)]
    assert [s / r for s, r in zip(steps, ratios)] == pytest.approx([steps[0] / ratios[0]] * 4, rel=0.01)


def test_scratch_is_a_level_and_absent_things_are_not_drawn():
    assert len(shapes(drawn(), "level")) == 1 and "from scratch, all labels: 0.673" in drawn()
    bare = drawn(scratch=None, twice=None, law=None)
    assert not shapes(bare, "level") and not shapes(bare, "ring") and not shapes(bare, "band") and "extrapolated" not in bare
    assert len(shapes(drawn(saved=61), "ideal")) == 1


def test_ticks_are_round_numbers_of_labels():
    assert curves._round(12, 488) == [20, 50, 100, 200]
    assert curves._round(3, 1_000_000) == [10, 100, 1000, 10_000, 100_000, 1_000_000]


def test_everything_is_inside():
    for dot in shapes(drawn(), "dot"):
        assert charts.LEFT <= float(dot.get("cx")) <= charts.WIDE and 0 <= float(dot.get("cy")) <= 300


def test_depth_rings_the_best_layer():
    layers = [{"name": f"s{i}", "probe": p, "interval": [p - 0.1, p + 0.05]} for i, p in enumerate((0.5, 0.9, 0.7))]
    picture = curves.depth([*layers, {"name": "<x>", "probe": None}], "s1", "Probe")
    (ring,) = shapes(picture, "ring")
    assert ring[0].text == "s1: 0.900" and len(shapes(picture, "whisker")) == 3 and "&lt;x&gt;" in picture
    assert curves.depth(layers[:1], "s0", "Probe") is None and not shapes(curves.depth(layers, "", "Probe"), "ring")
