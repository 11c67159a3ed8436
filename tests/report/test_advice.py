import copy
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report import samples
from tests.report.pages import Page, outside

from graft.report import advice


def shown(tmp_path, **changes):
    content = {k: v for k, v in (samples.ADVICE | changes).items() if v is not None}
    return advice.render(samples.put(tmp_path, "advice.json", content))


def test_the_page_has_the_shortlist_in_order(tmp_path):
    folder = samples.put(tmp_path, "advice.json", samples.ADVICE)
    path = advice.write(folder)
    html = path.read_text(encoding="utf-8")
    found = Page(html)
    assert path == folder / "advice.html" and found.ids == ["strategies", "rule", "bodies"] and outside(html) == []
    assert "Try extract on mobilenetv2_100: accuracy about 0.950 [0.91, 0.98] (measured)" in found.text
    assert found.text.index("extract on mobilenetv2_100layers blocks6") < found.text.index("lp_ft on mobilenetv2_100everything learns")
    for words in (
        "expected, not measured", "20 s", "3 min 10 s", "900 MB", "Apache-2.0", "a linear head on blocks6 has 0.950", "small, similar",
        "CS231n", "The measurement agrees", "LogME", "H-score", "best layer: blocks6", "≈ Similar to the source",
        "? Likeness to the source", "Not looked at: resnet18: its weights",        "Proxy A-distance", "0.600", "ants 123, bees 121",
    ):  # fmt: skip
        assert words in found.text, words
    assert "NCE" not in found.text and "Maximum mean" not in found.text and "Could not be read" not in found.text


def test_what_to_run_names_the_file_where_it_is_there(tmp_path):
    assert "graft fit /data/photos --backbone mobilenetv2_100 --method extract --layers blocks6" in Page(shown(tmp_path)).text
    (tmp_path / "advice.toml").write_text("")
    assert f"graft fit '/data/my photos' --advice {tmp_path / 'advice.toml'}" in Page(shown(tmp_path, source="/data/my photos")).text


def test_the_best_of_a_column_is_marked_without_colour(tmp_path):
    columns, rows = advice._layers(samples.ADVICE["bodies"][0]["layers"], "blocks6")
    assert columns == ["Probe", "Nearest neighbours", "LogME", "H-score", "LEEP"]
    for i, key in enumerate(("probe", "knn", "logme", "h_score")):
        values = [row[key] for row in samples.ADVICE["bodies"][0]["layers"]]
        assert [row["cells"][i]["most"] for row in rows] == [value == max(values) for value in values]
        warmth = [row["cells"][i]["warmth"] for row in rows]
        assert min(warmth) == 0.0 and max(warmth) == 1.0
        assert [w for _, w in sorted(zip(values, warmth))] == sorted(warmth)
    assert not any(row["cells"][4]["most"] for row in rows), "one value alone is not the best of any"
    assert "▸ blocks6" in Page(shown(tmp_path)).text and "<b>0.950</b>" not in re.sub(r"<td.*?</td>", "", shown(tmp_path))


@pytest.mark.parametrize("absent", [*samples.ADVICE])
def test_any_key_may_be_absent(tmp_path, absent):
    assert "Could not be read" not in Page(shown(tmp_path, **{absent: None})).text


@pytest.mark.parametrize("written", [None, "", "{", "[]", "null"])
def test_without_advice_there_is_a_page_that_says_so(tmp_path, written):
    if written is not None:
        (tmp_path / "advice.json").write_text(written)
    assert "There is no advice here" in Page(advice.write(tmp_path).read_text(encoding="utf-8")).text


def test_names_are_escaped(tmp_path):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    inner = json.dumps(evil)[1:-1]
    text = json.dumps(samples.ADVICE)
    for name in ("mobilenetv2_100", "blocks6", "Apache-2.0", "CS231n", "ants", "proxy_a_distance", "photos"):
        text = text.replace(name, inner)
    html = shown(tmp_path, **json.loads(text))
    assert outside(html) == [] and "alert(1)" in Page(html).text


def test_the_same_file_gives_the_same_bytes(tmp_path):
    assert shown(tmp_path) == shown(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_advice_still_gives_a_page(tmp_path, data):
    value = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    )
    content = copy.deepcopy(samples.ADVICE)
    for key in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=2)):
        content[key] = data.draw(value)
    for rows in (content["bodies"], content["strategies"]):
        for row in [row for row in rows if isinstance(row, dict) and row] if isinstance(rows, list) else []:
            for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
                row[key] = data.draw(value)
    (tmp_path / "advice.json").write_text(json.dumps(content), encoding="utf-8", errors="replace")
    Page(advice.render(tmp_path))
