"""What a finished run says of the rows that another net learns from: computed once, in float32, and kept beside them as columns."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from .. import catalog
from ..core import Data, Schema, Task, name_column
from ..data import augment
from ..engine import forward, store
from ..engine.device import Machine
from ..engine.journal import Journal
from ..engine.passes import Passes
from ..errors import OptionError
from ..export.model import Model, read
from ..methods import distill
from ..spec import Part, Spec, options
from . import modality

METHOD = distill.NAME
KINDS = {"class": "one class a row", "labels": "any number of labels a row", "number": "a number a row"}
LEARNT = ("train", "select")


@dataclass(frozen=True)
class Said:
    """A teacher's logits float32 [n, k] in the order of the data's classes (of numbers: standardised as the data's are), and its pooled
    features [n, c], None where a head pools tokens itself."""

    outputs: Tensor
    features: Tensor | None

    def columns(self, table: pa.Table, features: bool) -> pa.Table:
        """The table with the columns "teacher" and, where they are asked for and there are any, "teacher_features"."""
        table = table.append_column("teacher", _lists(self.outputs))
        return table.append_column("teacher_features", _lists(self.features)) if features and self.features is not None else table


def load(run: str | os.PathLike) -> Model:
    """The teacher. Raises OptionError where there is no finished run, WeightsError where its model is damaged."""
    if not Path(run).is_dir():
        raise OptionError(f"There is no run in '{run}' to learn from; give the folder of a finished one with --teacher RUN.")
    return read(run, catalog.make_task)


def check(teacher: Model, schema: Schema) -> None:
    """Raises OptionError where the teacher knows another kind of data or label, or lacks a class."""
    theirs, name = teacher.task.schema, teacher.folder
    if theirs.modality != schema.modality:
        raise OptionError(f"The teacher '{name}' knows {theirs.modality}s, and these data are {schema.modality}s; give another --teacher.")
    if theirs.target != schema.target or schema.target not in KINDS:
        told, asked = (KINDS.get(target, target) for target in (theirs.target, schema.target))
        raise OptionError(f"The teacher '{name}' gives {told}, and these data have {asked}; give another --teacher.")
    lacking = [one for one in schema.classes if one not in theirs.classes]
    if lacking:
        shown, known = ", ".join(map(repr, lacking[:5])), ", ".join(map(repr, theirs.classes[:8]))
        raise OptionError(
            f"The teacher '{name}' does not know {shown} of these data's {len(schema.classes)} classes (it knows {known}); "
            "give a run that learnt them all: --teacher RUN."
        )


def say(teacher: Model, tables: Sequence[pa.Table], schema: Schema, machine: Machine, kept: store.Store | None = None) -> list[Said]:
    """What the teacher says of every row, with its own preparation (size, mean and std, or tokenizer) and in float32. `schema` is that
    of the data. Pooled features go to the store, so that a second call runs only the head. Raises OptionError as `check` does."""
    check(teacher, schema)
    net, found = machine.place(teacher.net).eval(), []
    with modality.streams(net, _zeros, schema, 0) as batches:
        passes = Passes(batches, machine, "exact", kept, Journal())
        for table in tables:
            states = passes.kept(net, net.pooled, table, exact=True)
            outputs = forward.outputs(net, forward.slices(states, torch.zeros(len(table)), net.pooled, table), machine)
            pooled = states.take(np.arange(len(table)))["x"]
            found.append(Said(_aligned(outputs, teacher.task.schema, schema), pooled if pooled.ndim == 2 else None))
    return found


def record(
    teacher: Model, tables: Sequence[pa.Table], schema: Schema, machine: Machine, kept: store.Store | None = None, features: bool = False
) -> list[pa.Table]:
    """The tables with what the teacher says of each row in the columns "teacher" and, where asked for, "teacher_features"."""
    said = say(teacher, tables, schema, machine, kept)
    return [one.columns(table, features) for one, table in zip(said, tables, strict=True)]


def _aligned(outputs: Tensor, theirs: Schema, schema: Schema) -> Tensor:
    """In the order of the data's classes, without those that the data do not have; or in the data's own standard unit."""
    if schema.target == "number":
        return ((outputs.double() * theirs.spread + theirs.centre - schema.centre) / schema.spread).float()
    return outputs[:, [theirs.classes.index(name) for name in schema.classes]].contiguous()


def _lists(values: Tensor) -> pa.Array:
    flat = pa.array(values.contiguous().numpy().astype(np.float32).ravel())
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1], flat)


def taught(spec: Spec, data: Data, task: Task, machine: Machine, journal: Journal) -> tuple[Spec, Data]:
    """The data with what the run `spec.teacher` says of the learning, selecting and unlabelled rows; a fit that has no teacher is left
    as it is. Images are not mixed.

    Raises OptionError: a teacher that is missing, that another method would not hear, or that does not fit the data; mixing that was
    asked for by name.
    """
    if spec.method.name != METHOD:
        if spec.teacher is not None:
            raise OptionError(f"Method '{spec.method.name}' learns from no teacher; use --method {METHOD}, or leave out --teacher.")
        return spec, data
    if spec.teacher is None:
        raise OptionError(distill.NO_TEACHER)
    teacher, spec = load(spec.teacher), _unmixed(spec, journal)
    check(teacher, task.schema)
    names = [name for name in ("train", "val", "unlabelled") if getattr(data, name) is not None and len(getattr(data, name))]
    features = options("method", spec.method).features > 0
    tables = record(teacher, [getattr(data, name) for name in names], task.schema, machine, store.find(), features)
    scored = data.test if data.test is not None else data.train
    count = int(seen(teacher, scored).sum())
    if count:
        text = f"The teacher has learnt from {count:,} of the {len(scored):,} samples that are scored, so the score may flatter."
        journal.write("note", level="warning", text=text, count=0, files=[])
    origin, more = teacher.net.origin, len(data.unlabelled) if "unlabelled" in names else 0
    journal.write(
        "teacher", folder=spec.teacher, body=origin.name, parameters=sum(p.numel() for p in teacher.net.parameters()),
        rows=len(data.train), unlabelled=more, seen=count,
    )  # fmt: skip
    return spec, replace(data, **dict(zip(names, tables, strict=True)))


def _unmixed(spec: Spec, journal: Journal) -> Spec:
    """What the teacher said of two images is not what it would say of their mixture."""
    chosen = augment.resolve(options("augment", spec.augment))
    mixed = [name for name in ("mixup", "cutmix") if getattr(chosen, name) > 0]
    if any(spec.augment.values.get(name) for name in mixed):
        raise OptionError(distill.MIXED)
    if not mixed:
        return spec
    journal.decide("mixing", "off", "the teacher has said nothing of mixed images", "--method finetune")
    return replace(spec, augment=Part(spec.augment.name, {**spec.augment.values, **dict.fromkeys(mixed, 0.0)}))


def _zeros(table: pa.Table) -> Tensor:
    return torch.zeros(len(table))


def seen(teacher: Model, table: pa.Table) -> np.ndarray:
    """bool [n]: which rows the teacher has learnt from or selected on, by their names in its run's splits.parquet; all False where the
    model stands alone."""
    try:
        roles = pq.read_table(teacher.folder.parent / "splits.parquet", columns=["path", "role", "fold"]).to_pylist()
    except (OSError, pa.ArrowInvalid):
        return np.zeros(len(table), bool)
    # After a cross-validation the model that is kept has learnt from every row.
    learnt = {row["path"] for row in roles if row["role"] in LEARNT or row["fold"] >= 0}
    return np.array([path in learnt for path in table[name_column(table, "text")].to_pylist()], bool)
