"""From a spec to the pieces of a fit: data with roles, body, task, net, batches. Every automatic choice is written down."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from . import catalog, measuring
from .advisor import rank, rules
from .core import Backbone, Data, Net, Phase, Task
from .data import order
from .data.augment import Augment
from .data.streams import Streams
from .engine import device
from .engine.device import Machine
from .engine.journal import Journal
from .errors import DataError, OptionError, nearest
from .heads.pool import pooling
from .inspect import files
from .readers import split
from .spec import Part, Spec, backbone_row, options

FIXED_SECONDS = 14.0
"""Of a budget, kept for starting, reading, frozen passes, scoring and the report of a small set."""
LEARNING_SHARE = 0.65
"""Of the rest, for the chosen method where alternatives run beside it."""


@dataclass(frozen=True)
class Parts:
    """Everything a fit needs; `spec` has every name and default filled in."""

    spec: Spec
    data: Data
    backbone: Backbone
    task: Task
    streams: Streams
    machine: Machine

    def net(self, run: str) -> Net:
        """A fresh net with the body's own weights and a new head, drawn from the seed and the run's name."""
        body = replace(self.backbone, stages=copy.deepcopy(self.backbone.stages))
        pool = pooling(self.task.pool, body.pool, body.prefix_tokens)
        net = Net(body, pool, torch.nn.Identity(), taps(self.task.layers, body.names))
        width = device.pooled_width(net)
        torch.manual_seed(int(order.generator(self.spec.seed, run, "head").integers(2**62)))
        net.head = self.task.head(width)
        return self.machine.place(net)

    def phases(self, net: Net, data: Data) -> Callable[[], Iterator[Phase]]:
        method = catalog.resolve("method", self.spec.method.name)
        opts = options("method", self.spec.method)
        return lambda: method(net, self.task, data, opts)


def taps(layers: tuple[str | int, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    """Stage numbers of the layers whose features are used: names, or numbers from 1 (-1 is the last); empty for the last stage."""
    found = []
    for layer in layers:
        if isinstance(layer, str) and not layer.lstrip("-").isdigit():
            if layer not in names:
                raise OptionError(f"There is no layer called '{layer}' in this body.{nearest(layer, list(names))}")
            found.append(names.index(layer))
            continue
        number = int(layer)
        if not 1 <= abs(number) <= len(names):
            raise OptionError(f"There is no layer {number}: this body has {len(names)} ({', '.join(names)}).")
        found.append(number - 1 if number > 0 else len(names) + number)
    return tuple(sorted(set(found))) or (len(names) - 1,)


def read(spec: Spec, journal: Journal) -> tuple[Spec, Data]:
    """The data, checked file by file and with their roles."""
    path, spec = spec.data.values["path"], name_reader(spec, journal)
    named = {task: target for target, task in _TASKS.items()}.get(spec.task.name)
    if named and "target" in catalog.options("reader", spec.data.name).__dataclass_fields__ and "target" not in spec.data.values:
        # Whole numbers in a table may be names or amounts; the task that the user named says which.
        spec = replace(spec, data=Part(spec.data.name, {**spec.data.values, "target": named}))
    data = catalog.resolve("reader", spec.data.name)(path, options("data", spec.data))
    data = files.check(data, share=options("data", spec.data).bad_share)
    data = split.assign(data, select_on=spec.select_on, folds=spec.folds, seed=spec.seed)
    for note in data.notes:
        journal.write("note", level=note.level, text=note.text, count=len(note.files), files=list(note.files[:20]))
    journal.decide("roles", f"{data.plan.select} selects; {data.plan.score} is scored", data.plan.reason, "--select-on, --folds")
    return spec, data


def name_reader(spec: Spec, journal: Journal) -> Spec:
    if spec.data.name != "auto":
        return spec
    from pathlib import Path

    path = Path(spec.data.values["path"])
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt"):
        name, why = "csv_table", "the data are a table"
    elif path.is_file():
        raise DataError(f"'{path}' is a file of no known kind; give a folder of class folders, or a CSV, TSV, JSONL or Parquet table.")
    else:
        name, why = "image_folder", "the data are a folder"
    journal.decide("reader", name, why, "--reader")
    return replace(spec, data=Part(name, spec.data.values))


def assemble(spec: Spec, journal: Journal) -> Parts:
    """Read, choose, load and build; raises before anything is written."""
    machine = device.find(spec.threads)
    spec, data = read(spec, journal)
    spec = name_task(spec, data, journal)
    spec = name_backbone(spec, journal)
    row = backbone_row(spec.backbone.name)
    opts = options("backbone", spec.backbone)
    backbone = catalog.resolve("backbone", row.name)(spec.backbone.name, opts, spec.seed)
    spec = share_budget(name_method(spec, data, backbone, machine, journal), data, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    spec = name_augment(spec, journal)
    check_views(spec)
    classes = len(data.schema.classes) if data.schema.target == "class" else 0
    augment = Augment(options("augment", spec.augment))
    streams = Streams(
        backbone.prepare, task.encode, augment, spec.seed, classes=classes, column=data.schema.input, threads=torch.get_num_threads()
    )
    parts = Parts(spec.filled(), data, backbone, task, streams, machine)
    # A method checks its options against the net before its first phase; do that before anything is written.
    next(parts.phases(parts.net("final"), data)(), None)
    write_down(parts, journal)
    return parts


def name_task(spec: Spec, data: Data, journal: Journal) -> Spec:
    if spec.task.name != "auto":
        if spec.task.name in _TASKS.values() and spec.task.name != _TASKS[data.schema.target]:
            raise OptionError(
                f"Task '{spec.task.name}' does not fit these data, whose labels are {_LABELS[data.schema.target]}; "
                f"use --task {_TASKS[data.schema.target]}, or leave it out."
            )
        return spec
    name = _TASKS[data.schema.target]
    journal.decide("task", name, f"the labels are {_LABELS[data.schema.target]}", "--task")
    return replace(spec, task=Part(name, spec.task.values))


_TASKS = {"class": "classification", "labels": "multilabel", "number": "regression"}
_LABELS = {"class": "one name a sample", "labels": "several names a sample", "number": "numbers"}


def name_method(spec: Spec, data: Data, body: Backbone, machine: Machine, journal: Journal) -> Spec:
    """The method, and where the rule asks for an earlier layer the layer too, by the table of data size and similarity to the source
    (graft.advisor.rules); what the user named stays."""
    if spec.method.name != "auto":
        return spec
    head = spec.task.values.get("head", "auto")
    if head in ("svm_rbf", "knn"):
        journal.decide("method", "extract", f"a head of kind {head} cannot learn by gradient descent", "--method")
        return replace(spec, method=Part("extract", spec.method.values))
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    near = measuring.resemblance(body, data, task, machine, spec.seed)
    rule = rules.cell(list(measuring.class_counts(data).values()), near["level"])
    unfit = sorted(set(spec.method.values) - set(catalog.options("method", rule.method).__dataclass_fields__))
    method = "lp_ft" if unfit else rule.method
    why = f"{rule.cell} data: {rule.why} ({near['words'].rstrip('.')}); graft advise measures more"
    journal.decide("method", method, why, "--method")
    spec = replace(spec, method=Part(method, spec.method.values))
    if method != "extract" or rule.layers == "last" or spec.task.values.get("layers") or len(body.names) < 2:
        return spec
    layers = measuring.probes(body, data, task, machine, journal, spec.seed)
    best = rank.best_layer(layers)
    scores = {one["name"]: one["probe"] for one in layers}
    if best in (None, body.names[-1]):
        journal.decide("layer", body.names[-1], "measured on the learning rows, no earlier one is clearly better", "--layers")
        return spec
    words = f"a linear head has {scores[best]:.3f} on it and {scores[body.names[-1]]:.3f} on the last, in cross-validation on learning rows"
    journal.decide("layer", best, words, "--layers")
    return replace(spec, task=Part(spec.task.name, {**spec.task.values, "layers": (best,)}))


def share_budget(spec: Spec, data: Data, journal: Journal) -> Spec:
    """--budget as a time limit for each phase that learns by gradient descent; a limit the user gave stays."""
    if spec.budget is None or "seconds" in spec.method.values:
        return spec
    fits, phases = data.plan.folds + 1, options("method", spec.method).limited_phases
    fixed, share = min(FIXED_SECONDS, 0.4 * spec.budget), 1.0 if spec.evidence == "off" else LEARNING_SHARE
    seconds = round(share * (spec.budget - fixed) / fits / phases, 2)
    why = f"of the budget, {fixed:.0f} s to read, score and report"
    why += "" if spec.evidence == "off" else f", and {1 - share:.0%} of the rest to the alternatives (--evidence off gives it all)"
    why += f"; shared by {fits} fit{'s' if fits > 1 else ''} of {phases} phase{'s' if phases > 1 else ''}"
    journal.decide("time limit of a phase", f"{seconds:g} s", why, "--set method.seconds")
    return replace(spec, method=Part(spec.method.name, {**spec.method.values, "seconds": seconds}))


def name_backbone(spec: Spec, journal: Journal) -> Spec:
    """The embedded body where none is named; random weights for the control."""
    backbone = spec.backbone
    if backbone.name == "auto":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Weights were given but no body to load them into; name it, for example --backbone mobilenetv2_100.")
        why = "no body was named; this one ships with graft and needs no download (a larger one is usually better)"
        journal.decide("backbone", "graft-mini", why, "--backbone")
        backbone = Part("graft-mini", backbone.values)
    if spec.method.name == "scratch":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Method 'scratch' starts from random weights; leave out --weights, or use --method finetune.")
        if backbone.name.startswith("run:") or backbone.name == "gabor":
            raise OptionError(f"Method 'scratch' cannot start '{backbone.name}' from random weights; name a timm network or graft-mini.")
        backbone = Part(backbone.name, {**backbone.values, "weights": "none"})
    elif "fetch" in options("backbone", backbone).__dataclass_fields__ and "fetch" not in backbone.values:
        backbone = Part(backbone.name, {**backbone.values, "fetch": spec.fetch})
    return replace(spec, backbone=backbone)


def name_augment(spec: Spec, journal: Journal) -> Spec:
    """What training images go through; --views asks for augmentation where the method has none of its own."""
    views = spec.augment.values.get("views", 0)
    fixed = spec.method.name == "extract"
    if fixed and views and "augment" not in spec.method.values:
        spec = replace(spec, method=Part(spec.method.name, {**spec.method.values, "augment": True}))
    if spec.augment.name != "auto":
        return spec
    if fixed and not views:
        name, why = "none", "frozen features are computed once (--views 4 adds those of augmented images)"
    else:
        name, why = "light", "crops and mirror images seldom harm; check that a mirror image keeps its label"
    journal.decide("augment", name, why, "--augment")
    return replace(spec, augment=Part(name, spec.augment.values))


def check_views(spec: Spec) -> None:
    """Raises OptionError where nothing is frozen whose output could be kept."""
    views, method = spec.augment.values.get("views", 0), options("method", spec.method)
    if views and spec.method.name != "extract" and str(getattr(method, "freeze", None) or "none") in ("none", "0"):
        repair = "add --freeze STAGE" if hasattr(method, "freeze") else "use --method extract, or finetune with --freeze STAGE"
        raise OptionError(f"--views keeps what frozen stages make of augmented images, but nothing stays frozen here; {repair}.")
    if views and spec.augment.name == "none":
        raise OptionError("--views are augmented images, but --augment none was given; leave one of them out.")


def write_down(parts: Parts, journal: Journal) -> None:
    data, body = parts.data, parts.backbone
    counts = {"train": len(data.train), "val": len(data.val or ()), "test": len(data.test or ())}
    plan = {name: getattr(data.plan, name) for name in data.plan.__dataclass_fields__}
    journal.write(
        "data", source=data.source, reader=parts.spec.data.name, counts=counts, classes=list(data.schema.classes), plan=plan,
        fingerprint=data.fingerprint,
    )  # fmt: skip
    stages = [
        {"name": n, "width": w, "stride": s, "form": f, "parameters": sum(p.numel() for p in stage.parameters())}
        for n, w, s, f, stage in zip(body.names, body.widths, body.strides, body.forms, body.stages, strict=True)
    ]
    origin = body.origin
    journal.write(
        "backbone", name=origin.name, architecture=origin.architecture, weights=origin.weights, sha256=origin.sha256,
        licence=origin.licence, trained_on=origin.trained_on, stages=stages, size=body.prepare.size, parents=list(origin.parents),
    )  # fmt: skip
