"""Do features still tell samples apart: what to look at after learning without labels, where the loss itself does not say."""

import numpy as np

ROWS = 4096
"""Of more rows than this, uniformity looks at so many, evenly spaced: it compares each with each."""
LEAST_RANK, LEAST_SPREAD = 2.0, 0.05
"""Features below either hardly differ from sample to sample: a spread of 0.05 is a mean cosine of 0.9975 between two of them, and an
effective rank below 2 is one direction with little beside it."""


def effective_rank(features: np.ndarray) -> float:
    """exp(-sum_k p_k ln p_k) of features [n, c], p_k the k-th singular value over the sum of all: 1 to min(n, c).

    The number of directions that the features use, each weighed by its size (Roy & Vetterli, 2007; RankMe, Garrido et al., 2023,
    eq. 1, which found it to go with what a linear probe scores). Not centred, as there; features that are all zero have 1. It
    grows with n, so compare it only between equally many rows.
    """
    x = np.asarray(features, float)
    gram = x.T @ x if len(x) > x.shape[1] else x @ x.T
    sizes = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    if not sizes.sum():
        return 1.0
    p = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def deviations(features: np.ndarray) -> np.ndarray:
    """The standard deviation of each dimension of features [n, c] on the unit sphere, times sqrt(c): [c], each 1 where they point in
    all directions alike and 0 where they collapsed (Chen & He, "SimSiam", 2021, section 4.1)."""
    x = _normalised(features)
    return x.std(0) * np.sqrt(x.shape[1])


def spread(features: np.ndarray) -> float:
    """The mean of `deviations`: 1 isotropic, 0 collapsed."""
    return float(deviations(features).mean())


def uniformity(features: np.ndarray, t: float = 2.0) -> float:
    """ln of the mean over pairs of exp(-t |x - y|^2) of features [n, c] on the unit sphere (Wang & Isola, 2020, eq. 2).

    0 where all are one point, and about -2t in many dimensions where they are spread evenly; less is better. 0 for one row.
    """
    x = _normalised(features)
    x = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), ROWS)).round().astype(int))]
    if len(x) < 2:
        return 0.0
    squared = 2 - 2 * (x @ x.T)[np.triu_indices(len(x), 1)]
    return float(np.log(np.exp(-t * np.clip(squared, 0, None)).mean()))


def alignment(first: np.ndarray, second: np.ndarray, alpha: float = 2.0) -> float:
    """Mean of |x_i - y_i|^alpha of two views [n, c] of each sample, on the unit sphere (Wang & Isola, 2020, eq. 1): 0 where they
    are the same, 2 (for alpha = 2) where they have nothing in common. It says little without `uniformity`: a collapse is aligned."""
    return float((np.linalg.norm(_normalised(first) - _normalised(second), axis=1) ** alpha).mean())


def verdict(scores: dict) -> str | None:
    """What is wrong with features of these scores ("effective_rank", "spread"), in one sentence with the repair; None where nothing is."""
    rank, share = scores.get("effective_rank", np.inf), scores.get("spread", np.inf)
    if rank >= LEAST_RANK and share >= LEAST_SPREAD:
        return None
    found = [f"an effective rank of {rank:.1f}"] if rank < LEAST_RANK else []
    found += [f"a spread of {share:.3f}"] if share < LEAST_SPREAD else []
    return (
        f"The features have collapsed ({' and '.join(found)}): they are nearly the same for every sample, so nothing can be learnt on "
        "them; lower the rate (--lr), use a stronger --augment and a larger --set method.batch, or take --method simclr."
    )


def _normalised(features: np.ndarray) -> np.ndarray:
    x = np.asarray(features, float)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
