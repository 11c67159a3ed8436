"""Correlation alignment: labelled features of one domain take on the mean and covariance of another, then teach a head for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core import Data, Net, Phase, Solution, Stream, Task
from ..errors import OptionError
from . import recipe

Solve = Callable[..., Solution]


@dataclass(frozen=True, kw_only=True)
class Options:
    """regularisation: added to the variance, 1, of every feature before covariances are compared: 1, as in the paper, since a few
    hundred rows say little about the covariance of a thousand features. Large values leave plain standardisation of each domain.
    """

    regularisation: float = 1.0

    def __post_init__(self) -> None:
        if not 1e-6 <= self.regularisation <= 1e9:
            raise OptionError(
                f"method.regularisation = {self.regularisation} is outside 1e-06 to 1e+09; try --set method.regularisation=1."
            )


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """CORAL (Sun, Feng & Saenko, "Return of frustratingly easy domain adaptation", 2016) on frozen features: one solved head.

    Best where the domains differ in style, so that features shift and correlate otherwise while classes keep their shape, and there
    are some hundred rows of the target; not where the classes' shares differ much, for means and covariances then differ rightly.
    The head is for the target: rows of the source's domain, its own test rows too, may fare worse with it.
    """
    target = target_rows(task, data, "coral")
    yield solved(net, data, target, "coral", solver(task, lambda x, other: recolour(x, other, opts.regularisation)))


def target_rows(task: Task, data: Data, method: str) -> pa.Table:
    """The rows without labels that a head is adapted to: those of the target, else those of the source's own domain.

    Raises OptionError where there are none, or where the task is not one that is solved on features for one class a sample.
    """
    if task.schema.target != "class":
        raise OptionError(f"Method '{method}' needs one class for each sample; use --method extract for these labels.")
    if task.solve is None:
        raise OptionError(f"Method '{method}' needs a head that is solved on frozen features; use --set task.head=logistic.")
    return recipe.target_of(method, data)


def solved(net: Net, data: Data, target: pa.Table, name: str, solve: Solve) -> Phase:
    """A phase that solves a head from source features, targets and target features, and watches the target."""
    streams = {"train": Stream(data.learning()), "target": Stream(target)}
    return Phase(name, streams, solve=solve, frozen=len(net.stages), watch=target)


def solver(task: Task, align: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, like: Solve | None = None) -> Solve:
    """The task's own solver on source features that `align(source, target)` has made look like the target's; None leaves them.

    like: gives a solution whose strength is taken over, so that it is searched for once."""

    def solve(features: np.ndarray, targets: np.ndarray, seed: int, target: np.ndarray) -> Solution:
        check_memory(features, target)
        aligned = features if align is None else align(features, target)
        if like is None:
            return task.solve(aligned, targets, seed)
        return task.solve(aligned, targets, seed, like=like(features, targets, seed, target=target).chosen)

    return solve


def check_memory(*features: object) -> None:
    """Raises OptionError for features that are read from the disk when asked for."""
    large = next((len(one) for one in features if not isinstance(one, np.ndarray)), None)
    if large is not None:
        raise OptionError(f"The features of {large} rows do not fit in memory, and to align them takes all at once; use --method extract.")


def standardise(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Source features [n, d] with the target's mean and spread of each: the same as to standardise each domain by itself (AdaBN, Li et
    al., 2017, on features), but in the target's units, so that a head learnt from them takes the target's raw features."""
    (low, spread), (mean, scale) = _moments(source), _moments(target)
    return _to(_from(source, low, spread), mean, scale)


def recolour(source: np.ndarray, target: np.ndarray, regularisation: float = 1.0) -> np.ndarray:
    """Source features [n, d] with the target's mean and covariance: z (C_s + r I)^-1/2 (C_t + r I)^1/2, z the features and C their
    covariances after each domain is standardised, then in the target's units. Sun et al., 2016, algorithm 1."""
    (low, spread), (mean, scale) = _moments(source), _moments(target)
    z, other = _from(source, low, spread), _from(target, mean, scale)
    white = _power(z, -0.5, regularisation)(z)
    return _to(_power(other, 0.5, regularisation)(white), mean, scale)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean [d], spread [d]); the spread of what does not vary is 0."""
    mean, spread = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    return mean, np.where(spread > 1e-6 * (1e-6 + np.abs(mean)), spread, 0.0)


def _from(x: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return (x - mean) * np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)


def _to(z: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return (z * spread + mean).astype(np.float32)


def _power(z: np.ndarray, exponent: float, regularisation: float) -> Callable[[np.ndarray], np.ndarray]:
    """rows -> rows (z' z / n + r I)^exponent for centred z [n, d], through the smaller of the two Gram matrices."""
    few = len(z) < z.shape[1]
    values, vectors = np.linalg.eigh((z @ z.T if few else z.T @ z) / len(z))
    kept = values > 1e-10 * max(values[-1], 1e-10)
    values, vectors = values[kept], vectors[:, kept]
    axes = z.T @ (vectors / np.sqrt(values * len(z))) if few else vectors
    # Outside of the axes the covariance is r I.
    rest = regularisation**exponent
    return lambda rows: rest * rows + (rows @ axes * ((values + regularisation) ** exponent - rest)) @ axes.T
