"""From a spec to the pieces of a fit: data with roles, body, task, net, batches."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch

from .. import catalog
from ..core import Backbone, Data, Net, Note, Phase, Task
from ..data import order
from ..data.augment import Augment
from ..data.streams import Streams
from ..data.texts import Texts
from ..engine import device
from ..engine.device import Machine
from ..engine.journal import Journal
from ..errors import DataError, OptionError, nearest
from ..heads.pool import body_pooling
from ..readers import split, unlabelled
from ..readers.labels import fingerprint, text_fingerprint
from ..spec import Part, Spec, options
from . import choosing, lineage, modality, teaching


@dataclass(frozen=True)
class Parts:
    """Everything a fit needs; `spec` has every name and default filled in. truth: the target's rows with their labels, null where
    there is none, which no method sees; None where none were given. past: what the run that the fit starts from learnt before."""

    spec: Spec
    data: Data
    backbone: Backbone
    task: Task
    streams: Streams | Texts
    machine: Machine
    truth: pa.Table | None = None
    past: lineage.Past = field(default_factory=lineage.Past)

    def net(self, run: str) -> Net:
        """A fresh net with the body's own weights, a new head drawn from the seed and the run's name, and the heads of earlier tasks."""
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
        return self.machine.place(self.past.attach(net))

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
    path, spec = spec.data.values["path"], choosing.name_reader(spec, journal)
    named = {task: target for target, task in choosing.TASKS.items()}.get(spec.task.name)
    if named and "target" in catalog.options("reader", spec.data.name).__dataclass_fields__ and "target" not in spec.data.values:
        # Whole numbers in a table may be names or amounts; the task that the user named says which.
        spec = replace(spec, data=Part(spec.data.name, {**spec.data.values, "target": named}))
    if spec.method.name == "extend" and "fewest" in catalog.options("reader", spec.data.name).__dataclass_fields__:
        # One class alone is enough where it is added to others.
        spec = replace(spec, data=Part(spec.data.name, {"fewest": 1, **spec.data.values}))
    data = catalog.resolve("reader", spec.data.name)(path, options("data", spec.data))
    data = modality.checked(beside(spec, data), getattr(options("data", spec.data), "bad_share", 0.05))
    data = split.assign(data, select_on=spec.select_on, folds=spec.folds, seed=spec.seed, adapts=spec.target is not None)
    for note in data.notes:
        journal.write("note", level=note.level, text=note.text, count=len(note.files), files=list(note.files[:20]))
    roles, flags = f"{data.plan.select} selects; {data.plan.score} is scored", "--select-on, --folds"
    if data.schema.target == "none":
        roles, flags = data.plan.select, ""
    journal.decide("roles", roles, data.plan.reason, flags)
    return spec, data


def beside(spec: Spec, data: Data) -> Data:
    """The data with the rows of the target domain and those without labels, as far as they are given."""
    notes, found = [], {}
    for name in ("target", "unlabelled"):
        if (path := getattr(spec, name)) is not None:
            found[name], said = unlabelled.rows(path, data.schema)
            notes += said
    if not found:
        return data
    if "unlabelled" in found:
        # What is scored is learnt from in no way, and what has a label is there already.
        every, found["unlabelled"] = found["unlabelled"], unlabelled.apart(found["unlabelled"], (data.train, data.val, data.test))
        if not len(found["unlabelled"]):
            raise DataError(f"Every sample in --unlabelled '{spec.unlabelled}' is among the labelled ones; give others, or leave it out.")
        if twice := len(every) - len(found["unlabelled"]):
            notes.append(Note("info", f"{twice} of the {len(every)} unlabelled samples are copies of labelled ones and are left out."))
    known = (text_fingerprint if data.schema.modality == "text" else fingerprint)(found.values())
    digest = device.short_digest(data.fingerprint, known)
    return replace(data, **found, fingerprint=digest, notes=data.notes + tuple(notes))


def truth(spec: Spec, data: Data) -> pa.Table | None:
    """The target's rows with their labels, for the end."""
    if spec.target_labels is None:
        return None
    if data.target is None:
        raise OptionError("--target-labels are the labels of a target, and none is given; add --target PATH.")
    return unlabelled.labels(spec.target_labels, data.target, data.schema)


def assemble(spec: Spec, journal: Journal) -> Parts:
    """Read, choose, load and build; raises before anything is written."""
    machine = device.find(spec.threads)
    spec, data = read(lineage.settled(spec, journal), journal)
    data = lineage.extend(spec, data, journal)
    spec = choosing.name_task(spec, data, journal)
    spec = choosing.name_backbone(spec, data, journal, measure=True)
    backbone = choosing.name_pairs(spec, data, modality.load(spec.backbone, spec.seed), journal)
    spec = choosing.name_kind(spec, data, backbone, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    data = data if task.expand is None else task.expand(data, backbone.prepare)
    spec = choosing.name_method(spec, data, backbone, machine, journal)
    spec = choosing.share_budget(choosing.name_length(spec, data, journal), data, journal)
    # The method's choice may have named the layers that the task's head reads.
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    spec = choosing.name_augment(spec, data, journal)
    spec, data = teaching.taught(spec, data, task, machine, journal)
    choosing.check_views(spec)
    choosing.check_evidence(spec, data)
    augment = Augment(options("augment", spec.augment))
    streams = modality.streams(backbone, task.encode, data.schema, spec.seed, augment)
    choosing.tell_cut(streams, data, journal)
    parts = Parts(spec.filled(), data, backbone, task, streams, machine, truth(spec, data))
    parts = remember(parts, journal)
    # A method checks its options against the net before its first phase; do that before anything is written.
    next(parts.phases(parts.net("final"), parts.data)(), None)
    write_down(parts, journal)
    return parts


def remember(parts: Parts, journal: Journal) -> Parts:
    """With what the run that the fit starts from learnt before, and what its heads say of the new rows where the method needs it."""
    if lineage.source(parts.spec) is None:
        return parts
    past = lineage.recall(parts.spec, parts.net("final"), journal)
    parts = replace(parts, past=past, data=replace(parts.data, earlier=past.rows))
    told = lineage.recorded(parts.spec.method.name, parts.data, lambda: parts.net("final"), parts.streams, parts.machine)
    return replace(parts, data=told)


def write_down(parts: Parts, journal: Journal) -> None:
    data, body = parts.data, parts.backbone
    counts = {"train": len(data.train), "val": len(data.val or ()), "test": len(data.test or ())}
    plan = {name: getattr(data.plan, name) for name in data.plan.__dataclass_fields__}
    journal.write(
        "data", modality=data.schema.modality, target=data.schema.target, source=data.source,
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
