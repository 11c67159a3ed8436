import math

import numpy as np
import pytest

from graft.metrics import language
from graft.metrics.bootstrap import intervals


def test_perplexity_is_over_tokens_and_not_over_rows():
    chances = [[0.5, 0.25], [0.125] * 6]
    rows = np.array([[sum(-math.log(p) for p in row), len(row)] for row in chances])
    together = 0.5 * 0.25 * 0.125**6
    found = language.scores(rows, np.zeros((2, 3)))
    assert found["perplexity"] == pytest.approx(together ** (-1 / 8)) and found["bits"] == pytest.approx(-math.log2(together) / 8)


def test_counted_rows_score_like_repeated_rows():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.gamma(3, 20, 40), rng.integers(1, 30, 40)], 1)
    counts = rng.integers(0, 3, 40)
    again = np.repeat(rows, counts, 0)
    assert language.prepare(rows, rows)(counts) == pytest.approx(language.scores(again, again))
    value, low, high = intervals(rows, rows, language.scores, 200)["perplexity"]
    assert low < value < high


def test_a_guess_at_random_is_as_perplexed_as_there_are_choices_and_no_token_is_infinitely_so():
    assert language.scores(np.array([[5 * math.log(300), 5.0]]), np.zeros(1))["perplexity"] == pytest.approx(300)
    assert language.scores(np.array([[0.0, 0.0]]), np.zeros(1))["perplexity"] == math.inf
    assert language.scores(np.array([[1e5, 1.0]]), np.zeros(1))["perplexity"] == math.inf
