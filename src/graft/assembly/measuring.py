"""What a frozen body is worth on these data, layer by layer: features from one pass, and what the advisor makes of them."""

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from ..advisor import references, scores, similarity
from ..core import Backbone, Data, Net, Task
from ..data import order
from ..data.streams import Streams
from ..engine import device, precision, statistics, store, train
from ..engine.device import Machine
from ..engine.journal import Journal
from ..engine.passes import Passes
from ..heads.pool import bare
from ..methods import groups, recipe
from . import modality

ROWS = 2000
"""Learning rows that are measured at most; more of them change the order of bodies little and cost their time."""
PARTS, PART = 8, 8
"""Images for the BatchNorm statistics: so many parts of so many."""


@dataclass(frozen=True)
class Measured:
    """body: the row of advice.json. features: {layer: [n, width]} of `rows` (numbers of the learning rows), targets [n] encoded."""

    body: dict
    features: dict[str, np.ndarray]
    rows: np.ndarray
    targets: np.ndarray


def drawn(data: Data, most: int, seed: int) -> np.ndarray:
    """Numbers of at most `most` learning rows, rising."""
    count = len(data.learning())
    return np.sort(order.generator(seed, "measured").permutation(count)[:most])


def every_layer(body: Backbone, pool: str = "auto") -> Net:
    """The body with all its stages tapped and no head."""
    return bare(body, tuple(range(len(body.names))), pool)


def last_layer(body: Backbone, pool: str = "auto") -> Net:
    """The body with its last stage tapped and no head."""
    return bare(body, (len(body.names) - 1,), pool)


def features(net: Net, table: pa.Table, passes: Passes, tick=lambda n: None) -> dict[str, np.ndarray]:
    """{layer: float32 [n, width]}, from one pass, kept in the store."""
    shapes = device.blank(net, len(net.stages))
    widths = [shapes[f"tap{i}"].shape[1] for i in range(len(net.taps))]
    joined = passes.kept(net, net.pooled, table, tick=tick)
    x = joined.take(np.arange(len(joined)))["x"].numpy()
    names = [net.names[tap] for tap in net.taps]
    return dict(zip(names, np.split(x, np.cumsum(widths)[:-1], axis=1), strict=True))


def measure(
    body: Backbone, data: Data, task: Task, machine: Machine, journal: Journal, seed: int = 0, head: tuple | None = None, most: int = ROWS,
) -> Measured:  # fmt: skip
    """One row of advice.json's "bodies", from the learning rows alone: what is scored is never looked at.

    head: (weight [s, width], bias [s]) of the classifier the body was trained with, for LEEP and NCE.
    """
    rows = drawn(data, most, seed)
    table = data.learning().take(pa.array(rows))
    net = machine.place(every_layer(body))
    with modality.streams(body, task.encode, data.schema, seed) as batches:
        passes = Passes(batches, machine, "auto", store.find(), Journal())
        began = time.monotonic()
        found = features(net, table, passes, journal.progress(f"{body.origin.name}: features", len(rows)))
        seconds = time.monotonic() - began
        targets = task.encode(table).numpy()
        near = _similarity(net, table, batches, machine, found[net.names[-1]], seed)
    each = [_layer(name, x, targets, data.schema.target, seed) for name, x in found.items()]
    if head is not None and data.schema.target == "class" and found[net.names[-1]].shape[1] == head[0].shape[1]:
        each[-1] |= _source_head(found[net.names[-1]], head, targets)
    origin = body.origin
    row = {
        "name": origin.name, "weights": origin.weights, "licence": origin.licence, "trained_on": origin.trained_on,
        "size": body.prepare.size, "parameters": sum(p.numel() for p in body.stages.parameters()),
        "seconds_per_1000": round(1000 * seconds / max(len(rows), 1), 2), "rows": len(rows), "similarity": near, "layers": each,
    }  # fmt: skip
    return Measured(row, found, rows, targets)


def resemblance(body: Backbone, data: Data, task: Task, machine: Machine, seed: int = 0) -> dict:
    """{"level", "words", "measures"}: how near the data are to what the body was trained on, from a few of the learning rows."""
    net = machine.place(last_layer(body))
    table = data.learning()
    with modality.streams(body, task.encode, data.schema, seed) as batches:
        return _similarity(net, table, batches, machine, None, seed)


def probes(body: Backbone, data: Data, task: Task, machine: Machine, journal: Journal, seed: int = 0) -> list[dict]:
    """{"name", "probe", "interval"} of every layer, first to last, by cross-validation on the learning rows; texts are pooled as
    the task pools them."""
    rows = drawn(data, ROWS, seed)
    table = data.learning().take(pa.array(rows))
    net = machine.place(every_layer(body, task.pool if data.schema.modality == "text" else "auto"))
    with modality.streams(body, task.encode, data.schema, seed) as batches:
        found = features(net, table, Passes(batches, machine, "auto", store.find(), Journal()))
    targets = task.encode(table).numpy()
    each = {name: scores.probe(x, targets, seed, data.schema.target) for name, x in found.items()}
    return [{"name": name, "probe": one.value, "interval": list(one.interval)} for name, one in each.items()]


def last_probe(body: Backbone, data: Data, task: Task, machine: Machine, journal: Journal, seed: int, most: int) -> tuple[dict, int]:
    """({"name", "probe", "interval", "logme"} of the last layer, of how many rows), as `measure` has them."""
    rows = drawn(data, most, seed)
    table = data.learning().take(pa.array(rows))
    net = machine.place(last_layer(body))
    with modality.streams(body, task.encode, data.schema, seed) as batches:
        found = features(net, table, Passes(batches, machine, "auto", store.find(), Journal()))
    targets, x = task.encode(table).numpy(), found[net.names[-1]]
    probe = scores.probe(x, targets, seed, data.schema.target)
    logme = scores.logme(x, targets, data.schema.target)
    return {"name": net.names[-1], "probe": probe.value, "interval": list(probe.interval), "logme": logme}, len(rows)


def class_counts(data: Data) -> dict[str, int]:
    """How many learning rows each class has (all of them, where the target is a number)."""
    labels = data.learning()[data.schema.label]
    if data.schema.target == "number":
        return {"rows": len(labels)}
    flat = labels.combine_chunks()
    flat = flat.flatten() if data.schema.target == "labels" else flat
    found = {row["values"]: row["counts"] for row in flat.value_counts().to_pylist()}
    return {name: found.get(name, 0) for name in data.schema.classes}


def _layer(name: str, x: np.ndarray, targets: np.ndarray, target: str, seed: int) -> dict:
    """A row of "layers"; what cannot be measured on these rows is None."""
    probe = scores.probe(x, targets, seed, target)
    classes = target == "class"
    return {
        "name": name, "width": x.shape[1], "metric": probe.metric, "probe": probe.value, "interval": list(probe.interval),
        "logme": scores.logme(x, targets, target), "h_score": scores.h_score(x, targets) if classes else None,
        "knn": scores.knn(x, targets, seed=seed) if classes else None, "leep": None, "nce": None,
    }  # fmt: skip


def _source_head(x: np.ndarray, head: tuple, targets: np.ndarray) -> dict:
    logits = torch.from_numpy(x) @ head[0].T.float() + head[1].float()
    probabilities = logits.softmax(1).numpy()
    return {"leep": scores.leep(probabilities, targets), "nce": scores.nce(probabilities.argmax(1), targets)}


def _similarity(net: Net, table: pa.Table, batches: Streams, machine: Machine, last: np.ndarray | None, seed: int) -> dict:
    """How near the data are to what the body was trained on, by its BatchNorm statistics, and by the reference that is kept with it.

    last: features [n, width] of the last layer, where they are there already."""
    measures: dict[str, float] = {}
    rows = order.generator(seed, "similar").permutation(len(table))[: PARTS * PART]
    parts = [batch.inputs for batch in batches.plain(table.take(pa.array(np.sort(rows))), PART) if len(batch.rows) == min(PART, len(rows))]
    norms = statistics.norms(net, parts, machine) if net.origin.trained_on not in ("", "nothing") else None
    if norms is not None:
        measures["batch_norm_frechet"] = similarity.batch_norm_frechet(
            norms.batch_mean, norms.batch_var, norms.running_mean, norms.running_var
        ).median
    reference = None if last is None else references.find(net.origin.sha256, batches.prepare.size)
    if reference is not None and len(reference.mean) == last.shape[1]:
        measures |= similarity.compare(last, reference, seed)
    level, words = similarity.judge(measures)
    said = "" if last is None else similarity.beside(measures, reference, net.origin.name)
    return {"level": level, "words": words, "measures": measures, "beside": said}


def step_cost(body: Backbone, task: Task, data: Data, machine: Machine, opts: recipe.Training) -> tuple[float, float]:
    """(seconds of fine-tuning everything for one sample and epoch, MB at most), by a trial of single passes of a few samples."""
    net = machine.place(last_layer(body))
    phase = recipe.phase("trial", task, data, opts, groups.layerwise(net, opts.lr, opts.decay, 0.0), count=1)
    with modality.streams(body, task.encode, data.schema, 0) as batches:
        cells = order.mean_cells(batches.cells(data.train))
    batch = {key: value.repeat(precision.TRIED, *[1] * (value.ndim - 1)) for key, value in device.blank(net, 0, cells).items()}
    device.restart_peak(machine)
    before = device.recent_peak_mb(machine)
    seconds = train.pass_seconds(machine, net, phase, batch, 0) / precision.TRIED
    memory = before + (device.recent_peak_mb(machine) - before) * opts.batch / precision.TRIED
    return seconds, memory
