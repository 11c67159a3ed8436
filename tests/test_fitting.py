"""Pieces of a fit that the whole does not show: counts, atomic JSON, folds that are read back."""

import json

import pytest
from tests import nets

from graft import api, fitting
from graft.spec import Spec


def test_counts_by_class(tmp_path):
    data = nets.data(tmp_path)
    assert fitting.tally(data.train, data) == {"dark": 4, "light": 4}
    told = fitting.describe_data(data)
    assert told["counts"]["test"] == {"dark": 4, "light": 4} and json.dumps(told)


def test_json_is_replaced_whole(tmp_path):
    fitting.write_json(tmp_path / "a.json", {"x": 1})
    fitting.write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 2} and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_run_killed_between_folds_does_not_run_finished_ones_again(photos, tmp_path):
    opened = []

    def stop(event):
        if event["event"] == "opened":
            opened.append(event["split"])
            if len(opened) == 3:
                raise KeyboardInterrupt

    sets = ["backbone.image_size=32"]
    spec = Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "run"), sets=sets)
    with pytest.raises(api.Stopped):
        api.fit(spec, on_event=stop)
    again = []
    resumed = api.resume(tmp_path / "run", on_event=lambda e: again.append(e["split"]) if e["event"] == "opened" else None)
    whole = api.fit(Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "whole"), sets=sets))
    assert again == ["fold 3", "fold 4", "fold 5"] and resumed.scores["test"] == whole.scores["test"]
