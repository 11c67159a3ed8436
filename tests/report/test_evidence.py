import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report import folders, samples
from tests.report.pages import Page, outside

from graft.report.evidence import evidence, p_value, verdict
from graft.report.page import render
from graft.report.record import Record


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return folders.classification(tmp_path_factory.mktemp("run") / "hymenoptera-lp_ft", ["ants", "bees"], sharp=1.5)


def page(folder, **changes):
    content = {k: v for k, v in (samples.EVIDENCE | changes).items() if v is not None}
    samples.put(folder, "evidence.json", content)
    html = render(folder)
    (folder / "evidence.json").unlink()
    return html


def test_the_section_follows_the_scores_and_the_verdict_stands_on_top(run):
    html = page(run)
    found = Page(html)
    assert found.ids[:3] == ["decided", "scores", "evidence"] and outside(html) == []
    head = found.text[: found.text.index("Decided for you")]
    assert "Transfer helped" in head and "Accuracy 0.94 against 0.67 from scratch, +0.27 [+0.19, +0.35] on 153 images." in head
    for words in (
        "take it where time matters", "This run: lp_ft", "From scratch", "Linear probe", "Majority class", "1 min 12 s", "1.5 GB", "2.2 M",
        "+0.054", "McNemar, exact", "< 0.001", "0.69", "With 12 labels (5 %)", "extrapolated, not measured", "ImageNet, which may hold",
        "the draws of the curve were halved", "the same 153 images of val",
    ):  # fmt: skip
        assert words in found.text, words
    assert "Could not be read" not in found.text


def test_a_run_without_evidence_looks_as_before(run):
    html = render(run)
    assert "evidence" not in Page(html).ids and "Was transfer worth it" not in html and 'class="verdict' not in html
    for content in ("", "{}", "null", "[1]", '{"level": "quick"}'):
        (run / "evidence.json").write_text(content)
        assert "evidence" not in Page(render(run)).ids
    (run / "evidence.json").unlink()


def test_each_verdict_has_its_own_word_and_mark_so_that_no_colour_is_needed(run):
    said = {}
    for kind in ("helped", "none", "negative", "unknown", "rubbish", ["x"]):
        found = verdict({"verdict": {"kind": kind, "text": "It is so."}})
        html = page(run, verdict={"kind": kind, "text": "It is so."})
        assert f'class="verdict {found["kind"]}"' in html and f"{found['mark']}{found['word']}It is so." in Page(html).text.replace(
            " It", "It"
        )
        said[found["kind"]] = (found["word"], found["mark"])
    assert len(said) == 4 and len({word for word, _ in said.values()}) == len({mark for _, mark in said.values()}) == 4


def test_the_verdicts_word_is_not_said_twice():
    assert verdict({"verdict": {"kind": "negative", "text": "Negative transfer: accuracy fell."}})["text"] == "Accuracy fell."
    assert verdict({"verdict": {"kind": "unknown", "text": "Whether transfer helped is unknown."}})["text"].startswith("Whether")


def told(tmp_path, **changes):
    return evidence(Record(samples.put(tmp_path, "evidence.json", samples.EVIDENCE | changes)))


def test_the_gap_is_positive_where_an_arm_does_better_on_its_own_rows(tmp_path):
    chosen, _, scratch, majority = told(tmp_path)["arms"]
    assert float(chosen["gap"]) == pytest.approx(0.995 - 0.941) and float(scratch["gap"]) == pytest.approx(0.98 - 0.673)
    assert majority["gap"] == "" and majority["own"] == ""
    arms = [{"name": "chosen", "value": 3.0, "learning_value": 1.0}]
    assert told(tmp_path, arms=arms, higher_is_better=False)["arms"][0]["gap"] == "+2.000"


@pytest.mark.parametrize(
    ("interval", "lower", "word"),
    [([0.1, 0.3], False, "better"), ([-0.3, -0.1], False, "worse"), ([-0.3, -0.1], True, "better"), ([0.1, 0.3], True, "worse"),
     ([-0.1, 0.3], False, "not shown"), ([0.1, None], False, "better"), (None, False, "")],
)  # fmt: skip
def test_a_difference_is_said_in_words(tmp_path, interval, lower, word):
    rows = [{"of": "chosen", "less": "scratch", "value": 0.2, "interval": interval}]
    (row,) = told(tmp_path, differences=rows, higher_is_better=not lower)["differences"]
    assert row["word"] == word and row["of"] == "This run: lp_ft" and row["less"] == "from scratch"
    assert row["value"]["value"].startswith("+0.2") and (row["value"]["low"] != "") == (interval is not None)


def test_bars_are_on_one_scale(tmp_path):
    found = told(tmp_path)
    for rows, source in ((found["arms"], samples.EVIDENCE["arms"]), (found["differences"], samples.EVIDENCE["differences"])):
        spans, values = [row["span"] for row in rows], [row["value"] for row in source]
        assert [s["at"] for s in sorted(spans, key=lambda s: s["at"])] == [
            spans[i]["at"] for i in sorted(range(len(values)), key=values.__getitem__)
        ]
        assert all(0 <= s["left"] <= s["at"] <= s["left"] + s["wide"] <= 100 for s in spans)
    first, second = (row["span"] for row in found["differences"])
    assert (
        first["zero"] == second["zero"]
        and first["zero"] < first["left"]
        and second["left"] < second["zero"] < second["left"] + second["wide"]
    )


def test_p_values_are_short():
    assert [p_value(p) for p in (1e-9, 0.0123, 0.5, None, "x")] == ["< 0.001", "0.012", "0.50", "", ""]


def test_the_law_is_the_one_that_was_fitted(tmp_path):
    html = page(folders.classification(tmp_path / "run", ["a", "b"], n=30))
    assert 'class="line beyond"' in html and "law beyond the data" in html
    mirrored = samples.EVIDENCE["curve"] | {"fit": {"a": 0.96, "b": -1.1, "c": 0.65}}
    assert 'class="line beyond"' not in page(tmp_path / "run", curve=mirrored), "a law that misses its points is not drawn"
    changed = samples.EVIDENCE["curve"] | {"fit": None, "twice": None}
    html = page(tmp_path / "run", curve=changed)
    assert 'class="line beyond"' not in html and "law beyond the data" not in html and "extrapolated" not in Page(html).text


@pytest.mark.parametrize("absent", [*samples.EVIDENCE])
def test_any_key_may_be_absent(run, absent):
    found = Page(page(run, **{absent: None}))
    assert "evidence" in found.ids and "Could not be read" not in found.text


def test_names_and_texts_are_escaped(run):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    content = json.loads(
        json.dumps(samples.EVIDENCE).replace("linear probe", "EVIL").replace("ImageNet", "EVIL").replace("EVIL", json.dumps(evil)[1:-1])
    )
    content["verdict"]["text"] = content["cut"][0] = content["differences"][0]["test"] = content["metric"] = evil
    html = page(run, **content)
    assert outside(html) == [] and "alert(1)" in Page(html).text


def test_the_same_folder_gives_the_same_bytes(run):
    assert page(run) == page(run)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_evidence_still_gives_a_page(tmp_path, data):
    value = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcn"), inner, max_size=3),
        max_leaves=5,
    )
    content = copy.deepcopy(samples.EVIDENCE)
    for key in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=3)):
        content[key] = data.draw(value)
    for rows in (content["arms"], content["differences"], content["curve"]):
        for row in rows if isinstance(rows, list) else [rows]:
            for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)) if isinstance(row, dict) and row else []:
                row[key] = data.draw(value)
    (tmp_path / "evidence.json").write_text(json.dumps(content), encoding="utf-8", errors="replace")
    Page(render(tmp_path))
