"""From a spec to the pieces of a fit: data with roles, body, task, net, batches. Every automatic choice is written down."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from . import catalog, measuring, modality
from .advisor import rank, rules
from .core import Backbone, Data, Net, Phase, Task
from .data import order
from .data.augment import Augment
from .data.streams import Streams
from .data.texts import Texts
from .engine import device
from .engine.device import Machine
from .engine.journal import Journal
from .errors import OptionError, nearest
from .heads.pool import body_pooling
from .readers import split
from .readers.sniff import reader_of
from .spec import Part, Spec, backbone_row, options
from .tasks import spans

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
    streams: Streams | Texts
    machine: Machine

    def net(self, run: str) -> Net:
        """A fresh net with the body's own weights and a new head, drawn from the seed and the run's name."""
        body = replace(self.backbone, stages=copy.deepcopy(self.backbone.stages))
        net = Net(body, body_pooling(body, self.task.pool), torch.nn.Identity(), taps(self.task.layers, body.names))
        width = device.pooled_width(net)
        torch.manual_seed(int(order.generator(self.spec.seed, run, "head").integers(2**62)))
        if self.task.config.get("mix") and len({body.widths[tap] for tap in net.taps} | {-1}) != 2:
            raise OptionError("Layers of different widths cannot be averaged; name layers of one width, or leave out task.mix.")
        if self.task.config.get("mix") and len(net.taps) != len(self.task.layers):
            raise OptionError("A layer to average is named twice in --layers; name each once.")
        # What names tokens belongs to the body's own vocabulary.
        net.head = body.language_head() if self.task.schema.target == "language" else self.task.head(width)
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
    data = modality.checked(data, getattr(options("data", spec.data), "bad_share", 0.05))
    data = split.assign(data, select_on=spec.select_on, folds=spec.folds, seed=spec.seed)
    for note in data.notes:
        journal.write("note", level=note.level, text=note.text, count=len(note.files), files=list(note.files[:20]))
    journal.decide("roles", f"{data.plan.select} selects; {data.plan.score} is scored", data.plan.reason, "--select-on, --folds")
    return spec, data


def name_reader(spec: Spec, journal: Journal) -> Spec:
    if spec.data.name != "auto":
        return spec
    name, why = reader_of(spec.data.values["path"])
    journal.decide("reader", name, why, "--reader")
    return replace(spec, data=Part(name, spec.data.values))


def assemble(spec: Spec, journal: Journal) -> Parts:
    """Read, choose, load and build; raises before anything is written."""
    machine = device.find(spec.threads)
    spec, data = read(spec, journal)
    spec = name_task(spec, data, journal)
    spec = name_backbone(spec, data, journal)
    row = backbone_row(spec.backbone.name)
    opts = options("backbone", spec.backbone)
    backbone = catalog.resolve("backbone", row.name)(spec.backbone.name, opts, spec.seed)
    modality.check_body(backbone, data)
    spec = name_kind(spec, data, backbone, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    data = data if task.expand is None else task.expand(data, backbone.prepare)
    spec = share_budget(name_length(name_method(spec, data, backbone, machine, journal), data, journal), data, journal)
    # The method's choice may have named the layers that the task's head reads.
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    spec = name_augment(spec, data, journal)
    check_views(spec)
    augment = Augment(options("augment", spec.augment))
    streams = modality.streams(backbone, task.encode, data.schema, spec.seed, augment)
    tell_cut(streams, data, journal)
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


_TASKS = {
    "class": "classification", "labels": "multilabel", "number": "regression", "tags": "tags", "spans": "spans", "language": "language",
}  # fmt: skip
_LABELS = {
    "class": "one name a sample", "labels": "several names a sample", "number": "numbers", "tags": "a tag a word",
    "spans": "answers inside a context", "language": "the texts themselves",
}  # fmt: skip
FEW_TEXTS = 64
"""Rows of the median class up to which the body is fine-tuned on pairs of them; beyond, head and body learn together."""


def name_kind(spec: Spec, data: Data, body: Backbone, journal: Journal) -> Spec:
    """Of a language model: whether it goes on with a text or fills in what is masked, as its body does; of questions, whether
    some have no answer."""
    if data.schema.target == "spans" and spec.task.values.get("none") is None:
        none = spans.settle(options("task", spec.task), data).none
        why = "some training questions have none" if none else "every training question has one"
        journal.decide("no answer", "possible" if none else "never given", why, "--set task.none=true|false")
        return replace(spec, task=Part(spec.task.name, {**spec.task.values, "none": none}))
    if data.schema.target != "language":
        return spec
    usual, length = catalog.options("task", spec.task.name).block, body.prepare.length
    if "block" not in spec.task.values and usual > length:
        journal.decide("tokens of a row", str(length), f"{body.origin.name} reads no more", "--set task.block=N")
        spec = replace(spec, task=Part(spec.task.name, {**spec.task.values, "block": length}))
    if spec.task.values.get("kind", "auto") != "auto":
        return spec
    kind = "causal" if body.causal else "masked"
    journal.decide("kind of language model", kind, f"{body.origin.name} was trained so", "--set task.kind=causal|masked")
    return replace(spec, task=Part(spec.task.name, {**spec.task.values, "kind": kind}))


def name_length(spec: Spec, data: Data, journal: Journal) -> Spec:
    """What fine-tuning a text body has differently from an image body: few rounds, and rates that fall less from layer to layer."""
    known = catalog.options("method", spec.method.name).__dataclass_fields__
    if data.schema.modality != "text" or "epochs" not in known or spec.method.name in _OWN_LENGTH:
        return spec
    own = {name: told for name, told in TEXT_RATES.get(spec.method.name, {}).items() if name not in spec.method.values}
    for name, (value, why) in own.items():
        journal.decide(name, f"{value:g}", why, f"--set method.{name}")
    told = {name: value for name, (value, _) in own.items()}
    spec = replace(spec, method=Part(spec.method.name, {**spec.method.values, **told}))
    if "epochs" in spec.method.values:
        return spec
    batch = spec.method.values.get("batch", known["batch"].default)
    epochs = max(2, min(10, round(TEXT_STEPS * batch / max(len(data.train), 1))))
    why = f"about {TEXT_STEPS} steps within 2 to 10 rounds are what a text body needs"
    journal.decide("epochs", str(epochs), why, "--epochs")
    return replace(spec, method=Part(spec.method.name, {**spec.method.values, "epochs": epochs}))


TEXT_STEPS = 500
_ALIKE = (0.9, "the layers of a text body are more alike than those of an image body")
TEXT_RATES = {
    "finetune": {"decay": _ALIKE, "smoothing": (0.0, "the temperature calibrates")},
    "lp_ft": {"decay": _ALIKE, "lr": (2e-5, "a head that is solved on small features is steep, and larger rates wreck what it stands on")},
}
"""Sun et al. (2019), "How to fine-tune BERT", found a decay of 0.95 best of four; on rt_polarity 0.9 did better than the 0.8 of images."""
_OWN_LENGTH = ("extract", "few_shot", "scratch")


def tell_cut(streams, data: Data, journal: Journal) -> None:
    """Texts longer than the body reads are cut, and that is said."""
    if data.schema.modality != "text":
        return
    cut = np.array([one.cut for one in streams.tokens(data.train)])
    if cut.any():
        share, longest = float((cut > 0).mean()), int(cut.max()) + streams.prepare.length
        length = streams.prepare.length
        text = f"{share:.1%} of the training texts are longer than {length} tokens (up to about {longest}) and are cut there; "
        text += "--set backbone.length=N reads more, where the body can."
        journal.write("note", level="warning" if share > 0.1 else "info", text=text, count=int((cut > 0).sum()), files=[])


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
    if data.schema.modality == "text":
        return name_text_method(spec, data, journal)
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


def name_text_method(spec: Spec, data: Data, journal: Journal) -> Spec:
    """Of texts, frozen features say what a text is about and little of its tone, so the body learns too, however few they are."""
    target = data.schema.target
    if target == "class" and np.median(list(measuring.class_counts(data).values())) <= FEW_TEXTS:
        why = f"few texts (at most {FEW_TEXTS} in the median class): pairs of them teach the body, then a linear head is solved"
        name = "few_shot"
    elif target in ("class", "labels", "number"):
        name, why = "finetune", "enough texts for all layers to learn with the head"
    else:
        name, why = "finetune", f"the labels are {_LABELS[target]}: all layers learn with the head"
    unfit = sorted(set(spec.method.values) - set(catalog.options("method", name).__dataclass_fields__))
    name = "finetune" if unfit else name
    journal.decide("method", name, why, "--method")
    return replace(spec, method=Part(name, spec.method.values))


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


def name_backbone(spec: Spec, data: Data, journal: Journal) -> Spec:
    """The embedded body where none is named; random weights for the control."""
    backbone = spec.backbone
    if backbone.name == "auto":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Weights were given but no body to load them into; name it, for example --backbone mobilenetv2_100.")
        name = modality.EMBEDDED[data.schema.modality]
        why = "no body was named; this one ships with graft and needs no download (a larger one is usually better)"
        journal.decide("backbone", name, why, "--backbone")
        backbone = Part(name, backbone.values)
    if spec.method.name == "scratch":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Method 'scratch' starts from random weights; leave out --weights, or use --method finetune.")
        if backbone.name.startswith("run:") or backbone.name == "gabor":
            raise OptionError(f"Method 'scratch' cannot start '{backbone.name}' from random weights; name a network or an embedded body.")
        backbone = Part(backbone.name, {**backbone.values, "weights": "none"})
    elif "fetch" in options("backbone", backbone).__dataclass_fields__ and "fetch" not in backbone.values:
        backbone = Part(backbone.name, {**backbone.values, "fetch": spec.fetch})
    return replace(spec, backbone=backbone)


def name_augment(spec: Spec, data: Data, journal: Journal) -> Spec:
    """What training images go through; --views asks for augmentation where the method has none of its own."""
    views = spec.augment.values.get("views", 0)
    if data.schema.modality == "text":
        if views or spec.augment.name not in ("auto", "none"):
            raise OptionError("Texts are not augmented; leave out --augment and --views.")
        return replace(spec, augment=Part("none", spec.augment.values))
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
        "data", modality=data.schema.modality, source=data.source,
        reader=parts.spec.data.name, counts=counts, classes=list(data.schema.classes), plan=plan,
        fingerprint=data.fingerprint,
    )  # fmt: skip
    stages = [
        {"name": n, "width": w, "stride": s, "form": f, "parameters": sum(p.numel() for p in stage.parameters())}
        for n, w, s, f, stage in zip(body.names, body.widths, body.strides, body.forms, body.stages, strict=True)
    ]
    origin = body.origin
    journal.write(
        "backbone", modality=data.schema.modality, name=origin.name,
        architecture=origin.architecture, weights=origin.weights, sha256=origin.sha256,
        licence=origin.licence, trained_on=origin.trained_on, stages=stages, size=body.prepare.size, parents=list(origin.parents),
    )  # fmt: skip
