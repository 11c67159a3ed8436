import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.metrics import tags
from graft.metrics.bootstrap import intervals

CLASSES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-a-b", "I-a-b")
rows = st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=9), min_size=1, max_size=5)


def _arrays(rows):
    longest = max(map(len, rows)) + 2
    decoded, targets = np.full((len(rows), longest), -1.0), np.full((len(rows), longest), -100)
    for i, row in enumerate(rows):
        decoded[i, : len(row)], targets[i, : len(row)] = [p for p, _ in row], [t for _, t in row]
    return decoded, targets


def _reference(rows):
    from seqeval import metrics

    true = [[CLASSES[t] for _, t in row] for row in rows]
    given = [[CLASSES[p] for p, _ in row] for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "f1": metrics.f1_score(true, given), "precision": metrics.precision_score(true, given),
            "recall": metrics.recall_score(true, given), "accuracy": metrics.accuracy_score(true, given),
        }  # fmt: skip
        by_type = metrics.classification_report(true, given, output_dict=True) if any(map(any, _entities(true, given))) else {}
    return found | {f"f1 {name}": by_type.get(name, {"f1-score": 0.0})["f1-score"] for name in ("LOC", "PER", "a-b")}


def _entities(*both):
    return [[tag != "O" for row in rows for tag in row] for rows in both]


@settings(max_examples=150, deadline=None)
@given(rows)
def test_scores_are_those_of_seqeval(rows):
    assert tags.scores(CLASSES)(*_arrays(rows)) == pytest.approx(_reference(rows))


def test_an_entity_begins_at_an_inside_tag_that_follows_nothing_of_its_type():
    scores = tags.scores(CLASSES)
    # I-LOC after O, I-PER after B-LOC, B-LOC after B-LOC: all begin one.
    found = scores(np.array([[0, 2, 2, 4, 1, 1, 2]]), np.array([[0, 1, 2, 3, 1, 1, 2]]))
    assert found["f1"] == found["f1 LOC"] == found["f1 PER"] == 1 and found["accuracy"] == pytest.approx(5 / 7)
    cut = scores(np.array([[0, 1, 0, 3]]), np.array([[0, 1, 2, 3]]))
    assert cut["f1"] == 0.5 and cut["f1 LOC"] == 0 and cut["f1 PER"] == 1


def test_what_is_said_of_padding_does_not_count():
    found = tags.scores(CLASSES)(np.array([[1, 3, 3], [0, -1, -1]]), np.array([[1, -100, -100], [0, -100, -100]]))
    assert found["f1"] == 1 and found["accuracy"] == 1


def test_counted_rows_score_like_repeated_rows_and_their_interval_holds_the_value():
    rng = np.random.default_rng(0)
    targets = np.where(np.arange(12) < rng.integers(3, 12, 60)[:, None], rng.integers(0, 7, (60, 12)), -100)
    decoded = np.where(rng.random(targets.shape) < 0.7, targets, rng.integers(0, 7, targets.shape)).astype(float)
    counts = rng.integers(0, 3, 60)
    index = np.repeat(np.arange(60), counts)
    scores = tags.scores(CLASSES)
    assert scores.prepare(decoded, targets)(counts) == pytest.approx(scores(decoded[index], targets[index]))
    found = intervals(decoded, targets, scores, 200)
    assert all(low <= value <= high for value, low, high in found.values()) and found["f1"][1] < found["f1"][2]
