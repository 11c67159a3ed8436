"""The course of a study with fits that are made up: the order, the budget, what fails, what is kept."""

import numpy as np
import pytest

from graft.errors import DataError, OptionError, TrainingError
from graft.evidence.arms import Arm
from graft.evidence.compare import Study, compare
from graft.evidence.ranking import Fitted

ARMS = (Arm("extract", "one"), Arm("lp_ft", "one"), Arm("scratch", "one"))
ROWS = tuple(f"{i:03d}.png" for i in range(60))


class Bench:
    """Fits with a clock of their own: each takes `beyond` seconds and, if its arm is hungry, all of its budget."""

    def __init__(self, beyond=1.0, hungry=("lp_ft", "scratch"), unlimited=5.0):
        self.time, self.calls, self.told = 100.0, [], []
        self.beyond, self.hungry, self.unlimited = beyond, hungry, unlimited

    def now(self) -> float:
        return self.time

    def fit(self, arm: Arm, seed: int, seconds: float | None) -> Fitted:
        self.calls.append((arm.label, seed, seconds))
        wall = self.beyond + ((self.unlimited if seconds is None else seconds) if arm.method in self.hungry else 0.0)
        self.time += wall
        rng = np.random.default_rng([len(arm.label), seed])
        values = (rng.random(60) < {"extract": 0.8, "lp_ft": 0.9}.get(arm.method, 0.5)).astype(float)
        about = {"metric": "accuracy", "higher_is_better": True, "fingerprint": "f"}
        return Fitted(ROWS, values, float(values.mean()), wall, 100.0, 5, limit=seconds, folder=f"{arm.folder}-{seed}", about=about)

    def run(self, study: Study, **more) -> dict:
        return compare(study, self.fit, self.told.append, now=self.now, **more)


def test_seeds_are_the_outer_loop_and_every_arm_has_each():
    bench = Bench()
    found = bench.run(Study(ARMS, 3))
    assert [call[:2] for call in bench.calls] == [(arm.label, seed) for seed in range(3) for arm in ARMS]
    assert found["seeds"] == {"asked": 3, "whole": 3} and found["cut"] == [] and found["budget"] is None
    assert {call[2] for call in bench.calls} == {None} and [len(arm["values"]) for arm in found["arms"]] == [3, 3, 3]


def test_events_say_which_fit_of_how_many():
    bench = Bench()
    bench.run(Study(ARMS, 2))
    begun = [event for event in bench.told if event["event"] == "fitting"]
    assert [event["number"] for event in begun] == [1, 2, 3, 4, 5, 6] and {event["of"] for event in begun} == {6}
    assert begun[4]["arm"] == "lp_ft on one" and begun[4]["seed"] == 1
    assert sum(event["event"] == "fitted" for event in bench.told) == 6


@pytest.mark.parametrize("beyond", [0.0, 1.0, 4.0, 9.0, 25.0])
@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("hungry", [(), ("lp_ft",), ("extract", "lp_ft", "scratch")])
def test_the_budget_is_held_and_whole_seeds_are_what_is_left(beyond, seeds, hungry):
    bench = Bench(beyond, hungry)
    found = bench.run(Study(ARMS, seeds, 120.0))
    assert bench.time - 100 <= 1.15 * 120
    done = {seed: [label for label, s, _ in bench.calls if s == seed] for seed in range(seeds)}
    whole = [seed for seed in range(seeds) if len(done[seed]) == len(ARMS)]
    assert found["seeds"] == {"asked": seeds, "whole": len(whole)} and whole, "every arm has its fit of the first seed"
    assert len(whole) == seeds or any(f"of {seeds}" in text or "was not finished" in text for text in found["cut"])
    assert found["seconds"] == pytest.approx(bench.time - 100)


def test_arms_learn_for_the_same_time_in_every_seed():
    bench = Bench(beyond=0.5)
    found = bench.run(Study(ARMS, 4, 240.0))
    limits = {call[2] for call in bench.calls}
    assert len(limits) == 1 and limits == {found["fit_budget"]} and 0 < found["fit_budget"] <= 240 / 12
    assert found["seeds"]["whole"] == 4


def test_costly_fits_cost_seeds_and_it_is_said():
    bench = Bench(beyond=20.0)
    found = bench.run(Study(ARMS, 5, 200.0))
    assert 1 <= found["seeds"]["whole"] < 5 and "left out" in found["cut"][0] and "of 5" in found["cut"][0]
    assert any(event["event"] == "cut" for event in bench.told)


def test_a_budget_for_less_than_one_seed_gives_what_it_can_and_names_the_rest():
    bench = Bench(beyond=30.0)
    found = bench.run(Study(ARMS, 2, 40.0))
    assert [arm["label"] for arm in found["arms"]] == ["extract"] and found["differences"] == []
    assert "lp_ft on one, scratch on one" in found["cut"][0] and "--budget" in found["cut"][0]


def test_a_seed_that_ends_halfway_counts_for_no_arm():
    bench = Bench(beyond=1.0)
    plain = bench.fit

    def slower(arm, seed, seconds):
        bench.time += 90.0 if (arm.label, seed) == ("extract", 1) else 0.0
        return plain(arm, seed, seconds)

    bench.fit = slower
    found = bench.run(Study(ARMS, 4, 100.0))
    assert found["seeds"]["whole"] == 1 and {arm["seeds"] for arm in found["arms"]} == {1}
    assert "not finished for lp_ft on one" in found["cut"][0]
    assert bench.calls[-1][:2] == ("extract", 1)


def test_what_was_done_before_costs_no_time_but_counts_as_spent():
    first = Bench(beyond=3.0)
    whole = first.run(Study(ARMS, 3, 90.0))
    kept = {call[:2] for call in first.calls}
    again = Bench(beyond=0.0, hungry=())
    made = {}

    def fit(arm, seed, seconds):
        if (arm.label, seed) in kept:
            fresh = Bench(beyond=3.0)
            fitted = fresh.fit(arm, seed, next(call[2] for call in first.calls if call[:2] == (arm.label, seed)))
            made[arm.label, seed] = fitted.seconds
            return fitted
        return again.fit(arm, seed, seconds)

    found = compare(Study(ARMS, 3, 90.0), fit, now=again.now, ready=lambda arm, seed: (arm.label, seed) in kept)
    assert found["arms"] == whole["arms"] and found["seeds"] == whole["seeds"]
    assert found["seconds"] == pytest.approx(sum(made.values())) and again.calls == []


def test_an_arm_that_fails_loses_its_place_and_the_study_goes_on():
    bench = Bench()
    plain = bench.fit

    def failing(arm, seed, seconds):
        if arm.method == "scratch" and seed == 1:
            raise TrainingError("The loss is not finite; lower --lr.")
        return plain(arm, seed, seconds)

    bench.fit = failing
    found = bench.run(Study(ARMS, 3))
    assert [arm["label"] for arm in found["arms"]] == ["extract", "lp_ft"] and found["seeds"]["whole"] == 3
    assert found["failed"] == [{"name": "scratch on one", "seed": 1, "reason": "The loss is not finite; lower --lr."}]
    assert any("not finite" in text for text in found["cut"]) and ("scratch", 2) not in [call[:2] for call in bench.calls]


def test_where_all_fail_the_first_reason_is_told_and_other_errors_end_the_study():
    def fail(error):
        def fit(arm, seed, seconds):
            raise error

        return fit

    with pytest.raises(TrainingError, match=r"nothing to compare.*lower --lr"):
        compare(Study(ARMS, 1), fail(TrainingError("lower --lr")))
    with pytest.raises(OptionError, match="mend"):
        compare(Study(ARMS, 1), fail(OptionError("mend it")))


def test_data_that_changed_between_fits_are_refused():
    bench = Bench()
    plain = bench.fit

    def changed(arm, seed, seconds):
        fitted = plain(arm, seed, seconds)
        fitted.about["fingerprint"] = f"f{seed}"
        return fitted

    bench.fit = changed
    with pytest.raises(DataError, match="have changed"):
        bench.run(Study(ARMS, 2))
