"""What the run that a fit starts from learnt before: its heads, rows that may be shown again, and classes to add to."""

import copy
import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from .. import catalog
from ..core import Data, Earlier, Net, Plan, Schema
from ..data import order
from ..data.streams import Streams
from ..data.texts import Texts
from ..engine import checkpoint, device, forward, store
from ..engine.device import Machine
from ..engine.journal import Journal
from ..engine.passes import Passes
from ..errors import GraftError, OptionError, WeightsError
from ..export import earlier
from ..export.model import locate
from ..methods import distill
from ..spec import Spec, options

KEEP = 20
"""Rows of a class that may be shown again, where the method does not say: replay gains little from more (Rebuffi et al., 2017)."""
NUMBER_BINS = 10
"""Classes that a number counts as."""
NEEDS_OUTPUTS = "earlier outputs"
"""What a method's module lists in NEEDS to be given the columns "earlier.NAME"."""


@dataclass(frozen=True)
class Past:
    """The tasks whose heads fit the net of a fit, and their rows, by name, oldest first."""

    known: tuple[earlier.Known, ...] = ()
    rows: Mapping[str, Earlier] = field(default_factory=dict)

    def attach(self, net: Net) -> Net:
        """The net with copies of the earlier heads."""
        net.earlier.update({one.name: copy.deepcopy(one.head) for one in self.known})
        return net


def source(spec: Spec) -> Path | None:
    """The run that the fit starts from; None where it starts from none, or from random weights."""
    weights = spec.backbone.values.get("weights")
    if not spec.backbone.name.startswith("run:") or weights in ("none", "random"):
        return None
    return Path(spec.backbone.name.removeprefix("run:")).expanduser()


def recall(spec: Spec, net: Net, journal: Journal) -> Past:
    """What the run learnt before, as far as its heads fit `net`; what does not fit is left out with a note saying why."""
    start = source(spec)
    # A student that starts from its teacher's body learns the same task, not a later one.
    if start is None or (spec.teacher is not None and locate(start) == locate(Path(spec.teacher))):
        return Past()
    described, known = earlier.read(locate(start), catalog.make_task)
    why = _unfit(described, net)
    if why and known:
        names = ", ".join(one.name for one in known)
        _note(journal, "info", f"The heads of what was learnt before ({names}) are left out: {why}.")
        return Past()
    width, fit = device.pooled_width(net), []
    for one in known:
        if one.head.config["width"] != width:
            text = f"The head of '{one.name}' is left out: it reads features of width {one.head.config['width']}, and this net has {width}."
            _note(journal, "info", text)
            continue
        fit.append(one)
    keep = getattr(options("method", spec.method), "keep", KEEP)
    places = dict(runs(start))
    found = {one.name: _shown_again(one, places.get(one.run.get("sha256")), int(keep), spec.seed, journal) for one in fit}
    return Past(tuple(fit), found)


def _unfit(described: dict, net: Net) -> str:
    """Why no head of that model can read what this net gives; "" where all can."""
    if tuple(described["taps"]) != net.taps:
        return "they read the features of other layers; give --layers as that run did to keep them"
    told = net.pool.keywords if isinstance(net.pool, partial) else {}
    native = described["backbone"]["pool"]
    modes = [native if mode == "auto" else mode for mode in (described["pool"], told.get("mode", "auto"))]
    return "" if modes[0] == modes[1] else "they read features that are pooled otherwise; give --pool as that run did to keep them"


def runs(start: Path) -> Iterator[tuple[str, Path]]:
    """(SHA-256 of the weights, the run's folder) of a run and of those it began from, as far back as they are still there."""
    seen: set[Path] = set()
    while start is not None and start.resolve() not in seen:
        seen.add(start.resolve())
        try:
            model = locate(start)
            sha256 = json.loads((model / "graft.json").read_text(encoding="utf-8"))["weights"]["sha256"]
        except (WeightsError, OSError, ValueError, KeyError, TypeError):
            return
        folder = model.parent if (model.parent / "splits.parquet").is_file() else model
        yield sha256, folder
        start = _before(folder)


def _before(folder: Path) -> Path | None:
    """The run that a run started from, read without checking."""
    try:
        name = str(tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8"))["backbone"]["name"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return Path(name.removeprefix("run:")) if name.startswith("run:") else None


def _shown_again(one: earlier.Known, folder: Path | None, keep: int, seed: int, journal: Journal) -> Earlier:
    """The rows of an earlier task that may be shown again: at most `keep` a class, drawn, of those that learnt."""
    table = rows(folder, one.task.schema, "train") if folder is not None else None
    if table is None:
        _note(journal, "warning", f"The rows of the earlier task '{one.name}' are not known any more, so none can be shown again.")
        return Earlier(one.task, _empty(one.task.schema), one.run.get("rows") or 0)
    there = present(table, one.task.schema)
    if len(there) < len(table):
        text = f"{len(table) - len(there)} of the {len(table)} rows of the earlier task '{one.name}' are gone and cannot be shown again."
        _note(journal, "warning", text)
    return Earlier(one.task, some(there, one.task.schema, keep, seed, one.name), len(table))


def rows(folder: Path, schema: Schema, role: str) -> pa.Table | None:
    """The rows of a run with the role "train", "select" or "score", labelled: of images `path` and `label`, of texts `text` too.

    Of a run that was scored in folds all rows have learnt in the end, so they are "train" and none is "score". None where the run
    does not say which rows it had, or the texts cannot be read any more.
    """
    try:
        table = pq.read_table(folder / "splits.parquet")
    except (OSError, pa.ArrowException):
        return None
    folded = pc.greater_equal(table["fold"], 0)
    mine = folded if role == "train" and pc.any(folded).as_py() else pc.and_(pc.equal(table["role"], role), pc.invert(folded))
    found = table.filter(mine).select(["path", "label"]).combine_chunks()
    return found if schema.modality == "image" else _with_texts(folder, found, schema)


def _with_texts(folder: Path, table: pa.Table, schema: Schema) -> pa.Table | None:
    """The rows with their texts, read again from the run's data; those that are not there any more are left out."""
    try:
        part = Spec.load(folder / "spec.toml").data
        data = catalog.resolve("reader", part.name)(part.values["path"], options("data", part))
    except (GraftError, OSError, KeyError):
        return None
    names, known = _read(schema), {}
    for one in (data.train, data.val, data.test):
        if one is not None and set(names) <= set(one.column_names):
            known |= dict(zip(one["path"].to_pylist(), one.select(names).to_pylist(), strict=True))
    table = table.filter(pa.array([path in known for path in table["path"].to_pylist()], pa.bool_()))
    for name in names:
        table = table.append_column(name, pa.array([known[path][name] for path in table["path"].to_pylist()], pa.string()))
    return table


def _read(schema: Schema) -> list[str]:
    """The columns of what goes in."""
    return [schema.input, "context"] if schema.pair else [schema.input]


def present(table: pa.Table, schema: Schema) -> pa.Table:
    """The rows whose files are still there."""
    if schema.modality != "image":
        return table
    return table.filter(pa.array([os.path.isfile(path) for path in table["path"].to_pylist()], pa.bool_()))


def some(table: pa.Table, schema: Schema, keep: int, seed: int, name: str) -> pa.Table:
    """At most `keep` rows of each class, drawn from the seed and the task's name, in their order; of several labels and numbers so
    many for each class, or for each of ten, without regard to which."""
    rng, labels = order.generator(seed, "earlier", name), table["label"].to_pylist()
    if schema.target != "class":
        drawn = rng.permutation(len(table))[: keep * (len(schema.classes) or NUMBER_BINS)]
        return table.take(pa.array(np.sort(drawn), pa.int64()))
    places: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        places.setdefault(label, []).append(row)
    drawn = [row for label in sorted(places) for row in rng.permutation(places[label])[:keep].tolist()]
    return table.take(pa.array(sorted(drawn), pa.int64()))


def _empty(schema: Schema) -> pa.Table:
    label = {"labels": pa.list_(pa.string()), "number": pa.float64()}.get(schema.target, pa.string())
    names = dict.fromkeys(["path", *_read(schema), "label"])
    return pa.table({name: pa.array([], label if name == "label" else pa.string()) for name in names})


def needs_outputs(method: str) -> bool:
    """Whether a method is to be given what the earlier heads say of its rows when the fit begins."""
    module = catalog.find("method", method).target.partition(":")[0]
    return NEEDS_OUTPUTS in getattr(import_module(module), "NEEDS", ())


def recorded(method: str, data: Data, net: Callable[[], Net], streams: Streams | Texts, machine: Machine) -> Data:
    """The data with a column "earlier.NAME" (list<float32>) for each earlier task: what its head gives on the rows that learn and
    select, on the body as the fit finds it. Only where the method needs it; the frozen passes are kept in the store."""
    if not data.earlier or not needs_outputs(method):
        return data
    start, passes = net().eval(), Passes(streams, machine, "exact", store.find())
    return _with(data, lambda name, table: forward.scored(passes, start.seen_as(name), table, start.pooled))


def held(data: Data, file: Path) -> Data:
    """The data with the columns that a run began with: kept in `file`, so that a resumed run has them to the bit."""
    if not any(f"earlier.{name}" in data.train.column_names for name in data.earlier):
        return data
    kept = checkpoint.load(file)
    if kept is not None:
        return _with(data, lambda name, table: kept[0][f"{name}/{_part(data, table)}"])
    columns = {
        f"{name}/{part}": distill.matrix(getattr(data, part), f"earlier.{name}")
        for name in data.earlier for part in ("train", "val") if getattr(data, part) is not None
    }  # fmt: skip
    checkpoint.save(file, columns, {})
    return data


def _part(data: Data, table: pa.Table) -> str:
    return "train" if table is data.train else "val"


def _with(data: Data, given: Callable[[str, pa.Table], Tensor]) -> Data:
    """The data with these columns, in the place of such that are there."""
    made = {}
    for part in ("train", "val"):
        table = getattr(data, part)
        if table is None or (part == "val" and table is data.train):
            continue
        columns = {f"earlier.{name}": pa.array(list(given(name, table).numpy()), pa.list_(pa.float32())) for name in data.earlier}
        table = table.drop_columns([name for name in columns if name in table.column_names])
        for name, values in columns.items():
            table = table.append_column(name, values)
        made[part] = table
    return replace(data, **made, **({"val": made["train"]} if data.val is data.train else {}))


def settled(spec: Spec, journal: Journal) -> Spec:
    """The spec of a fit that adds classes: it names the run to add to, and draws once. Raises OptionError where it cannot be."""
    if spec.method.name != "extend":
        return spec
    if source(spec) is None:
        raise OptionError("Method 'extend' adds classes to what a run knows, so name that run: --backbone run:PATH.")
    if spec.folds and spec.folds > 1:
        raise OptionError("Method 'extend' scores the rows that the earlier run kept locked, which are not in folds; leave --folds out.")
    if spec.folds is None:
        journal.decide("folds", "0", "the rows that the earlier run kept locked are scored once", "--folds")
    return replace(spec, folds=0)


def extend(spec: Spec, data: Data, journal: Journal) -> Data:
    """For method "extend": the classes of the earlier run and the new ones, the earlier ones first, and rows of both: at most `keep`
    stored rows a class learn, and all that selected and were scored there select and are scored here, beside the new ones.

    A class of the same name is the same class. A row that both have keeps the role it had. Raises OptionError where the run cannot
    be added to.
    """
    if spec.method.name != "extend":
        return data
    start = source(spec)
    described, known = earlier.read(locate(start), catalog.make_task)
    _check_extended(described["task"]["schema"], data.schema, start)
    name, old, folder = known[-1].name, known[-1].task.schema, next(runs(start))[1]
    keep = int(getattr(options("method", spec.method), "keep", KEEP))
    parts = {role: rows(folder, old, role) for role in ("train", "select", "score")}
    if parts["score"] is None or not len(parts["score"]):
        raise OptionError(
            f"The run in '{start}' kept no rows locked that could say what its classes lose (it was scored in folds, or only its model "
            "is there); fit it again with --folds 0, or on data with a test split, and add to that."
        )
    roles: dict[str, set[str]] = {}
    for role, table in parts.items():
        for path in table["path"].to_pylist():
            roles.setdefault(path, set()).add(role)
    there = {role: present(table, old) for role, table in parts.items()}
    gone = sum(map(len, parts.values())) - sum(map(len, there.values()))
    if gone:
        _note(journal, "warning", f"{gone} rows of the earlier run '{name}' are gone; its classes are learnt and scored without them.")
    there["train"] = some(there["train"], old, keep, spec.seed, name)
    text = f"{len(there['train'])} stored rows of the {len(old.classes)} classes of '{name}' learn again; --set method.keep=N stores more."
    _note(journal, "info", text)
    tables = {
        part: _joined(getattr(data, part), there[role], role, roles)
        for part, role in (("train", "train"), ("val", "select"), ("test", "score"))
    }
    if data.val is data.train:
        tables["val"] = _joined(data.val, there["select"], "train", roles)
    classes = (*old.classes, *(one for one in data.schema.classes if one not in old.classes))
    digest = hashlib.blake2b(data.fingerprint.encode(), digest_size=16)
    digest.update("\x1f".join([described["weights"]["sha256"], *tables["train"]["path"].to_pylist()]).encode())
    plan = _plan(data.plan, name, {part: len(there[role]) for part, role in (("select", "select"), ("score", "score"))})
    return replace(data, **tables, schema=replace(data.schema, classes=classes), fingerprint=digest.hexdigest(), plan=plan)


def _check_extended(old: Mapping, new: Schema, start: Path) -> None:
    if (old["modality"], old["target"], new.target) != (new.modality, "class", "class"):
        was, now = (f"{modality}s with {_KINDS.get(kind, kind)}" for modality, kind in
                    ((old["modality"], old["target"]), (new.modality, new.target)))  # fmt: skip
        raise OptionError(f"Classes can be added to classes only, but '{start}' learnt {was} and these data are {now}; use another method.")


_KINDS = {"class": "one class each", "labels": "several labels each", "number": "a number each"}


def _joined(new: pa.Table, old: pa.Table, role: str, roles: Mapping[str, set[str]]) -> pa.Table:
    """New rows and old ones of one role; a new row that the earlier run had in another role is left to that."""
    free = [_may(roles.get(path, set()), role) for path in new["path"].to_pylist()]
    new = new.filter(pa.array(free, pa.bool_()))
    there = set(new["path"].to_pylist())
    old = old.filter(pa.array([path not in there for path in old["path"].to_pylist()], pa.bool_()))
    if "group" in new.column_names:
        # A row whose group is not known stands alone.
        old = old.append_column("group", old["path"])
        new = new.set_column(new.column_names.index("group"), "group", new["group"].cast(pa.string()))
    names = [column for column in new.column_names if column in old.column_names]
    return pa.concat_tables([new.select(names), old.select(names).cast(new.select(names).schema)]).sort_by("path").combine_chunks()


def _may(had: set[str], role: str) -> bool:
    return not had or (role in had and (role == "score" or "score" not in had))


def _plan(plan: Plan, name: str, counts: dict[str, int]) -> Plan:
    words = {key: f"{getattr(plan, key)} and the {counts[key]} rows that {name} had for it" for key in ("select", "score")}
    reason = f"{plan.reason.rstrip('.')}; rows of {name} keep the roles they had."
    return replace(plan, **words, drawn=False, reason=reason)


def _note(journal: Journal, level: str, text: str, files: Sequence[str] = ()) -> None:
    journal.write("note", level=level, text=text, count=len(files), files=list(files))
