"""The images a net gets most wrong or is least sure of, with class-activation heat maps."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from ..core import Net, State, Task
from ..errors import GraftError

SHOWN = 224
UNCERTAIN = 8
PIECE = 8


def explain(net: Net, task: Task, predictions: pa.Table, load: Callable[[str], Tensor], folder: Path, limit: int = 12) -> list[dict]:
    """Write folder/explain/index.json and its pictures, and return the index.

    predictions: the scored rows, with the columns path, label, predicted, probability and probabilities. At most `limit`
    mistakes (see `worst`) and 8 uncertain images (see `unsure`). load(path) -> uint8 [3, s, s]; a file that cannot be read
    any more is left out. Each entry: {"path", "kind": "mistake" or "uncertain", "label", "predicted", "probability" (0..1,
    null for numbers), "image", "heat" (null where the net has no grid or no gradient)}. The pictures are PNGs of at most
    224 pixels; the heat maps are RGBA overlays of the same size. The net's modes, flags and gradients stay as they were.
    """
    rows = predictions.select([c for c in ("path", "label", "predicted", "probability", "probabilities") if c in predictions.column_names])
    wrong = worst(rows, task)[:limit]
    chosen = [(i, "mistake") for i in wrong] + [(i, "uncertain") for i in unsure(rows, task, set(wrong))[:UNCERTAIN]]
    shown, images = [], []
    for i, kind in chosen:
        try:
            images.append(load(rows["path"][i].as_py()))
        except (OSError, ValueError, GraftError):
            continue
        shown.append((i, kind))
    heats = heat_maps(net, images, [_output(rows, i, task) for i, _ in shown])
    folder = Path(folder) / "explain"
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for number, ((i, kind), image, heat) in enumerate(zip(shown, images, heats, strict=True)):
        entry = {k: rows[k][i].as_py() for k in ("path", "label", "predicted", "probability") if k in rows.column_names}
        if task.schema.target == "number" or entry.get("probability") != entry.get("probability"):
            entry["probability"] = None
        names = {"image": f"{number:03d}.png", "heat": f"{number:03d}_heat.png" if heat is not None else None}
        picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
        picture.thumbnail((SHOWN, SHOWN))
        picture.save(folder / names["image"])
        if heat is not None:
            overlay(heat, picture.size).save(folder / names["heat"])
        index.append({"kind": kind, **entry, **names})
    beside = folder / "index.json.new"
    beside.write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, folder / "index.json")  # last: what the index names is whole
    return index


def worst(rows: pa.Table, task: Task) -> list[int]:
    """Rows that are wrong, the worst first: by the probability of the wrong label; for several labels by the largest
    |probability - truth| of a label that was decided wrongly; for numbers by absolute error (all rows)."""
    if task.schema.target == "number":
        return np.argsort(-np.abs(_column(rows, "predicted") - _column(rows, "label")), kind="stable").tolist()
    same = _set if task.schema.target == "labels" else str
    label, said = rows["label"].to_pylist(), rows["predicted"].to_pylist()
    wrong = [i for i in range(len(rows)) if same(label[i]) != same(said[i])]
    if task.schema.target == "labels":
        gap = _gaps(rows, task).max(1)
        return sorted(wrong, key=lambda i: -gap[i])
    probability = _column(rows, "probability")
    return sorted(wrong, key=lambda i: -probability[i])


def unsure(rows: pa.Table, task: Task, but: set[int]) -> list[int]:
    """Rows outside `but`, the least sure first: by the margin between the two largest probabilities; for several labels by
    the probability nearest to one half. None for numbers, which come without a probability."""
    if task.schema.target == "number" or not len(rows):
        return []
    p = np.array(rows["probabilities"].to_pylist(), dtype=float)
    if task.schema.target == "labels":
        margin = np.abs(p - 0.5).min(1)
    else:
        top = np.sort(p, 1)
        margin = top[:, -1] - top[:, -2]
    return [i for i in np.argsort(margin, kind="stable").tolist() if i not in but]


def _set(labels) -> frozenset:
    return frozenset(labels or ())


def _column(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].to_numpy().astype(float)


def _gaps(rows: pa.Table, task: Task) -> np.ndarray:
    """|probability - truth| [n, k] of several labels."""
    p = np.array(rows["probabilities"].to_pylist(), dtype=float).reshape(len(rows), -1)
    truth = np.array([[name in _set(labels) for name in task.schema.classes] for labels in rows["label"].to_pylist()], dtype=float)
    return np.abs(p - truth)


def _output(rows: pa.Table, i: int, task: Task) -> int:
    """Which output the heat map explains: the predicted class; the most mistaken label; the number."""
    if task.schema.target == "number":
        return 0
    if task.schema.target == "labels":
        return int(_gaps(rows.slice(i, 1), task)[0].argmax())
    return task.schema.classes.index(rows["predicted"][i].as_py())


def heat_maps(net: Net, images: list[Tensor], outputs: list[int]) -> list[np.ndarray | None]:
    """Grad-CAM (Selvaraju et al., 2017): for each uint8 image [3, s, s] and output number a map [h, w] in 0..1, or None.

    The map is relu(sum_c a_c A_c) of the last stage with more than one cell, a_c the mean gradient of the output with
    respect to A_c. Patch tokens are laid out as their grid; where the head reads only a class token, so that the patches
    of the last stage have no gradient, the stage before is taken. None where there is no grid or the head has no gradient.
    """
    from ..data.images import normalise

    modes = {module: module.training for module in net.modules()}
    device = next((t.device for t in [*net.parameters(), *net.buffers()]), torch.device("cpu"))
    net.eval()
    try:
        out: list[np.ndarray | None] = []
        for start in range(0, len(images), PIECE):
            batch = normalise(torch.stack(images[start : start + PIECE]), net.prepare).to(device)
            out += _maps(net, batch, torch.tensor(outputs[start : start + PIECE], device=device))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return out


def _maps(net: Net, batch: Tensor, wanted: Tensor) -> list[np.ndarray | None]:
    states: list[State] = [{"x": batch}]
    with torch.no_grad():
        for depth in range(min(net.taps[-1] + 1, len(net.stages))):
            # A copy goes in, because a stage that begins with an operation in place would change what is kept here.
            states.append(net.advance({**states[-1], "x": states[-1]["x"].clone()}, depth, depth + 1))
    for depth in range(len(states) - 1, 0, -1):
        if not _cells(states[depth]["x"], net.forms[depth - 1]):
            continue
        found = _gradient(net, states[depth], depth, wanted)
        if found is None:
            return [None] * len(batch)
        activation, gradient = (_grid(t, net.forms[depth - 1]) for t in found)
        if not gradient.any():
            continue
        weights = gradient.mean((2, 3), keepdim=True)
        heat = (weights * activation).sum(1).clamp_min(0)
        top = heat.amax((1, 2), keepdim=True)
        return list((heat / top.clamp_min(1e-12)).cpu().numpy())
    return [None] * len(batch)


def _cells(x: Tensor, form: str) -> bool:
    return (form == "map" and x.ndim == 4 and x.shape[2] * x.shape[3] > 1) or (form == "tokens" and x.ndim == 3 and x.shape[1] > 3)


def _grid(x: Tensor, form: str) -> Tensor:
    """[n, c, h, w]; of tokens the largest square at the end: class and register tokens come first."""
    if form == "map":
        return x
    side = int(x.shape[1] ** 0.5)
    return x[:, -side * side :].transpose(1, 2).reshape(len(x), x.shape[2], side, side)


def _gradient(net: Net, state: State, depth: int, wanted: Tensor) -> tuple[Tensor, Tensor] | None:
    """The activation at `depth` and the gradient of the wanted outputs there; None where nothing is differentiable."""
    with torch.enable_grad():
        x = state["x"].detach().float().requires_grad_()
        state = {**state, "x": x.clone()}
        if depth - 1 in net.taps:  # a tap of this very stage has to be pooled from the x that carries the gradient
            state[f"tap{net.taps.index(depth - 1)}"] = net.pool(state, net.forms[depth - 1])
        out = net(state, start=depth)
        if not out.requires_grad:
            return None
        picked = out.flatten(1).gather(1, wanted.clamp_max(out.flatten(1).shape[1] - 1)[:, None]).sum()
        (gradient,) = torch.autograd.grad(picked, x, allow_unused=True)
    return (x.detach(), gradient if gradient is not None else torch.zeros_like(x))


def overlay(heat: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """A map [h, w] in 0..1 as an RGBA picture of size (width, height): the colour map "inferno", and what is cold is clear."""
    from matplotlib import colormaps

    smooth = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    colours = (colormaps["inferno"](0.15 + 0.8 * smooth) * 255).astype(np.uint8)
    colours[..., 3] = (190 * smooth**0.8).astype(np.uint8)
    return Image.fromarray(colours)
