"""Each number against its paper's formula in plain loops."""

import numpy as np
import pytest

from graft.metrics import forgetting

NAN = float("nan")


@pytest.fixture
def matrix():
    return np.random.default_rng(3).uniform(0.2, 1, (4, 4))


def test_every_score_is_its_papers_formula(matrix):
    start, tasks = [0.3, 0.1, 0.25, 0.2], 4
    back = sum(matrix[tasks - 1][i] - matrix[i][i] for i in range(tasks - 1)) / (tasks - 1)
    forward = sum(matrix[i - 1][i] - start[i] for i in range(1, tasks)) / (tasks - 1)
    lost = 0.0
    for j in range(tasks - 1):
        lost += (max(matrix[step][j] for step in range(j, tasks - 1)) - matrix[tasks - 1][j]) / (tasks - 1)
    wanted = {
        "average": sum(matrix[tasks - 1]) / tasks, "kept_first": matrix[3][0] / matrix[0][0], "backward_transfer": back,
        "forgetting": lost, "forward_transfer": forward,
    }  # fmt: skip
    assert forgetting.scores(matrix, start) == pytest.approx(wanted)


def test_what_was_not_scored_is_left_out(matrix):
    matrix[np.triu_indices(4, 1)] = NAN
    found = forgetting.scores(matrix, np.zeros(4))
    assert "forward_transfer" not in found and all(np.isfinite(value) for value in found.values())
    assert "forward_transfer" not in forgetting.scores(np.ones((2, 2)))
    assert forgetting.scores([[0.8]]) == {"average": 0.8, "kept_first": 1.0}
    assert "kept_first" not in forgetting.scores([[0.0, NAN], [0.5, 0.5]])


def test_forgetting_counts_from_the_best_state_and_backward_transfer_from_the_first():
    found = forgetting.scores([[0.6, NAN, NAN], [0.9, 0.5, NAN], [0.7, 0.5, 0.4]])
    assert found["backward_transfer"] == pytest.approx(0.05) and found["forgetting"] == pytest.approx(0.1)


@pytest.mark.parametrize("matrix", [[[0.1, 0.2]], [[NAN]], [[0.5, NAN], [NAN, 0.5]], np.zeros((0, 0))])
def test_a_matrix_that_says_too_little_is_refused(matrix):
    with pytest.raises(ValueError, match="task"):
        forgetting.scores(matrix)
