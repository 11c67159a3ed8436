"""What the network from scratch gave on these rows is kept, so that the next fit on them need not train it again."""

import json
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from ..assembly.wiring import Parts
from ..core import Data
from ..engine import checkpoint, device, prefix
from ..engine.store import Store


@dataclass(frozen=True)
class Control:
    """outputs [n, k] on the scored rows, and what was told of the arm: seconds, peak_memory_mb, trainable, learning_value, epochs."""

    outputs: Tensor
    told: dict


def key(parts: Parts, data: Data) -> str:
    """Changes with the network, the rows that learn, select and are scored, what is in them, the seed and what was asked of training;
    not with how long it trained, which a control says of itself."""
    tables = [None if t is None else tuple(t[data.schema.input].to_pylist()) for t in (data.train, data.val, data.test)]
    body, spec = parts.backbone, parts.spec
    return device.short_digest(
        "control", data.fingerprint, tables, body.origin.architecture, sorted(body.origin.build.items(), key=str), body.prepare,
        parts.task.name, sorted(parts.task.config.items(), key=str), data.schema.classes, spec.seed, spec.precision,
        parts.streams.augment.options, device.cpu_name(), torch.get_num_threads(), prefix.versions(body.origin.architecture),
    )  # fmt: skip


def find(store: Store | None, name: str) -> Control | None:
    """The control of that key; None where there is none that can be read."""
    path = store.file(name) if store else None
    if path is None:
        return None
    try:
        tensors, told = checkpoint.load(path)
        return Control(tensors["outputs"], told)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def keep(store: Store | None, name: str, control: Control, body: str) -> None:
    """Kept, unless one that trained for longer is there already."""
    there = find(store, name)
    if store is None or (there is not None and there.told["epochs"] >= control.told["epochs"]):
        return
    content = save({"outputs": control.outputs.contiguous()}, {"state": json.dumps(control.told)})
    store.put(name, content, {"body": body, "what": "the same network from scratch, as a control"})
