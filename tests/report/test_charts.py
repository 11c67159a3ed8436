import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report import folders

from graft.metrics.calibration import reliability
from graft.report import charts, tables


def shapes(markup, style):
    """Elements of a well-formed picture that carry the class."""
    return [e for e in ET.fromstring(str(markup)).iter() if style in (e.get("class") or "").split()]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_round_inside_and_few(low, span, about):
    found = charts.ticks(low, low + span, about)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert all(low - slack <= t <= low + span + slack for t in found) and len(found) <= 3 * about
    if len(found) > 2 and span > 1e-3 * abs(low):
        step = found[1] - found[0]
        assert min(abs(step / 10 ** math.floor(math.log10(step) + 1e-6) - m) for m in (1, 2, 5, 10)) < 1e-3


def test_ticks_of_epochs_are_whole():
    assert all(float(t).is_integer() for t in charts.ticks(0.5, 3.5, 6, whole=True))


def test_curve_has_a_line_a_phase_and_a_ring_where_it_was_kept():
    found = tables.curves(folders.events("accuracy"), "accuracy")
    picture = charts.curve(found, "metric", "Accuracy")
    assert len(shapes(picture, "line")) == 2 and len(shapes(picture, "ring")) == 2 and len(shapes(picture, "band")) == 1
    assert not shapes(charts.curve(found, "loss", "Loss"), "ring")


def test_curve_of_one_epoch_is_a_dot_and_of_none_nothing():
    one = {"phases": [{"name": "p", "from": 0, "to": 1}], "runs": [{"name": "final", "loss": [(1, 0.5)], "metric": [], "kept": []}]}
    assert len(shapes(charts.curve(one, "loss", "Loss"), "dot")) == 1 and charts.curve(one, "metric", "x") is None


def test_everything_stays_inside_the_picture():
    found = tables.curves(folders.events("mae", start=9.0, better=-1.0), "mae")
    for line in shapes(charts.curve(found, "metric", "MAE"), "line"):
        points = [tuple(map(float, p.split())) for p in line.get("d")[1:].split(" L")]
        assert all(0 <= x <= charts.WIDE and 0 <= y <= charts.HIGH for x, y in points)


def test_calibration_puts_confidence_across_and_truth_upwards():
    p = np.tile([[0.75, 0.25]], (40, 1))
    y = np.array([0] * 20 + [1] * 20)
    (dot,) = shapes(charts.calibration([("after", "after", reliability(p, y, bins=1))], "Calibration"), "dot")
    frame = charts.Frame("", (0, 1), (0, 1), high=300)
    assert (float(dot.get("cx")), float(dot.get("cy"))) == (frame.x(0.75), frame.y(0.5))
    assert "stated 0.75, right 0.50, n = 40" in dot[0].text


def test_scatter_thins_and_histogram_counts_all():
    rng = np.random.default_rng(0)
    true, said = rng.normal(size=5000), rng.normal(size=5000)
    assert len(shapes(charts.scatter(true, said, "s", limit=300), "point")) == 300
    assert 5 <= len(shapes(charts.histogram(said - true, "h", "x"), "bar")) <= 31


def test_constant_values_are_drawn_too():
    same = np.ones(4)
    assert len(shapes(charts.scatter(same, same, "s"), "point")) == 4 and shapes(charts.histogram(same * 0, "h", "x"), "bar")


@pytest.mark.parametrize("k", [2, 6, 10, 20])
def test_confusion_shades_by_share_and_counts(k):
    counts = np.random.default_rng(k).integers(0, 9, (k, k))
    counts[0] = 0
    markup = charts.confusion(counts, [f"class <{i}> with a long name" for i in range(k)], "Confusion")
    picture = ET.fromstring(str(markup))
    assert sum(int(e.text) for e in picture.iter() if "count" in (e.get("class") or "").split()) == counts.sum()
    right = [float(e.get("fill-opacity")) for e in picture.iter() if e.get("class") == "right"]
    shares = np.diag(counts) / np.maximum(counts.sum(1), 1)
    assert right == pytest.approx([0.1 + 0.9 * s if n else 0.0 for s, n in zip(shares, np.diag(counts), strict=True)], abs=0.006)
    assert "class &lt;1&gt;" in str(markup)
