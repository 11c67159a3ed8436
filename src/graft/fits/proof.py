"""What the arms of a fit prove together: the content of evidence.json."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..assembly.wiring import Parts
from ..core import Data
from ..engine.execute import Outcome
from ..evidence import curve as curves
from ..evidence import gather, overlap
from ..evidence.scores import groups_of
from ..heads import logistic
from .arms import NEARLY, Arm, Rivals

SHARES = (0.1, 0.25, 0.5)
DRAWS = {"quick": 3, "full": 10}
MOST_ROWS = 5000  # scored rows whose every prediction is kept for the curve's interval
FEWEST = 40  # learning rows under which a curve says nothing


def joined(parts: Sequence[dict]) -> dict:
    """What is known of an arm over all folds: `told` counts on from fold to fold; the score on the learning rows is a mean."""
    values = [one["learning_value"] for one in parts if one.get("learning_value") is not None]
    return {**parts[-1], "learning_value": float(np.mean(values)) if values else None}


def points(arms: Sequence[tuple[Arm, Outcome]], data: Data, table: pa.Table, level: str) -> list[dict]:
    """Scores on the table of the linear probe with a tenth, a quarter, a half and all of the labels: {"share", "n", "value"} of each draw.

    The features are those that the probe was made from, and the strength is the one that it chose with all labels, so each draw
    costs no more than a head; empty where there is no probe."""
    arm, outcome = next(((arm, its) for arm, its in arms if arm.name == "probe"), arms[0])
    net, task, learning = outcome.net, arm.parts.task, data.learning()
    c = outcome.phases[-1].get("chosen", {}).get("C")
    if task.schema.target != "class" or c is None or outcome.frozen < len(net.stages) or len(learning) < FEWEST:
        return []
    labels, targets = task.encode(learning).numpy(), task.encode(table).numpy()
    draws, seed = 1 if data.plan is not None and data.plan.folds else DRAWS[level], arm.parts.spec.seed
    features = arm.passes.kept(net, net.pooled, learning).take(np.arange(len(learning)))["x"].numpy()
    fresh = arm.passes.kept(net, net.pooled, table, exact=True).take(np.arange(len(table)))["x"]
    found, paired = [], not (data.plan is not None and data.plan.folds) and len(table) <= MOST_ROWS
    for share, rows in [*curves.subsets(labels, SHARES, draws, seed), (1.0, np.arange(len(labels)))]:
        head = logistic.at_strength(features[rows], labels[rows], c, len(task.schema.classes)).eval()
        with torch.inference_mode():
            decoded = task.decode(head(fresh)).numpy()
        one = {"share": share, "n": len(rows), "value": float(task.metrics(decoded, targets)[task.primary])}
        # In folds every draw has rows of its own, and rows say something together only where they are the same.
        right = (decoded.argmax(1) == targets).astype(int).tolist() if paired and task.primary == "accuracy" else None
        found.append(one if right is None else one | {"rows": right})
    return found


def evidence(
    parts: Parts, table: pa.Table, targets: Tensor, chosen: Tensor, others: dict[str, Tensor], told: dict[str, dict], curve: Sequence[dict],
    rivals: Rivals,
) -> dict:  # fmt: skip
    """The content of evidence.json, from the arms' outputs [n, k] on the locked rows; those of `chosen` are divided by its temperature."""
    task = parts.task
    found = {"chosen": [task.decode(chosen).numpy()]}
    for key, outputs in others.items():
        found.setdefault(key.rstrip("0123456789"), []).append(task.decode(outputs).numpy())
    arms = {name: np.stack(decoded) for name, decoded in found.items()}
    if task.schema.target in ("class", "labels", "number"):
        learnt = task.encode(parts.data.learning()).numpy()
        flat = gather.majority(learnt, task.schema.target, chosen.shape[1], parts.data.schema.centre)
        arms["majority"] = np.repeat(flat, len(table), 0)[None]
    took = [told.get(name, {}).get("seconds", 0.0) for name in ("scratch", "chosen")]
    fair = took[0] >= NEARLY * took[1]
    about = {name: {**_words(name, parts, rivals), **told.get(name, {})} for name in arms}
    said = gather.gather(
        arms,
        about,
        targets.numpy(),
        task.metrics,
        task.primary,
        task.higher,
        groups_of(table),
        fair,
        parts.data.plan.folds,
        f"{task.schema.modality}s",
    )
    said |= {"level": rivals.level, "scored_as": parts.data.plan.score, "folds": parts.data.plan.folds, "cut": list(rivals.cut.values())}
    control = found.get("scratch")
    goal = next((row["value"] for row in said["arms"] if row["name"] == "scratch"), None)
    if control is not None and curve and "rows" in curve[0]:
        goal = np.stack([(decoded.argmax(1) == targets.numpy()).astype(float) for decoded in control])
    drawn = curves.described(curve, goal, task.higher, equal_time=fair) if curve else None
    seen = _overlap(parts)
    return said | {"curve": drawn, "notices": [seen] if seen else []}


def _words(name: str, parts: Parts, rivals: Rivals) -> dict[str, str]:
    """label and what of an arm."""
    method = parts.spec.method.name
    number, epochs = parts.task.schema.target == "number", rivals.chosen.passes.decided.get("epochs from scratch")
    rounds = "" if epochs is None else f", {float(epochs):.3g} epoch{'' if float(epochs) == 1 else 's'}"
    return {
        "chosen": {"label": method, "what": "what was asked for" if method != "auto" else ""},
        "probe": {"label": "linear probe", "what": "frozen body, linear head solved on its features"},
        "scratch": {"label": "from scratch", "what": f"the same network from random weights{rounds}"},
        "majority": {"label": "mean" if number else "majority class", "what": "says the same of every sample"},
    }[name]


def _overlap(parts: Parts) -> str | None:
    schema, trained_on = parts.task.schema, parts.backbone.origin.trained_on
    if schema.target == "number" or schema.modality != "image" or trained_on.lower() in ("", "nothing"):
        return None
    from timm.data import ImageNetInfo

    known = ImageNetInfo()
    names = [known.index_to_description(index) for index in range(known.num_classes())]
    return overlap.notice(trained_on, schema.classes, names)
