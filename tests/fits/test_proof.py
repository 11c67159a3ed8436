"""What evidence.json holds beyond the arms: the curve, and what is said of the body's own training data."""

import json

import pytest

from graft import api
from graft.fits import proof
from graft.spec import Spec


def test_of_several_folds_times_add_up_and_scores_are_means():
    found = proof.joined([{"seconds": 1.0, "learning_value": 0.8}, {"seconds": 2.5, "learning_value": 0.9}])
    assert found["seconds"] == 2.5 and found["learning_value"] == pytest.approx(0.85)
    assert proof.joined([{}, {}])["learning_value"] is None


def test_the_curve_has_every_share_and_ends_with_the_probe(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "FEWEST", 10)
    run = api.fit(Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "run"), folds=0))
    found = json.loads((run.folder / "evidence.json").read_text())
    points = found["curve"]["points"]
    assert [point["share"] for point in points] == [*proof.SHARES, 1.0]
    assert all(len(point["values"]) == proof.DRAWS["quick"] for point in points[:-1])
    assert points[-1]["value"] == pytest.approx(run.scores["test"]["accuracy"]["value"], abs=1e-6)


def test_few_rows_have_no_curve(photos, tmp_path):
    run = api.fit(Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "run"), folds=0))
    assert json.loads((run.folder / "evidence.json").read_text())["curve"] is None
