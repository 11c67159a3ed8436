"""A seeded handful of what benchmarks/fuzz_images.py does in the hundreds."""

import shutil
from pathlib import Path

import pytest
from benchmarks.fuzz_images import Case, build, digest, run, trial


@pytest.mark.parametrize("seed", range(40))
def test_damaged_data_end_in_ok_or_in_one_clear_sentence(tmp_path, seed):
    outcome, said = trial(seed, tmp_path)
    assert outcome != "failure", f"seed {seed}: {said}"


def test_a_seed_builds_the_same_twice(tmp_path):
    one, two = build(3, tmp_path / "one"), build(3, tmp_path / "two")
    assert one.done == two.done
    assert list(digest(one.root).values()) == list(digest(two.root).values())


def test_undamaged_data_are_ok(photos):
    assert run(Case(photos, None, (), 0.05, ())) == "ok"


def test_a_file_that_is_passed_over_in_silence_is_found(photos, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    (folder / "circle" / "readme.txt").write_text("x")
    assert run(Case(folder, None, (), 0.05, ())) == "ok"
    monkeypatch.setattr("graft.readers.image_folder._Walk.notes", lambda walk: [])
    with pytest.raises(AssertionError, match="neither used nor named"):
        run(Case(folder, None, (), 0.05, ()))
