"""Snapshots that a kill cannot tear: one safetensors file with its JSON inside, written beside and renamed."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core import Phase
from .journal import full_disk


def save(path: Path, tensors: dict[str, Tensor], state: dict) -> None:
    """Write atomically and durably. Raises OutputError on a full disk, with the former snapshot whole."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        save_file(whole, beside, metadata={"state": json.dumps(state)})
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        beside.unlink(missing_ok=True)
        cause = error if isinstance(error, OSError) else OSError(28 if "space" in str(error) else None, str(error))
        raise full_disk(cause, path.parents[2] if len(path.parents) > 2 else path.parent) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict] | None:
    """What `save` wrote, or None where there is nothing."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["state"])  # noqa: SIM118


def changing(net: nn.Module, phase: Phase) -> dict[str, Tensor]:
    """The tensors that this phase may change, by name: learning parameters, buffers of stages that are not frozen, head, extras.

    Everything else is bit-identical to what it was before, so a snapshot need not hold it.
    """
    learning = {name for group in phase.groups for name in group.parameters}
    frozen = tuple(f"stages.{i}." for i in range(phase.frozen))
    tensors = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        is_buffer = not isinstance(tensor, nn.Parameter)
        if name in learning or name.startswith("head.") or (is_buffer and not name.startswith(frozen)):
            tensors[name] = tensor.detach()
    for name, tensor in (phase.extras.state_dict() if phase.extras is not None else {}).items():
        tensors[f"extras.{name}"] = tensor.detach()
    return tensors


def copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


@torch.no_grad()
def restore(into: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Copy tensors over those of the same name; the names must be the same."""
    if into.keys() != tensors.keys():
        differ = sorted(into.keys() ^ tensors.keys())[:3]
        raise KeyError(f"a snapshot does not fit the net: {', '.join(differ)}")
    for name, tensor in tensors.items():
        into[name].copy_(tensor)


def digest(net: nn.Module, names: list[str]) -> str:
    """A digest of the exact bits of the named tensors; used to prove that what is frozen did not move."""
    import hashlib

    state, total = net.state_dict(), hashlib.blake2b(digest_size=16)
    for name in names:
        total.update(name.encode())
        flat = state[name].detach().to("cpu").contiguous().reshape(-1)
        total.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return total.hexdigest()


def constant(net: nn.Module, phase: Phase) -> list[str]:
    """Names of all tensors of the net that this phase must leave bit-identical."""
    moving = changing(net, phase)
    return [name for name in net.state_dict() if name not in moving]


def clear(folder: Path) -> None:
    """Remove a finished run's snapshots; its model stands in RUN/model."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
