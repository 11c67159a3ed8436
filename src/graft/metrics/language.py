"""Scores of a language model, from rows [n, 2]: how surprised it was, -ln p summed over a row's tokens, and how many tokens those are."""

from collections.abc import Callable

import numpy as np


def scores(decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """perplexity = exp(sum of -ln p / tokens), from 1 for one who always knew; bits = the same exponent / ln 2, per token. targets
    play no part: the surprise holds them. Of no tokens at all, infinity."""
    return prepare(decoded, targets)(np.ones(len(decoded)))


def prepare(decoded: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> what `scores` gives when row i is there counts[i] times."""
    surprise, tokens = np.asarray(decoded, float).T

    def score(counts: np.ndarray) -> dict[str, float]:
        c = np.asarray(counts, float)
        mean = float(c @ surprise / total) if (total := c @ tokens) > 0 else float("inf")
        # Beyond what a float can hold it is infinite, which says the same.
        with np.errstate(over="ignore"):
            return {"perplexity": float(np.exp(mean)), "bits": mean / float(np.log(2))}

    return score


scores.prepare = prepare
