"""What is worth trying when a method is tuned, and the parts of a fit with a setting."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ... import catalog
from ...assembly import wiring
from ...assembly.wiring import Parts
from ...core import Data
from ...data.augment import Augment
from ...errors import DataError
from ...spec import AUTO, Part, Spec, options

SPARED = 4
"""Stages up to which a trial may freeze, spread evenly over the body."""
KERNEL_ROWS = 5000
"""Rows above which a Gaussian kernel, which compares every pair of them, is not tried."""


@dataclass(frozen=True)
class Knob:
    """options: the values of a choice; else a number in low .. high, on a logarithmic scale where `log`. default: of trial 0."""

    default: object
    options: tuple = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def space(parts: Parts, asked: Spec) -> dict[str, Knob]:
    """What is worth trying for the method, by the name of the setting; what the user gave is left out.

    Frozen features: the layers they come from, how they are pooled, and the head, whose own strength is solved already. Training:
    the rate within ten times of the default, the layer-wise decay, the weight decay, the batch, how much stays frozen, the
    smoothing and the augmentation.
    """
    given = {f"{section}.{name}" for section in ("method", "task", "augment") for name in getattr(asked, section).values}
    given |= {"augment.name"} if asked.augment.name != AUTO or parts.streams.augment.options.views else set()
    found = _features(parts) if parts.spec.method.name == "extract" else {}
    found |= {} if solved(parts) else _training(parts)
    known = {f"task.{name}" for name in catalog.options("task", parts.spec.task.name).__dataclass_fields__}
    return {name: knob for name, knob in found.items() if name not in given and (not name.startswith("task.") or name in known)}


def solved(parts: Parts) -> bool:
    """Whether nothing learns by gradient descent, so that inner cross-validation selects on all learning rows."""
    frozen = parts.spec.method.name == "extract" and not options("method", parts.spec.method).augment
    return frozen and parts.task.solve is not None


def _features(parts: Parts) -> dict[str, Knob]:
    body, target = parts.backbone, parts.data.schema.target
    names = body.names
    layers = ["", *names[-2:-4:-1], *(",".join(names[-n:]) for n in (2, 3) if len(names) > n)]
    found = {"task.layers": Knob("", tuple(dict.fromkeys(layers)))}
    if set(body.forms[-3:]) != {"vector"}:
        found["task.pool"] = Knob("auto", ("auto", "avg" if body.pool in ("max", "cls") else "max"))
    if solved(parts):
        heads = {"class": ("auto", "svm", "svm_rbf", "knn", "lda"), "labels": ("auto", "svm", "svm_rbf", "knn")}
        few = len(parts.data.learning()) <= KERNEL_ROWS
        kinds = tuple(kind for kind in heads.get(target, ("auto", "svm_rbf", "knn")) if few or kind != "svm_rbf")
        found["task.head"] = Knob("auto", kinds)
    return found


def _training(parts: Parts) -> dict[str, Knob]:
    method, opts = parts.spec.method.name, options("method", parts.spec.method)
    # A method that chooses its rate by the body keeps it.
    found = {"method.lr": Knob(opts.lr, low=opts.lr / 10, high=min(10.0, opts.lr * 10), log=True)} if opts.lr else {}
    if method not in ("extract", "scratch"):
        found["method.decay"] = Knob(opts.decay, low=min(0.5, opts.decay), high=1.0)
    for name in ("weight_decay", "pull", "head_decay"):
        if value := getattr(opts, name, 0):
            found[f"method.{name}"] = Knob(value, low=value / 10, high=min(10.0, value * 10), log=True)
    sizes = {size for size in (16, 32, 64) if size <= len(parts.data.train)}
    found["method.batch"] = Knob(opts.batch, tuple(sorted(sizes | {opts.batch})))
    lower = parts.backbone.names[: max(wiring.taps(parts.task.layers, parts.backbone.names))]
    if hasattr(opts, "freeze") and lower and not parts.streams.augment.options.views:
        places = sorted({round(place) for place in np.linspace(0, len(lower) - 1, min(SPARED, len(lower)))})
        found["method.freeze"] = Knob("none", ("none", *(lower[place] for place in places)))
    if parts.data.schema.target == "class":
        found["method.smoothing"] = Knob(opts.smoothing, tuple(sorted({0.0, 0.05, 0.1, opts.smoothing})))
    if opts.augment and parts.data.schema.modality == "image":
        name = parts.spec.augment.name
        found["augment.name"] = Knob(name, tuple(dict.fromkeys(("none", "light", "medium", name))))
    return found


def selecting(parts: Parts) -> Data:
    """The data of a trial: no locked rows, and where epochs select, a method may not learn from the selecting rows in the end,
    for one that fell back on its probe would then be judged on other rows than one that trained.

    Raises DataError where there are no rows to select on.
    """
    data = replace(parts.data, test=None)
    if solved(parts):
        return data
    if data.val is None or data.val.equals(data.train):
        raise DataError("There are too few samples to spare any for selecting, so nothing can be tuned on them; add samples.")
    return replace(data, plan=replace(data.plan, drawn=False))


def variant(parts: Parts, asked: Spec, setting: Mapping, seconds: float | None = None) -> Parts:
    """The parts with a setting: another method and task on the same body, the same rows and the images that are in memory.

    asked: the user's own spec, whose augmentation knobs stay whatever preset is tried. seconds: the time limit of a phase.
    """
    drawn = asked.augment.values
    base = replace(parts.spec, augment=Part(parts.spec.augment.name, drawn))
    told = [f"{name}={value}" for name, value in setting.items()]
    told += [f"augment.{name}={value}" for name, value in drawn.items() if "augment.name" in setting]
    told += [f"method.seconds={seconds}"] if seconds else []
    spec = Spec.make(base=base, sets=told)
    parts.streams.augment = Augment(options("augment", spec.augment))
    task = catalog.resolve("task", spec.task.name)(parts.data.schema, options("task", spec.task))
    return replace(parts, spec=spec, task=task)
