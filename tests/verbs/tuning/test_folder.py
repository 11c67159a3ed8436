"""What a search's folder may hold, and what of it survives a kill."""

import json
from dataclasses import replace

import pytest

from graft.errors import OptionError, OutputError
from graft.spec import Spec
from graft.verbs.tuning import folder


def spec(tmp_path, **values) -> Spec:
    return Spec.make(str(tmp_path / "photos"), **values)


@pytest.mark.parametrize(
    ("values", "trials", "words"), [({"folds": 5}, None, "5 folds"), ({"select_on": "val"}, None, "select_on"), ({}, 0, "--trials 0")]
)
def test_what_cannot_be_tuned_honestly(values, trials, words, tmp_path):
    with pytest.raises(OptionError, match=words):
        folder.check(spec(tmp_path, **values), trials)


def test_a_new_or_empty_folder_is_taken_and_its_own_gone_on_with(tmp_path):
    out = tmp_path / "out"
    asked = spec(tmp_path, out=str(out), layers="a,b", budget=60.0, seed=3, method="lp_ft", sets=["method.epochs=2"])
    assert not folder.going_on(asked)
    out.mkdir()
    assert not folder.going_on(asked) and not folder.going_on(replace(asked, out=None))
    folder.claim(out, asked)
    assert folder.going_on(asked) and folder.going_on(replace(asked, budget=None))
    with pytest.raises(OutputError, match="something else"):
        folder.going_on(replace(asked, seed=4))


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="new or empty"):
        folder.going_on(spec(tmp_path, out=str(tmp_path / "out")))
    with pytest.raises(OutputError, match="new or empty"):
        folder.going_on(spec(tmp_path, out=str(tmp_path / "out" / "notes.txt")))


def test_a_line_cut_short_by_a_kill_is_taken_out(tmp_path):
    for number in range(3):
        folder.append(tmp_path, {"number": number, "curve": {"1": 0.5}})
    path = tmp_path / folder.TRIALS
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert [row["number"] for row in folder.read(tmp_path)] == [0, 1]
    folder.append(tmp_path, {"number": 2, "curve": {"1": 0.5}})
    assert path.read_bytes() == whole and folder.read(tmp_path / "nowhere") == []


def test_a_finished_search_is_told_again_but_only_for_the_same(tmp_path):
    asked = spec(tmp_path, out=str(tmp_path / "out"))
    assert folder.finished(asked) is None
    folder.claim(tmp_path / "out", asked)
    (tmp_path / "out" / folder.RESULT).write_text(json.dumps({"best": 2}))
    assert folder.finished(asked) == {"best": 2}
    with pytest.raises(OutputError):
        folder.finished(replace(asked, seed=1))


def test_free_folders_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = spec(tmp_path, backbone="graft-mini", method="extract")
    first = folder.free(named)
    assert str(first) == "runs/photos-graft-mini-extract-tune-1"
    first.mkdir(parents=True)
    assert folder.free(named).name.endswith("-2")
