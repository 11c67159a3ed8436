"""A saved model: read from its folder, it predicts in a process that knows nothing of the training."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import backbones, heads
from ..core import Net, Schema, Task
from ..data.images import load_images, normalise
from ..errors import DataError, GraftError, WeightsError
from ..heads.pool import pooling

FORMAT = 1
WEIGHTS, DESCRIPTION, CARD = "weights.safetensors", "graft.json", "README.md"
Picture = str | os.PathLike | Image.Image | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    path: the file, or "image N" for an image in memory. label: the class; for several labels those of probability 0.5 or
    more, in the order of the classes; for numbers the value in its own unit. probability: of the label, calibrated, in
    [0, 1]; for several labels of just this set, labels taken as independent; None for numbers. top: (class, probability),
    best first; empty for numbers. error: why the image could not be read; label is None then.
    """

    path: str
    label: str | tuple[str, ...] | float | None
    probability: float | None
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


class Model:
    """A net with everything needed to use it: preprocessing, classes, temperature. Made by `read`.

    described: the content of graft.json. folder: where it was read from.
    """

    def __init__(self, net: Net, task: Task, described: dict, folder: Path):
        self.net, self.task, self.described, self.folder = net.eval(), task, described, folder

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities; empty for numbers."""
        return self.task.schema.classes

    @property
    def temperature(self) -> float:
        """The logits are divided by it before they become probabilities; fitted on rows that did not learn."""
        return float(self.described["temperature"])

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        file = self.folder / CARD
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def predict(self, images: Sequence[Picture] | Picture, top: int = 5, batch: int = 32) -> list[Prediction]:
        """One Prediction for each image, in order. An image that cannot be read does not stop the others: see Prediction.error.

        images: paths, PIL images or arrays uint8 [h, w, 3] or [h, w]. top: how many classes to list. batch: images a pass.
        """
        images = _as_list(images)
        found: list[Prediction] = []
        for first, pixels, errors in self._batches(images, batch):
            rows = iter(self._decode(pixels) if len(pixels) else ())
            for offset, error in enumerate(errors):
                name = _name(images[first + offset], first + offset)
                found.append(Prediction(name, None, None, error=error) if error else self._say(name, next(rows), top))
        return found

    def probabilities(self, images: Sequence[Picture] | Picture, batch: int = 32) -> np.ndarray:
        """Calibrated probabilities float64 [n, classes], or numbers [n, 1] in the target's own unit; DataError for an unreadable image."""
        images = _as_list(images)
        parts = []
        for _, pixels, errors in self._batches(images, batch):
            for error in filter(None, errors):
                raise DataError(error)
            parts.append(self._decode(pixels))
        return np.concatenate(parts) if parts else np.zeros((0, max(1, len(self.classes))))

    def _batches(self, images: list[Picture], size: int) -> Iterator[tuple[int, Tensor, list[str | None]]]:
        """(number of the first image, readable pixels uint8 [m, 3, s, s], an error or None for each image) for each batch."""

        def one(image: Picture) -> tuple[Tensor | None, str | None]:
            try:
                return load_images([image], self.net.prepare), None
            except DataError as error:
                return None, str(error)

        # Pillow lets go of the interpreter while it decodes and resizes, so threads are enough.
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for first in range(0, len(images), size):
                loaded = list(pool.map(one, images[first : first + size]))
                readable = [pixels for pixels, _ in loaded if pixels is not None]
                yield first, torch.cat(readable) if readable else torch.zeros(0), [error for _, error in loaded]

    def _decode(self, pixels: Tensor) -> np.ndarray:
        return decoded(self.net, self.task, self.temperature, pixels)

    def _say(self, name: str, row: np.ndarray, top: int) -> Prediction:
        if self.task.schema.target == "number":
            return Prediction(name, float(row[0]), None)
        order = np.argsort(-row, kind="stable")
        best = tuple((self.classes[i], float(row[i])) for i in order[: max(0, top)])
        if self.task.schema.target == "labels":
            chosen = tuple(c for c, p in zip(self.classes, row, strict=True) if p >= 0.5)
            return Prediction(name, chosen, float(np.maximum(row, 1 - row).prod()), best)
        return Prediction(name, self.classes[order[0]], float(row[order[0]]), best)


@torch.inference_mode()
def decoded(net: Net, task: Task, temperature: float, pixels: Tensor) -> np.ndarray:
    """pixels uint8 [n, 3, s, s] to probabilities float64 [n, k] (or numbers [n, 1]); net in eval mode."""
    device = next(net.parameters(), torch.zeros(0)).device
    outputs = net(normalise(pixels, net.prepare).to(device)).float().cpu()
    return np.asarray(task.decode(outputs, temperature), dtype=np.float64)


def read(path: str | os.PathLike, make_task: Callable[[str, Schema, dict], Task]) -> Model:
    """The model in `path`: a run's folder, its `model` folder, or such a folder moved anywhere.

    make_task(name, schema, config) builds the task of that name; `api` passes one that looks it up in the catalogue.
    Raises WeightsError: nothing there, an unknown format, or a file that is damaged.
    """
    folder = locate(Path(path))
    described = _describe(folder)
    try:
        schema = Schema(**{**described["task"]["schema"], "classes": tuple(described["task"]["schema"]["classes"])})
        task = make_task(described["task"]["name"], schema, described["task"]["config"])
        backbone = backbones.rebuild(described["backbone"])
        pool = pooling(described["pool"], backbone.pool, backbone.prefix_tokens)
        net = Net(backbone, pool, heads.rebuild(described["head"]["config"]), tuple(described["taps"]))
        sha256, degrees = str(described["weights"]["sha256"]), float(described["temperature"])
        if not (net.taps and net.taps[0] >= 0 and net.taps[-1] < len(net.stages) and 0 < degrees < float("inf")):
            raise ValueError("taps or temperature are out of range")
    except GraftError:
        raise
    except Exception as error:  # A damaged description may make any builder raise anything.
        raise WeightsError(
            f"'{folder / DESCRIPTION}' is damaged ({type(error).__name__}: {error}); copy the model again, or fit it again."
        ) from error
    _fill(net, folder / WEIGHTS, sha256)
    return Model(net, task, described, folder)


def locate(path: Path) -> Path:
    """The folder with graft.json: `path`, `path`/model, or, after a kill between two renames, the former model kept beside it."""
    for folder in (path, path / "model"):
        for kept in (folder, former(folder)):
            if (kept / DESCRIPTION).is_file():
                return kept
    what = "does not exist" if not path.exists() else "holds no graft model (no graft.json in it or in its folder 'model')"
    raise WeightsError(f"'{path}' {what}; give the folder of a finished run, or its 'model' folder.")


def former(folder: Path) -> Path:
    """Where the model that a new one replaces stands while the two are exchanged."""
    return folder.with_name(folder.name + ".former")


def _describe(folder: Path) -> dict:
    file = folder / DESCRIPTION
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"'{file}' cannot be read ({error}); copy the model again, or fit it again.") from error
    written = described.get("format") if isinstance(described, dict) else None
    if written != FORMAT:
        raise WeightsError(
            f"'{file}' is in format {written!r}, and this graft reads format {FORMAT}; "
            "install the version of graft that wrote it, or fit the model again."
        )
    return described


def digest(file: Path) -> str:
    """SHA-256 of a file's content, as hex digits."""
    with open(file, "rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest()


def _fill(net: nn.Module, file: Path, sha256: str) -> None:
    """Load the tensors; every one must be there, no other, in its shape, and not a bit different from when it was written."""
    try:
        intact, tensors = digest(file) == sha256, load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"'{file}' cannot be read ({error}); copy the model again, or fit it again.") from error
    if not intact:
        raise WeightsError(f"'{file}' is not the file that was saved (its SHA-256 differs); copy the whole model folder again.")
    wanted = net.state_dict()
    differ = sorted(wanted.keys() ^ tensors.keys()) or [name for name in wanted if wanted[name].shape != tensors[name].shape]
    if differ:
        first = f"{len(differ)} tensors differ, the first is {differ[0]}"
        raise WeightsError(f"'{file}' does not fit its graft.json ({first}); copy the whole model folder again.")
    net.load_state_dict(tensors)


def _as_list(images: Sequence[Picture] | Picture) -> list[Picture]:
    return [images] if isinstance(images, str | os.PathLike | Image.Image | np.ndarray) else list(images)


def _name(image: Picture, number: int) -> str:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {number}"
