"""`graft check`: what is wrong with the data before a minute of training is spent on them."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from . import catalog, measuring
from .core import Backbone, Data, Task
from .data.augment import Augment, Options
from .data.streams import Streams
from .engine import device, store
from .engine.device import Machine
from .engine.journal import Journal
from .engine.passes import Passes
from .errors import DataError
from .inspect import confident, copies, duplicates, outliers, photos, shortcuts, table
from .inspect.finding import Finding, ordered
from .readers import split
from .spec import Part, Spec, backbone_row, options
from .wiring import name_reader, name_task

SPLITS = ("train", "val", "test", "target", "unlabelled")
MOST = 20_000
"""Images whose features are computed: a frozen pass of more takes minutes, and neighbours of each grow with their square."""


@dataclass(frozen=True)
class Sheet:
    """All readable rows of all splits, one after the other: path, label (a name, a list, a number, or None) and split of each."""

    table: pa.Table
    splits: tuple[str, ...]
    labels: tuple

    @property
    def paths(self) -> list[str]:
        return self.table["path"].to_pylist()


def check(spec: Spec, journal: Journal) -> tuple[dict, list[dict]]:
    """(the content of check.json, the rows of label_errors.csv). Raises DataError where there is nothing to read."""
    began = time.monotonic()
    machine = device.find(spec.threads)
    spec = name_reader(spec, journal)
    raw = catalog.resolve("reader", spec.data.name)(spec.data.values["path"], options("data", spec.data))
    facts = photos.gather(_paths(raw), torch.get_num_threads(), journal.progress("files", len(_paths(raw))))
    data = without(raw, {path for path, _ in facts.unreadable})
    if not len(data.train):
        raise DataError(f"None of the training images in '{raw.source}' can be read; look at: {facts.unreadable[0][0]}.")
    sheet = sheet_of(data)
    part = Part("graft-mini") if spec.backbone.name == "auto" else spec.backbone
    body = catalog.resolve("backbone", backbone_row(part.name).name)(part.name, options("backbone", part), spec.seed)
    found: list[Finding] = [*photos.findings(facts, _labels_of(facts, sheet), body.prepare.size)]
    left_out: list[str] = []
    try:
        found += table.findings(split.assign(data, spec.select_on, spec.folds, spec.seed))
    except DataError as error:
        found += table.findings(data)
        left_out.append(f"Roles could not be given: {error}")
    more, suspects = _by_features(spec, data, sheet, facts, body, machine, journal, left_out)
    found += more
    told = {
        "source": data.source, "counts": {name: sum(one == name for one in sheet.splits) for name in SPLITS if name in sheet.splits},
        "classes": list(data.schema.classes), "backbone": body.origin.name, "findings": [one.as_dict() for one in ordered(found)],
        "looked_for": LOOKED_FOR, "left_out": left_out, "seconds": round(time.monotonic() - began, 2),
    }  # fmt: skip
    return told, suspects


def quick(data: Data, streams: Streams) -> dict:
    """What costs next to nothing to see before a fit, in the form of check.json: labels, classes, groups, equal files."""
    rows = sheet_of(data)
    found = table.findings(replace(data, notes=()))
    known = duplicates.Rows(streams.digests(rows.table), rows.paths, rows.labels, rows.splits)
    groups = duplicates.grouped(len(rows.paths), duplicates.same(known.digests))
    found += duplicates.findings(known, groups, np.empty((0, 2), np.int64), duplicates.Copies())
    return {
        "source": data.source, "counts": {name: rows.splits.count(name) for name in SPLITS if name in rows.splits},
        "classes": list(data.schema.classes), "findings": [one.as_dict() for one in ordered(found)],
        "looked_for": ["labels spelt alike", "missing and small classes", "imbalance", "groups across splits", "equal files"],
        "left_out": ["near duplicates, label errors, outliers and shortcuts: graft check looks for them"],
    }  # fmt: skip


LOOKED_FOR = [
    "unreadable files", "labels spelt alike", "missing and small classes", "imbalance", "groups across splits", "mixed sizes and modes",
    "blank images", "duplicates and near duplicates", "label errors", "outliers", "shortcuts",
]  # fmt: skip


def _by_features(
    spec: Spec, data: Data, sheet: Sheet, facts: photos.Facts, body: Backbone, machine: Machine, journal: Journal, left_out: list[str]
) -> tuple[list[Finding], list[dict]]:
    """Duplicates, outliers, label errors and shortcuts; rows of label errors."""
    spec = name_task(spec, data, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    rows = np.arange(len(sheet.table))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(spec.seed).permutation(len(rows))[:MOST])
        left_out.append(
            f"Duplicates, outliers and label errors were looked for in {MOST:,} of {len(sheet.table):,} images, drawn at random."
        )
    part = Sheet(sheet.table.take(pa.array(rows)), tuple(sheet.splits[i] for i in rows), tuple(sheet.labels[i] for i in rows))
    plain = features(body, task, data, part, machine, journal, spec.seed)
    place = {path: i for i, path in enumerate(facts.path)}
    at = np.array([place[path] for path in part.paths])
    known = duplicates.Rows([facts.digest[i] for i in at], part.paths, part.labels, part.splits)
    # Thumbnails alone: features find a few more cropped copies and cost a second pass (benchmarks/planted.py --embeddings).
    found, words = duplicates.find(known, copies.Pictures(facts.small[at]), seed=spec.seed)
    left_out += words
    classes = data.schema.target == "class"
    named = [str(label) for label in part.labels] if classes and None not in part.labels else None
    found += outliers.finding(plain, part.paths, named, spec.seed)
    found += outliers.blank(facts, _labels_of(facts, sheet))
    if named is None:
        left_out.append("Label errors and shortcuts are looked for only where each image has one class.")
        return found, []
    numbers = np.array([data.schema.classes.index(name) for name in named])
    suspects, score = [], None
    try:
        probabilities = confident.out_of_fold(plain, numbers, spec.seed)
        score = float((probabilities.argmax(1) == numbers).mean())
        suspicion = confident.suspects(probabilities, numbers)
        about = (suspicion, probabilities, numbers, data.schema.classes, part.paths, part.splits)
        finding = confident.finding(*about)
        found += [finding] if finding else []
        suspects = confident.listed(*about)
        shown = photos_of(facts, at)
        found += shortcuts.finding(shortcuts.probe(shown, named, _groups(part.table), spec.seed), score)
    except DataError as error:
        left_out.append(str(error))
    return found, suspects


def features(body: Backbone, task: Task, data: Data, sheet: Sheet, machine: Machine, journal: Journal, seed: int) -> np.ndarray:
    """Features [n, d] of every image, kept as those of a fit are, and shared with it."""
    net, count = machine.place(measuring.last_layer(body)), len(sheet.table)
    with Streams(body.prepare, task.encode, Augment(Options("none")), seed, 0, data.schema.input, torch.get_num_threads()) as streams:
        passes = Passes(streams, machine, "exact", store.find(), Journal())
        kept = passes.kept(net, net.pooled, sheet.table, tick=journal.progress("features", count))
        return kept.take(np.arange(count))["x"].numpy()


def sheet_of(data: Data) -> Sheet:
    tables, splits, labels = [], [], []
    for name in SPLITS:
        one = getattr(data, name)
        if one is None or not len(one):
            continue
        tables.append(pa.table({"path": one[data.schema.input], **({"group": one["group"]} if "group" in one.column_names else {})}))
        splits += [name] * len(one)
        labels += one[data.schema.label].to_pylist() if data.schema.label in one.column_names else [None] * len(one)
    return Sheet(pa.concat_tables(tables, promote_options="default"), tuple(splits), tuple(labels))


def without(data: Data, bad: set[str]) -> Data:
    """The data without these files."""
    if not bad:
        return data
    tables = {}
    for name in SPLITS:
        one = getattr(data, name)
        if one is not None:
            one = one.filter(pa.array([path not in bad for path in one[data.schema.input].to_pylist()], pa.bool_()))
            tables[name] = one if len(one) or name == "train" else None
    return replace(data, **tables)


def photos_of(facts: photos.Facts, rows: np.ndarray) -> photos.Facts:
    """The facts of some of the files, in that order."""
    picked = {
        name: value[rows] if isinstance(value, np.ndarray) else tuple(value[i] for i in rows)
        for name in facts.__dataclass_fields__
        if name != "unreadable" and (value := getattr(facts, name)) is not None
    }
    return replace(facts, **picked)


def _paths(data: Data) -> list[str]:
    tables = (getattr(data, name) for name in SPLITS)
    return list(dict.fromkeys(path for one in tables if one is not None for path in one[data.schema.input].to_pylist()))


def _labels_of(facts: photos.Facts, sheet: Sheet) -> list:
    known = dict(zip(sheet.paths, sheet.labels, strict=True))
    return [known.get(path) for path in facts.path]


def _groups(rows: pa.Table) -> list | None:
    return rows["group"].to_pylist() if "group" in rows.column_names else None


def write(found: dict, suspects: list[dict], folder: Path) -> None:
    """check.json's companions: the labels to look at, and the copies that can go."""
    if suspects:
        confident.write(folder / "label_errors.csv", suspects)
    spare = [path for one in found["findings"] if one["kind"] in ("exact_duplicates", "near_duplicates") for path in one["files"]]
    if spare:
        (folder / "duplicates.txt").write_text("\n".join(dict.fromkeys(spare)) + "\n", encoding="utf-8")
