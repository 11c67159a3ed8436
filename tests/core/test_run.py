"""A run knows where its pieces are."""

from pathlib import Path

from graft.core import Run


def test_paths():
    run = Run(Path("runs/a"), {}, 1.0)
    assert run.model == Path("runs/a/model") and run.report == Path("runs/a/report.html")
