"""Writes the model folder: weights, description and card, whole or not at all, and proves that it predicts the same."""

import copy
import errno
import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from .. import __version__, backbones
from ..core import Backbone, Net, Schema, State, Task
from ..errors import OutputError, WeightsError
from . import earlier
from .card import text
from .model import CARD, DESCRIPTION, FORMAT, LANGUAGE, WEIGHTS, Model, decoded, digest, former, locate, read

TOLERANCE = 1e-6


def write(folder: Path, net: Net, task: Task, backbone: Backbone, temperature: float, samples: Tensor | State, extra: dict) -> dict:
    """Write `folder` (RUN/model), read it back and compare predictions; the former content is replaced only when they agree.

    samples: uint8 [n, 3, size, size], up to 8 images of the data, preprocessed, or the State of texts. extra: what the card tells,
    all optional: "scores" (the content of scores.json), "data" (the content of data.json), "command" (how to fit it again); and
    "earlier", the `earlier.Known` tasks whose heads stand in net.earlier, oldest first; and "teacher", the path of the run whose
    answers it learnt from.
    Returns {"parity": largest absolute difference of probabilities (of numbers: relative to the larger of 1 and the number),
    "bytes": size of the folder}. Raises OutputError where the folder cannot be written, WeightsError where the saved model
    predicts something else by more than 1e-6.
    """
    beside = folder.with_name(folder.name + ".new")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        tensors = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in net.state_dict().items()}
        save_file(tensors, beside / WEIGHTS)
        described = describe(net, task, backbone, temperature, extra) | {"weights": {"file": WEIGHTS, "sha256": digest(beside / WEIGHTS)}}
        (beside / DESCRIPTION).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if getattr(backbone.prepare, "tokenizer", ""):
            (beside / backbones.TOKENIZER).write_text(backbone.prepare.tokenizer, encoding="utf-8")
        (beside / CARD).write_text(text(described, extra), encoding="utf-8")
        # safetensors makes a file that only its owner may read; a model is there to be passed on.
        shutil.copymode(beside / DESCRIPTION, beside / WEIGHTS)
        for file in beside.iterdir():
            with open(file, "rb") as held:
                os.fsync(held.fileno())
        parity = _parity(net, task, temperature, samples, beside, extra.get("earlier", ()))
        size = sum(file.stat().st_size for file in beside.iterdir())
        _exchange(beside, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OutputError(_cannot_write(error, folder)) from error
    except WeightsError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return {"parity": parity, "bytes": size}


def describe(net: Net, task: Task, backbone: Backbone, temperature: float, extra: dict) -> dict:
    """The content of graft.json: everything but the tensors that is needed to use the model, and where it comes from."""
    return {
        "format": FORMAT,
        "graft": __version__,
        "backbone": backbones.describe(backbone),
        "head": {"config": {"kind": LANGUAGE} if task.schema.target == "language" else net.head.config},
        "taps": net.taps,
        "pool": task.pool,
        "task": {"name": task.name, "schema": asdict(task.schema), "config": task.config},
        "temperature": temperature,
        "classes": task.schema.classes,
        "learnt": earlier.learnt(net, extra),
        "earlier": earlier.describe(net, extra.get("earlier", ())),
        "teacher": _teacher(extra.get("teacher")),
        "scores": extra.get("scores", {}),
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _teacher(run: str | None) -> dict | None:
    """Of the run that taught: its "name", its "body" and the "sha256" of its weights."""
    if run is None:
        return None
    folder = locate(Path(run))
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    name = folder.parent.name if folder.name == "model" else folder.name
    return {"name": name, "body": described["backbone"]["origin"]["name"], "sha256": described["weights"]["sha256"]}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "torchvision", "timm", "transformers", "tokenizers", "safetensors", "numpy", "scikit-learn", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _parity(net: Net, task: Task, temperature: float, samples: Tensor | State, folder: Path, known: Sequence[earlier.Known]) -> float:
    """The largest difference between the net in memory and the one on disk, with each of its heads, both on the CPU in one memory
    layout."""

    def same(name: str, schema: Schema, config: dict) -> Task:
        # Export does not know the catalogue: what is written must stand for the very tasks in hand.
        for one in (task, *(one.task for one in known)):
            if (name, schema, config) == (one.name, one.schema, json.loads(json.dumps(one.config))):
                return one
        raise WeightsError(f"The task '{name}' does not survive being saved; please report this with the command you used.")

    saved: Model = read(folder, same)
    kept = copy.deepcopy(net).to("cpu", memory_format=torch.contiguous_format).eval()
    pairs = [(decoded(kept, task, temperature, samples), decoded(saved.net, task, saved.temperature, samples))]
    for one in known:
        if one.name in kept.earlier:
            sides = (kept.seen_as(one.name), saved.net.seen_as(one.name))
            pairs.append(tuple(decoded(side, one.task, one.temperature, samples) for side in sides))
    differences = [np.abs(before - after) / np.maximum(1.0, np.abs(before)) for before, after in pairs]
    parity = float(np.concatenate([one.ravel() for one in differences]).max(initial=0.0))
    if not parity <= TOLERANCE:  # also where it is not a number
        raise WeightsError(
            f"The saved model predicts something else than the trained one (by {parity:.2g} in a probability), so it was not kept; "
            "please report this with the command you used."
        )
    return parity


def _exchange(beside: Path, folder: Path) -> None:
    """Put `beside` in the place of `folder`. A kill at any moment leaves one whole model, which `read` finds."""
    old = former(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    beside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _cannot_write(error: Exception, folder: Path) -> str:
    on = f"then go on with: graft resume {folder.parent}"
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        return f"The model could not be written to '{folder}' because the disk is full; make room, {on}"
    return f"The model could not be written to '{folder}' ({getattr(error, 'strerror', None) or error}); make the folder writable, {on}"
