"""Self-training: what an adapted head says of the target, made better by how the target's features lie, teaches the next head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ..core import Data, Net, Phase, Solution, Task
from ..errors import OptionError
from ..metrics.label_free import probabilities
from . import coral

AXES, SHRINK, SETTLED, STEPS = 100, 0.5, 1e-4, 20
"""Of the mixture: principal axes, how far its covariance is drawn to a round one, the change at which it has settled, and most steps. First
guesses; with PACS's target labels, 30 to 200 axes, shares of 0.2 to 0.8 and 5 to 60 steps moved the mean of 12 pairs by 0.025 at most."""
NEIGHBOURS, SPREAD, LARGEST = 10, 0.9, 4000
"""Of the propagation: neighbours a row has, the share of its label that it takes from them, and most rows in one graph. Zhou et al. spread
0.99 from a few certain labels; from many uncertain ones that drowns all classes in the largest, which was seen on PACS with its labels."""
STARTS = ("coral", "standardise", "source")


@dataclass(frozen=True, kw_only=True)
class Options:
    """start: what the first head learns from: the source's features with the target's covariance ("coral"), with its mean and spread
        ("standardise"), or as they are ("source"). The heads after it learn from features of the first kind, or else the second.
    rule: how labels of the target are found from what that head says. "mixture": the target is a Gaussian mixture, whose components begin
        as those classes and are fitted by EM. "propagation": labels spread along a graph of the target's nearest neighbours. "both": first
        so, then the mixture. "shares": heads in turn learn from the target rows that the last was surest of, a rising share of each class.
    rounds: most heads of "shares", whose trusted share rises to all rows in that many; they end earlier where labels no longer change.
    regularisation: of coral.
    """

    start: str = "standardise"
    rule: str = "mixture"
    rounds: int = 6
    regularisation: float = 1.0

    def __post_init__(self) -> None:
        coral.Options(regularisation=self.regularisation)
        for name, known in (("start", STARTS), ("rule", tuple(RULES))):
            if getattr(self, name) not in known:
                raise OptionError(f"method.{name} = {getattr(self, name)} is not one of {', '.join(known)}.")
        if not 1 <= self.rounds <= 1000:
            raise OptionError(f"method.rounds = {self.rounds} is outside 1 to 1000; try --set method.rounds=6.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Transductive self-training on frozen features: pseudo-labels (Lee, 2013), class by class (Zou et al., 2018), by a mixture (as SHOT's
    centroids, Liang et al., 2020, with a covariance) or by a graph (Zhou et al., 2004); then the head learns from both domains.

    Best where the target's features lie in clusters that the first head mostly names rightly; where it is mostly wrong, its mistakes
    become certainties, and nothing here notices: `uda` compares. The classes of the target may be uneven, but all should occur.
    """
    target = coral.target_rows(task, data, "pseudo_label")
    # The last head takes its strength from the first, so that nothing is held out in it: what selects stays unseen, to calibrate.
    data = data if data.plan is None else replace(data, plan=replace(data.plan, drawn=False))
    yield coral.solved(net, data, target, "pseudo_label", solver(task, opts))


def first(task: Task, opts: Options, like: coral.Solve | None = None) -> coral.Solve:
    """The head that the labels begin with. like: as for coral.solver."""
    align = {"coral": lambda x, other: coral.recolour(x, other, opts.regularisation), "standardise": coral.standardise, "source": None}
    return coral.solver(task, align[opts.start], like)


def solver(task: Task, opts: Options, begin: coral.Solve | None = None) -> coral.Solve:
    """solve(features, targets, seed, target=...) -> a head that learnt from the aligned source and from the target as it is labelled.

    begin: gives the first head, where it is known already; the others take over its strength where the task's solver can. Solution.chosen:
    how many rows of the target were trusted in each round, how many changed their label from the first head to the last, and what the
    solver chose. Solution.outputs, where it holds rows out, are of source rows that took no part, but the target's labels knew
    theirs, so they flatter a little.
    """
    begin = begin or first(task, opts)

    def solve(features: np.ndarray, targets: np.ndarray, seed: int, target: np.ndarray) -> Solution:
        known = begin(features, targets, seed, target=target)
        start = outputs(known.head, target)
        aligned = coral.recolour(features, target, opts.regularisation) if opts.start == "coral" else coral.standardise(features, target)
        solution, trusted = RULES[opts.rule](_Lesson(task, aligned, targets, target, seed, known.chosen), start, opts.rounds)
        changed = int((outputs(solution.head, target).argmax(1) != start.argmax(1)).sum())
        return replace(solution, chosen={"start": opts.start, "rule": opts.rule, "trusted": trusted, "changed": changed, **solution.chosen})

    return solve


@torch.no_grad()
def outputs(head: nn.Module, features: np.ndarray) -> np.ndarray:
    """Logits float64 [n, k] of a head."""
    return head.eval()(torch.from_numpy(np.ascontiguousarray(features, np.float32))).double().numpy()


@dataclass(frozen=True)
class _Lesson:
    """Aligned source features with their targets, and the target's features. like: what the first head's solver chose."""

    task: Task
    aligned: np.ndarray
    targets: np.ndarray
    target: np.ndarray
    seed: int
    like: dict

    def taught(self, labels: np.ndarray, kept: np.ndarray) -> Solution:
        """The task's head on the source and on the rows `kept` (numbers) of the target; held-out outputs are the source's."""
        x, y = np.concatenate([self.aligned, self.target[kept]]), np.concatenate([self.targets, labels[kept]])
        found, n = self.task.solve(x, y, self.seed, like=self.like), len(self.targets)
        if found.outputs is None:
            return found
        rows = np.arange(len(y)) if found.rows is None else found.rows
        return replace(found, outputs=found.outputs[rows < n], rows=rows[rows < n])

    def sphere(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target [n, d] standardised by the target's moments, each row of length one."""
        mean, spread = self.target.mean(0, dtype=np.float64), self.target.std(0, dtype=np.float64)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6 * (1e-6 + np.abs(mean)))
        rows = [(one - mean) * scale for one in (self.aligned, self.target)]
        source, target = (one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in rows)
        return source, target


def trust(p: np.ndarray, share: float) -> np.ndarray:
    """Row numbers, rising, of the surest `share` (0 to 1) of the rows of each predicted class, one at least. p: [n, k]."""
    guess, sure, kept = p.argmax(1), p.max(1), []
    for c in np.unique(guess):
        rows = np.flatnonzero(guess == c)
        kept.append(rows[np.argsort(-sure[rows], kind="stable")[: max(1, round(share * len(rows)))]])
    return np.sort(np.concatenate(kept))


def propagate(features: np.ndarray, p: np.ndarray) -> np.ndarray:
    """p [n, k] spread over the rows [n, d] of length one: (I - a S)^-1 p, rows then adding up to one; S = D^-1/2 W D^-1/2, W the
    cosines above zero of each row and its NEIGHBOURS nearest, made symmetric by the larger; a = SPREAD. Zhou et al., 2004.

    More than LARGEST rows are parted into graphs of every m-th row.
    """
    parts = -(-len(features) // LARGEST)
    if parts > 1:
        out = np.empty_like(p)
        for i in range(parts):
            out[i::parts] = propagate(features[i::parts], p[i::parts])
        return out
    close = features @ features.T
    np.fill_diagonal(close, -np.inf)
    k = min(NEIGHBOURS, len(features) - 1)
    near = np.argpartition(-close, k - 1, 1)[:, :k] if k else np.zeros((len(features), 0), int)
    graph = np.zeros_like(close)
    np.put_along_axis(graph, near, np.maximum(np.take_along_axis(close, near, 1), 0), 1)
    graph = np.maximum(graph, graph.T)
    root = 1 / np.sqrt(np.maximum(graph.sum(1), 1e-12))
    spread = np.linalg.solve(np.eye(len(p)) - SPREAD * graph * root[:, None] * root, p)
    return spread / spread.sum(1, keepdims=True)


def mixture(source: np.ndarray, hot: np.ndarray, target: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Posteriors [n, k] of the target's rows in a mixture of k Gaussians of one covariance, by EM from p [n, k].

    On the first AXES principal axes of both domains. The means are the target's own; the covariance is the pooled one within the classes
    of the target (by p) and the source (hot [m, k]), drawn by SHRINK to a multiple of the identity. The weights are
    estimated too, for classes may be uneven. It is linear discriminant analysis with the target's labels hidden (McLachlan, 1975).
    """
    rows = np.concatenate([source, target])
    rows = rows - rows.mean(0)
    few = len(rows) < rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    values, vectors = values[::-1][:AXES], vectors[:, ::-1][:, :AXES]
    rows = vectors * np.sqrt(np.maximum(values, 0)) if few else rows @ vectors
    a, b = rows[: len(source)], rows[len(source) :]
    known = _within(a, hot, (hot.T @ a) / np.maximum(hot.sum(0), 1)[:, None])
    for _ in range(STEPS):
        weight = np.maximum(p.sum(0), 1e-9)
        means = (p.T @ b) / weight[:, None]
        covariance = (known + _within(b, p, means)) / len(rows)
        level = np.trace(covariance) / len(covariance)
        covariance = (1 - SHRINK) * covariance + SHRINK * max(level, 1e-12) * np.eye(len(covariance))
        slope = np.linalg.solve(covariance, means.T)
        before, p = p, probabilities(b @ slope - 0.5 * (means * slope.T).sum(1) + np.log(weight / len(b)))
        if np.abs(p - before).max() < SETTLED:
            break
    return p


def _within(rows: np.ndarray, p: np.ndarray, means: np.ndarray) -> np.ndarray:
    """sum_ic p_ic (x_i - m_c)(x_i - m_c)' for p whose rows add up to one and means that need not be those of p."""
    cross = rows.T @ p @ means
    return rows.T @ rows - cross - cross.T + (means.T * p.sum(0)) @ means


def _shares(lesson: _Lesson, logits: np.ndarray, rounds: int) -> tuple[Solution, list[int]]:
    trusted, labels, solution = [], None, None
    for one in range(1, rounds + 1):
        p = probabilities(logits)
        # Labels that stay would be learnt again, from more and more rows, up to all of them.
        settled = labels is not None and np.array_equal(labels, p.argmax(1))
        labels, kept = p.argmax(1), trust(p, 1.0 if settled else one / rounds)
        solution = lesson.taught(labels, kept)
        logits = outputs(solution.head, lesson.target)
        trusted.append(len(kept))
        if settled:
            break
    return solution, trusted


def _once(label: Callable[[_Lesson, np.ndarray], np.ndarray]) -> Callable[..., tuple[Solution, list[int]]]:
    """A rule that labels all rows of the target at once."""

    def rule(lesson: _Lesson, logits: np.ndarray, rounds: int) -> tuple[Solution, list[int]]:
        p = label(lesson, probabilities(logits))
        return lesson.taught(p.argmax(1), np.arange(len(p))), [len(p)]

    return rule


def _mixture(lesson: _Lesson, p: np.ndarray) -> np.ndarray:
    source, target = lesson.sphere()
    return mixture(source, np.eye(p.shape[1])[lesson.targets], target, p)


RULES = {
    "mixture": _once(_mixture),
    "propagation": _once(lambda lesson, p: propagate(lesson.sphere()[1], p)),
    "both": _once(lambda lesson, p: _mixture(lesson, propagate(lesson.sphere()[1], p))),
    "shares": _shares,
}
