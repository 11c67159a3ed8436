"""The page of a distillation, from a distill.json that is made up, whole or broken."""

import html as markup
import json
import re
import xml.etree.ElementTree as ET

import pytest

from graft.report import distill


def arm(name, value, **more):
    large = name == "teacher"
    return {
        "name": name, "value": value, "interval": [value - 0.04, value + 0.03], "backbone": "mobilenetv2_100" if large else "graft-mini",
        "parameters": 2_230_000 if large else 310_000, "megabytes": 9.1 if large else 1.3, "rate": 120.0 if large else 840.0,
        "memory_mb": 310.0 if large else 95.0, "size": 224 if large else 96, "method": {"student": "distill"}.get(name, "lp_ft"),
        "seconds": 40.0, "fit_memory_mb": 900.0, **more,
    }  # fmt: skip


def gap(of, less, value, p):
    return {"of": of, "less": less, "value": value, "interval": [value - 0.03, value + 0.03], "p": p, "test": "McNemar, exact (mid-p 0.01)"}


def made(**more) -> dict:
    return {
        "modality": "image", "metric": "accuracy", "higher_is_better": True, "n": 140, "left_out": 10, "scored_as": "val",
        "optimistic": False, "source": "/data/leaves", "arms": [arm("teacher", 0.95), arm("student", 0.93), arm("alone", 0.87)],
        "differences": [gap("student", "teacher", -0.02, 0.4), gap("student", "alone", 0.06, 0.01), gap("teacher", "alone", 0.08, 0.001)],
        "learnt": 480, "unlabelled": 1200, "verdict": {"close": None, "taught": True, "text": "It learnt from its teacher: +0.060."},
        "notices": ["The teacher has learnt from 10 of the 150 scored samples; these are left out here."], "version": "0.1.0",
        "date": "2026-11-22 01:30", "command": "graft distill runs/leaves-1 --student graft-mini",
        "settings": {"teacher": "/runs/leaves-1", "sets": []}, "machine": "A processor", "threads": 2,
    } | more  # fmt: skip


def page(folder, found) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "distill.json").write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
    return distill.write(folder).read_text(encoding="utf-8")


def text_of(html: str) -> str:
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return markup.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


def test_a_whole_one_has_every_part(tmp_path):
    html = page(tmp_path / "one", made())
    assert re.findall(r'<section id="(\w+)"', html) == ["arms", "differences", "again"]
    words = text_of(html)
    for said in (
        "graft-mini as a student: accuracy 0.93", "its teacher 0.950", "▲ It learnt from its teacher", "10 of the 150", "Student alone",
        "7.2 times fewer", "7.0 times less", "7.0 times faster", "3.3 times less", "+0.060 [+0.030, +0.090]", "better", "--out",
        "1 200", "A processor",
    ):  # fmt: skip
        assert said in words, said
    assert "Could not be read" not in words and not list(tmp_path.glob("**/*.part")) and "http" not in html.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ({"taught": None, "text": "x"}, "= No gain over the student alone is shown"),
        ({"taught": False, "text": "x"}, "▼ The teacher did harm"),
    ],
)
def test_what_was_not_gained_is_said_as_plainly(verdict, said, tmp_path):
    assert said in text_of(page(tmp_path / "one", made(verdict=verdict)))


def test_a_student_that_is_slower_is_called_slower(tmp_path):
    found = made(arms=[arm("teacher", 0.95, rate=800.0), arm("student", 0.93, rate=400.0), arm("alone", 0.9)])
    assert "2.0 times slower" in text_of(page(tmp_path / "one", found))


@pytest.mark.parametrize("found", ["", "{", "[]", json.dumps({"arms": [{"name": None}, 3], "differences": {"a": 1}, "verdict": 5})])
def test_what_is_broken_costs_its_part_and_no_more(found, tmp_path):
    html = page(tmp_path / "one", found)
    assert "</html>" in html and "Traceback" not in html


def test_names_are_escaped_and_the_page_is_sound(tmp_path):
    html = page(tmp_path / "one", made(source="/data/<script>alert(1)</script>", notices=["<b>x</b>"]))
    assert "<script>alert" not in html and "<b>x</b>" not in html
    ET.fromstring("<x>" + re.search(r"<table.*?</table>", html, flags=re.DOTALL)[0].replace("&nbsp;", " ") + "</x>")
