"""One setting: its row, its snapshots, its failures, and that it never looks at a locked row."""

import pytest
import torch

from graft.data import images
from graft.errors import TrainingError
from graft.verbs.tuning.trial import leader, rehearse, run, train

DEFAULTS = {"task.layers": "", "task.head": "auto"}


def test_a_solved_trial_and_its_snapshots(make_search, monkeypatch):
    search = make_search("extract")
    row = run(search, 0, DEFAULTS)
    assert row["state"] == "done" and row["epochs"] == 0 and row["first_rung"] == 0 and row["curve"] == {}
    assert row["key"] <= row["value"] <= 1 and len(search.selects) == search.narrow.learning().num_rows
    again, net = train(search, 0, DEFAULTS, search.narrow)
    monkeypatch.setattr("graft.heads.logistic.solve", None)  # A snapshot is read, nothing is solved again.
    replayed, same = train(search, 0, DEFAULTS, search.narrow)
    assert replayed.scores == again.scores == {**again.scores, "accuracy": row["value"]}
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), same.state_dict().values(), strict=True))


def test_a_trained_trial_scores_the_same_rows_whether_it_kept_its_probe_or_not(make_search):
    search = make_search("lp_ft", "method.epochs=2", "method.batch=8", "augment.preset=none")
    for number, lr in enumerate((1e-9, 1e-3)):
        row = run(search, number, {"method.lr": lr, "method.freeze": "stage3"})
        outcome, _ = train(search, number, row["setting"], search.narrow)
        assert len(outcome.targets) == len(search.narrow.val) and len(row["curve"]) == row["epochs"] == 2
        assert outcome.scores["accuracy"] == row["value"]


def test_no_locked_row_is_opened(make_search, monkeypatch):
    search, opened, decode = make_search("finetune", "method.epochs=1", "method.batch=8"), [], images.decode
    monkeypatch.setattr(images, "decode", lambda path, *a, **k: opened.append(str(path)) or decode(path, *a, **k))
    run(search, 0, {"method.lr": 1e-4})
    rehearse(search)
    locked = set(search.parts.data.test["path"].to_pylist())
    assert opened and locked and not locked & set(opened)


def test_a_setting_that_fails_is_a_row_but_failing_defaults_are_an_error(make_search, monkeypatch):
    def broken(*_):
        raise TrainingError("the loss is not finite; lower the rate.")

    search = make_search("finetune")
    monkeypatch.setattr("graft.verbs.tuning.trial.execute", broken)
    row = run(search, 1, {"method.lr": 1e-3})
    assert (row["state"], row["key"], row["value"]) == ("failed", None, None) and "lower the rate" in row["reason"]
    with pytest.raises(TrainingError):
        run(search, 0, {"method.lr": 1e-4})
    search.journal.tell("note", text="heard again")  # The watch is outside of the trial again.
    assert search.heard[-1]["text"] == "heard again"


def test_the_defaults_win_a_tie():
    rows = [{"number": n, "state": state, "key": key} for n, (state, key) in enumerate((("done", 0.5), ("done", 0.5), ("pruned", 0.9)))]
    assert leader(rows)["number"] == 0
    assert leader([*rows, {"number": 3, "state": "done", "key": 0.6}])["number"] == 3
