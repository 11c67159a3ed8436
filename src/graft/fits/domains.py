"""What a fit is worth on its target domain: scored once, at the end, where labels are given; without them, what can be said."""

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ..assembly.wiring import Parts
from ..data import order
from ..engine import forward
from ..engine.execute import Outcome
from ..engine.journal import Journal, full_disk, read
from ..engine.passes import Passes
from ..evidence import adapted, gather
from ..evidence import scores as evidence
from ..evidence.stats import Difference
from ..metrics.bootstrap import intervals
from ..spec import Part
from .arms import Arm, probed

KINDS = ("class", "labels", "number")
"""Targets of which a row is a case; tags, answers and running text are only counted."""
SHIPPED, SOURCE = "shipped", "source_only"
UNADAPTED = ("source", "source_only", "source-only")
"""What a method calls the candidate that is not adapted."""
ALIKE = 0.99
"""Share of rows on which two copies of a model agree whose features were computed in different precisions."""
BARE = "a linear head on the frozen body, from the source's labels alone"
OPENED = "The labels of the target were opened once, after everything was chosen."
NEVER = "The target has no labels: nothing was chosen or scored by them."


@dataclass(frozen=True)
class Model:
    """A model with its outputs and decoded outputs [n, k] on all target rows. what: in words; phase: whose it is, "" where it is
    not that of one that watched the target."""

    name: str
    outputs: np.ndarray
    decoded: np.ndarray
    what: str = ""
    phase: str = ""


def _source(models: list["Model"]) -> "Model | None":
    return next((one for one in models if one.name == SOURCE), None)


@dataclass(frozen=True)
class Truth:
    """column: the labels of all target rows, null where there is none. rows: numbers [m] of those that have one; targets as the task
    encodes them; groups [m] or None."""

    column: pa.ChunkedArray | pa.Array
    rows: np.ndarray
    targets: np.ndarray
    groups: np.ndarray | None = None


def score_target(parts: Parts, passes: Passes, outcome: Outcome, degrees: float, folder: Path, journal: Journal) -> dict:
    """Write target.json, target_predictions.parquet and the lists to label, and return the content of target.json.

    Everything was chosen before, and nothing is afterwards: the labels only say what it was worth. degrees: the temperature that
    the source's selecting rows gave. Called again after a kill, it gives what was written before. Raises OutputError.
    """
    written = folder / "target.json"
    if written.is_file():
        return json.loads(written.read_text(encoding="utf-8"))
    schema, table = parts.data.schema, parts.data.target
    found = {
        "source": parts.data.source, "target": parts.spec.target, "modality": schema.modality, "kind": schema.target, "method":
        parts.spec.method.name, "metric": parts.task.primary, "higher_is_better": parts.task.higher, "rows": len(table),
    }  # fmt: skip
    if schema.target in KINDS:
        found |= _looked_at(parts, passes, outcome, degrees, folder, journal)
    else:
        text = "On a target only classes, several labels and numbers are scored; graft predict says what the model makes of its rows."
        found |= {"labelled": 0, "verdict": {"kind": "unknown", "text": text, "advice": ""}}
    beside = written.with_name("target.json.new")
    beside.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    beside.replace(written)
    journal.write("target", rows=found["rows"], labelled=found["labelled"], **found["verdict"])
    return found


def small(found: dict) -> dict:
    """For scores.json: rows, labelled, verdict; and where labels are known the score, that of source-only and their difference."""
    kept = {"rows": found["rows"], "labelled": found["labelled"], "verdict": found["verdict"]["kind"]}
    for row in found.get("models") or ():
        if row["name"] in (SHIPPED, SOURCE) and row.get("value") is not None:
            own = {"value": row["value"], "interval": row["interval"]}
            kept |= {found["metric"]: own} if row["name"] == SHIPPED else {SOURCE: own, "difference": found["difference"]}
    return kept


def _looked_at(parts: Parts, passes: Passes, outcome: Outcome, degrees: float, folder: Path, journal: Journal) -> dict:
    """Everything of target.json that needs the models' outputs."""
    kind, unit = parts.data.schema.target, f"{parts.data.schema.modality}s"
    told = by_method(folder)
    models = _distinct(_models(parts, passes, outcome, degrees, folder, journal), told.get("candidates", {}), kind)
    shipped, source = models[0], _source(models)
    truth, adapts = _truth(parts), bool(outcome.watched)
    if len(truth.rows) and not any(row["event"] == "opened" and row.get("split") == "target" for row in read(folder)):
        journal.write("opened", split="target", rows=len(truth.rows), arms=[one.name for one in models])
    predicted = _predicted(parts, truth, shipped, degrees)
    pq.write_table(predicted, folder / "target_predictions.parquet")
    known = adapted.numbers(shipped.outputs, shipped.decoded, kind)
    same = None if source is None else adapted.agreement(shipped.decoded, source.decoded, kind)
    rows = [_row(one, models, truth, parts, told) for one in models]
    right = {row["name"]: row["value"] for row in rows}
    trained = [row | {"right": right.get(row["phase"], rows[0]["value"])} for row in rounds(folder)]
    found = {
        "labelled": len(truth.rows), "adapts": adapts, "label_free": known, "changed": None if same is None else 1 - same,
        "counts": _counts(parts, predicted), "models": rows, "chosen": told.get("chosen"), "why": told.get("why"), "rounds": trained,
        "opened": OPENED if len(truth.rows) else NEVER, "to_label": _lists(parts, predicted, shipped, truth, folder),
    }  # fmt: skip
    if len(truth.rows):
        return found | _scored(parts, models, truth, rows, adapts)
    return found | {"verdict": adapted.unscored(len(predicted), kind, known, found["changed"] if adapts else None, unit)}


def _models(parts: Parts, passes: Passes, outcome: Outcome, degrees: float, folder: Path, journal: Journal) -> list[Model]:
    """The shipped model, one that never saw the target, and every candidate that a phase watched the target with."""
    task, table, net = parts.task, parts.data.target, outcome.net
    decode = lambda outputs, at=1.0: task.decode(outputs, temperature=at).numpy()  # noqa: E731
    shipped = forward.scored(passes, net, table, outcome.frozen, task.summarise)
    models = [Model(SHIPPED, shipped.numpy(), decode(shipped, degrees), f"method {parts.spec.method.name}, what is in model/")]
    watched = {name: its for name, its in outcome.watched.items() if its.shape == shipped.shape}
    bare = next((name for name in watched if name in UNADAPTED), None)
    if bare is not None:
        models.append(Model(SOURCE, watched[bare].numpy(), decode(watched[bare]), "nothing was adapted", bare))
    elif watched and (outputs := _bare(parts, passes, folder, journal)) is not None:
        models.append(Model(SOURCE, outputs.numpy(), decode(outputs), BARE))
    return models + [Model(name, its.numpy(), decode(its), "", name) for name, its in watched.items() if name != bare]


def _distinct(models: list[Model], named: Collection[str], kind: str) -> list[Model]:
    """Without that of the last phase where it is the shipped one: the method did not name it a candidate, and both say the same."""
    last, same = models[-1], adapted.agreement(models[-1].decoded, models[0].decoded, kind)
    return models[:-1] if last.name not in (SHIPPED, SOURCE, *named) and (same is None or same >= ALIKE) else models


def _bare(parts: Parts, passes: Passes, folder: Path, journal: Journal) -> Tensor | None:
    """Outputs on the target of a linear head that was solved on the source's frozen features; None where none can be solved."""
    task = probed(parts.task)
    if task.solve is None:
        return None
    place = folder / "arms" / SOURCE
    place.mkdir(parents=True, exist_ok=True)
    spec = replace(parts.spec, method=Part("extract", {"seconds": None}))
    arm = Arm(SOURCE, replace(parts, spec=spec, task=task), passes, place, journal.beside(place))
    try:
        outcome, _ = arm.train("final", replace(parts.data, target=None))
        return arm.outputs(outcome, parts.data.target)
    finally:
        arm.journal.close()


def _truth(parts: Parts) -> Truth:
    label, table = parts.data.schema.label, parts.data.target
    column = pa.nulls(len(table), parts.data.train[label].type) if parts.truth is None else parts.truth[label]
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return Truth(column, rows, np.zeros(0))
    some = table.append_column(label, column).take(pa.array(rows))
    return Truth(column, rows, parts.task.encode(some).numpy(), evidence.groups_of(some))


def _row(one: Model, models: list[Model], truth: Truth, parts: Parts, told: dict) -> dict:
    """What is known of a model: agreement with the shipped one, label-free numbers, what the method wrote of it, and its score."""
    kind = parts.data.schema.target
    own = told.get("candidates", {}).get(one.phase)
    found = {
        "name": one.name, "what": one.what, "agreement": adapted.agreement(one.decoded, models[0].decoded, kind),
        "label_free": adapted.numbers(one.outputs, one.decoded, kind), "value": None, "interval": None,
        "told": own if isinstance(own, dict) else {},
    }  # fmt: skip
    if len(truth.rows):
        value, low, high = _intervals(parts, one, truth)[parts.task.primary]
        found |= {"value": value, "interval": [low, high]}
    return found


def _intervals(parts: Parts, one: Model, truth: Truth) -> dict[str, tuple[float, float, float]]:
    return intervals(one.decoded[truth.rows], truth.targets, parts.task.metrics, groups=truth.groups)


def _scored(parts: Parts, models: list[Model], truth: Truth, rows: list[dict], adapts: bool) -> dict:
    """Scores of the shipped model, its difference to source-only, the best candidate by the labels, and the verdict."""
    task, schema, shipped, source = parts.task, parts.data.schema, models[0], _source(models)

    def differ(a: Model, b: Model) -> Difference:
        pair = (one.decoded[truth.rows][None] for one in (a, b))
        return gather.compare(*pair, truth.targets, task.metrics, task.primary, truth.groups)

    for row, one in zip(rows, models, strict=True):
        row["difference"] = None if source is None or one is source else differ(one, source).row(one.name, SOURCE)
    found = None if source is None else differ(shipped, source)
    same = source is not None and adapted.agreement(shipped.decoded, source.decoded, schema.target) == 1.0
    values = {row["name"]: row["value"] for row in rows}
    best = (max if task.higher else min)(values, key=values.get)  # Of equals the first, so the shipped model.
    oracle = {"name": best, "value": values[best]}
    if best != SHIPPED:
        oracle["difference"] = differ(next(one for one in models if one.name == best), shipped).row(best, SHIPPED)
    score = _intervals(parts, shipped, truth)
    return {
        "score": {name: {"value": value, "interval": [low, high]} for name, (value, low, high) in score.items()},
        "difference": rows[0]["difference"], "oracle": oracle,
        "verdict": adapted.verdict(
            task.primary, values[SHIPPED], values.get(SOURCE), found, len(truth.rows), adapts=adapts, same=same, higher=task.higher,
            unit=f"{schema.modality}s", left=len(shipped.decoded) - len(truth.rows),
        ),
    }  # fmt: skip


def by_method(folder: Path) -> dict:
    """{"candidates": {name: numbers}, "chosen", "why"} as the method wrote it down when it chose; {} where it did not."""
    found = [said for _, said in _solved(folder) if isinstance(said.get("candidates"), dict)]
    return found[-1] if found else {}


def rounds(folder: Path) -> list[dict]:
    """Of self-training, a row a phase: the "trusted" target rows of each round, how many labels "changed" in all, "start" and "rule"."""
    kept = ("start", "rule", "trusted", "changed")
    return [{"phase": phase, **{key: said[key] for key in kept if key in said}} for phase, said in _solved(folder) if "trusted" in said]


def _solved(folder: Path) -> Iterator[tuple[str, dict]]:
    """(phase, what its solution says it chose) of the final run."""
    for row in read(folder):
        if row["event"] == "solved" and row.get("run", "final") == "final" and isinstance(row.get("chosen"), dict):
            yield row["phase"], row["chosen"]


def _predicted(parts: Parts, truth: Truth, shipped: Model, degrees: float) -> pa.Table:
    """The rows of target_predictions.parquet, as those of predictions.parquet; label is null where it is not known."""
    schema, table = parts.data.schema, parts.data.target.append_column(parts.data.schema.label, truth.column)
    return evidence.predictions(schema, parts.task.decode, table, torch.from_numpy(shipped.outputs), degrees, "target")


def _counts(parts: Parts, predicted: pa.Table) -> dict[str, dict[str, int]]:
    """How many rows of the source learnt, and of the target are predicted and labelled, by class; {} for numbers."""
    schema = parts.data.schema
    if schema.target == "number":
        return {}
    sides = {"source": parts.data.learning()[schema.label], "predicted": predicted["predicted"], "labelled": predicted["label"]}
    found = {}
    for side, column in sides.items():
        tally = Counter(
            name for label in column.to_pylist() if label is not None for name in (label if isinstance(label, list) else [label])
        )
        if tally:
            found[side] = {name: tally[name] for name in schema.classes}
    return found


def _lists(parts: Parts, predicted: pa.Table, shipped: Model, truth: Truth, folder: Path) -> dict[str, int]:
    """Write score_these.csv, drawn rows, and label_these.csv, the least certain ones, of those without labels; how many stand in each."""
    kind, without = parts.data.schema.target, np.setdiff1d(np.arange(len(predicted)), truth.rows)
    drawn = order.generator(parts.spec.seed, "to score").permutation(without)[: adapted.DRAWN]
    doubtful = without[adapted.least_certain(shipped.decoded[without], kind)][: adapted.FIRST]
    lists = {"score_these.csv": np.sort(drawn)} | ({} if kind == "number" else {"label_these.csv": doubtful})
    for name, rows in lists.items():
        if len(rows):
            _list(folder / name, predicted.take(pa.array(rows)))
    return {name: len(rows) for name, rows in lists.items() if len(rows)}


def _list(path: Path, rows: pa.Table) -> None:
    """A table to fill in: path, label (empty), predicted, probability and, of texts, text. Raises OutputError."""
    names = [name for name in ("path", "label", "predicted", "probability", "text") if name in rows.column_names]
    try:
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            sheet = csv.writer(file)
            sheet.writerow(names)
            for row in rows.select(names).to_pylist():
                said = row["predicted"]
                row |= {"label": "", "predicted": "|".join(said) if isinstance(said, list) else said}
                sheet.writerow([f"{row[name]:.4f}" if name == "probability" else row[name] for name in names])
    except OSError as error:
        raise full_disk(error, path.parent) from error
