"""The page of a chain, from a chain.json that is made up, whole or broken."""

import json
import re

import pytest

from graft.report import chain


def step(number, task, method, **more):
    return {
        "name": f"0{number}-{task}", "folder": f"0{number}-{task}", "task": task, "data": f"/data/{task}", "target": "class",
        "classes": ["a", "<b>"], "fingerprint": f"f{number}" * 8, "method": method, "sha256": f"{number}" * 64, "body": "net",
        "started_from": f"{number - 1}" * 64, "rows": 195, "seconds": 61.0, "scored_as": "test", "seed": 0, "optimistic": False,
        "trained_on": "ImageNet", "parents": [], "modality": "image",
        **more,
    }  # fmt: skip


def cell(value, metric="accuracy"):
    return {"metric": metric, "value": value, "interval": [value - 0.03, value + 0.02], "n": 153}


def made(**more) -> dict:
    return {
        "version": "0.1.0", "date": "2026-11-22 01:00", "command": "graft chain steps.toml", "remedy": "lwf", "of": 2,
        "notices": ["Look here."],
        "steps": [step(1, "shapes", "finetune"), step(2, "marks", "lwf")], "matrix": [[cell(0.95)], [cell(0.76), cell(0.88)]],
        "numbers": {"average": 0.82, "kept_first": 0.8, "backward_transfer": -0.19, "forgetting": 0.19}, "seconds": 122.0, "settings": {},
    } | more  # fmt: skip


def page(folder, found) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "chain.json").write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
    return chain.write(folder).read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)).split())


def test_the_page_says_what_is_kept(tmp_path):
    html = page(tmp_path / "one", made())
    text = text_of(html)
    assert "After 2 tasks 80 % of shapes is kept: accuracy 0.760 of 0.950" in text and "first used lwf" in text
    assert "lost −0.190" in text and "Backward transfer −0.190" in text and "Forgetting 0.190" in text and "Look here." in text
    assert html.count('class="shade') == 3 and html.count("shade own") == 2
    assert 'style="--t:0.0"' in html and 'style="--t:1.0"' in html  # the lowest and the highest score


def test_hashes_and_reports_of_every_step_are_there(tmp_path):
    html = page(tmp_path / "one", made())
    assert all(digit * 64 in html for digit in "012") and "f2" * 8 in html
    assert 'href="01-shapes/report.html"' in html and 'href="02-marks/report.html"' in html
    assert "graft chain steps.toml --out" in html and "&lt;b&gt;" in html and "<b>,<" not in html


@pytest.mark.parametrize("folder", ["../elsewhere", "a/b", "javascript:x", "..", ""])
def test_links_lead_to_folders_beside_the_page_only(tmp_path, folder):
    html = page(tmp_path / "one", made(steps=[step(1, "shapes", "finetune", folder=folder)], matrix=[[cell(0.9)]]))
    assert "report.html" not in html


@pytest.mark.parametrize(("value", "word"), [(0.99, "gained"), (0.951, "kept"), (0.2, "lost")])
def test_each_change_has_its_word(tmp_path, value, word):
    assert f'class="{word}"' in page(tmp_path / "one", made(matrix=[[cell(0.95)], [cell(value), cell(0.88)]]))


def test_a_chain_on_its_way_says_so(tmp_path):
    found = made(steps=[step(1, "shapes", "finetune")], matrix=[[cell(0.95)]], numbers={"average": 0.95, "kept_first": 1.0})
    text = text_of(page(tmp_path / "one", found))
    assert "1 of 2 tasks learnt: shapes 0.950" in text and "Not finished: 1 of 2 steps" in text


def test_a_task_without_a_score_has_an_empty_cell(tmp_path):
    html = page(tmp_path / "one", made(matrix=[[None], [None, cell(0.88)]], numbers={"average": 0.88}))
    assert html.count('class="none"') == 3 and html.count('class="shade') == 1


@pytest.mark.parametrize("broken", ["{", "[]", "{}", '{"steps": 3, "matrix": "x", "numbers": []}', '{"steps": [{}], "matrix": [[{}]]}'])
def test_whatever_the_file_holds_there_is_a_page(tmp_path, broken):
    html = page(tmp_path / "one", broken)
    assert html.startswith("<!doctype html>") and "</html>" in html


def test_nothing_outside_is_asked_for(tmp_path):
    assert not re.search(r'(src|href)="(https?:)?//', page(tmp_path / "one", made()))
