"""Label-efficiency: scores at fractions of the labels."""

from collections.abc import Sequence

import numpy as np


def subsets(labels: np.ndarray, shares: Sequence[float], draws: int, seed: int = 0) -> list[tuple[float, np.ndarray]]:
    """(share, row numbers) of nested stratified subsets, at least one of each class."""
    found = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        orders = [rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
        for share in shares:
            found.append((share, np.sort(np.concatenate([o[: max(1, round(share * len(o)))] for o in orders]))))
    return found
