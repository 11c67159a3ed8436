"""A saved model and the very images it is to predict: fitted to these without labels, and given back as it was where that looks worse."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from .. import catalog
from ..assembly import modality
from ..core import Data, Net, TextPrepare
from ..data.images import pixels_of
from ..engine import device, execute, forward
from ..engine.passes import Passes
from ..errors import DataError, OptionError, nearest
from ..export.model import Model, Picture
from ..inspect import files
from ..methods import adabn
from ..metrics import label_free

WAYS = ("adabn", "tent")
LEAST = 16
"""Images below which a layer's mean and variance say more about these images than about the domain they are from."""
HALF = 0.5
"""Of the classes that the predictions were spread over: where fewer are left, the net has collapsed."""


def adapt(model: Model, items: Sequence[Picture], how: str, seed: int = 0) -> tuple[Net, dict]:
    """(the net to predict these images with, {"how", "kept", "why", "changed"}): a copy that a method of the catalogue adapted to them,
    or the model's own net where `verdict` is against it. The model is not changed.

    how: "adabn" takes BatchNorm's statistics anew from the images; "tent" then also makes the predictions certain. items: paths,
    PIL images or arrays; what cannot be read is left out. kept: whether the adapted net is given; why: one sentence; changed: the
    share of predictions in which the two nets differ. Raises OptionError where the model or the images are not made for it.
    """
    if how not in WAYS:
        raise OptionError(f"There is no way to adapt called '{how}'.{nearest(how, WAYS)}")
    _check(model)
    with tempfile.TemporaryDirectory(prefix="graft-adapt-") as folder:
        table = _table(model, items, Path(folder))
        before, taken, after, net = _run(model, table, how, seed, Path(folder))
    # Tent goes down the entropy, so its own outputs look well whatever they are worth; the statistics alone were taken, not learnt.
    kept, why = verdict(before, taken)
    kept, why = verdict(before, after) if kept else (kept, why)
    changed = float((before.argmax(1) != after.argmax(1)).mean())
    return (net if kept else model.net), {"how": how, "kept": kept, "why": why, "changed": changed}


def verdict(before: np.ndarray, after: np.ndarray) -> tuple[bool, str]:
    """Whether logits [n, k] of the adapted net may be believed beside those of the net as it was, and why, in one sentence.

    Against it: predictions that huddle in fewer classes (exp H of the classes' shares, less 1, falls to under half), or mutual
    information of row and class that falls: less certain, or less spread. Neither sees a label, so where the model is surely wrong, it
    may be believed all the same.
    """
    # exp H of the classes' shares, less 1: 0 where one class has all, k - 1 where all have as much.
    spread = [label_free.evenness(outputs) * outputs.shape[1] - 1 for outputs in (before, after)]
    if spread[1] < HALF * spread[0]:
        most = float(_shares(after).max())
        return False, f"adapted, the model gives {most:.0%} of the images one class (before: {float(_shares(before).max()):.0%})"
    told = [label_free.information(outputs) for outputs in (before, after)]
    said = f"from {told[0]:.3f} to {told[1]:.3f} nats"
    if told[1] < told[0]:
        return False, f"adapted, the predictions tell less about the images: their mutual information falls {said}"
    return True, f"the mutual information of images and predictions rises {said}, and they are spread over the classes as before"


def _shares(outputs: np.ndarray) -> np.ndarray:
    """The share of rows that is given each class, [k]."""
    return np.bincount(outputs.argmax(1), minlength=outputs.shape[1]) / len(outputs)


def _check(model: Model) -> None:
    if isinstance(model.net.prepare, TextPrepare) or model.task.schema.target != "class":
        raise OptionError("Only models that give an image one class adapt when they predict; leave out --adapt.")
    run = model.net.stages[: model.net.taps[-1] + 1]
    if not any(isinstance(layer, adabn.Norm) and layer.running_mean is not None for layer in run.modules()):
        raise OptionError(
            f"The body '{model.net.origin.name}' has no BatchNorm to adapt; leave out --adapt, or fit again with --target FOLDER."
        )


def _table(model: Model, items: Sequence[Picture], folder: Path) -> pa.Table:
    """The readable images as rows; what is in memory is written to `folder` without loss."""
    paths = []
    for number, item in enumerate(items):
        if isinstance(item, str | Path):
            paths += [str(item)] if not files.defect(str(item)) else []
            continue
        try:
            pixels = pixels_of(item, number, model.net.prepare)
        except DataError:
            continue
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    if len(paths) < LEAST:
        raise OptionError(f"To adapt takes {LEAST} images or more, and {len(paths)} can be read; give more, or leave out --adapt.")
    return pa.table({model.task.schema.input: paths})


def _run(model: Model, table: pa.Table, how: str, seed: int, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, Net]:
    """Outputs [n, k] before the method, after its statistics and at its end, and the adapted copy, on the CPU as the model's net is."""
    task, machine = model.task, device.find()
    net = machine.place(copy.deepcopy(model.net))
    # The engine scores some rows with labels whenever a phase ends. There are none here, so two images get a class that means
    # nothing; no choice looks at that score.
    stand_in = table.slice(0, 2).append_column(task.schema.label, pa.array([task.schema.classes[0]] * 2))
    data = Data(stand_in.slice(0, 0), task.schema, "", "the images to predict", val=stand_in, target=table)
    phases, options = catalog.resolve("method", how), catalog.options("method", how)()
    with modality.streams(net, task.encode, task.schema, seed) as streams:
        passes = Passes(streams, machine, "exact")
        before = forward.outputs(net, streams.plain(table), machine)
        setting = execute.Setting("adapt", folder, net, task, data, passes, passes.journal, seed)
        outcome = execute.execute(lambda: phases(net, task, data, options), setting)
    taken, after = (outcome.watched[outcome.phases[i]["phase"]] for i in (0, -1))
    return before.numpy(), taken.numpy(), after.numpy(), net.to("cpu", memory_format=torch.contiguous_format).eval()
