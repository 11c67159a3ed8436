"""What the fits of a study say: scores with intervals, paired differences, fronts of score against cost, and which arm to take."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..metrics.bootstrap import wilson
from .arms import Arm
from .stats import difference, hierarchical, holm

REPETITIONS = 2000


@dataclass(frozen=True)
class Fitted:
    """What a study keeps of one fit.

    rows [n]: the names of the rows that were scored; values [n]: what each row adds to the metric (1 or 0 for right or
    wrong, an absolute error). groups [n] where rows come in groups. select: the score on the rows that selected, in the
    metric that selects. seconds: wall-clock of the whole fit, also where it was done before. memory: MB. limit: the fit's own
    budget in seconds. about: what is the same for all fits of a study: metric, higher_is_better, fingerprint, words.
    """

    rows: tuple[str, ...]
    values: np.ndarray
    select: float | None
    seconds: float
    memory: float | None = None
    trainable: int = 0
    groups: tuple[str, ...] | None = None
    limit: float | None = None
    folder: str = ""
    about: dict = field(default_factory=dict)


def rank(fits: dict[Arm, list[Fitted]]) -> dict:
    """Arms, differences, the best and the recommended arm, as in study.json. fits: of each arm, one a seed, the same seeds.

    The arm with the best score was found on the rows that scored it, so its score flatters: `best` says by how much.
    `recommended` is the arm that the selecting rows would have taken; its score on the scored rows chose nothing.
    Raises DataError where two arms were not scored on the same rows.
    """
    about = next(iter(fits.values()))[0].about
    higher = bool(about.get("higher_is_better", True))
    table, groups, fixed = align(fits)
    arms = [_arm(arm, fits[arm], values, groups) for arm, values in table.items()]
    for cost in ("seconds", "peak_memory_mb"):
        for row, on in zip(arms, front([row[cost] for row in arms], [row["value"] for row in arms], higher), strict=True):
            row["front"][cost] = on
    best = max(arms, key=lambda row: row["value"] if higher else -row["value"])
    found = {
        **{key: about[key] for key in about if key != "fingerprint"}, "n": next(iter(table.values())).shape[1], "arms": arms,
        "reference": arms[0]["name"], "differences": _differences(table, groups, best["name"], int(about.get("folds") or 0)),
    }  # fmt: skip
    found["best"] = _best(best, arms, table, groups, higher)
    found["recommended"] = _recommended(found, higher)
    found["notices"] = [] if fixed else [_REDRAWN]
    return found


_REDRAWN = (
    "These data have no split of their own, so every seed drew other rows to score; a row counts with the mean of the seeds that "
    "scored it. Give the data a test folder or a split column to score the same rows with every seed."
)


def align(fits: dict[Arm, list[Fitted]]) -> tuple[dict[Arm, np.ndarray], np.ndarray | None, bool]:
    """(values [seeds, n] of each arm, groups [n] or None, True), rows in one order for all.

    Where every seed has rows of its own: values [1, n], the mean of each row over the seeds that scored it, and False.
    """
    first = next(iter(fits.values()))
    for arm, some in fits.items():
        if any(set(one.rows) != set(other.rows) for one, other in zip(some, first, strict=True)):
            raise DataError(
                f"'{arm.name}' was not scored on the rows of the other arms, so it cannot be compared; begin anew with another --out."
            )
    names = sorted({row for one in first for row in one.rows})
    place = {row: i for i, row in enumerate(names)}
    fixed = all(len(one.rows) == len(names) for one in first)
    table = {}
    for arm, some in fits.items():
        sums, counts = np.zeros((len(some), len(names))), np.zeros((len(some), len(names)))
        for s, one in enumerate(some):
            at = [place[row] for row in one.rows]
            sums[s, at], counts[s, at] = one.values, 1
        table[arm] = sums if fixed else (sums.sum(0) / counts.sum(0))[None]
    known = {row: group for one in first if one.groups for row, group in zip(one.rows, one.groups, strict=True)}
    groups = np.unique([known[row] for row in names], return_inverse=True)[1] if len(known) == len(names) else None
    return table, groups, fixed


def interval(values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of values [seeds, n]: percentiles of the mean where rows (or groups) and seeds are resampled together.

    Where all values are 0, or all 1, no resample differs and Wilson's interval for n rows (or groups) stands instead.
    """
    n, value = values.shape[1], float(values.mean())
    home, units = (np.arange(n), n) if groups is None else (np.asarray(groups), int(np.max(groups)) + 1)
    if value in (0.0, 1.0) and not np.ptp(values):
        return value, *wilson(value * units, units, level)
    sums = np.stack([np.bincount(home, row, units) for row in values], 1)
    sizes, rng = np.bincount(home, minlength=units).astype(float), np.random.default_rng(seed)
    drawn = np.empty((REPETITIONS, len(values)))
    for i in range(REPETITIONS):
        counts = np.bincount(rng.integers(units, size=units), minlength=units)
        drawn[i] = counts @ sums / (counts @ sizes)
    low, high = np.quantile(hierarchical(drawn, rng), [(1 - level) / 2, (1 + level) / 2])
    return value, float(min(low, value)), float(max(high, value))


def front(costs: Sequence[float | None], scores: Sequence[float], higher: bool = True) -> list[bool]:
    """Whether each point is on the Pareto front: no other costs no more and scores no worse, and is better in one of the two.
    A point of unknown cost is on none."""
    sign, points = 1 if higher else -1, list(zip(costs, scores, strict=True))

    def beaten(cost: float, score: float) -> bool:
        known = [(c, sign * s) for c, s in points if c is not None]
        return any(c <= cost and s >= sign * score and (c < cost or s > sign * score) for c, s in known)

    return [cost is not None and not beaten(cost, score) for cost, score in points]


def unflattered(
    table: np.ndarray, higher: bool = True, groups: np.ndarray | None = None, seed: int = 0, repetitions: int = 1000
) -> float | None:
    """The score to expect of "take the arm that scores best", from values [arms, n]; None for one row (or group).

    In each resample of the rows (or groups) the best arm is taken on those that were drawn, and scored on the others
    (Tsamardinos, Greasidou & Borboudakis, 2018).
    """
    n, rng = table.shape[1], np.random.default_rng(seed)
    home, units = (np.arange(n), n) if groups is None else (np.asarray(groups), int(np.max(groups)) + 1)
    found = []
    for _ in range(repetitions):
        counts = np.bincount(rng.integers(units, size=units), minlength=units)[home]
        if (counts == 0).any():
            inside = table @ counts
            winner = int(np.argmax(inside if higher else -inside))
            found.append(table[winner, counts == 0].mean())
    return float(np.mean(found)) if found else None


def _arm(arm: Arm, fits: list[Fitted], values: np.ndarray, groups: np.ndarray | None) -> dict:
    value, low, high = interval(values, groups)
    each = [float(np.mean(one.values)) for one in fits]
    select = [one.select for one in fits if one.select is not None]
    memory = [one.memory for one in fits if one.memory is not None]
    return {
        "name": arm.name, "label": arm.label, "method": arm.method, "stage": arm.stage, "backbone": arm.backbone,
        "settings": list(arm.settings), "seeds": len(fits), "value": value, "interval": [low, high], "values": each,
        "spread": float(np.std(each, ddof=1)) if len(each) > 1 else None,
        "select": float(np.mean(select)) if len(select) == len(fits) else None, "selects": select,
        "seconds": round(float(np.mean([one.seconds for one in fits])), 2), "peak_memory_mb": max(memory, default=None),
        "trainable": max(one.trainable for one in fits), "fit_budget": fits[0].limit, "front": {},
        "runs": [one.folder for one in fits],
    }  # fmt: skip


def _differences(table: dict[Arm, np.ndarray], groups: np.ndarray | None, best: str, folds: int) -> list[dict]:
    """Each arm less the first, less scratch on its own body, and the best less each other; p_holm is for each of the three families."""
    arms, rows = list(table), []
    top = next(arm for arm in arms if arm.name == best)
    control = {arm.backbone: arm for arm in reversed(arms) if arm.method == "scratch"}
    families = {
        "reference": [(arm, arms[0]) for arm in arms[1:]],
        "scratch": [(arm, control[arm.backbone]) for arm in arms if arm.method != "scratch" and arm.backbone in control],
        "best": [(top, arm) for arm in arms if arm is not top],
    }
    known = {}
    for family, pairs in families.items():
        for a, b in pairs:
            known[a, b] = known.get((a, b)) or difference(table[a], table[b], groups, folds=folds)
        raised = holm([known[pair].p for pair in pairs]) if pairs else []
        rows += [known[a, b].row(a.name, b.name) | {"p_holm": p, "family": family} for (a, b), p in zip(pairs, raised, strict=True)]
    return rows


def _best(best: dict, arms: list[dict], table: dict[Arm, np.ndarray], groups: np.ndarray | None, higher: bool) -> dict:
    if len(arms) == 1:
        return {"arm": best["name"], "value": best["value"], "of": 1, "expected": None, "text": "Only one arm is left to compare."}
    fair = unflattered(np.stack([values.mean(0) for values in table.values()]), higher, groups)
    text = (
        f"{best['name']} has the best score, {best['value']:.3f}, of {len(arms)} arms on the rows that scored them, and was picked for it: "
        "the best of many flatters itself."
    )
    text += "" if fair is None else f" Taking the best in this way is worth about {fair:.3f} on other rows."
    return {"arm": best["name"], "value": best["value"], "of": len(arms), "expected": fair, "text": text}


def _recommended(found: dict, higher: bool) -> dict:
    """The quickest of the arms whose selecting score is within a standard error of the best one (Breiman et al., 1984).

    The selecting rows are few and have chosen epochs too, so the arm with the best of their scores is often just the luckiest.
    """
    known = [row for row in found["arms"] if row["select"] is not None]
    if not known:
        return {"arm": None, "value": None, "select": None, "text": "No arm has a score on rows that selected, so none is recommended."}
    sign = 1 if higher else -1
    top = max(known, key=lambda row: (round(sign * row["select"], 9), -row["seconds"]))
    error = _standard_error(top, found)
    row = min((row for row in known if sign * (top["select"] - row["select"]) <= error + 1e-9), key=lambda row: row["seconds"])
    if row is top:
        text = f"{row['name']} has the best score on the rows that selected ({row['select']:.3f}, the mean of its seeds)"
    else:
        text = (
            f"{top['name']} has the best score on the rows that selected ({top['select']:.3f}, the mean of its seeds), but "
            f"{row['name']} ({row['select']:.3f}) is within a standard error ({error:.3f}) of it and the quickest of those that are"
        )
    if found.get("optimistic"):
        text += "; here these are the rows that are scored too, so its score flatters as well."
    elif found.get("folds"):
        text += ". In cross-validation every row selects in some folds and is scored in another, so its score flatters a little."
    else:
        text += "; the rows that are scored had no say in it, so its score can be quoted."
    words, contested = _beside_the_best(row, found)
    made = {key: row[key] for key in ("value", "interval", "select")}
    return {"arm": row["name"], **made, "selected": top["name"], "standard_error": error, "contested_by": contested, "text": text + words}


def _standard_error(row: dict, found: dict) -> float:
    """Of a selecting score: that of a share of the selecting rows, or for errors that of the mean of the seeds (0 for one seed)."""
    if found.get("metric") == "absolute_error":
        return float(np.std(row["selects"], ddof=1) / len(row["selects"]) ** 0.5) if len(row["selects"]) > 1 else 0.0
    n = found["n"] if found.get("folds") else found.get("n_select") or found["n"]
    share = min(max(row["select"], 0.0), 1.0)
    return (share * (1 - share) / n) ** 0.5


def _beside_the_best(row: dict, found: dict) -> tuple[str, str | None]:
    """What the scored rows say of the recommended arm, and the arm that they show to be better, if they do."""
    if len(found["arms"]) == 1:
        return "", None
    if row["name"] == found["best"]["arm"]:
        return " It has the best score on the scored rows too.", None
    pair = next(d for d in found["differences"] if d["family"] == "best" and d["less"] == row["name"])
    if pair["p_holm"] > 0.05:
        return f" It is not told apart from {pair['of']}, which scored best (p = {pair['p_holm']:.2g}).", None
    text = (
        f" But {pair['of']} is better on the scored rows (p = {pair['p_holm']:.2g}): trust these and take it, but score it on new rows "
        "before you quote a score."
    )
    return text, pair["of"]
