"""A saved model: read from its folder, it predicts in a process that knows nothing of the training."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import backbones, heads
from ..core import Net, Schema, State, Task, TextPrepare
from ..data.images import load_images, normalise
from ..errors import DataError, GraftError, OptionError, WeightsError, nearest
from ..heads.pool import body_pooling
from . import earlier
from .passages import Passage, Passages, two

FORMAT = 1
LANGUAGE = "language"
"""The kind of a head that names tokens, which its body builds."""
WEIGHTS, DESCRIPTION, CARD = "weights.safetensors", "graft.json", "README.md"
Picture = str | os.PathLike | Image.Image | np.ndarray
Item = Picture | Passage
"""What a model of images, or of texts, says something of."""
Adapter = Callable[["Model", list, str], tuple[Net, dict]]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image or text.

    path: the file, or "image N" or "text N" for what is in memory. label: the class; for several labels those of probability 0.5 or
    more, in the order of the classes; for numbers the value in its own unit. probability: of the label, calibrated, in
    [0, 1]; for several labels of just this set, labels taken as independent; None for numbers. top: (class, probability),
    best first; empty for numbers. Of texts, label may be (word, tag) pairs, an answer ("" for none; probability None), or how the text
    goes on. error: why the image or text could not be read; label is None then.
    """

    path: str
    label: str | tuple[str, ...] | tuple[tuple[str, str], ...] | float | None
    probability: float | None
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


class Model:
    """A net with everything needed to use it: preprocessing, classes, temperature. Made by `read`.

    described: the content of graft.json. folder: where it was read from. known: the tasks that its body learnt before, oldest first,
    whose heads stand in net.earlier. adapter(model, items, how) -> (net, report): what `adapted` asks; `api` passes it.
    """

    def __init__(
        self, net: Net, task: Task, described: dict, folder: Path, known: tuple[earlier.Known, ...] = (), adapter: Adapter | None = None
    ):
        self.net, self.task, self.described, self.folder, self.known = net.eval(), task, described, folder, known
        self._texts = Passages(net, task) if isinstance(net.prepare, TextPrepare) else None
        self._adapter = adapter

    @property
    def pair(self) -> bool:
        """Whether each item is two texts, of which the label tells."""
        return self.task.schema.pair

    @property
    def modality(self) -> str:
        """What it predicts from: "image" or "text"."""
        return self.task.schema.modality

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities; empty for numbers."""
        return self.task.schema.classes

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of all tasks that it knows, oldest first; the last one is what it predicts unless another is asked for."""
        return (*(one.name for one in self.known), (self.described.get("learnt") or {}).get("name") or self.task.name)

    def on(self, task: str) -> "Model":
        """The same body with the head of another of its tasks. Raises OptionError for a task that it does not know."""
        if task == self.tasks[-1]:
            return self
        one = next((one for one in self.known if one.name == task), None)
        if one is None:
            raise OptionError(f"This model knows no task '{task}'.{nearest(task, self.tasks)}")
        described = self.described | {"temperature": one.temperature}
        return Model(self.net.seen_as(task), one.task, described, self.folder, adapter=self._adapter)

    @property
    def temperature(self) -> float:
        """The logits are divided by it before they become probabilities; fitted on rows that did not learn."""
        return float(self.described["temperature"])

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        file = self.folder / CARD
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def adapted(self, items: Sequence[Item] | Item, how: str) -> tuple["Model", dict]:
        """(a model fitted to these images without labels, and what came of it: {"how", "kept", "why", "changed"}).

        how: "adabn" or "tent". This model stays as it is, and is the one given back where the adapted one looks worse ("kept" is
        False). Raises OptionError where the model or the images are not made for it.
        """
        if self._adapter is None:
            raise OptionError("A model adapts where graft.load has read it; load it with graft.load(FOLDER).")
        net, told = self._adapter(self, self._as_list(items), how)
        return (Model(net, self.task, self.described, self.folder, self.known, self._adapter) if told["kept"] else self), told

    def predict(
        self, items: Sequence[Item] | Item, top: int = 5, batch: int = 32, task: str | None = None, adapt: str | None = None
    ) -> list[Prediction]:
        """One Prediction for each image or text, in order. One that cannot be read does not stop the others: see Prediction.error.

        items: paths, PIL images or arrays uint8 [h, w, 3] or [h, w]; or texts, for tags also lists of words, for answers pairs of a
        question and its context, and pairs where two texts were learnt. top: how many classes to list. batch: items a pass. task: one
        of `tasks`, by default the last. adapt: "adabn" or "tent": predict with the model that `adapted` gives for these items; a
        warning says where it is this one.
        """
        if task is not None:
            return self.on(task).predict(items, top, batch, adapt=adapt)
        if adapt is not None:
            model, told = self.adapted(items, adapt)
            if not told["kept"]:
                warnings.warn(f"Predicted without adapting: {told['why']}.", stacklevel=2)
            return model.predict(items, top, batch)
        self._check_taught()
        items = self._as_list(items)
        found: list[Prediction] = []
        for first, readable, errors in self._batches(items, batch):
            rows = iter(self._said(readable, top) if len(readable) else ())
            for offset, error in enumerate(errors):
                name = self._name(items[first + offset], first + offset)
                found.append(Prediction(name, None, None, error=error) if error else replace(next(rows), path=name))
        return found

    def probabilities(self, items: Sequence[Item] | Item, batch: int = 32) -> np.ndarray:
        """Calibrated probabilities float64 [n, classes], or numbers [n, 1] in the target's own unit. Raises DataError for an image or
        text that cannot be read, and OptionError where the model gives no such rows (tags, answers, running text)."""
        self._check_taught()
        if self.task.summarise is not None:
            raise OptionError(f"A model for '{self.task.name}' gives no probability a sample; use predict.")
        parts = []
        for _, readable, errors in self._batches(self._as_list(items), batch):
            for error in filter(None, errors):
                raise DataError(error)
            parts.append(self._decode(readable if self._texts is None else self._texts.state(readable)))
        return np.concatenate(parts) if parts else np.zeros((0, max(1, len(self.classes))))

    def _check_taught(self) -> None:
        if self.task.schema.target == "none":
            raise OptionError(
                f"This model has learnt without labels and has nothing to predict; 'graft embed' writes its features, and 'graft fit "
                f"LABELLED --backbone run:{self.folder}' teaches it labels."
            )

    def _said(self, readable: Tensor | list, top: int) -> list[Prediction]:
        """Of pixels, or of texts."""
        if self._texts is None:
            return [self._say("", row, top) for row in self._decode(readable)]
        target = self.task.schema.target
        if target == "tags":
            return [Prediction("", one, None) for one in self._texts.tags(readable)]
        if target == "spans":
            return [Prediction("", one["answer"], None) for one in self._texts.answers(readable, len(readable))]
        if target == "language":
            return [Prediction("", self._texts.goes_on(text), None) for text in readable]
        return [self._say("", row, top) for row in self._decode(self._texts.state(readable))]

    def _batches(self, items: list[Item], size: int) -> Iterator[tuple[int, Tensor | list, list[str | None]]]:
        """(number of the first, what is readable: pixels uint8 [m, 3, s, s] or texts, an error or None for each) for each batch."""
        if self._texts is not None:
            for first in range(0, len(items), size):
                errors = [self._texts.defect(item) for item in items[first : first + size]]
                yield first, [item for item, error in zip(items[first : first + size], errors, strict=True) if not error], errors
            return

        def one(image: Picture) -> tuple[Tensor | None, str | None]:
            try:
                return load_images([image], self.net.prepare), None
            except DataError as error:
                return None, str(error)

        # Pillow lets go of the interpreter while it decodes and resizes, so threads are enough.
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for first in range(0, len(items), size):
                loaded = list(pool.map(one, items[first : first + size]))
                readable = [pixels for pixels, _ in loaded if pixels is not None]
                yield first, torch.cat(readable) if readable else torch.zeros(0), [error for _, error in loaded]

    def _decode(self, inputs: Tensor | State) -> np.ndarray:
        return decoded(self.net, self.task, self.temperature, inputs)

    def _as_list(self, items: Sequence[Item] | Item) -> list[Item]:
        alone = isinstance(items, str | os.PathLike | Image.Image | np.ndarray)
        # Two texts that belong together are one item, too.
        alone = alone or (isinstance(items, tuple) and two(self.task) and isinstance(next(iter(items), None), str))
        return [items] if alone else list(items)

    def _name(self, item: Item, number: int) -> str:
        if self._texts is not None:
            return f"text {number}"
        return os.fspath(item) if isinstance(item, str | os.PathLike) else f"image {number}"

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
def decoded(net: Net, task: Task, temperature: float, inputs: Tensor | State) -> np.ndarray:
    """pixels uint8 [n, 3, s, s], or the State of texts, to probabilities float64 [n, k] (or numbers [n, 1]); where outputs are a row a
    token, these as they are, [n, m]. net in eval mode."""
    device = next(net.parameters(), torch.zeros(0)).device
    if isinstance(inputs, dict):
        outputs = net({key: value.to(device) for key, value in inputs.items()}).float().cpu()
    else:
        outputs = net(normalise(inputs, net.prepare).to(device)).float().cpu()
    if task.summarise is not None:
        return outputs.flatten(1).double().numpy()
    return np.asarray(task.decode(outputs, temperature), dtype=np.float64)


def read(path: str | os.PathLike, make_task: Callable[[str, Schema, dict], Task], adapter: Adapter | None = None) -> Model:
    """The model in `path`: a run's folder, its `model` folder, or such a folder moved anywhere.

    make_task(name, schema, config) builds the task of that name; `api` passes one that looks it up in the catalogue. adapter: of the Model.
    Raises WeightsError: nothing there, an unknown format, or a file that is damaged.
    """
    folder = locate(Path(path))
    described = _describe(folder)
    try:
        schema = Schema(**{**described["task"]["schema"], "classes": tuple(described["task"]["schema"]["classes"])})
        task = make_task(described["task"]["name"], schema, described["task"]["config"])
        backbone = backbones.rebuild(described["backbone"], _tokenizer(folder))
        pool = body_pooling(backbone, described["pool"])
        config = described["head"]["config"]
        head = backbone.language_head() if config["kind"] == LANGUAGE else heads.rebuild(config)
        net = Net(backbone, pool, head, tuple(described["taps"]))
        known = earlier.rebuild(described.get("earlier") or [], make_task)
        net.earlier.update({one.name: one.head for one in known})
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
    return Model(net, task, described, folder, known, adapter)


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


def _tokenizer(folder: Path) -> str:
    """The tokenizer beside the description of a model of texts; "" where there is none."""
    file = folder / backbones.TOKENIZER
    return file.read_text(encoding="utf-8") if file.is_file() else ""


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
