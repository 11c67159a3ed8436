"""The journal's listener: what passes, what is reported, and that a trial ends after its line is on disk."""

import itertools
from types import SimpleNamespace

import pytest

from graft.engine.journal import Journal, read
from graft.verbs.tuning.watch import OutOfTime, Pruned, Watch, rank

ACCURACY = SimpleNamespace(primary="accuracy", higher=True)
MAE = SimpleNamespace(primary="mae", higher=False)


class Judge:
    """Stands for Optuna's trial; prunes at the epoch it is told."""

    def __init__(self, at=None):
        self.reported, self.at = [], at

    def report(self, value, step):
        self.reported.append((step, value))

    def should_prune(self):
        return len(self.reported) == self.at


def epoch(journal, number, accuracy, log_loss=0.0, seconds=1.0):
    select = {"accuracy": accuracy, "log_loss": log_loss}
    journal.write("epoch", run="final", phase="all", epoch=number, select=select, seconds=seconds)


def test_log_loss_decides_between_equals_and_never_more():
    rows, values = 7, [(right / 7, loss) for right in range(8) for loss in (0.0, 0.3, 2.0, 50.0)]
    for (a, loss_a), (b, loss_b) in itertools.product(values, values):
        first, second = (rank(ACCURACY, {"accuracy": v, "log_loss": loss}, rows) for v, loss in ((a, loss_a), (b, loss_b)))
        if a != b:
            assert (first > second) == (a > b)
        elif min(loss_a, 10) != min(loss_b, 10):
            assert (first > second) == (loss_a < loss_b)
    assert rank(MAE, {"mae": 2.0, "log_loss": 9.0}, 7) == -2.0


def test_the_best_so_far_is_reported_over_all_phases(tmp_path):
    judge, watch = Judge(), Watch(None)
    journal = Journal(watch)
    watch.begin(3, ACCURACY, 10, judge)
    journal.write("phase", run="final", phase="head", epochs=0, optimizer="solver")
    journal.write("phase", run="final", phase="all", epochs=8, optimizer="adamw")
    for number, value in enumerate((0.5, 0.8, 0.7), start=1):
        epoch(journal, number, value)
    journal.write("phase", run="final", phase="more", epochs=40, optimizer="adamw")
    epoch(journal, 1, 0.9)
    assert judge.reported == [(1, 0.5), (2, 0.8), (3, 0.8), (4, 0.9)]
    assert watch.first_rung == 2 and watch.epochs == 4 and watch.value == 0.9 and list(watch.curve) == [1, 2, 3, 4]


def test_a_solved_head_has_no_rungs():
    watch = Watch(None)
    watch.begin(0, ACCURACY, 10)
    Journal(watch).write("phase", run="final", phase="head", epochs=0, optimizer="solver")
    assert watch.first_rung == 0


def test_the_line_is_on_disk_before_the_trial_ends(tmp_path):
    watch = Watch(None)
    journal = Journal(watch)
    journal.open(tmp_path)
    watch.begin(1, ACCURACY, 10, Judge(at=2))
    epoch(journal, 1, 0.5)
    with pytest.raises(Pruned):
        epoch(journal, 2, 0.5)
    assert [row["epoch"] for row in read(tmp_path)] == [1, 2]


def test_time_is_up_in_the_middle_of_an_epoch():
    watch = Watch(None)
    journal = Journal(watch)
    watch.begin(1, ACCURACY, 10, Judge(), deadline=-1.0)
    with pytest.raises(OutOfTime):
        journal.tell("step", run="final", phase="all", epoch=1, step=1)
    watch.end()
    journal.tell("step", run="final", phase="all", epoch=1, step=1)


def test_a_time_limit_is_used_up_phase_by_phase():
    watch = Watch(None)
    journal = Journal(watch)
    watch.begin(1, ACCURACY, 10, limit=2.5)
    for name in ("one", "two"):
        journal.write("phase", run="final", phase=name, epochs=8, optimizer="adamw")
        epoch(journal, 1, 0.5), epoch(journal, 2, 0.5)
        assert not watch.limited
    epoch(journal, 3, 0.5)
    assert watch.limited


def test_only_steps_and_new_decisions_pass_in_a_trial():
    heard = []
    watch = Watch(heard.append)
    journal = Journal(watch)
    journal.write("data", source="x")
    for number in (0, 1):
        watch.begin(number, ACCURACY, 10)
        journal.write("phase", run="final", phase="all", epochs=8, optimizer="adamw")
        journal.decide("precision", "float32", "why", "--precision")
        journal.tell("step", run="final", phase="all", epoch=1, step=1)
        epoch(journal, 1, 0.5)
        watch.end()
    journal.write("trial", number=1)
    told = [(event["event"], event.get("run")) for event in heard]
    assert told == [("data", None), ("decision", "trial 0"), ("step", "trial 0"), ("step", "trial 1"), ("trial", None)]
