"""`graft check`: what is wrong with the data before a minute of training is spent on them."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from .. import catalog
from ..advisor import similarity
from ..assembly import measuring, modality
from ..assembly.choosing import name_kind, name_reader, name_task
from ..core import Backbone, Data, Task
from ..engine import device, store
from ..engine.device import Machine
from ..engine.journal import Journal
from ..engine.passes import Passes
from ..errors import DataError
from ..fits.first_look import SPLITS, Sheet, sheet_of
from ..inspect import confident, copies, duplicates, gap, outliers, passages, photos, shortcuts, table
from ..inspect.finding import Finding, ordered
from ..inspect.passage_copies import Passages
from ..readers import split, unlabelled
from ..spec import Part, Spec, options

MOST = 20_000
"""Images whose features are computed: a frozen pass of more takes minutes, and neighbours of each grow with their square."""
FEWEST = 10
"""Samples of each domain from which the gap between them is measured."""


def check(spec: Spec, journal: Journal) -> tuple[dict, list[dict]]:
    """(the content of check.json, the rows of label_errors.csv). Raises DataError where there is nothing to read."""
    began = time.monotonic()
    machine = device.find(spec.threads)
    spec = name_reader(spec, journal)
    raw = catalog.resolve("reader", spec.data.name)(spec.data.values["path"], options("data", spec.data))
    kind = raw.schema.modality
    part = Part(modality.EMBEDDED[kind]) if spec.backbone.name == "auto" else spec.backbone
    body = modality.suited(modality.load(part, spec.seed), raw)
    found: list[Finding] = []
    if kind == "text":
        data, sheet = raw, sheet_of(raw)
        facts = passages.gather(sheet.paths, sheet.table[raw.schema.input].to_pylist())
        with modality.streams(body, lambda table: torch.zeros(len(table)), raw.schema, spec.seed) as streams:
            sides = 2 if body.prepare.apart else 1  # Of two texts that are read apart the longer counts.
            tokens = np.array([len(one) // sides + one.cut for one in streams.tokens(sheet.table)])
        found += passages.findings(facts, sheet.labels, tokens, body.prepare.length)
    else:
        facts = photos.gather(_paths(raw), torch.get_num_threads(), journal.progress("files", len(_paths(raw))))
        data = without(raw, {path for path, _ in facts.unreadable})
        if not len(data.train):
            raise DataError(f"None of the training images in '{raw.source}' can be read; look at: {facts.unreadable[0][0]}.")
        sheet = sheet_of(data)
        found += photos.findings(facts, _labels_of(facts, sheet), body.prepare.size)
    left_out: list[str] = []
    try:
        found += table.findings(split.assign(data, spec.select_on, spec.folds, spec.seed))
    except DataError as error:
        found += table.findings(data)
        left_out.append(f"Roles could not be given: {error}")
    more, suspects = _by_features(spec, data, sheet, facts, body, machine, journal, left_out)
    found += more
    if kind == "text":
        second = [("/", one) for one in sheet.table["context"].to_pylist()] if data.schema.pair else [()] * len(facts.path)
        quotes = {path: (text, *other) for path, text, other in zip(facts.path, facts.text, second, strict=True)}
        found = passages.quoted(found, quotes)
    apart, drawn = _gap(spec, sheet, body, machine, raw, journal, left_out) if spec.target else ([], None)
    found += apart
    told = {
        "modality": kind, "source": data.source, "counts": {name: sheet.splits.count(name) for name in SPLITS if name in sheet.splits},
        "classes": list(data.schema.classes), "backbone": body.origin.name, "findings": [one.as_dict() for one in ordered(found)],
        "looked_for": LOOKED_FOR[kind] + (["the gap to the target"] if drawn else []), "left_out": left_out,
        "seconds": round(time.monotonic() - began, 2),
    }  # fmt: skip
    return told | ({"gap": drawn} if drawn else {}), suspects


_ALIKE = [
    "labels spelt alike", "missing and small classes", "imbalance", "groups across splits", "duplicates and near duplicates",
    "label errors", "outliers", "shortcuts",
]  # fmt: skip
LOOKED_FOR = {
    "image": ["unreadable files", "mixed sizes and modes", "blank images", *_ALIKE],
    "text": ["empty and truncated texts", "damaged encoding", "markup and other scripts", *_ALIKE],
}


def _by_features(
    spec: Spec, data: Data, sheet: Sheet, facts: photos.Facts | passages.Facts, body: Backbone, machine: Machine, journal: Journal,
    left_out: list[str],
) -> tuple[list[Finding], list[dict]]:  # fmt: skip
    """Duplicates, outliers, label errors and shortcuts; rows of label errors."""
    spec = name_kind(name_task(spec, data, journal), data, body, journal)
    noun, texts = f"{data.schema.modality}s", data.schema.modality == "text"
    rows = np.arange(len(sheet.table))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(spec.seed).permutation(len(rows))[:MOST])
        left_out.append(
            f"Duplicates, outliers and label errors were looked for in {MOST:,} of {len(sheet.table):,} {noun}, drawn at random."
        )
    part = Sheet(sheet.table.take(pa.array(rows)), tuple(sheet.splits[i] for i in rows), tuple(sheet.labels[i] for i in rows))
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    plain = features(body, task, data, part, machine, journal, spec.seed)
    # The texts of all splits may share their names, so they are known by their places.
    place = {path: i for i, path in enumerate(facts.path)}
    at = rows if texts else np.array([place[path] for path in part.paths])
    beside = part.table["context"].to_pylist() if "context" in part.table.column_names else None
    digests = [facts.digest[i] for i in at]
    if beside is not None:
        digests = [passages.joined_digest(one, context) for one, context in zip(digests, beside, strict=True)]
    known = duplicates.Rows(digests, part.paths, part.labels, part.splits, noun)
    # Thumbnails alone: features find a few more cropped copies and cost a second pass (benchmarks/planted.py --embeddings).
    alike = Passages([facts.text[i] for i in at], beside) if texts else copies.Pictures(facts.small[at])
    found, words = duplicates.find(known, alike, seed=spec.seed)
    left_out += words
    classes = data.schema.target == "class"
    named = [str(label) for label in part.labels] if classes and None not in part.labels else None
    found += outliers.finding(plain, part.paths, named, spec.seed, noun)
    found += [] if texts else outliers.blank(facts, _labels_of(facts, sheet))
    if named is None:
        left_out.append(f"Label errors and shortcuts are looked for only where each {noun[:-1]} has one class.")
        return found, []
    numbers = np.array([data.schema.classes.index(name) for name in named])
    suspects, score = [], None
    try:
        probabilities = confident.out_of_fold(plain, numbers, spec.seed)
        score = float((probabilities.argmax(1) == numbers).mean())
        suspicion = confident.suspects(probabilities, numbers)
        about = (suspicion, probabilities, numbers, data.schema.classes, part.paths, part.splits)
        finding = confident.finding(*about, noun)
        found += [finding] if finding else []
        suspects = confident.listed(*about)
        shown = facts.take(at) if texts else photos_of(facts, at)
        found += shortcuts.finding(shortcuts.probe(shown, named, _groups(part.table), spec.seed), score)
    except DataError as error:
        left_out.append(str(error))
    return found, suspects


def _gap(
    spec: Spec, sheet: Sheet, body: Backbone, machine: Machine, data: Data, journal: Journal, left_out: list[str]
) -> tuple[list[Finding], dict | None]:
    """How far the target is from all rows of the source: a finding, and the picture for the page. The target's labels are not read."""
    table, _ = unlabelled.rows(spec.target, data.schema)
    rng, kind = np.random.default_rng(spec.seed), data.schema.modality
    sides = [one.take(pa.array(np.sort(rng.permutation(len(one))[: gap.MOST]))) for one in (sheet.table, table)]
    if kind == "image":
        bad = {path for path, _ in photos.gather(sides[1]["path"].to_pylist(), torch.get_num_threads()).unreadable}
        sides[1] = sides[1].filter(pa.array([path not in bad for path in sides[1]["path"].to_pylist()], pa.bool_()))
        left_out += [f"The gap to the target: {len(bad)} of its files cannot be read."] if bad else []
    if min(map(len, sides)) < FEWEST:
        left_out.append(f"The gap to the target: it needs {FEWEST} samples on each side.")
        return [], None
    net = machine.place(measuring.last_layer(body))
    with modality.streams(body, lambda rows: torch.zeros(len(rows)), data.schema, spec.seed) as streams:
        passes, tick = Passes(streams, machine, "exact", store.find(), Journal()), journal.progress("gap", sum(map(len, sides)))
        source, target = (passes.kept(net, net.pooled, side, tick=tick).take(np.arange(len(side)))["x"].numpy() for side in sides)
    distance = similarity.proxy_a_distance(source, target, spec.seed)
    near, far, shares = gap.plane(source, target)
    names = sides[1]["path"].to_pylist()
    found = gap.finding(distance, gap.reach(near, far), gap.reach(far, near), names, f"{kind}s")
    drawn = gap.picture(near, far, shares, spec.seed) | {"path": spec.target, **found.numbers}
    return passages.quoted([found], dict(zip(names, sides[1]["text"].to_pylist(), strict=True))) if kind == "text" else [found], drawn


def features(body: Backbone, task: Task, data: Data, sheet: Sheet, machine: Machine, journal: Journal, seed: int) -> np.ndarray:
    """Features [n, d] of every sample, kept as those of a fit are, and shared with it."""
    net, count = machine.place(measuring.last_layer(body)), len(sheet.table)
    with modality.streams(body, task.encode, data.schema, seed) as streams:
        passes = Passes(streams, machine, "exact", store.find(), Journal())
        kept = passes.kept(net, net.pooled, sheet.table, tick=journal.progress("features", count))
        return kept.take(np.arange(count))["x"].numpy()


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
