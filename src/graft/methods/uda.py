"""Unsupervised domain adaptation: several adapted heads, of which one is chosen by what they say of the target, without its labels.

What was looked at with target labels while this was written, on the 12 pairs of PACS: which mixtures and starts are candidates, and
their constants (see pseudo_label); which of some twenty criteria to take; and the form of the guard against aligning domains that do not
differ, of which the first version lost where classes were uneven. So numbers on PACS are somewhat better than those on domains that
nobody has looked at.

The criterion was mutual information first (Shi & Sha, 2012), which asks that all classes be in use: with four of the seven classes left in
the target it chose heads that lost up to 0.18 to the source's own. That of `label_free.neighbours_agree` does not ask it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..core import Data, Net, Phase, Solution, Task
from ..errors import OptionError
from ..metrics import label_free
from . import coral, pseudo_label

SOURCE = "source_only"
STARTS = {SOURCE: "source", "standardise": "standardise", "coral": "coral"}
"""Candidates that align the source, and what pseudo_label calls their start."""
RULES = ("mixture", "both", "propagation", "shares")


@dataclass(frozen=True, kw_only=True)
class Options:
    """candidates: heads to compare with that of the source alone, which always is one: "standardise", "coral", and self-training by each
        rule of pseudo_label that starts from one of the three, as "mixture source_only"; "shares" takes several times as long.
    level: the source's head stays unless rows of one predicted class look different on the target at that level of significance
        (`label_free.same_domain`): where classes are only more or less frequent there, to align domains does harm. 1 always adapts.
    regularisation: of coral.
    """

    candidates: tuple[str, ...] = (
        "standardise",
        "coral",
        "mixture source_only",
        "mixture standardise",
        "mixture coral",
        "both standardise",
    )
    level: float = 0.01
    regularisation: float = 1.0

    def __post_init__(self) -> None:
        coral.Options(regularisation=self.regularisation)
        known = (*STARTS, *(f"{rule} {start}" for rule in RULES for start in STARTS))
        strange = next((name for name in self.candidates if name not in known), None)
        if strange is not None:
            raise OptionError(f"method.candidates has '{strange}', which is not one of {', '.join(known)}.")
        if not 0.005 <= self.level <= 1:
            raise OptionError(f"method.level = {self.level} is outside 0.005 to 1; try --set method.level=0.01.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The source's head, aligned and self-trained ones, each a phase that watches the target; the last puts the chosen one in place.

    Chosen is the one whose classes follow best how the target's features lie (`label_free.neighbours_agree`), unless the source's own head
    has met no shift. Best for images of another style or camera, with frozen features that still part the classes. Where classes are
    missing or rare in the target all candidates are worse, and what is chosen gains less: none of them knows which are missing.
    """
    target = coral.target_rows(task, data, "uda")
    # The selecting rows stay unseen: the target is compared with them.
    data = data if data.plan is None else replace(data, plan=replace(data.plan, drawn=False))
    solvers, found, near, alike = candidates(task, opts), {}, {}, None
    for name, solve in solvers.items():
        trained = yield coral.solved(net, data, target, name, solve)
        found[name], near[name] = trained.watched.numpy(), trained.chosen["neighbours"]
        if name == SOURCE and data.val is not None and len(data.val):
            # Both by the same exact passes: what is watched may come from faster ones, which would look like a shift.
            alike = label_free.same_domain(trained.predict(data.val), trained.predict(target))
    name, table = choose(found, near, alike, opts.level)
    yield coral.solved(net, data, target, f"chosen: {name}", _told(solvers[name], table))


def candidates(task: Task, opts: Options) -> dict[str, coral.Solve]:
    """Solvers by name, the source's own first; what one has found the others take from it."""
    found: dict[str, coral.Solve] = {}
    starts: dict[str, coral.Solve] = {}
    looked = _looker()
    for name, start in STARTS.items():
        # The strength is searched for once, where the labels are.
        values = pseudo_label.Options(start=start, regularisation=opts.regularisation)
        starts[name] = _once(pseudo_label.first(task, values, starts.get(SOURCE)))
    for name in dict.fromkeys((SOURCE, *opts.candidates)):
        rule, _, start = name.rpartition(" ")
        if not rule:
            found[name] = looked(starts[name])
            continue
        values = pseudo_label.Options(start=STARTS[start], rule=rule, regularisation=opts.regularisation)
        found[name] = looked(_once(pseudo_label.solver(task, values, starts[start])))
    return found


def choose(found: Mapping[str, np.ndarray], near: Mapping[str, float], alike: float | None, level: float) -> tuple[str, dict]:
    """(name, table) from each candidate's outputs [n, k] on the target, how much its classes agree between neighbours there, and the
    p-value of there being no shift, None where it is unknown.

    table: of each candidate the label-free numbers and the share of rows on which it agrees with the source's head, then what was chosen
    and why. A later candidate has to be better than an earlier one, so that of equals the plainer one is taken.
    """
    table = {name: {"neighbours": round(near[name], 6)} | _numbers(outputs, found[SOURCE]) for name, outputs in found.items()}
    if alike is not None and alike > level:
        why = f"rows that it gives one class look alike in both domains (p = {alike:.3g}), so there is no shift to adapt to"
        return SOURCE, {"candidates": table, "chosen": SOURCE, "why": why}
    name = max(table, key=lambda one: table[one]["neighbours"])
    why = f"its classes follow best how the target's features lie: {table[name]['neighbours']:.3f} (1: neighbours agree, 0: by chance)"
    return name, {"candidates": table, "chosen": name, "why": why}


def _numbers(outputs: np.ndarray, source: np.ndarray) -> dict[str, float]:
    numbers = {
        "information": label_free.information(outputs), "entropy": label_free.mean_entropy(outputs),
        "evenness": label_free.evenness(outputs), "nuclear_norm": label_free.nuclear_norm(outputs),
        "class_confusion": label_free.class_confusion(outputs), "density": label_free.neighbourhood_density(outputs),
        "as_source": label_free.agreement(outputs, source),
    }  # fmt: skip
    return {name: round(value, 6) for name, value in numbers.items()}


def _once(solve: coral.Solve) -> coral.Solve:
    """The solver, which remembers its answer: the features of a run do not change. A resumed run finds it again, to the same bits."""
    held: list[Solution] = []

    def solved(features: np.ndarray, targets: np.ndarray, seed: int, target: np.ndarray) -> Solution:
        if not held:
            held.append(solve(features, targets, seed, target=target))
        return held[0]

    return solved


def _looker() -> Callable[[coral.Solve], coral.Solve]:
    """A wrapper of solvers that adds to what they chose how much the classes of neighbours agree; neighbours are found once."""
    near: list[tuple[np.ndarray, np.ndarray]] = []

    def looked(solve: coral.Solve) -> coral.Solve:
        def solved(features: np.ndarray, targets: np.ndarray, seed: int, target: np.ndarray) -> Solution:
            solution = solve(features, targets, seed, target=target)
            if not near:
                near.append(label_free.nearest(target))
            said = label_free.neighbours_agree(pseudo_label.outputs(solution.head, target), near[0])
            return replace(solution, chosen={**solution.chosen, "neighbours": said})

        return solved

    return looked


def _told(solve: coral.Solve, table: dict) -> coral.Solve:
    """The solver, whose Solution says how it was chosen."""
    return lambda *given, **beside: replace(solve(*given, **beside), chosen=table)
