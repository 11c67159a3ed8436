"""graft as scikit-learn classifiers of images and of texts, for Pipeline, cross_val_score and GridSearchCV."""

import os
import tempfile
from dataclasses import replace
from hashlib import blake2b
from numbers import Integral
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from . import backbones, catalog
from .assembly import choosing, modality, wiring
from .core import Data, Plan, Prepare, Schema
from .data import augment, images
from .engine import device, forward, journal, store
from .engine.execute import Setting, execute
from .engine.passes import Passes
from .errors import DataError
from .evidence import scores
from .export import bundle, model
from .export.passages import Passages
from .readers import split
from .spec import FLAGS, Spec, options

PLAN = Plan("a fifth of the rows", "nothing", drawn=True, folds=1, reason="all rows learn; what scores is scikit-learn's to hold out")
_HEAVY = ("net_", "_task", "_backbone")


class _Classifier(ClassifierMixin, BaseEstimator):
    """What classifiers of images and of texts share; they say what rows are made of X, and have their own parameters."""

    def __init__(
        self, backbone, method, weights, head, epochs, lr, freeze, layers, pool, settings, fetch, precision, threads, random_state
    ):
        self.backbone = backbone
        self.method = method
        self.weights = weights
        self.head = head
        self.epochs = epochs
        self.lr = lr
        self.freeze = freeze
        self.layers = layers
        self.pool = pool
        self.settings = settings
        self.fetch = fetch
        self.precision = precision
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Learn from all rows; leaves no folder behind."""
        items = self._listed(X)
        check_consistent_length(items, y)
        check_classification_targets(y)
        classes, numbers = np.unique(column_or_1d(y), return_inverse=True)
        names = tuple(str(name) for name in classes.tolist())
        if len(set(names)) < len(names):
            raise DataError("Two classes in y are written alike; give them different names.")
        heard: list[dict] = []
        diary = journal.Journal(heard.append)
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            spec = self._spec(folder)
            table = self._rows(items, Path(folder)).append_column("label", pa.array([names[i] for i in numbers]))
            data = _halved(Data(table, self._schema(names, table), "", "X"), spec.seed)
            parts = assemble(spec, data, diary)
            with parts.streams:
                passes = Passes(parts.streams, parts.machine, spec.precision, store.find(), diary)
                net = parts.net("final")
                setting = Setting("final", Path(folder), net, parts.task, data, passes, diary, spec.seed)
                outcome = execute(parts.phases(net, data), setting)
        self.net_, self.classes_, self.n_classes_ = net, classes, len(classes)
        self._task, self._backbone = parts.task, replace(parts.backbone, stages=self.net_.stages)
        self._frozen = outcome.frozen
        self.temperature_ = scores.temperature(parts.task, outcome.outputs, outcome.targets)[0]
        self.decisions_ = journal.decisions(heard)
        return self

    def predict(self, X):
        """The likeliest class [n] of each sample, one of classes_."""
        likely = self.predict_proba(X).argmax(1)
        return self.classes_[likely]

    def predict_proba(self, X):
        """Calibrated probabilities float64 [n, n_classes_], in the order of classes_."""
        check_is_fitted(self)
        machine = device.find(self.threads)
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            table = self._rows(self._listed(X), Path(folder))
            learnt, given = (1 + schema.pair for schema in (self._task.schema, self._schema(self._task.schema.classes, table)))
            if learnt != given:
                raise DataError(f"The rows of X have {given} text(s) where those that were learnt have {learnt}; give as many.")
            with modality.streams(self._backbone, _unknown, self._task.schema, 0) as streams:
                passes = Passes(streams, machine, "exact", store.find())
                outputs = forward.scored(passes, self.net_, table, self._frozen)
        found = self._task.decode(outputs, temperature=self.temperature_).numpy().astype(np.float64)
        return found / found.sum(1, keepdims=True)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the model folder, which `graft.load` and `graft predict` read; its classes are the texts of classes_."""
        check_is_fitted(self)
        bundle.write(Path(path), self.net_, self._task, self._backbone, self.temperature_, self._samples(), {})
        return Path(path)

    def _spec(self, folder: str) -> Spec:
        names = [name for name in self.get_params(deep=False) if name in FLAGS]
        seed = self.random_state
        seed = int(seed) if isinstance(seed, Integral) else int(check_random_state(seed).randint(2**31 - 1))
        rest = {"fetch": self.fetch, "precision": self.precision, "threads": self.threads, "seed": seed}
        return Spec.make(folder, task="classification", sets=tuple(self.settings), **{name: getattr(self, name) for name in names}, **rest)

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "net_" in state:
            with tempfile.TemporaryDirectory(prefix="graft-") as folder:
                state["_files"] = {file.name: file.read_bytes() for file in self.save(Path(folder) / "model").iterdir()}
        return {name: value for name, value in state.items() if name not in _HEAVY}

    def __setstate__(self, state):
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is None:
            return
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            for name in (model.WEIGHTS, model.DESCRIPTION, model.CARD, backbones.TOKENIZER):
                if name in files:
                    (Path(folder) / name).write_bytes(files[name])
            held = model.read(folder, catalog.make_task)
        self.net_, self._task = device.find(self.threads).place(held.net), held.task
        self._backbone = replace(backbones.rebuild(held.described["backbone"]), prepare=held.net.prepare, stages=self.net_.stages)


class GraftClassifier(_Classifier):
    """A pre-trained body and a new head, learnt from paths, PIL images, or arrays [n, h, w] or [n, h, w, 3].

    X: a list or array of paths; of PIL images; of arrays uint8 or uint16, or floats 0..1. y: labels of any type that
    np.unique can sort. Every row learns: there is no scored split, for scikit-learn holds rows out itself. A method that
    trains by epochs ("lp_ft", "finetune", ...) sets a stratified fifth aside to choose its epoch and to calibrate; "extract"
    learns from all rows and does both by inner cross-validation.

    backbone ... views: as the flags of `graft fit`; None is what graft chooses, written down in `decisions_`. settings: any other
    option, "section.key=value" each. precision: "auto", "exact" or "fast". threads: None for all cores. random_state: int,
    None or RandomState. Features of frozen stages are kept in the user's store by the content of each image, so that folds
    and searches compute them once.

    classes_ (sorted, as np.unique gives them), n_classes_, net_, temperature_ (calibrates predict_proba) and decisions_
    (what, value, reason, flag) are set by fit. Raises GraftError where something must be mended, NotFittedError before fit.
    A pickle of a fitted classifier carries its model folder (safetensors and JSON), never live modules; reading pickles is as
    unsafe as ever, so to pass a model on use `save` and `graft.load`.
    """

    def __init__(
        self, backbone="graft-mini", method="extract", weights=None, head=None, epochs=None, lr=None, freeze=None, layers=None, pool=None,
        augment=None, views=None, image_size=None, settings=(), fetch="yes", precision="auto", threads=None, random_state=0,
    ):  # fmt: skip
        super().__init__(
            backbone, method, weights, head, epochs, lr, freeze, layers, pool, settings, fetch, precision, threads, random_state
        )
        self.augment, self.views, self.image_size = augment, views, image_size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = tags.input_tags.three_d_array = tags.input_tags.string = True
        return tags

    def _listed(self, X) -> list:
        return _listed(X, "images", "paths or images, or an array [n, height, width, 3]")

    def _rows(self, items: list, folder: Path) -> pa.Table:
        return pa.table({"path": pa.array(_files(items, folder), pa.string())})

    def _schema(self, names: tuple[str, ...], table: pa.Table) -> Schema:
        return Schema("image", "class", names)

    def _samples(self) -> torch.Tensor:
        size = self.net_.prepare.size
        return torch.randint(256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class GraftTextClassifier(_Classifier):
    """A pre-trained body of texts and a new head, learnt from texts, or from pairs of them.

    X: a list, array or column of strings; of pairs an array [n, 2], a table of two columns, or a list of tuples. y and what learns: as for
    GraftClassifier. method: "auto" fine-tunes, few texts by pairs of them (`few_shot`), and of pairs that are compared
    takes what the vectors say (`extract`, which is quicker, and enough for topics too). What frozen layers make is kept in the user's
    store by the content of each text.

    backbone ... pool, settings ... random_state, and what fit sets: as for GraftClassifier.
    """

    def __init__(
        self, backbone="minilm", method="auto", weights=None, head=None, epochs=None, lr=None, freeze=None, layers=None, pool=None,
        settings=(), fetch="yes", precision="auto", threads=None, random_state=0,
    ):  # fmt: skip
        super().__init__(
            backbone, method, weights, head, epochs, lr, freeze, layers, pool, settings, fetch, precision, threads, random_state
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = tags.input_tags.string = True
        return tags

    def _listed(self, X) -> list:
        return _listed(X, "texts", "texts")

    def _rows(self, items: list, folder: Path) -> pa.Table:
        pairs = [isinstance(item, tuple | list | np.ndarray) and len(item) == 2 for item in items]
        rows = [tuple(item) if pair else (item,) for item, pair in zip(items, pairs, strict=True)]
        for number, row in enumerate(rows):
            if not all(isinstance(text, str) and text.strip() for text in row):
                raise DataError(
                    f"Row {number} of X is no text, or an empty one; give a text that is not empty, or two of them, for every row."
                )
            if len(row) != len(rows[0]):
                raise DataError(f"Row {number} of X has {len(row)} texts where row 0 has {len(rows[0])}; give each row as many.")
        columns = [pa.array([str(text) for text in column], pa.string()) for column in zip(*rows, strict=True)]
        return pa.table(
            [pa.array([f"row {i}" for i in range(len(rows))], pa.string()), *columns], ["path", "text", "context"][: 1 + len(columns)]
        )

    def _schema(self, names: tuple[str, ...], table: pa.Table) -> Schema:
        return Schema("text", "class", names, input="text", pair="context" in table.column_names)

    def _samples(self) -> dict[str, torch.Tensor]:
        items = [("a text", "another one"), ("and", "more")] if self._task.schema.pair else ["a text", "another one, which is longer"]
        return Passages(self.net_, self._task).state(items)


def assemble(spec: Spec, data: Data, diary: journal.Journal) -> wiring.Parts:
    """As wiring.assemble, for data that are there already."""
    machine = device.find(spec.threads)
    spec = choosing.name_backbone(spec, data, diary)
    body = modality.suited(modality.load(spec.backbone, spec.seed), data, spec.task.values.get("pairs", "auto"), "backbone")
    spec = choosing.name_method(spec, data, body, machine, diary)
    spec = choosing.name_augment(choosing.name_length(spec, data, diary), data, diary)
    choosing.check_views(spec)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    streams = modality.streams(body, task.encode, data.schema, spec.seed, augment.Augment(options("augment", spec.augment)))
    choosing.tell_cut(streams, data, diary)
    return wiring.Parts(spec, data, body, task, streams, machine)


def _halved(data: Data, seed: int) -> Data:
    """All rows learn, a fifth of them selecting where the method needs it; as the final model of a cross-validated fit."""
    column = pa.array(np.zeros(len(data.train), np.int32))
    data = split.final_data(replace(data, train=data.train.append_column("fold", column), plan=PLAN), seed)
    return replace(data, plan=replace(data.plan, folds=0))


def _unknown(table: pa.Table) -> torch.Tensor:
    """Stands for the targets of rows that are to be predicted."""
    return torch.zeros(len(table), dtype=torch.int64)


def _listed(X, noun: str, what: str) -> list:
    """The samples one by one; a column [n, 1], as a Pipeline may pass it, is flattened."""
    X = X.to_numpy() if hasattr(X, "to_numpy") else X
    if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:
        X = np.asarray(X)[:, 0]
    if isinstance(X, str | os.PathLike) or not hasattr(X, "__len__"):
        raise DataError(f"X is one {type(X).__name__}; give a list of {what}.")
    if not len(X):
        raise DataError(f"X holds no {noun}; give at least one.")
    return list(X)


def _files(items: list, folder: Path) -> list[str]:
    """A path for each image: its own, or a file in `folder` with exactly its pixels, named by them.

    Files, because streams and the store know images by what is in their files: the same image in another fold, or another
    search, is then the same row. PPM, because its bytes depend on nothing but the pixels and cost nothing to make.
    """
    paths = []
    for number, item in enumerate(items):
        if isinstance(item, str | os.PathLike):
            paths.append(str(os.fspath(item)))
            continue
        pixels = images.pixels_of(item, number, Prepare())
        content = f"P6 {pixels.shape[1]} {pixels.shape[0]} 255\n".encode() + pixels.tobytes()
        path = folder / f"{blake2b(content, digest_size=16).hexdigest()}.ppm"
        if not path.exists():
            path.write_bytes(content)
        paths.append(str(path))
    return paths
