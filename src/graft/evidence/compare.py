"""A study: several ways to transfer, on the same rows, with several seeds, within one budget. Fits are passed in as a function."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError, TrainingError
from .arms import Arm
from .ranking import Fitted, rank

LEARNING = 0.75
"""The part of a fit's share of the budget that is its own budget; the rest is for what a fit costs beyond it."""
SLACK = 0.05
"""A seed is begun, or gone on with, as long as it is expected to end within this much more than the budget."""
LEAST = 0.25
"""The part of its own budget that a fit has at least, where time runs short in the first seed."""

Event = Callable[[dict], None]


@dataclass(frozen=True)
class Study:
    """arms in the order to be shown; the first is the reference. seeds: 0 .. seeds - 1. budget: seconds for all, None for no limit."""

    arms: tuple[Arm, ...]
    seeds: int = 5
    budget: float | None = None


class Purse:
    """Shares a budget among the fits of a study, and learns from each what the next will cost.

    Every fit gets the same budget of its own, so that arms compare. What a fit costs beyond it (reading, features,
    scoring) is measured; where that is more than was set aside, whole seeds are left out at the end. Only while the first seed
    is not through may an arm get less, since an arm with little time says more than none.
    """

    def __init__(self, study: Study, now: Callable[[], float], spent: float = 0.0):
        self.budget, self._now, self._began, self._before = study.budget, now, now(), spent
        share = None if study.budget is None else study.budget / (len(study.arms) * study.seeds)
        self.own = None if share is None else LEARNING * share
        self._walls: dict[Arm, float] = {}
        self._beyond: dict[str, float] = {}
        self.limits: dict[Arm, float | None] = {}

    @property
    def spent(self) -> float:
        """Seconds since the study began, with those of fits that were done before it was called again."""
        return self._now() - self._began + self._before

    @property
    def left(self) -> float:
        return float("inf") if self.budget is None else self.budget - self.spent

    @property
    def slack(self) -> float:
        return 0.0 if self.budget is None else SLACK * self.budget

    def limit(self, arm: Arm, waiting: int) -> float | None:
        """The budget of this arm's next fit, as in its first; for a first fit, with `waiting` fits to come in this seed."""
        if self.own is None or arm in self.limits:
            return self.limits.get(arm)
        return round(min(self.own, max(LEAST * self.own, self.left / waiting - self.beyond(arm))), 2)

    def beyond(self, arm: Arm) -> float:
        """Seconds that a fit is expected to cost beyond its own budget: the most on the same body, else the most so far."""
        return self._beyond.get(arm.backbone, max(self._beyond.values(), default=0.0))

    def expected(self, arm: Arm, limit: float | None) -> float:
        """Seconds that the arm's next fit is expected to take."""
        return self._walls[arm] if arm in self._walls else (limit or 0.0) + self.beyond(arm)

    def pay(self, arm: Arm, fitted: Fitted, wall: float) -> None:
        """wall: seconds that the fit took now; what it took in an earlier call, and its own clock knows, is counted as spent."""
        self._before += max(0.0, fitted.seconds - wall)
        self._walls[arm] = max(fitted.seconds, wall)
        self.limits.setdefault(arm, fitted.limit)
        if fitted.limit is not None:
            over = self._walls[arm] - fitted.limit
            self._beyond[arm.backbone] = max(self._beyond.get(arm.backbone, 0.0), over)


@dataclass
class _Course:
    """What has happened so far."""

    fitted: dict[Arm, dict[int, Fitted]]
    failed: list[dict] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    def waiting(self, seed: int) -> list[Arm]:
        """The arms that take part in a seed: all in the first, then those that have not failed or been left out."""
        lost = {row["name"] for row in self.failed}
        return [arm for arm, fits in self.fitted.items() if arm.name not in lost and (seed == 0 or fits)]


def compare(
    plan: Study,
    fit: Callable[[Arm, int, float | None], Fitted],
    on_event: Event | None = None,
    *,
    ready: Callable[[Arm, int], bool] = lambda arm, seed: False,
    spent: float = 0.0,
    now: Callable[[], float] = time.monotonic,
) -> dict:
    """Fit every arm with every seed and say what the scores are worth: the content of study.json.

    fit(arm, seed, seconds or None) -> Fitted. ready(arm, seed): whether that fit was done in an earlier call and costs
    nothing more. spent: seconds of the budget that are gone already. now: the clock.
    Seeds are the outer loop, so that a budget leaves whole seeds for all arms; what it cut is told in words. A fit that
    raises TrainingError costs its arm the place in the comparison, not the study. on_event is told "fitting", "fitted",
    "failed" and "cut". Raises TrainingError where no arm is left, DataError where fits were not scored on the same rows.
    """
    tell = on_event or (lambda event: None)
    purse, course = Purse(plan, now, spent), _Course({arm: {} for arm in plan.arms})
    for seed in range(plan.seeds):
        if not _seed(plan, seed, purse, course, fit, ready, tell):
            break
    fits, whole = _whole(plan, course)
    for text in course.cut:
        tell({"event": "cut", "text": text})
    found = rank(fits)
    return {
        **found, "seeds": {"asked": plan.seeds, "whole": whole}, "budget": plan.budget, "seconds": round(purse.spent, 2),
        "fit_budget": None if purse.own is None else round(purse.own, 2), "cut": course.cut, "failed": course.failed,
    }  # fmt: skip


def _seed(plan: Study, seed: int, purse: Purse, course: _Course, fit, ready, tell: Event) -> bool:
    """One fit of every arm; False where the budget ends here."""
    waiting = course.waiting(seed)
    due = [arm for arm in waiting if not ready(arm, seed)]
    needed = sum(purse.expected(arm, purse.limit(arm, len(due))) for arm in due)
    if seed and due and needed > purse.left + purse.slack:
        course.cut.append(_left_out(plan, seed, purse, needed))
        return False
    for i, arm in enumerate(waiting):
        limit = purse.limit(arm, len(waiting) - i)
        if not ready(arm, seed) and not _affordable(purse, arm, limit, seed, i):
            course.cut.append(_unfinished(seed, waiting[i:], purse))
            return False
        number, of = seed * len(plan.arms) + plan.arms.index(arm) + 1, plan.seeds * len(plan.arms)
        tell({"event": "fitting", "number": number, "of": of, "arm": arm.name, "seed": seed, "limit": limit})
        began = purse.spent
        try:
            fitted = fit(arm, seed, limit)
        except TrainingError as error:
            course.failed.append({"name": arm.name, "seed": seed, "reason": str(error)})
            tell({"event": "failed", "arm": arm.name, "seed": seed, "reason": str(error)})
            continue
        purse.pay(arm, fitted, purse.spent - began)
        course.fitted[arm][seed] = fitted
        if not seed and fitted.limit is not None and purse.own is not None and fitted.limit < 0.9 * purse.own:
            course.cut.append(f"A fit of {arm.name} had {fitted.limit:.1f} s, less than an even share of the budget ({purse.own:.1f} s).")
        value = float(np.mean(fitted.values))
        tell({"event": "fitted", "arm": arm.name, "seed": seed, "metric": fitted.about.get("metric"), "value": value,
              "seconds": fitted.seconds, "folder": fitted.folder})  # fmt: skip
    return True


def _affordable(purse: Purse, arm: Arm, limit: float | None, seed: int, place: int) -> bool:
    if purse.own is None or (seed == 0 and place == 0):
        return True
    return purse.expected(arm, limit) <= purse.left + 2 * purse.slack


def _left_out(plan: Study, seed: int, purse: Purse, needed: float) -> str:
    which = f"Seed {seed}" if seed == plan.seeds - 1 else f"Seeds {seed} to {plan.seeds - 1}"
    verb = "was" if seed == plan.seeds - 1 else "were"
    return (
        f"{which} of {plan.seeds} (counted from 0) {verb} left out: {max(purse.left, 0):.0f} s of the budget were left, "
        f"and a seed of every arm takes about {needed:.0f} s."
    )


def _unfinished(seed: int, missing: list[Arm], purse: Purse) -> str:
    names = ", ".join(arm.name for arm in missing)
    if seed == 0:
        return f"No time was left for {names}: a longer --budget, or fewer arms, would let every arm have a fit."
    return f"Seed {seed} (counted from 0) was not finished for {names}, so it counts for no arm; the budget was spent."


def _whole(plan: Study, course: _Course) -> tuple[dict[Arm, list[Fitted]], int]:
    """The fits of the seeds that every remaining arm has, in the order of the seeds."""
    lost = {row["name"]: row for row in course.failed}
    arms = [arm for arm in plan.arms if course.fitted[arm] and arm.name not in lost]
    if not arms:
        reason = course.failed[0]["reason"] if course.failed else "the budget was spent"
        raise TrainingError(f"No arm could be fitted, so there is nothing to compare; the first failed because: {reason}")
    for row in course.failed:
        course.cut.append(f"{row['name']} failed with seed {row['seed']} and is not compared: {row['reason']}")
    seeds = [seed for seed in range(plan.seeds) if all(seed in course.fitted[arm] for arm in arms)]
    prints = {fitted.about.get("fingerprint") for arm in arms for fitted in course.fitted[arm].values()}
    if len(prints) > 1:
        raise DataError("The data have changed since this study began, so its fits cannot be compared; begin anew with another --out.")
    return {arm: [course.fitted[arm][seed] for seed in seeds] for arm in arms}, len(seeds)
