"""How well trivial cues alone tell the classes apart: what they can do, a network may have learnt instead of the task."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..metrics.bootstrap import intervals
from .cues import ALL, NAME, of_photos
from .finding import Finding
from .passage_cues import of_passages
from .passages import Facts as Passages
from .photos import Facts

FOLDS = 5
FEWEST = 5  # rows (groups) that a class needs to be in every fold; smaller classes are left out
MOST = 5000  # rows looked at: they tell an accuracy to one or two percent, and more only cost time
DRAWS, ENOUGH = 399, 20
"""Permutations at most, and how many that reach the score end the drawing: p is then known well enough to be no alarm. The
least p, 1 / 400, is small enough to outlive Holm's correction for nine cues."""
RESAMPLES = 1000  # of the bootstrap; ends of an interval that are compared with a round number need no more
PENALTY = 0.02
"""Of the ridge regression, for each learning row, on standardised cues: enough for as many pieces of names as there are rows."""

SIGNIFICANT = 0.05  # after Holm's correction, so that random labels raise an alarm in one data set of twenty at most
TELLING = 0.4
"""Skill, (balanced accuracy - 1/k) / (1 - 1/k), that the interval's lower end must reach for a warning. Some skill is natural, since
colours and sizes go with what is shown: measured, at most 0.14 on ants and bees and 0.31 on the seven classes of PACS (photos,
cartoons, sketches, paintings); on potato leaves that all lie on one grey cloth it is 0.59 to 0.85."""
NEARLY = 0.8
"""Share of the features' advantage over the majority class from which a cue does nearly as well as the features."""


@dataclass(frozen=True)
class Cue:
    """What one set of cues is worth, on rows that took no part in learning from it.

    accuracy, balanced: of the held-out predictions; balanced is the mean recall of the classes, `interval` its 95 % bootstrap
    interval over rows (groups where given). chance: 1 / k, the balanced accuracy of guessing. majority: the accuracy of
    always answering the largest class. p: of a permutation test; corrected: after Holm's correction over all cues tried.
    recall: by class. typical: by class up to three files that the cue alone gets right most surely. told: by class what the
    cue is like, in words. rows: how many were looked at. effect, repair: what it can do to the score, and what helps.
    """

    name: str
    accuracy: float
    balanced: float
    interval: tuple[float, float]
    chance: float
    majority: float
    p: float
    corrected: float
    recall: dict[str, float]
    typical: dict[str, tuple[str, ...]]
    told: dict[str, str]
    rows: int
    effect: str = ""
    repair: str = ""

    @property
    def skill(self) -> float:
        """The lower end of the interval between guessing (0) and perfection (1)."""
        return (self.interval[0] - self.chance) / (1 - self.chance)


def probe(facts: Facts | Passages, labels: Sequence[str], groups: Sequence | None = None, seed: int = 0) -> list[Cue]:
    """Each set of cues that varies at all, and all of them together, by stratified 5-fold cross-validation.

    labels [n]: one class for each of the facts. groups [n]: rows that may not part. At most MOST rows are looked at, drawn by
    the seed. Classes of fewer than FEWEST rows (groups) are left out; [] where fewer than two are left.

    The classifier is a ridge regression of the classes' indicators on the standardised cues with their squares and products,
    each class's answer divided by its share of the rows. It is linear in the labels, so that a permutation test can afford to
    learn anew from every permutation; permuting the labels of held-out predictions instead takes cross-validation's luck for
    skill. Trees would tell stepwise cues better, but they also remember single files: a copy or a neighbour in another fold
    then looks like a cue. A few smooth terms cannot do that, and stay sound with twenty rows.
    Names are left out of "all together", because no network sees them.
    """
    rows, y, names, units = _chosen(np.asarray(labels, dtype=object), groups, seed)
    if len(names) < 2:
        return []
    fold = _folds(y, units, seed)
    if isinstance(facts, Passages):  # few of many texts are looked at, and each takes a while
        facts, rows = facts.take(rows), np.arange(len(rows))
    known = (of_passages if isinstance(facts, Passages) else of_photos)(facts, names)
    columns = {name: table[rows] for name, table in known.tables.items()}
    columns = {name: table for name, table in columns.items() if (table != table[:1]).any()}
    seen = [table for name, table in columns.items() if name != NAME]
    if len(seen) > 1:
        columns[ALL] = np.concatenate(seen, 1)
    cues = []
    for name, table in columns.items():
        told = {label: words for i, label in enumerate(names) if (words := known.told(name, rows[y == i]))}
        made = _cue(name, _Learner(table, fold, len(names)), y, names, units, seed, [known.path[i] for i in rows], told)
        cues.append(replace(made, effect=known.effects.get(name, ""), repair=known.repairs.get(name, "")))
    return _corrected(cues)


def _chosen(labels: np.ndarray, groups: Sequence | None, seed: int) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """(row numbers [m], class numbers [m], the classes' names, group numbers [m]) of the rows to look at."""
    units = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    rows = np.arange(len(labels))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng([seed, 1]).choice(len(rows), MOST, replace=False))
    counts = Counter(label for label, _ in set(zip(labels[rows].tolist(), units[rows].tolist(), strict=True)))
    names = sorted(name for name, count in counts.items() if count >= FEWEST)
    rows = rows[np.isin(labels[rows].astype(str), names)] if names else rows[:0]
    number = {name: i for i, name in enumerate(names)}
    return rows, np.array([number[label] for label in labels[rows]], int), names, np.unique(units[rows], return_inverse=True)[1]


def _folds(y: np.ndarray, units: np.ndarray, seed: int) -> np.ndarray:
    """The fold [n] of each row: stratified, and by whole groups where there are any."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    alone = len(np.unique(units)) == len(units)
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(FOLDS, shuffle=True, random_state=seed)
    fold = np.empty(len(y), int)
    for k, (_, held) in enumerate(splitter.split(y[:, None], y, None if alone else units)):
        fold[held] = k
    return fold


class _Learner:
    """Held-out answers to the cues x [n, d] for any labels: what ridge regression does to labels is prepared once a fold."""

    def __init__(self, x: np.ndarray, fold: np.ndarray, k: int):
        self.k, self.parts, self.n = k, [], len(x)
        for f in np.unique(fold):
            learn, held = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            mean, spread = x[learn].mean(0), x[learn].std(0)
            z = (x - mean) / np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, np.inf)
            inner = z[learn].T @ z[learn] + PENALTY * len(learn) * np.eye(x.shape[1])
            self.parts.append((learn, held, np.linalg.solve(inner, z[learn].T), z[held]))

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """labels int [b, n] -> [b, n, k], how many times likelier than by its share each class is, from rows of other folds."""
        hot = np.eye(self.k)[labels]
        out = np.empty(hot.shape)
        for learn, held, solve, z in self.parts:
            share = hot[:, learn].mean(1, keepdims=True)
            answer = z @ (solve @ (hot[:, learn] - share)) + share
            out[:, held] = np.where(share > 0, answer / np.maximum(share, 1e-9), -np.inf)
        return out


def _cue(
    name: str, learner: _Learner, y: np.ndarray, names: list[str], units: np.ndarray, seed: int, paths: list[str], told: dict[str, str]
) -> Cue:
    k, held = len(names), learner(y[None])[0]
    guess = held.argmax(1)
    found = intervals(guess, y, _scores, RESAMPLES, seed, groups=units)
    balanced, low, high = found["balanced_accuracy"]
    p = _permuted(learner, y, units, seed, balanced)
    recall = {label: float((guess[y == i] == i).mean()) for i, label in enumerate(names)}
    typical = {}
    for i, label in enumerate(names):
        right = np.flatnonzero((y == i) & (guess == i))
        typical[label] = tuple(paths[row] for row in right[np.argsort(-held[right, i], kind="stable")][:3])
    majority = float(np.bincount(y).max() / len(y))
    accuracy = float((guess == y).mean())
    return Cue(name, accuracy, balanced, (low, high), 1 / k, majority, p, p, recall, typical, told, len(y))


def _scores(guess: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return _prepared(guess, y)(np.ones(len(y)))


def _prepared(guess: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> the balanced accuracy where row i is there counts[i] times."""
    cell, cells = 2 * y + (guess == y), 2 * (y.max() + 1)

    def score(counts: np.ndarray) -> dict[str, float]:
        wrong, right = np.bincount(cell, counts, cells).reshape(-1, 2).T
        there = wrong + right > 0
        return {"balanced_accuracy": float((right[there] / (wrong + right)[there]).sum() / there.sum())}

    return score


_scores.prepare = _prepared


def _permuted(learner: _Learner, y: np.ndarray, units: np.ndarray, seed: int, score: float) -> float:
    """The p-value of a balanced accuracy, from learning anew with labels dealt out anew: (1 + times they do as well) / (1 + DRAWS),
    or times / draws where the drawing ended early (Besag and Clifford, 1991).

    Rows of a group take the labels of another group's rows in turn, so that what a group shares stays together.
    """
    order = np.argsort(units, kind="stable")
    sizes = np.bincount(units)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(y), int)
    place[order] = np.arange(len(y)) - starts[units[order]]
    rng, reached, done = np.random.default_rng([seed, 2]), 0, 0
    block = max(1, min(25, 4_000_000 // (len(y) * learner.k)))
    while done < DRAWS:
        others = [rng.permutation(len(sizes))[units] for _ in range(min(block, DRAWS - done))]
        dealt = np.array([y[order[starts[other] + place % sizes[other]]] for other in others])
        for guess, truth in zip(learner(dealt).argmax(2), dealt, strict=True):
            done += 1
            reached += _balanced(guess, truth, learner.k) >= score - 1e-12
            if reached == ENOUGH:
                return reached / done
    return (1 + reached) / (1 + done)


def _balanced(guess: np.ndarray, y: np.ndarray, k: int) -> float:
    support = np.bincount(y, minlength=k)
    return float((np.bincount(y[guess == y], minlength=k)[support > 0] / support[support > 0]).mean())


def _corrected(cues: list[Cue]) -> list[Cue]:
    """With Holm's step-down correction (Holm, 1979)."""
    corrected, least = {}, 0.0
    for rank, cue in enumerate(sorted(cues, key=lambda one: one.p)):
        least = max(least, min(1.0, (len(cues) - rank) * cue.p))
        corrected[cue.name] = least
    return [replace(cue, corrected=corrected[cue.name]) for cue in cues]


def finding(cues: Sequence[Cue], features_score: float | None = None) -> list[Finding]:
    """A warning for each cue that tells the classes apart, strongest first: better than chance (corrected p < SIGNIFICANT) and,
    at the lower end of its interval, at least TELLING of the way from guessing to perfection. A "problem" where it also has
    NEARLY of the features' advantage over the majority. File names are a note at most: no network sees them.

    features_score: accuracy of the body's features with a linear probe, out of fold, on the same kind of rows.
    "All together" is told only where it says more than each alone.
    """
    strong = [cue for cue in cues if cue.corrected < SIGNIFICANT and cue.skill >= TELLING]
    seen = sorted((cue for cue in strong if cue.name not in (NAME, ALL)), key=lambda cue: -cue.interval[0])
    whole = [cue for cue in strong if cue.name == ALL and (not seen or _nearly(cue, features_score) > _nearly(seen[0], features_score))]
    found = [_finding(cue, features_score) for cue in whole + seen]
    return found + [_named(cue) for cue in strong if cue.name == NAME]


def _nearly(cue: Cue, features_score: float | None) -> bool:
    if features_score is None or features_score <= cue.majority:
        return False
    return cue.accuracy - cue.majority >= NEARLY * (features_score - cue.majority)


def _numbers(cue: Cue, **more) -> dict:
    names = ("accuracy", "balanced", "interval", "chance", "majority", "p", "corrected", "recall", "told", "rows")
    return {name: getattr(cue, name) for name in names} | {"interval": list(cue.interval), "cue": cue.name} | more


def _examples(cue: Cue) -> tuple[dict, ...]:
    rows = [(label, cue.typical[label]) for label in sorted(cue.recall, key=lambda label: -cue.recall[label])]
    rows = [{"files": list(files), "label": label, "recall": cue.recall[label]} for label, files in rows if files]
    return tuple(row | ({"what": cue.told[row["label"]]} if row["label"] in cue.told else {}) for row in rows[:12])


def _finding(cue: Cue, features_score: float | None) -> Finding:
    nearly, what = _nearly(cue, features_score), f"the {cue.name} alone" if cue.name != ALL else "trivial cues all together"
    text = (
        f"From {what}, {cue.balanced:.0%} of each class are told right (95 % interval {cue.interval[0]:.0%} to {cue.interval[1]:.0%}; "
        f"guessing: {cue.chance:.0%})."
    )
    effect = cue.effect
    if nearly:
        effect += f" The body's features reach {features_score:.0%} accuracy, this {cue.accuracy:.0%}: a good score may be the shortcut's."
    examples = _examples(cue)
    files = tuple(path for row in examples for path in row["files"])
    return Finding(
        "shortcut", "problem" if nearly else "warning", len(cue.recall), text, effect, cue.repair, files, examples,
        _numbers(cue, features_score=features_score),
    )  # fmt: skip


def _named(cue: Cue) -> Finding:
    examples = _examples(cue)
    return Finding(
        "telling_names", "note", len(cue.recall),
        f"File names tell {cue.balanced:.0%} of each class right, also without the classes' own names (guessing: {cue.chance:.0%}).",
        "No network sees names, but they show that the classes were collected one by one, perhaps from different sources or in series.",
        "If names tell a source, a person or a series, give it as a group column so that no group is both learnt and scored.",
        tuple(path for row in examples for path in row["files"]), examples, _numbers(cue),
    )  # fmt: skip
