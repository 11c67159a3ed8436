import copy
import json
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report import folders, samples
from tests.report.pages import Page, outside

from graft.report import check, page
from graft.report.thumbnails import Thumbnails


@pytest.fixture
def content(tmp_path):
    return samples.photos(tmp_path / "photos")


def shown(tmp_path, content):
    return check.render(samples.put(tmp_path / "out", "check.json", content))


def test_the_page_has_the_problems_first(tmp_path, content):
    folder = samples.put(tmp_path / "out", "check.json", content)
    path = check.write(folder)
    html = path.read_text(encoding="utf-8")
    found = Page(html)
    assert path == folder / "check.html" and found.ids == ["problems", "warnings", "notes", "ways"] and outside(html) == []
    assert "1 problem, 2 warnings and 2 notes in photos" in found.text and "397" in found.text and "train 244, val 153" in found.text
    for words in (
        "5 images that learn are in the scored rows too.", "The score is too high", "--set data.duplicates=drop", "10 files",
        "given antssuggested beesprobability 0.970", "distance 0.020", "far from every other", "exact and near duplicates",
        "Shortcuts were not looked for: there are too few rows.", "splits test", "ants, bees",
    ):  # fmt: skip
        assert words in found.text, words
    assert "Could not be read" not in found.text


def test_a_pair_stands_side_by_side_with_what_is_said_of_each(tmp_path, content):
    html = shown(tmp_path, content)
    pair = html[html.index('<div class="beside">') : html.index("</figure>")]
    assert pair.count('<img src="data:image/webp') == 2
    assert re.findall(r'class="under">([^<]+)<', pair) == ["ants", "train", "ants", "val"]
    assert "train/ants/000.png" in pair and "val/bees/000.png" in pair


def test_a_file_that_is_gone_is_named_without_a_picture(tmp_path, content):
    before = shown(tmp_path, content).count("<img ")
    shutil.rmtree(tmp_path / "photos")
    html = shown(tmp_path, content)
    assert before > 15 and "<img " not in html and html.count("no picture") >= before and "train/ants/000.png" in html


def test_levels_are_words_and_marks_and_not_only_colours(tmp_path, content):
    text = Page(shown(tmp_path, content)).text
    assert "■ Problem" in text and "▲ Warning" in text and "○ Note" in text


def test_thumbnails_go_round_the_findings(content):
    rows = check.findings(content, Thumbnails(content["source"], most=8), 12)
    given = [sum(bool(shot["image"]) for one in row["examples"] for shot in one["shots"]) for row in rows]
    assert sum(given) >= 8 and all(n for n, row in zip(given, rows) if any(one["shots"] for one in row["examples"]))


def test_the_page_stays_small(tmp_path):
    content = samples.photos(tmp_path / "photos", 40)
    files = sorted(str(p) for p in (tmp_path / "photos").rglob("*.png"))
    one = content["findings"][1] | {"files": files * 50, "examples": [{"files": files[i : i + 6]} for i in range(12)]}
    content["findings"] = [one] * 30
    html = shown(tmp_path, content)
    assert 72 <= html.count("<img ") <= 160 and len(html) < 4_000_000
    assert "and 3 800 more" in Page(html).text
    assert sum(map(len, re.findall(r'src="(data:[^"]+)"', html))) <= 2_000_000


def test_names_are_escaped(tmp_path, content):
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\udcff'
    content["findings"][1]["examples"][0] = {"files": [evil, evil], "label": evil, "suggested": evil, evil: evil}
    content["findings"][1] |= {"text": evil, "effect": evil, "repair": evil, "kind": evil, "files": [evil]}
    content |= {"source": evil, "classes": [evil], "counts": {evil: 3}, "looked_for": [evil], "backbone": evil}
    folder = samples.put(tmp_path / "out", "check.json", content)
    html = check.write(folder).read_text(encoding="utf-8")
    assert outside(html) == [] and "alert(1)" in Page(html).text


@pytest.mark.parametrize("absent", ["source", "counts", "classes", "backbone", "findings", "looked_for", "left_out", "seconds"])
def test_any_key_may_be_absent(tmp_path, content, absent):
    del content[absent]
    found = Page(shown(tmp_path, content))
    assert "Could not be read" not in found.text and (absent == "findings") == ("Nothing was found" in found.text)


@pytest.mark.parametrize("written", [None, "", "{", "[]", "null"])
def test_without_a_check_there_is_a_page_that_says_so(tmp_path, written):
    if written is not None:
        (tmp_path / "check.json").write_text(written)
    assert "There is no check here" in Page(check.write(tmp_path).read_text(encoding="utf-8")).text


def test_the_page_of_a_run_has_the_findings_in_short(tmp_path, content):
    run = folders.classification(tmp_path / "run", ["ants", "bees"], n=40)
    assert "What the check found" not in page.render(run)
    samples.put(run, "check.json", content)
    html = page.render(run)
    text = Page(html).text
    assert "What the check found" in text and "5 images that learn are in the scored rows too." in text and outside(html) == []
    assert Page(html).ids.count("data") == 1 and "Could not be read" not in text
    assert text.index("5 images that learn") < text.index("3 labels are probably wrong") < text.index("There are only 28")
    assert html.count('class="example"') <= 4 * len(content["findings"])
    (run / "data.json").unlink()
    (run / "journal.jsonl").unlink()
    assert "data" in Page(page.render(run)).ids


def test_the_same_files_give_the_same_bytes(tmp_path, content):
    assert shown(tmp_path, content) == shown(tmp_path, content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_check_still_gives_a_page(tmp_path, data):
    value = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    )
    content = copy.deepcopy(samples.check("/d"))
    for key in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=2)):
        content[key] = data.draw(value)
    rows = content["findings"] if isinstance(content["findings"], list) else []
    for row in [row for row in rows if isinstance(row, dict) and row]:
        for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
            row[key] = data.draw(value)
    (tmp_path / "check.json").write_text(json.dumps(content), encoding="utf-8", errors="replace")
    Page(check.render(tmp_path))
    Page(page.render(tmp_path))


def test_a_target_is_drawn_beside_the_source(tmp_path, content):
    assert "gap" not in Page(shown(tmp_path, content)).ids
    drawn = {"source": [[0.0, 1.0], [1.0, 2.0], [2.0, 0.5]], "target": [[5.0, 5.0], [6.0, 4.0]], "shares": [0.4, 0.1]}
    html = shown(tmp_path, content | {"gap": drawn})
    found = Page(html)
    assert found.ids[-2:] == ["gap", "ways"] and "hold 50 % of what varies" in found.text and outside(html) == []
    assert html.count('class="dot after"') == 3 and html.count('class="dot before"') == 2
    for odd in ({}, [], {"source": 3}, drawn | {"target": [[1], ["a", None]]}, drawn | {"shares": "x"}):
        assert "ways" in Page(shown(tmp_path, content | {"gap": odd})).ids
