"""Candidates are compared on the target without its labels."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
from tests import nets
from tests.engine.test_execute import setting
from tests.methods import shifts, words
from tests.methods.test_pseudo_label import moons

from graft import catalog, testing
from graft.engine import execute
from graft.errors import OptionError
from graft.methods import uda
from graft.metrics import label_free


def scored(found, target, labels):
    scores = {name: shifts.accuracy(one.head, target, labels) for name, one in found.items()}
    return scores, next(value for name, value in scores.items() if name.startswith("chosen: "))


@pytest.mark.parametrize("draw", [moons, lambda seed: shifts.turned(seed, shift=1.5)])
def test_what_is_chosen_is_better_than_the_source_alone_where_the_domain_has_moved(draw):
    gained = []
    for seed in range(4):
        source, y, target, other = draw(seed)
        found = shifts.drive("uda", source[:-60], y[:-60], target, held=source[-60:])
        scores, chosen = scored(found, target, other)
        gained.append(chosen - scores["source_only"])
    assert np.mean(gained) > 0.05 and min(gained) > -0.02


def uneven(seed):
    """The source's own domain, of which the target holds hardly anything but one class."""
    source, y, _, _ = shifts.turned(seed, rows=600)
    rows = np.concatenate([np.flatnonzero(y[300:] == c)[:n] for c, n in enumerate((90, 6, 3))]) + 300
    return source[:240], y[:240], source[rows], y[rows], source[240:300]


def test_where_adaptation_harms_the_source_stays():
    worst, chosen_by = [], []
    for seed in range(4):
        source, y, target, other, held = uneven(seed)
        found = shifts.drive("uda", source, y, target, held=held)
        scores, chosen = scored(found, target, other)
        worst.append(min(scores.values()) - scores["source_only"])
        chosen_by.append(chosen - scores["source_only"])
    assert min(worst) < -0.1, "no candidate does harm; give the test a harder target"
    assert min(chosen_by) >= -0.02


def test_where_classes_are_missing_what_is_chosen_does_not_fall_behind_the_source():
    """Of six classes two are left in the target; candidates that use all six lose, and information would take one of those."""
    behind, by_information = [], []
    for seed in range(4):
        source, y, target, other = shifts.turned(seed, rows=480, width=8, classes=6, shift=0.6)
        left = other < 2
        found = shifts.drive("uda", source[:-60], y[:-60], target[left], held=source[-60:], level=1.0)
        scores, chosen = scored(found, target[left], other[left])
        *_, last = found
        told = found[last].chosen["candidates"]
        behind.append(chosen - scores["source_only"])
        by_information.append(scores[max(told, key=lambda name: told[name]["information"])] - scores["source_only"])
    assert np.mean(by_information) < -0.1, "information does no harm here; give the test a harder target"
    assert min(behind) > -0.03


def test_the_source_comes_first_and_all_is_written_down():
    source, y, target, _ = moons()
    found = shifts.drive("uda", source, y, target, candidates=("coral", "mixture coral"))
    *names, last = found
    assert names == ["source_only", "coral", "mixture coral"] and last.startswith("chosen: ")
    table = found[last].chosen
    assert list(table["candidates"]) == names and table["chosen"] in names and table["why"]
    outputs = uda.pseudo_label.outputs(found["coral"].head, target)
    assert table["candidates"]["coral"]["information"] == pytest.approx(label_free.information(outputs), abs=1e-5)
    near = label_free.nearest(target)
    assert table["candidates"]["coral"]["neighbours"] == pytest.approx(label_free.neighbours_agree(outputs, near), abs=1e-5)
    assert found[last].head is found[table["chosen"]].head


def test_what_neighbours_agree_on_is_chosen_and_of_equals_the_plainer_one():
    sure, torn, one = 9 * np.eye(3)[np.arange(12) % 3], np.eye(3)[np.arange(12) % 3], 9 * np.eye(3)[np.zeros(12, int)]
    near = {"source_only": 0.3, "one": 0.0, "coral": 0.8, "again": 0.8}
    name, table = uda.choose({"source_only": torn, "one": one, "coral": sure, "again": sure.copy()}, near, 0.005, 0.01)
    assert name == "coral" and table["candidates"]["coral"]["information"] == pytest.approx(log(3), abs=0.02)
    assert "0.800" in table["why"] and table["candidates"]["one"]["neighbours"] == 0.0
    assert table["candidates"]["one"]["evenness"] == pytest.approx(1 / 3, abs=1e-5)
    assert table["candidates"]["one"]["as_source"] == pytest.approx(1 / 3, abs=1e-5)


def test_without_a_shift_the_source_stays():
    torn, sure = np.eye(3)[np.arange(12) % 3], 9 * np.eye(3)[np.arange(12) % 3]
    for alike, level, name in ((0.5, 0.01, "source_only"), (0.01, 0.01, "x"), (1.0, 1.0, "x"), (None, 0.01, "x")):
        chosen, table = uda.choose({"source_only": torn, "x": sure}, {"source_only": 0.2, "x": 0.9}, alike, level)
        assert chosen == name and ("no shift" in table["why"]) == (name == "source_only")


def test_unknown_candidates_and_values_are_refused():
    for values in ({"candidates": ("mixture",)}, {"level": 0.0}, {"regularisation": 0.0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            uda.Options(**values)
    assert list(uda.candidates(nets.task(), uda.Options(candidates=("coral", "source_only", "coral")))) == ["source_only", "coral"]


def test_each_candidate_is_watched_and_a_killed_run_chooses_the_same(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    rows = replace(rows, target=rows.test.drop_columns("label"))
    place = setting(tmp_path / "run", made, rows)
    outcome = execute.execute(nets.phases("uda", place.net, made, rows), place)
    *names, last = [row["phase"] for row in outcome.phases]
    assert names == ["source_only", *uda.Options().candidates] and set(outcome.watched) == {*names, last}
    assert all(len(outputs) == len(rows.target) for outputs in outcome.watched.values())
    chosen = last.removeprefix("chosen: ")
    assert np.array_equal(outcome.watched[last], outcome.watched[chosen])
    assert (
        outcome.phases[-1]["chosen"]["candidates"].keys() == set(names) and outcome.scores == outcome.phases[names.index(chosen)]["select"]
    )
    (tmp_path / "run" / "checkpoints" / "final" / f"phase{len(names)}.safetensors").unlink()
    again = setting(tmp_path / "run", made, rows)
    assert execute.execute(nets.phases("uda", again.net, made, rows), again).phases[-1] == outcome.phases[-1]


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_it_keeps_the_contract(tmp_path, kind):
    made, rows, make = (
        (nets.task(), nets.data(tmp_path / "photos"), nets.net) if kind == "images" else (words.task(), words.data(), words.net)
    )
    rows = replace(rows, target=rows.test.drop_columns("label"))
    testing.check_method(catalog.resolve("method", "uda"), uda.Options(), lambda: make(made), made, rows, tmp_path)
