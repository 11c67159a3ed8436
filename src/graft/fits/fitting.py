"""One fit and its honest alternatives, from assembled parts to everything that is in the run's folder."""

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ..assembly import lineage, modality
from ..assembly.wiring import Parts
from ..core import Data, Net, Run, State, name_column
from ..data import images
from ..engine import checkpoint, device, explain, store
from ..engine.execute import Outcome
from ..engine.journal import Journal, decisions, read
from ..engine.passes import Passes
from ..evidence import scores as evidence
from ..export import bundle
from ..folders import write_json
from ..readers import split
from ..report import page
from . import domains, first_look, passages, proof, representing
from .arms import Arm, Rivals


@dataclass(frozen=True)
class Scored:
    """The locked rows with the net's outputs on them; others: those of each rival arm, and told: what is known of every arm."""

    table: pa.Table
    outputs: Tensor
    targets: Tensor
    others: dict[str, Tensor] = field(default_factory=dict)
    told: dict[str, dict] = field(default_factory=dict)
    curve: tuple[dict, ...] = ()


def carry_out(parts: Parts, folder: Path, journal: Journal) -> Run:
    """Train (every fold, then the final net), score the locked rows once, save, explain, report. Safe to run again after a kill."""
    passes = make_passes(parts, folder, journal)
    parts = replace(parts, data=lineage.held(parts.data, folder / "checkpoints" / "earlier.safetensors"))
    write_json(folder / "data.json", describe_data(parts.data))
    write_json(folder / "environment.json", device.describe(parts.machine) | {"precision": parts.spec.precision})
    pq.write_table(roles(parts.data), folder / "splits.parquet")
    inspect(parts, folder, journal)
    chosen = Arm("chosen", parts, passes, folder, journal)
    # A fit from scratch is the control itself; with a target, what counts is compared in graft.fits.domains.
    compared = parts.spec.evidence != "off" and parts.spec.method.name != "scratch" and parts.data.target is None
    compared = compared and parts.data.schema.target != "none"  # alternatives are told apart by labels
    rivals = Rivals(chosen, parts.spec.evidence) if compared else None
    folded = [fold(chosen, rivals, k) for k in range(parts.data.plan.folds)]
    data = split.final_data(parts.data, parts.spec.seed) if folded else parts.data
    outcome, net = chosen.train("final", data)
    degrees, how = evidence.temperature(parts.task, outcome.outputs, outcome.targets)
    if parts.task.calibrated:
        journal.write("temperature", value=degrees, how=how)
    if parts.data.schema.target == "none":
        scored = Scored(data.val, outcome.outputs, outcome.targets)
    elif folded:
        scored = join(folded)
    else:
        scored = score(chosen, rivals, outcome, data, parts.data.plan.score, folder / "checkpoints" / "scored.safetensors")
    result = write_scores(parts, folder, journal, outcome, scored, degrees)
    if parts.data.schema.target == "none":
        result |= representing.compared(parts, result, journal)
    if parts.data.target is not None:
        result["target_domain"] = domains.small(domains.score_target(parts, passes, outcome, degrees, folder, journal))
    if rivals is not None:
        outputs = scored.outputs if folded else scored.outputs / degrees
        found = proof.evidence(parts, scored.table, scored.targets, outputs, scored.others, scored.told, scored.curve, rivals)
        write_json(folder / "evidence.json", found)
        journal.write("evidence", **found["verdict"])
        rivals.close()
    told = bundle.write(
        folder / "model", net, parts.task, parts.backbone, degrees, samples(scored.table, parts),
        {"scores": result, "data": describe_data(parts.data), "command": command(folder), "earlier": parts.past.known,
         "teacher": parts.spec.teacher},
    )  # fmt: skip
    journal.write("exported", path="model", **told)
    picture(parts, passes, net, folder)
    parts.streams.close()
    result["seconds"], result["peak_memory_mb"] = round(journal.seconds, 2), device.peak_memory_mb(parts.machine)
    write_json(folder / "scores.json", result)
    journal.write("done", seconds=result["seconds"])
    page.write(folder)
    for place in (folder, *sorted((folder / "arms").glob("*"))):
        checkpoint.clear(place)
    return Run(folder, result, result["seconds"], decisions(read(folder)))


def inspect(parts: Parts, folder: Path, journal: Journal) -> None:
    """The quick check: kept for the report, and said where it touches the score."""
    if (folder / "check.json").exists():
        return
    found = first_look.quick(parts.data, parts.streams)
    for one in found["findings"]:
        if one["level"] == "problem":
            files = [str(path) for path in one["files"]]
            journal.write("note", level="warning", text=f"{one['text']} {one['repair']}", count=len(files), files=files[:20])
    write_json(folder / "check.json", found)


def make_passes(parts: Parts, folder: Path, journal: Journal) -> Passes:
    """What passes through frozen stages share, over all folds; a resumed run keeps to what its trials found."""
    decided = {r["what"]: r["value"] for r in read(folder) if r["event"] == "decision"}
    found = store.find()
    if found is None:
        journal.write("note", level="info", text=store.why_not(), count=0, files=[])
    return Passes(parts.streams, parts.machine, parts.spec.precision, found, journal, decided)


def fold(chosen: Arm, rivals: Rivals | None, k: int) -> Scored:
    """Train every arm without the rows of fold k and predict them; a fold that was finished before a kill is read back."""
    parts, path = chosen.parts, chosen.folder / "checkpoints" / f"fold{k + 1}.safetensors"
    data = split.fold_data(parts.data, k, parts.spec.seed)
    kept = checkpoint.load(path)
    if kept is not None:
        return read_back(kept, data.test, chosen, rivals)
    outcome, _ = chosen.train(f"fold{k + 1}", data)
    degrees, _ = evidence.temperature(parts.task, outcome.outputs, outcome.targets)
    # Each fold's outputs are divided by its own temperature, which its own selecting rows gave.
    return score(chosen, rivals, outcome, data, f"fold {k + 1}", path, degrees)


def score(chosen: Arm, rivals: Rivals | None, outcome: Outcome, data: Data, name: str, path: Path, degrees: float = 1.0) -> Scored:
    """The only place where locked rows are opened, when every arm has learnt; written down, because it must happen once."""
    kept = checkpoint.load(path)
    if kept is not None:
        return read_back(kept, data.test, chosen, rivals)
    run = path.stem if path.stem.startswith("fold") else "final"
    chosen.told["learning_value"] = chosen.learning(outcome, data, rivals.level) if rivals else None
    others = [(arm, arm.recalled(data) or arm.train(run, data)[0]) for arm in (rivals.arms(data) if rivals else ())]
    for arm, its in others:
        arm.told["learning_value"] = arm.learning(its, data, rivals.level)
    table, task = data.test, chosen.parts.task
    chosen.journal.write("opened", split=name, rows=len(table), arms=[chosen.key, *(arm.key for arm, _ in others)])
    outputs = {arm.key: arm.outputs(its, table) for arm, its in others}
    for arm, _ in others:
        arm.keep(data, outputs[arm.key])
    curve = proof.points([(chosen, outcome), *others], data, table, rivals.level) if rivals else []
    told = {arm.key: dict(arm.told) for arm in (chosen, *(arm for arm, _ in others))}
    found = Scored(table, chosen.outputs(outcome, table) / degrees, task.encode(table), outputs, told, tuple(curve))
    tensors = {"outputs": found.outputs, "targets": found.targets, **{f"arm.{key}": value for key, value in outputs.items()}}
    checkpoint.save(path, tensors, {"temperature": degrees, "told": told, "curve": list(curve)})
    return found


def read_back(kept: tuple[dict[str, Tensor], dict], table: pa.Table, chosen: Arm, rivals: Rivals | None) -> Scored:
    """What was scored before a kill; what is known of the arms goes on from there."""
    tensors, state = kept
    chosen.told.update(state["told"].get("chosen", {}))
    if rivals is not None:
        rivals.earlier = state["told"]
    others = {key.removeprefix("arm."): value for key, value in tensors.items() if key.startswith("arm.")}
    return Scored(table, tensors["outputs"], tensors["targets"], others, state["told"], tuple(state["curve"]))


def join(folded: list[Scored]) -> Scored:
    """The rows of all folds one after the other; what is told of an arm counts the folds before."""
    table = pa.concat_tables([one.table for one in folded])
    together = {key: torch.cat([one.others[key] for one in folded]) for key in folded[0].others}
    told = {key: proof.joined([one.told.get(key, {}) for one in folded]) for key in folded[-1].told}
    outputs, targets = (torch.cat([getattr(one, name) for one in folded]) for name in ("outputs", "targets"))
    return Scored(table, outputs, targets, together, told, tuple(point for one in folded for point in one.curve))


def write_scores(parts: Parts, folder: Path, journal: Journal, outcome: Outcome, scored: Scored, degrees: float) -> dict:
    """scores.json and predictions.parquet, from the locked rows and (apart, as what it is) the selecting ones."""
    plan, task = parts.data.plan, parts.task
    used = 1.0 if plan.folds else degrees
    found = evidence.with_intervals(task, scored.outputs, scored.targets, used, evidence.groups_of(scored.table))
    journal.write("scored", split=plan.score, metrics=found)
    table = evidence.predictions(task.schema, task.decode, scored.table, scored.outputs, used, plan.score_name)
    pq.write_table(table, folder / "predictions.parquet")
    # Where the test split is scored, what a selecting val split says is worth showing, marked as what it is.
    other = None
    if plan.score_name == "test" and not plan.folds and len(outcome.targets):
        other = evidence.with_intervals(task, outcome.outputs, outcome.targets, degrees)
    data = parts.data
    learning = [r for r in read(folder) if r["event"] == "phase" and r["run"] == "final"]
    inner = plan.drawn and all(r["optimizer"] == "solver" for r in learning)
    head = sum(p.numel() for p in outcome.net.head.parameters())
    result = {
        "primary": task.primary, "higher_is_better": task.higher,
        "val": found if plan.score_name == "val" else other, "test": found if plan.score_name == "test" else None,
        "seconds": round(journal.seconds, 2), "backbone": parts.spec.backbone.name, "method": parts.spec.method.name,
        "trainable_params": max((r["trainable"] or head for r in learning), default=head),
        "peak_memory_mb": device.peak_memory_mb(parts.machine), "scored": plan.score_name, "scored_as": plan.score,
        "optimistic": plan.optimistic, "folds": plan.folds,
        "select": "inner cross-validation on the learning rows" if inner else plan.select,
        "n": {"train": len(data.train), "select": len(data.val or ()), plan.score_name: len(scored.table)},
        "temperature": degrees, "calibration": None if plan.folds else evidence.calibrated(task, scored.outputs, scored.targets, used),
        "seed": parts.spec.seed, "task": parts.spec.task.name, "target": task.schema.target, "classes": list(task.schema.classes),
    }  # fmt: skip
    write_json(folder / "scores.json", result)
    return result


def picture(parts: Parts, passes: Passes, net: Net, folder: Path) -> None:
    """Mistakes with heat maps, and the first filters beside Gabor's. What cannot be drawn is said, never fatal."""
    rows, taught = pq.read_table(folder / "predictions.parquet"), parts.data.schema.target != "none"
    if parts.data.schema.modality == "text":
        if taught:
            passages.explain(parts, net, rows, folder)
        return
    if taught:
        explain.explain(net, parts.task, rows, lambda path: images.load_images([path], parts.backbone.prepare)[0], folder)
    from ..backbones import match

    filters = match.first_filters(parts.backbone)
    if filters is None:
        passes.journal.write("note", level="info", text="This body has no first convolution to draw.", count=0, files=[])
        return
    (folder / "explain").mkdir(exist_ok=True)
    told = gabor_fits(filters, parts.backbone.origin.name, passes.store, folder / "explain" / "filters.png")
    told |= {"layer": parts.backbone.names[0], "kernel": int(filters.shape[-1]), "count": int(filters.shape[0]), "picture": "filters.png"}
    write_json(folder / "explain" / "filters.json", told)


def gabor_fits(filters: Tensor, body: str, kept: store.Store | None, drawing: Path) -> dict:
    """How well Gabor filters fit, with the picture in `drawing`; seconds of work that depend on the filters alone, so they are kept."""
    from ..backbones import match

    keys = [device.short_digest(what, filters.numpy().tobytes()) for what in ("numbers", "drawing")]
    numbers, pixels = (kept.file(key) if kept else None for key in keys)
    if numbers and pixels:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(numbers.read_bytes())
            drawing.write_bytes(pixels.read_bytes())
            return told
    found = match.match(filters)
    match.picture(found, drawing)
    told = {"r2": [float(v) for v in found["r2"]], "noise_r2": found["noise_r2"]}
    if kept:
        about = {"body": body, "what": "Gabor fits of the first filters"}
        for key, content in zip(keys, (json.dumps(told).encode(), drawing.read_bytes()), strict=True):
            kept.put(key, content, about)
    return told


def command(folder: Path) -> str:
    return next((row["command"] for row in read(folder) if row["event"] == "start"), "")


def samples(table: pa.Table, parts: Parts) -> Tensor | State:
    few = table.slice(0, 8)
    if parts.data.schema.modality == "text":
        return modality.inputs(parts.backbone, parts.task, few)
    return images.load_images(few[parts.data.schema.input].to_pylist(), parts.backbone.prepare)


def roles(data: Data) -> pa.Table:
    """path, label, role ("train", "select", "score") and fold (-1 without) of every row."""
    schema, parts = data.schema, []
    if data.plan.folds:
        for k in range(data.plan.folds):
            parts.append((split.fold_data(data, k).test, "score", k))
    else:
        parts = [(data.train, "train", -1), (data.val, "select", -1), (data.test, "score", -1)]
    tables = [
        pa.table(
            {
                "path": t[name_column(t, schema.input)],
                "label": t[schema.label],
                "role": [role] * len(t),
                "fold": pa.array([k] * len(t), pa.int64()),
            }
        )
        for t, role, k in parts
        if t is not None and len(t)
    ]
    return pa.concat_tables(tables)


def describe_data(data: Data) -> dict:
    names = {"train": data.train, "val": data.val, "test": data.test}
    return {
        "source": data.source, "schema": asdict(data.schema), "fingerprint": data.fingerprint, "plan": asdict(data.plan),
        "counts": {name: tally(table, data) for name, table in names.items() if table is not None},
        "notes": [asdict(note) for note in data.notes],
    }  # fmt: skip


def tally(table: pa.Table, data: Data) -> dict[str, int]:
    if data.schema.target in ("number", "spans", "language", "none"):
        return {"rows": len(table)}
    labels = table[data.schema.label].combine_chunks()
    flat = labels.flatten() if pa.types.is_list(labels.type) else labels
    counts = {row["values"]: row["counts"] for row in flat.value_counts().to_pylist()}
    return {name: counts.get(name, 0) for name in data.schema.classes}
