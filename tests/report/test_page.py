import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report import folders
from tests.report.pages import Page, outside

from graft.report.page import render, write


@pytest.fixture
def binary(tmp_path):
    return folders.classification(tmp_path / "hymenoptera-lp_ft", ["ants", "bees"], sharp=1.5)


def test_a_whole_run_has_every_part_in_the_order_a_person_asks(binary):
    path = write(binary)
    page = Page(path.read_text(encoding="utf-8"))
    assert path == binary / "report.html" and not (binary / ".report.html.part").exists()
    assert page.ids == ["decided", "scores", "learning", "mistakes", "calibration", "images", "stages", "filters", "data", "again"]
    told = json.loads((binary / "scores.json").read_text())["val"]["accuracy"]
    assert (
        f"Accuracy {told['value']:.3f} [{told['interval'][0]:.2f}, {told['interval'][1]:.2f}] on val (153 images that chose nothing)"
        in page.text
    )
    assert "Optimistic" not in page.text and "graft resume" not in page.text and "Could not be read" not in page.text
    for words in (
        "--precision exact|fast",
        "Selection score, not a result",
        folders.COMMAND,
        "812 MB",
        "3 min 12 s",
        "Apache-2.0",
        "ab" * 32,
    ):
        assert words in page.text


def test_nothing_comes_from_outside_of_the_file(binary):
    page = Page(render(binary))
    assert outside(render(binary)) == []
    assert any(tag == "img" and name == "src" for tag, name, _ in page.attributes)


def test_it_is_made_for_phones_print_and_dark_rooms(binary):
    html = render(binary)
    assert 'name="viewport"' in html and "@media print" in html and "prefers-color-scheme:dark" in html and "size:A4" in html


def test_names_of_classes_and_files_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    names = lambda i: f'/data/"><img src=x onerror=alert({i})>&.jpg'  # noqa: E731
    folder = folders.classification(tmp_path / "<b>run", [evil, "a&b", "\"quoted'"], sharp=0.5, names=names)
    page = Page(render(folder))
    assert page.tags.count("script") == 1 and evil in page.text and "onerror=" in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert all(value.startswith(("data:", "#")) for _, name, value in page.attributes if name in ("src", "href"))


def test_thirty_classes_have_a_list_of_pairs_and_a_folded_table(tmp_path):
    folder = folders.classification(tmp_path / "run", [f"species {i:02d}" for i in range(30)], n=600, sharp=2.0)
    html = render(folder)
    assert "chart matrix" not in html and "Most often confused" in html and "The other 16" in Page(html).text
    assert "chart matrix" in render(folders.classification(tmp_path / "few", [f"c{i}" for i in range(20)], n=300))


def test_several_labels(tmp_path):
    page = Page(render(folders.several_labels(tmp_path / "run")))
    assert "Mean average precision 0.910 [0.85, 0.95]" in page.text and "Score by label" in page.text and "AP" in page.text
    assert "<i>sand</i>" in page.text and "calibration" in page.ids and "nothing → sky" in page.text and "i" in page.tags
    assert "Could not be read" not in page.text


def test_numbers(tmp_path):
    page = Page(render(folders.regression(tmp_path / "run")))
    assert "Mean absolute error 3.21" in page.text and "Residuals" in page.text and "Largest errors" in page.text
    assert "calibration" not in page.ids and "Could not be read" not in page.text


def test_folds_are_thin_lines(tmp_path):
    runs = ("fold1", "fold2", "fold3", "final")
    html = render(folders.classification(tmp_path / "run", ["a", "b"], runs=runs))
    assert html.count('class="line thin"') == 3 * 2 * 2 and html.count('class="line strong"') == 2 * 2
    assert "Thin lines are the folds" in html


def test_an_optimistic_score_is_marked_and_does_not_claim_more(tmp_path):
    page = Page(render(folders.classification(tmp_path / "run", ["a", "b"], optimistic=True)))
    assert "Optimistic: these rows also chose" in page.text and "chose nothing)" not in page.text and "(153 images)" in page.text


def test_a_stopped_run_says_so_and_how_to_go_on(binary):
    for name in ("scores.json", "predictions.parquet"):
        (binary / name).unlink()
    shutil.rmtree(binary / "explain")
    lines = (binary / "journal.jsonl").read_text().splitlines()[:17]
    stop = json.dumps({"t": 44.1, "event": "stopped", "reason": "stopped by the user"})
    (binary / "journal.jsonl").write_text("\n".join([*lines, "", stop, '{"t": 45, "eve']))
    page = Page(render(binary))
    assert "This run was stopped before it was scored." in page.text and "Stopped by the user." in page.text
    assert f"graft resume {binary}" in page.text and "3 of 6 epochs of phase “all”, 44 s of work" in page.text
    assert page.ids == ["decided", "learning", "stages", "data", "again"]


def test_a_killed_and_a_failed_run(binary):
    for name in ("scores.json", "predictions.parquet"):
        (binary / name).unlink()
    lines = (binary / "journal.jsonl").read_text().splitlines()[:-1]
    (binary / "journal.jsonl").write_text("\n".join(lines))
    assert "This run has not finished" in Page(render(binary)).text
    lines.append(json.dumps({"t": 50, "event": "failed", "reason": "The loss is not finite; lower the rate (--lr)."}))
    (binary / "journal.jsonl").write_text("\n".join(lines))
    page = Page(render(binary))
    assert "This run failed before it was scored." in page.text and "The loss is not finite" in page.text and "graft resume" in page.text


def test_an_empty_folder_gives_a_page(tmp_path):
    page = Page(write(tmp_path).read_text(encoding="utf-8"))
    assert page.ids == [] and "graft resume" in page.text


def test_the_solved_head_is_told_in_words(binary):
    rows = folders.events("accuracy")[:5]
    rows.append(folders.phase("final", "head", 0, 6, [], epochs=0, optimizer="solver"))
    rows.append({"event": "solved", "run": "final", "phase": "head", "chosen": {"C": 0.1}, "select": {"accuracy": 0.95}})
    folders.journal(binary, [*rows, {"event": "done", "seconds": 3.0}])
    page = Page(render(binary))
    assert "Solved in one go" in page.text and "C 0.100" in page.text and "head solved in one go" in page.text


@pytest.mark.parametrize(
    "name",
    [
        "scores.json",
        "data.json",
        "environment.json",
        "spec.toml",
        "predictions.parquet",
        "explain/index.json",
        "explain/000.png",
        "explain/filters.json",
    ],
)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2", b"null", b"\xff\xfe\x00rubbish", b'{"primary": 3, "val": [1], "n": "x", "classes": {"a": 1}}']
)
def test_any_broken_file_still_gives_a_page(binary, name, content):
    (binary / name).write_bytes(content)
    page = Page(render(binary))
    assert "decided" in page.ids


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_journal_still_gives_a_page(tmp_path, data):
    """Whole events with fields of any kind; the page may leave parts out, never fail."""
    value = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    )
    known = folders.events("accuracy")
    rows = [dict(row) for row in data.draw(st.lists(st.sampled_from(known), max_size=8))]
    for row in rows:
        for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
            row[key] = data.draw(value)
    (tmp_path / "journal.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8", errors="replace")
    Page(render(tmp_path))


def test_writing_again_replaces_the_page_and_changes_nothing_else(binary):
    first = write(binary).read_bytes()
    before = sorted(p.name for p in binary.rglob("*"))
    assert write(binary).read_bytes() == first and sorted(p.name for p in binary.rglob("*")) == before


def test_a_picture_outside_of_the_run_is_not_read(binary, tmp_path):
    shutil.copy(binary / "explain" / "000.png", tmp_path / "secret.png")
    (binary / "explain" / "index.json").write_text(
        json.dumps([{"kind": "mistake", "path": "a", "image": "../../secret.png", "label": "a", "predicted": "b"}])
    )
    assert "images" not in Page(render(binary)).ids


def test_it_needs_no_torch():
    code = "import sys, graft.report.page; print([m for m in ('torch', 'sklearn', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_training_that_only_harmed_is_told(binary):
    rows = folders.events("accuracy")
    rows[-1]["epoch"] = 0
    folders.journal(binary, [*rows, {"event": "done", "seconds": 3.0}])
    assert "In phase “all” no epoch was better than the state before it" in Page(render(binary)).text


def test_without_a_temperature_there_is_one_curve(tmp_path):
    html = render(folders.classification(tmp_path / "run", ["a", "b"], sharp=1.5, temperature=1.0))
    assert 'class="line after"' in html and 'class="line before"' not in html and "Calibration error before" not in html
