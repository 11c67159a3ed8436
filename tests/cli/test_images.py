import io
from pathlib import Path

import pytest

from graft.cli.images import find
from graft.errors import DataError


def test_files_folders_and_lists_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "deep/c.webp", ".git/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr("sys.stdin", io.StringIO("one.jpg\n\n two words.jpg\r\n"))
    inside = [str(tmp_path / name) for name in ("a.PNG", "b.jpg", "deep/c.webp")]
    assert find(["odd.dat", str(tmp_path), "-"]) == ["odd.dat", *inside, "one.jpg", " two words.jpg"]


def test_nothing_to_predict_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="no image in"):
        find([str(tmp_path)])
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(DataError, match="no image to predict"):
        find(["-"])
