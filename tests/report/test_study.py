"""The page of a study, from a study.json that is made up, whole or broken."""

import html as markup
import json
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graft.report import study
from graft.report.charts import HIGH, WIDE


def arm(label, body, value, seconds, memory, **more):
    front = {"seconds": True, "peak_memory_mb": False}
    return {
        "name": f"{label} on {body}", "label": label, "method": label.partition("@")[0], "backbone": body, "seeds": 3, "value": value,
        "interval": [value - 0.04, value + 0.03], "values": [value] * 3, "spread": 0.008, "select": value + 0.01,
        "seconds": seconds, "peak_memory_mb": memory, "trainable": 4098, "front": front, "runs": [f"runs/{label}-0"],
        **more,
    }  # fmt: skip


def difference(of, less, value, p, family, test="McNemar, exact (mid-p 0.01)"):
    row = {"of": of, "less": less, "value": value, "interval": [value - 0.03, value + 0.03], "p": p, "p_holm": min(1.0, 2 * p)}
    return row | {"family": family, "test": test}


def made(**more) -> dict:
    arms = [
        arm("extract", "graft-mini", 0.903, 6.0, 700.0), arm("lp_ft", "graft-mini", 0.921, 48.0, 900.0),
        arm("scratch", "graft-mini", 0.581, 90.0, 900.0, front={"seconds": False}), arm("finetune@stage3", "net", 0.934, 140.0, 1400.0),
    ]  # fmt: skip
    names = [one["name"] for one in arms]
    differences = [
        difference(names[1], names[0], 0.018, 0.2, "reference"), difference(names[2], names[0], -0.322, 0.00001, "reference"),
        difference(names[1], names[2], 0.34, 0.00001, "scratch"), difference(names[3], names[1], 0.013, 0.4, "best"),
    ]  # fmt: skip
    return {
        "metric": "accuracy", "higher_is_better": True, "scored_as": "val", "select_as": "a fifth of train", "n": 153, "folds": 0,
        "optimistic": False, "source": "/data/photos", "arms": arms, "reference": names[0], "differences": differences,
        "best": {"arm": names[3], "value": 0.934, "of": 4, "expected": 0.928, "text": "finetune@stage3 on net has the best score."},
        "recommended": {"arm": names[1], "value": 0.921, "interval": [0.88, 0.95], "select": 0.931, "text": "lp_ft selects best."},
        "seeds": {"asked": 5, "whole": 3}, "budget": 600.0, "seconds": 571.0, "cut": ["Seeds 3 to 4 of 5 were left out."],
        "notices": ["Look here."], "failed": [], "command": "graft compare photos --seeds 5",
        "settings": {"data": "/data/photos", "sets": []},
        "bodies": [{"name": "graft-mini", "weights": None}], "version": "0.1.0", "date": "2026-11-21 18:00",
    } | more  # fmt: skip


def page(folder, found) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "study.json").write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
    return study.write(folder).read_text(encoding="utf-8")


def text_of(html: str) -> str:
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return markup.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


def sections(html: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', html)


def test_a_whole_study_has_every_part(tmp_path):
    html = page(tmp_path / "one", made())
    assert sections(html) == ["arms", "cost", "differences", "cut", "again"]
    words = text_of(html)
    for said in (
        "Take lp_ft on graft-mini", "lp_ft selects best.", "The best of many is optimistic.", "3 5 were asked for", "± 0.008, seeds",
        "Seeds 3 to 4 of 5 were left out.", "graft compare photos --seeds 5 --out", "McNemar, exact", "+0.018 [−0.012, +0.048]", "1.4 GB",
    ):  # fmt: skip
        assert said in words, said
    assert "Could not be read" not in words and not list(tmp_path.glob("**/*.part"))


def test_the_recommended_arm_stands_out_and_the_best_is_marked(tmp_path):
    rows = re.findall(r"<tr( class=\"first\")?><td class=\"no\">.*?</tr>", page(tmp_path / "one", made()), flags=re.DOTALL)
    assert [bool(row) for row in rows] == [False, True, False, False]
    words = text_of(page(tmp_path / "one", made()))
    assert "lp_ft recommended" in words and "finetune@stage3 best score" in words


def test_differences_are_called_better_or_worse_only_where_they_are_told_apart(tmp_path):
    words = text_of(page(tmp_path / "one", made()))
    assert "+0.018 [−0.012, +0.048] not shown 0.20 0.40" in words and "−0.322 [−0.352, −0.292] worse < 0.001" in words
    lower = text_of(page(tmp_path / "two", made(metric="absolute_error", higher_is_better=False)))
    assert "−0.322 [−0.352, −0.292] better < 0.001" in lower and "Mean absolute error" in lower and "lower is better" in lower


def test_a_recommendation_that_the_scored_rows_contest_is_no_order(tmp_path):
    found = made()
    found["recommended"]["contested_by"] = "finetune@stage3 on net"
    assert "The selecting rows would take lp_ft" in text_of(page(tmp_path / "one", found))


def test_select_on_val_is_called_optimistic(tmp_path):
    assert "--select-on val" in text_of(page(tmp_path / "one", made(optimistic=True)))
    assert "--select-on val" not in text_of(page(tmp_path / "two", made()))


def test_nothing_comes_from_outside_and_texts_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    found = made(cut=[evil], notices=[])
    found["arms"][0]["label"] = evil
    html = page(tmp_path / "one", found)
    assert html.count("<script") == 1 and "&lt;script&gt;alert(1)" in html
    assert not re.search(r"https?://|url\(|@import|<link|<img", html)


def parts(drawing, style):
    return [e for e in ET.fromstring(str(drawing)).iter() if style in (e.get("class") or "").split()]


def test_the_drawing_puts_cost_across_score_upwards_and_joins_the_front():
    arms = [{**one, "number": i} for i, one in enumerate(made()["arms"], start=1)]
    drawing = study.tradeoff(arms, "seconds", "seconds", "Accuracy against time")
    dots = {e[0].text.split(" on ")[0]: e for e in parts(drawing, "dot")}
    across, up = ({name: float(e.get(key)) for name, e in dots.items()} for key in ("cx", "cy"))
    assert sorted(across, key=across.get) == ["extract", "lp_ft", "scratch", "finetune@stage3"]
    assert sorted(up, key=up.get) == ["finetune@stage3", "lp_ft", "extract", "scratch"]
    assert {name for name, e in dots.items() if "strong" in e.get("class")} == {"extract", "lp_ft", "finetune@stage3"}
    (line,) = parts(drawing, "line")
    assert len(line.get("d").split("L")) == 3
    assert all(0 <= float(e.get("cx")) <= WIDE and 0 <= float(e.get("cy")) <= HIGH + 40 for e in dots.values())
    assert [e.text for e in parts(drawing, "name")] == ["1", "2", "3", "4"] and "logarithmic" in str(drawing)


def test_arms_of_one_cost_or_of_none_are_drawn_or_left_out():
    arms = [{**one, "number": i, "seconds": 5.0} for i, one in enumerate(made()["arms"], start=1)]
    assert len(parts(study.tradeoff(arms, "seconds", "s", "t"), "dot")) == 4
    for one in arms[1:]:
        one["seconds"] = None
    assert study.tradeoff(arms, "seconds", "s", "t") is None


@pytest.mark.parametrize("found", ["", "{", "[]", "{}", '{"arms": 3, "best": [], "differences": {"a": 1}}'])
def test_a_broken_file_gives_a_page_all_the_same(found, tmp_path):
    words = text_of(page(tmp_path / "one", found))
    assert "Written by graft" in words


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(made())), JSON, st.sampled_from(sorted(made()["arms"][0])))
def test_whatever_stands_in_a_key_costs_at_most_its_part(tmp_path, key, value, inner):
    found = made(**{key: value})
    if key != "arms":
        found["arms"][0][inner] = value
    assert "Written by graft" in page(tmp_path / "one", found)
