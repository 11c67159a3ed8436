"""What is said of a target domain: the numbers by hand, the words by what they must hold."""

import math

import numpy as np
import pytest

from graft.evidence import adapted
from graft.evidence.stats import Difference, proportions

UP = proportions(40, 5, 200)  # 40 rows won, 5 lost
EVEN = proportions(11, 9, 200)


def softmax(outputs):
    return np.array([[math.exp(z) / sum(math.exp(other) for other in row) for z in row] for row in outputs])


def test_the_numbers_of_classes_are_those_of_slow_sums():
    outputs = np.random.default_rng(0).normal(0, 2, (30, 4))
    p = softmax(outputs)
    found = adapted.numbers(outputs, p, "class")
    entropy = sum(-sum(q * math.log(q) for q in row) for row in p) / 30
    mean = [sum(row[k] for row in p) / 30 for k in range(4)]
    assert found["confidence"] == pytest.approx(sum(max(row) for row in p) / 30)
    assert found["entropy"] == pytest.approx(entropy)
    assert found["information"] == pytest.approx(-sum(q * math.log(q) for q in mean) - entropy)
    assert 0.25 <= found["evenness"] <= 1


def test_several_labels_have_a_confidence_and_numbers_have_nothing():
    p = np.array([[0.9, 0.2], [0.5, 0.4]])
    assert adapted.numbers(p, p, "labels") == {"confidence": pytest.approx((0.9 + 0.8 + 0.5 + 0.6) / 4)}
    assert adapted.numbers(p[:, :1], p[:, :1], "number") == {} == adapted.numbers(p[:0], p[:0], "class")


def test_agreement_is_the_share_of_rows_of_which_both_say_the_same():
    a, b = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
    assert adapted.agreement(a, b, "class") == pytest.approx(2 / 3)
    # Of several labels all must be the same: [1, 0] [0, 1] [1, 0] beside [1, 0] [1, 0] [1, 0].
    assert adapted.agreement(a, b, "labels") == pytest.approx(2 / 3)
    assert adapted.agreement(a, b, "number") is None


def test_the_least_certain_row_comes_first():
    p = np.array([[0.9, 0.05, 0.05], [0.4, 0.39, 0.21], [0.5, 0.3, 0.2], [0.34, 0.33, 0.33]])
    lead = [sorted(row)[-1] - sorted(row)[-2] for row in p]
    assert list(adapted.least_certain(p, "class")) == sorted(range(4), key=lambda i: lead[i])
    labels = np.array([[0.9, 0.1], [0.9, 0.45], [0.52, 0.99]])
    assert list(adapted.least_certain(labels, "labels")) == [2, 1, 0]
    assert list(adapted.least_certain(labels, "number")) == [0, 1, 2]


def test_each_verdict_says_the_scores_the_interval_and_what_next():
    helped = adapted.verdict("accuracy", 0.9, 0.725, UP, 200, left=5)
    assert helped["kind"] == "helped" and "0.900" in helped["text"] and "0.725 of source-only" in helped["text"] and "200" in helped["text"]
    assert f"{UP.value:+.3f} [{UP.low:+.3f}, {UP.high:+.3f}]" in helped["text"] and "label_these.csv" in helped["advice"]
    down = Difference(-UP.value, -UP.high, -UP.low, UP.p, UP.test)
    harmed = adapted.verdict("accuracy", 0.725, 0.9, down, 200)
    assert harmed["kind"] == "negative" and "harm" in harmed["text"] and "--method extract" in harmed["advice"]
    assert "label_these.csv" not in harmed["advice"]  # all rows have labels, so no list was written
    assert "Most of its answers there are wrong" in adapted.verdict("accuracy", 0.4, 0.225, UP, 200)["advice"]
    assert "Most of its answers" not in helped["advice"]
    none = adapted.verdict("accuracy", 0.81, 0.80, EVEN, 200)
    assert none["kind"] == "none" and "No difference shown" in none["text"] and "cannot be shown" in none["text"]


def test_less_is_better_turns_the_direction_round():
    gap = Difference(-2.0, -3.0, -1.0, 0.001, "t")
    assert adapted.verdict("mae", 4.0, 6.0, gap, 50, higher=False)["kind"] == "helped"
    assert adapted.verdict("mae", 4.0, 6.0, gap, 50, higher=True)["kind"] == "negative"
    endless = Difference(0.1, -math.inf, math.inf, 1.0, "t")
    told = adapted.verdict("mae", 4.0, 3.9, endless, 1, higher=False)
    assert told["kind"] == "none" and "inf" not in told["text"]


def test_nothing_is_claimed_where_nothing_was_adapted_or_compared():
    plain = adapted.verdict("accuracy", 0.6, None, None, 40, adapts=False)
    assert plain["kind"] == "plain" and "Nothing was adapted" in plain["text"] and "--method uda" in plain["advice"]
    alone = adapted.verdict("accuracy", 0.6, None, None, 40)
    assert alone["kind"] == "plain" and "source-only" in alone["text"]
    same = adapted.verdict("accuracy", 0.6, 0.6, proportions(0, 0, 40), 40, same=True)
    assert same["kind"] == "none" and "the same" in same["text"]


def test_without_labels_nothing_is_scored_and_the_way_to_a_score_is_named():
    told = adapted.unscored(400, "class", {"confidence": 0.91}, 0.25)
    assert told["kind"] == "unknown" and "nothing on its 400 images can be scored" in told["text"]
    assert "0.91" in told["text"] and "25%" in told["text"]
    half = 1.96 * math.sqrt(0.25 / adapted.DRAWN)
    assert f"within about {half:.2f}" in told["advice"] and "--target-labels RUN/score_these.csv" in told["advice"]
    assert "label_these.csv" in told["advice"] and "label_these.csv" not in adapted.unscored(9, "number", {}, None)["advice"]
    assert "(9 texts" in adapted.unscored(9, "class", {}, None, "texts")["advice"]
