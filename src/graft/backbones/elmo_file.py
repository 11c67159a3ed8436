"""ELMo's published files: options.json, which says the sizes, and an HDF5 file of weights."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.text import CHARACTERS
from ..errors import WeightsError

_BYTES = 261
"""Rows of the published embedding: the 256 bytes and five marks; the row for padding is not in the file."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the network. filters: (span in characters, how many) of each convolution. embedding: numbers of a character.
    highway: how many such layers. dim: cells of each LSTM. projection: numbers it gives. cell_clip, proj_clip: greatest absolute
    value of a cell, and of a projected number; None for no limit. skip: layers after the first add their input."""

    filters: tuple[tuple[int, int], ...]
    embedding: int
    highway: int
    dim: int
    projection: int
    layers: int = 2
    activation: str = "relu"
    cell_clip: float | None = 3.0
    proj_clip: float | None = 3.0
    skip: bool = True


def read(source: str | Path) -> tuple[Path, Plan, dict[str, np.ndarray]]:
    """(the HDF5 file, the sizes, float32 arrays by their published names) from a folder, or an HDF5 file with its options beside it.

    Raises WeightsError: a file is missing, damaged, or of another network; it then says which dataset and the shapes.
    """
    file, options = _files(Path(source).expanduser())
    plan = _plan(options)
    return file, plan, _arrays(file, options.name, plan)


def layout(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Name and shape of every dataset of the published file."""
    width = sum(count for _, count in plan.filters)
    found: dict[str, tuple[int, ...]] = {"char_embed": (_BYTES, plan.embedding)}
    for i, (span, count) in enumerate(plan.filters):
        found |= {f"CNN/W_cnn_{i}": (1, span, plan.embedding, count), f"CNN/b_cnn_{i}": (count,)}
    for i in range(plan.highway):
        for part in ("transform", "carry"):
            found |= {f"CNN_high_{i}/W_{part}": (width, width), f"CNN_high_{i}/b_{part}": (width,)}
    found |= {"CNN_proj/W_proj": (width, plan.projection), "CNN_proj/b_proj": (plan.projection,)}
    for side in (0, 1):
        for j in range(plan.layers):
            cell = f"RNN_{side}/RNN/MultiRNNCell/Cell{j}/LSTMCell"
            found |= {f"{cell}/W_0": (2 * plan.projection, 4 * plan.dim), f"{cell}/B": (4 * plan.dim,)}
            found[f"{cell}/W_P_0"] = (plan.dim, plan.projection)
    return found


def _files(source: Path) -> tuple[Path, Path]:
    file = source
    if source.is_dir():
        held = sorted(source.glob("*.hdf5"))
        file = source / "weights.hdf5" if len(held) != 1 else held[0]
    if not file.is_file():
        raise WeightsError(f"There is no weights file {file}; give a folder with ELMo's options.json and weights.hdf5, or that .hdf5 file.")
    options = file.with_name("options.json")
    if not options.is_file() and file.stem.endswith("weights"):
        options = file.with_name(f"{file.stem.removesuffix('weights')}options.json")  # as the files are called where they are published
    if not options.is_file():
        raise WeightsError(f"There is no options.json beside {file}; put the one there that was published with these weights.")
    return file, options


def _plan(path: Path) -> Plan:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        lstm, cnn = told["lstm"], told["char_cnn"]
        plan = Plan(
            filters=tuple((_count(span), _count(count)) for span, count in cnn["filters"]),
            embedding=_count(cnn["embedding"]["dim"]),
            highway=_count(cnn.get("n_highway") or 0, least=0),
            dim=_count(lstm["dim"]),
            projection=_count(lstm["projection_dim"]),
            layers=_count(lstm.get("n_layers", 1)),
            activation=cnn["activation"],
            cell_clip=_limit(lstm.get("cell_clip")),
            proj_clip=_limit(lstm.get("proj_clip")),
            skip=bool(lstm.get("use_skip_connections", False)),
        )
        characters, most = cnn["n_characters"], cnn["max_characters_per_token"]
    except KeyError as error:
        raise WeightsError(f"{path} does not say {error}; use the options.json that was published with these weights.") from error
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(f"{path} is damaged or holds no options of ELMo; use the one that was published with these weights.") from error
    wrong = None
    if plan.activation not in ("relu", "tanh"):
        wrong = f"activation '{plan.activation}', and graft knows relu and tanh"
    elif most != CHARACTERS or characters not in (_BYTES, _BYTES + 1):
        wrong = f"{characters} characters and {most} of them a word, and published weights have {_BYTES} or {_BYTES + 1} and {CHARACTERS}"
    elif not plan.filters or max(span for span, _ in plan.filters) > CHARACTERS:
        wrong = f"filters that do not fit into a word of {CHARACTERS} characters"
    if wrong:
        raise WeightsError(f"{path} says {wrong}; use other weights of ELMo.")
    return plan


def _count(value: object, least: int = 1) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} is no count")
    return value


def _limit(value: object) -> float | None:
    """A clip of 0 is none, as in the published code."""
    if value is not None and (isinstance(value, bool) or not 0 <= float(value) < math.inf):
        raise ValueError(f"{value!r} is no limit")
    return float(value) if value else None


def _arrays(path: Path, options: str, plan: Plan) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(f"Reading {path} needs the package h5py; install it with: pip install h5py.") from error
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: _array(file, name, shape, path, options) for name, shape in layout(plan).items()}
            _check_none_left(file, plan, path, options)
            return arrays
    except (OSError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{path} is damaged or is not an HDF5 file; fetch or copy it again.") from error


def _array(file, name: str, shape: tuple[int, ...], path: Path, options: str) -> np.ndarray:
    """One dataset as float32, checked before it is read."""
    import h5py

    held = file.get(name)
    if not isinstance(held, h5py.Dataset):
        raise WeightsError(f"{path} has no dataset '{name}', which {options} asks for {list(shape)}; use the file published with it.")
    if held.file.filename != file.filename or held.external or held.is_virtual:
        raise WeightsError(f"{path} keeps its dataset '{name}' in another file, which graft does not follow; use a file that is whole.")
    if held.dtype.kind != "f":
        raise WeightsError(f"{path} holds {held.dtype} in '{name}' where numbers belong; use the file as it was published.")
    if held.shape != shape:
        raise WeightsError(
            f"{path} has '{name}' of shape {list(held.shape)}, but {options} asks for {list(shape)}; use the two files published together."
        )
    array = held[...].astype(np.float32)
    if not np.isfinite(array).all():
        raise WeightsError(f"{path} has values that are not finite in '{name}'; use another copy of the weights.")
    return array


def _check_none_left(file, plan: Plan, path: Path, options: str) -> None:
    """A layer that the file has and the options do not name would go unnoticed."""
    found: list[str] = []
    file.visit(found.append)
    wanted = {name[:end] for name in layout(plan) for end in range(len(name) + 1)}
    more = [name for name in found if name.startswith(("CNN", "RNN")) and name not in wanted]
    if more:
        raise WeightsError(f"{path} has '{more[0]}', which {options} does not ask for; use the two files published together.")
