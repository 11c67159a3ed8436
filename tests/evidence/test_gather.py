"""The arms' outputs together: scores, differences, majority."""

import numpy as np
import pytest

from graft.evidence import gather
from graft.metrics import classification, regression


def arms(seed=0, n=120, rates=(("chosen", 0.95), ("probe", 0.9), ("scratch", 0.6))):
    """Two classes; each arm is right as often as said."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, n)
    decoded = {}
    for name, rate in rates:
        right = rng.random(n) < rate
        p = np.where(right == (targets == 1), 0.8, 0.2)
        decoded[name] = np.stack([1 - p, p], 1)[None]
    return decoded, targets


def told(decoded):
    return {name: {"label": name} for name in decoded}


def test_scores_and_differences_are_those_of_the_rows():
    decoded, targets = arms()
    found = gather.gather(decoded, told(decoded), targets, classification.scores, "accuracy")
    right = {name: (one[0].argmax(1) == targets).mean() for name, one in decoded.items()}
    assert {row["name"]: row["value"] for row in found["arms"]} == pytest.approx(right)
    gap = {(row["of"], row["less"]): row["value"] for row in found["differences"]}
    assert gap["chosen", "scratch"] == pytest.approx(right["chosen"] - right["scratch"])
    assert found["verdict"]["kind"] == "helped" and found["n"] == 120 and found["seeds"] == 1


def test_worse_than_scratch_is_negative_transfer():
    decoded, targets = arms(rates=(("chosen", 0.6), ("scratch", 0.9)))
    assert gather.gather(decoded, told(decoded), targets, classification.scores, "accuracy")["verdict"]["kind"] == "negative"


def test_the_same_arm_twice_shows_no_difference():
    decoded, targets = arms(rates=(("chosen", 0.8),))
    decoded["scratch"] = decoded["chosen"].copy()
    found = gather.gather(decoded, told(decoded), targets, classification.scores, "accuracy")
    assert found["verdict"]["kind"] == "none" and found["differences"][0]["value"] == 0


def test_an_arm_with_one_seed_stands_beside_several():
    decoded, targets = arms()
    decoded["scratch"] = np.repeat(decoded["scratch"], 3, 0)
    found = gather.gather(decoded, told(decoded), targets, classification.scores, "accuracy")
    assert found["seeds"] == 3 and len(next(row for row in found["arms"] if row["name"] == "scratch")["each"]) == 3


def test_metrics_that_are_no_mean_of_rows_are_compared_too():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(60, 1))
    decoded = {"chosen": (targets + 0.1 * rng.normal(size=(60, 1)))[None], "scratch": (targets + rng.normal(size=(60, 1)))[None]}
    found = gather.gather(decoded, told(decoded), targets, lambda d, t: regression.scores(d, t), "rmse", higher=False)
    assert found["verdict"]["kind"] == "helped" and found["differences"][0]["value"] < 0


@pytest.mark.parametrize(
    ("targets", "target", "wanted"),
    [
        (np.array([0, 0, 0, 1]), "class", [[0.75, 0.25, 0.0]]),
        (np.array([[1, 0, 1], [1, 0, 0]]), "labels", [[1.0, 0.0, 0.5]]),
        (np.array([[0.3], [-0.3]]), "number", [[7.0, 7.0, 7.0]]),
    ],
)
def test_the_majority_says_what_was_learnt_most(targets, target, wanted):
    assert gather.majority(targets, target, 3, centre=7.0).tolist() == wanted
