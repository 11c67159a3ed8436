"""From a net's outputs on locked rows to scores with intervals, and to a table of predictions."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from torch import Tensor

from ..core import Schema, Task, name_column
from ..metrics import calibration, spans
from ..metrics.bootstrap import intervals
from ..tasks.spans import answers

FEWEST = 20  # rows under which a temperature would fit noise
ENOUGH = 200  # rows from which it may sharpen: few rows that are all right ask for certainty, and know nothing of mistakes


def temperature(task: Task, outputs: Tensor, targets: Tensor) -> tuple[float, str]:
    """The temperature that calibrates on the selecting rows (Guo et al., 2017), and a word on how it was found."""
    if task.schema.target == "number":
        return 1.0, "a number needs no calibration"
    if not task.calibrated:
        return 1.0, "there are no probabilities to calibrate"
    if len(targets) < FEWEST:
        return 1.0, f"only {len(targets)} selecting rows: too few to calibrate on"
    found, how = calibration.fit_temperature(outputs.numpy(), targets.numpy()), f"fitted on {len(targets)} selecting rows"
    if found < 1 and len(targets) < ENOUGH:
        return 1.0, f"{how}, too few of them to make the probabilities more certain"
    return found, how


def with_intervals(task: Task, outputs: Tensor, targets: Tensor, degrees: float, groups: np.ndarray | None = None) -> dict[str, dict]:
    """{metric: {"value": v, "interval": [lo, hi]}}, 95 % percentile bootstrap over rows, or over groups where rows come in groups.

    Without labels the interval is None: rows that are drawn twice lower a rank."""
    decoded = task.decode(outputs, temperature=degrees).numpy()
    if task.schema.target == "none":
        return {name: {"value": value, "interval": None} for name, value in task.metrics(decoded, targets.numpy()).items()}
    found = intervals(decoded, targets.numpy(), task.metrics, groups=groups)
    return {name: {"value": value, "interval": [low, high]} for name, (value, low, high) in found.items()}


def calibrated(task: Task, outputs: Tensor, targets: Tensor, degrees: float) -> dict[str, float] | None:
    """Calibration error on the scored rows before and after the temperature; None for numbers."""
    if task.schema.target == "number" or not task.calibrated:
        return None
    before, after = (calibration.ece(task.decode(outputs, temperature=t).numpy(), targets.numpy()) for t in (1.0, degrees))
    return {"before": float(before), "after": float(after)}


def groups_of(table: pa.Table) -> np.ndarray | None:
    """Group numbers [n] where the table has a group column, else None."""
    if "group" not in table.column_names:
        return None
    return np.unique(np.asarray(table["group"].to_pylist(), dtype=str), return_inverse=True)[1]


def predictions(schema: Schema, decode: Callable[..., Tensor], table: pa.Table, outputs: Tensor, degrees: float, split: str) -> pa.Table:
    """The rows of predictions.parquet (see the columns in docs/run-folder.md); of questions, one for all windows of a context; without
    labels, the length of the features alone."""
    if schema.target == "spans":
        return _answered(table, outputs, split)
    if schema.target == "none":
        named = {"split": [split] * len(table), "path": table[name_column(table, schema.input)]}
        return pa.table({**named, "norm": pa.array(outputs.double().norm(dim=1).numpy())})
    plain, calibrated_ = decode(outputs).numpy(), decode(outputs, temperature=degrees).numpy()
    if schema.target == "class":
        best = calibrated_.argmax(1)
        predicted = [schema.classes[i] for i in best]
        probability = calibrated_[np.arange(len(best)), best]
    elif schema.target == "labels":
        predicted = [[c for c, p in zip(schema.classes, row, strict=True) if p >= 0.5] for row in calibrated_]
        probability = np.maximum(calibrated_, 1 - calibrated_).prod(1)
    elif schema.target == "tags":
        tags = [[schema.classes[int(i)] for i in row if i >= 0] for row in calibrated_]
        predicted, probability = tags, np.full(len(tags), np.nan)
    elif schema.target == "language":
        predicted, probability = [""] * len(calibrated_), np.full(len(table), np.nan)
    else:
        predicted, probability = calibrated_[:, 0].astype(float), np.full(len(calibrated_), np.nan)
    label = table[schema.label]
    columns = {
        "split": pa.array([split] * len(table)), "path": table[name_column(table, schema.input)], "label": label,
        "predicted": pa.array(list(predicted), type=label.type), "probability": pa.array(probability.astype(float)),
        "probabilities": pa.array([row.astype(float).tolist() for row in calibrated_]),
        "raw": pa.array([row.astype(float).tolist() for row in plain]),
    }  # fmt: skip
    if schema.modality == "text":
        columns["text"] = table[schema.input]
    if schema.pair:
        columns["context"] = table["context"]
    return pa.table(columns)


def _answered(table: pa.Table, outputs: Tensor, split: str) -> pa.Table:
    """A row a question: the best answer of all windows, and how right it is."""
    found = answers(table, outputs)
    rows = {row["question"]: row for row in table.select(["question", "text", "context", "label", "starts"]).to_pylist()}
    scores = [spans.best(one["answer"], rows[one["question"]]["label"]) for one in found]
    told = {name: [rows[one["question"]][name] for one in found] for name in ("text", "context", "label", "starts")}
    return pa.table({
        "split": [split] * len(found), "path": [one["question"] for one in found], "predicted": [one["answer"] for one in found],
        "probability": [one["probability"] for one in found], **told,
        "exact_match": [float(exact) for exact, _ in scores], "f1": [float(f1) for _, f1 in scores],
    })  # fmt: skip
