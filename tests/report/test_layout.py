import pytest
from tests.report.pages import Page, outside

from graft.report import layout
from graft.report.record import Record


def test_a_part_that_fails_costs_only_itself(tmp_path):
    record = Record(tmp_path)
    made = layout.parts(record, {"good": lambda r: r.folder.name, "bad": lambda r: {}["absent"]})
    assert made == {"good": tmp_path.name, "bad": None} and record.unread == ["bad (KeyError)"]


def test_the_frame_stands_alone_and_names_what_was_not_read(tmp_path):
    html = layout.fill("base.html", Record(tmp_path, unread=["<b>x", "a", "a"]))
    assert outside(html) == [] and "Could not be read, and is left out: <b>x, a." in Page(html).text
    assert "@media print" in html and "prefers-color-scheme:dark" in html and "Content-Security-Policy" in html


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    page = layout.put(tmp_path / "a.html", "first \udcff ü")
    assert page.read_bytes() == "first ? ü".encode()
    with pytest.raises(OSError):
        layout.put(tmp_path / "absent" / "a.html", "second")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
