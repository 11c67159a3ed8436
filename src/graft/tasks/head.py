"""The head a task uses, from its options: built for gradient descent, or solved on frozen features."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module

import numpy as np

from ..core import Solution
from ..errors import OptionError, nearest
from ..heads import trained
from ..heads.pool import MODES

SOLVED = {
    "logistic": "logistic:solve", "logistic_unit": "logistic:solve_unit",
    "svm": "svm:solve", "svm_rbf": "svm:solve_rbf", "knn": "neighbours:solve", "lda": "discriminant:solve",
}  # fmt: skip
FIXED = ("svm_rbf", "knn")
"""Solved heads that hold training rows; gradient descent has nothing to improve in them."""
ATTENTION = "attention"
"""The one pooling that has something to learn, so that it belongs to the head: it is given all tokens."""
POOLS = (*(mode for mode in MODES if mode not in ("words", "tokens")), ATTENTION)
"""Without those that leave a row for each token or word, which are the task's to ask for."""


@dataclass(frozen=True)
class Options:
    """head: "auto": linear where it is trained with the body, logistic where the body is frozen, the best of both; "linear"
        (always by gradient descent), or solved on frozen features: "logistic", "logistic_unit" (of features put to length 1), "svm",
        "svm_rbf", "knn", "lda". Method few_shot takes "logistic_unit" for "auto".
    hidden: widths of hidden layers, none by default since pre-trained features are nearly linear already; needs "auto" or "linear".
    activation: of the hidden layers: "relu", "leaky_relu", "gelu", "silu" or "tanh".
    dropout: in [0, 1), after each hidden layer, or on the features; 0, as small data gain more from augmentation.
    pool: "auto" (what the body was trained with), "avg", "max", "cls" or "flatten"; of texts also "last" (the last token) and
        "attention": an average of the tokens with learnt weights, which needs "auto" or "linear".
    layers: names or numbers of the stages whose pooled features are joined; empty for the last.
    balance: a solved head weighs classes equally; for rare classes that matter as much as common ones.
    mix: the layers named in `layers` are averaged with learnt weights (Peters et al., 2018) instead of joined; needs "auto" or "linear".
    pairs: of two texts a sample: "apart", each read by itself and their vectors u and v compared (u, v, |u - v| and u v), "together", both
        read as one, or "auto": apart where the body was trained to compare texts, or reads one at a time.
    """

    head: str = "auto"
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    dropout: float = 0.0
    pool: str = "auto"
    layers: tuple[str | int, ...] = ()
    balance: bool = False
    mix: bool = False
    pairs: str = "auto"


def fields(options: Options, target: str, outputs: int) -> dict:
    """The fields of core.Task that follow from the options: head, pool, layers, solve, trainable and config. Raises OptionError."""
    _check(options, target)
    kind = options.head
    if kind == "auto" and not _learnt(options):
        kind = "logistic"
    return {
        "head": partial(_build, outputs=outputs, options=options),
        "pool": "tokens" if options.pool == ATTENTION else options.pool,  # the head itself pools what it is given
        "layers": tuple(options.layers),
        "solve": _solver(kind, target, outputs, options.balance) if kind in SOLVED else None,
        "trainable": kind not in FIXED,
        "config": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()},
    }


def _build(width: int, outputs: int, options: Options) -> trained.Dense:
    parts = len(options.layers) if options.mix else 0
    attend = options.pool == ATTENTION
    return trained.build(width, outputs, tuple(options.hidden), options.activation, options.dropout, mix=parts, attend=attend)


def _learnt(options: Options) -> bool:
    """Whether the options ask for something that only gradient descent can learn."""
    return bool(options.hidden) or options.mix or options.pool == ATTENTION


def _solver(kind: str, target: str, outputs: int, balance: bool) -> Callable[..., Solution]:
    """solve(features [n, width], targets, seed, told, like): an array in memory by any solver; rows that are read from elsewhere, which
    told hears of, by `streamed.regress` alone. like: see core.Task; logistic heads of one class a sample take over the strength C."""

    # Imported when the fit comes to it: scikit-learn takes a second that `graft list` need not pay.
    def solve(
        features: np.ndarray, targets: np.ndarray, seed: int = 0, told: Callable[[str], None] | None = None, like: dict | None = None
    ) -> Solution:
        options = {"target": target, "outputs": outputs, "balance": balance}
        if not isinstance(features, np.ndarray):
            if kind != "logistic":
                raise OptionError(
                    f"The features of {len(features)} rows do not fit in memory and head '{kind}' needs them at once; use --head logistic."
                )
            return import_module("graft.heads.streamed").regress(features, np.asarray(targets), seed, told=told, **options)
        if kind == "logistic" and target == "class" and not balance and "C" in (like or {}):
            x = np.ascontiguousarray(features, np.float32)
            return Solution(import_module("graft.heads.logistic").at_strength(x, targets, like["C"], outputs), chosen={"C": like["C"]})
        module, _, function = SOLVED[kind].partition(":")
        solver = getattr(import_module(f"graft.heads.{module}"), function)
        if kind == "logistic_unit" and "C" in (like or {}):
            solver = partial(solver, c=like["C"])
        return solver(np.ascontiguousarray(features, np.float32), np.asarray(targets), seed, **options)

    return solve


def _check(options: Options, target: str) -> None:
    known = ("auto", "linear", *SOLVED)
    if options.head not in known:
        raise OptionError(f"There is no head called '{options.head}'.{nearest(options.head, known)}")
    if options.hidden and options.head in SOLVED:
        raise OptionError(f"Head '{options.head}' has no hidden layers; use --set task.head=linear, or leave task.hidden out.")
    if any(width < 1 for width in options.hidden):
        raise OptionError(f"A hidden layer needs at least one unit, not {min(options.hidden)}; use, say, --set task.hidden=[256].")
    if options.activation not in trained.ACTIVATIONS:
        raise OptionError(f"There is no activation called '{options.activation}'.{nearest(options.activation, tuple(trained.ACTIVATIONS))}")
    if not 0 <= options.dropout < 1:
        raise OptionError(f"Dropout is a probability below 1, not {options.dropout:g}; use, say, --set task.dropout=0.2.")
    if options.pool not in POOLS:
        raise OptionError(f"There is no pooling called '{options.pool}'.{nearest(options.pool, POOLS)}")
    if options.pairs not in ("auto", "apart", "together"):
        raise OptionError(f"task.pairs is {options.pairs}; it can be apart, together or auto.")
    if options.pool == ATTENTION and options.head in SOLVED:
        raise OptionError(f"Head '{options.head}' cannot learn to pool; use --set task.head=linear, or another task.pool.")
    if options.mix and options.head in SOLVED:
        raise OptionError(f"Head '{options.head}' cannot learn to mix layers; use --set task.head=linear, or leave task.mix out.")
    if options.mix and len(set(options.layers)) < 2:
        raise OptionError("To mix takes two layers or more; name them with --set task.layers=[...], or leave task.mix out.")
    if (options.head, target) in {("svm", "number"), ("logistic_unit", "number"), ("lda", "number"), ("lda", "labels")}:
        fit = "numbers" if target == "number" else "several labels a sample"
        works = "linear, logistic, knn or svm_rbf" if target == "number" else "linear, logistic, svm, knn or svm_rbf"
        raise OptionError(f"Head '{options.head}' is not made for {fit}; use --set task.head={works}.")
