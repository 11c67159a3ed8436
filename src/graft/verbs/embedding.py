"""`graft embed`: what a body makes of every sample, as a table; groups among them; and a map to look at."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from .. import catalog
from ..assembly import choosing, modality, wiring
from ..core import Backbone, Data
from ..engine import device, store
from ..engine.journal import Journal
from ..engine.passes import Passes
from ..errors import DataError, GraftError, OptionError
from ..heads.pool import bare
from ..inspect import clusters
from ..spec import AUTO, Part, Spec, options

FORMATS = ("parquet", "npy")
MAPS = ("pca", "umap", "none")


@dataclass(frozen=True)
class Embedded:
    """features: float32 [n, width] of the rows of `table`, which has path, split and, where there are labels, label."""

    table: pa.Table
    features: np.ndarray
    about: dict


def embed(spec: Spec, journal: Journal, layers: Sequence[str | int] = ()) -> Embedded:
    """The pooled features of every sample, of the last layer or those that are named, from the store where they were made before.

    Raises DataError where there is nothing to read, OptionError for a layer or body that does not fit.
    """
    data = everything(spec, journal)
    if data.schema.target in ("tags", "spans", "language"):
        raise OptionError("Features are made of whole samples: give images or a table of texts.")
    body = load(spec, data, journal)
    machine = device.find(spec.threads)
    net = machine.place(bare(body, wiring.taps(tuple(layers), body.names)))
    table = rows(data)
    with modality.streams(body, lambda table: torch.zeros(len(table)), data.schema, spec.seed) as batches:
        passes = Passes(batches, machine, spec.precision, store.find(), journal)
        kept = passes.kept(net, net.pooled, table, tick=journal.progress("features", len(table)))
        features = kept.take(np.arange(len(kept)))["x"].float().numpy()
    origin = body.origin
    about = {
        "source": data.source, "modality": data.schema.modality, "body": origin.name, "weights": origin.weights, "sha256": origin.sha256,
        "layers": [body.names[tap] for tap in net.taps], "rows": len(table), "width": features.shape[1],
        "notes": [note.text for note in data.notes],
    }  # fmt: skip
    names = [name for name in ("path", "label", "split", data.schema.input) if name in table.column_names]
    return Embedded(table.select(list(dict.fromkeys(names))), features, about)


def everything(spec: Spec, journal: Journal) -> Data:
    """The data with whatever labels there are, without roles. Without a reader's name, what has no labels is read without.

    Raises DataError where there are neither labelled nor unlabelled samples.
    """
    try:
        data = _read(choosing.name_reader(spec, journal))
    except DataError as error:
        if spec.data.name != AUTO:
            raise
        data = _without_labels(spec, error)
        journal.decide("reader", f"{data.schema.modality}s", "there are no labels that can be read, and features need none", "--reader")
    return modality.checked(data, 0.05)


def _read(spec: Spec) -> Data:
    return catalog.resolve("reader", spec.data.name)(spec.data.values["path"], options("data", spec.data))


def _without_labels(spec: Spec, error: DataError) -> Data:
    """Images or texts, whichever there are; the labelled reader's own error where there is neither."""
    for name in ("images", "texts"):
        with contextlib.suppress(GraftError):
            return _read(replace(spec, data=Part(name, {"path": spec.data.values["path"]})))
    raise error


def load(spec: Spec, data: Data, journal: Journal) -> Backbone:
    spec = choosing.name_backbone(spec, data, journal)
    return modality.suited(modality.load(spec.backbone, spec.seed), data, spec.task.values.get("pairs", "auto"))


def rows(data: Data) -> pa.Table:
    """All rows of all splits, with the column split; without labels where no row has one."""
    tables = [(name, table) for name in ("train", "val", "test") if (table := getattr(data, name)) is not None and len(table)]
    if not tables:
        raise DataError(f"There is nothing to read in '{data.source}'; give a folder or a table of images or texts.")
    found = pa.concat_tables(
        [table.append_column("split", pa.array([name] * len(table))) for name, table in tables], promote_options="default"
    )
    return found.drop_columns([data.schema.label]) if data.schema.target == "none" else found


def explore(found: Embedded, cluster: str | None, how: str, seed: int = 0) -> tuple[pa.Table, dict]:
    """(the table with the columns cluster, x and y as far as they are asked for, what is to be said of them).

    Raises OptionError for words that are none, and where a package is missing.
    """
    table, about = found.table, dict(found.about)
    try:
        if cluster is not None:
            groups = clusters.find(found.features, cluster, seed)
            table = table.append_column("cluster", pa.array(groups.clusters.astype(np.int32)))
            sizes = np.unique(groups.clusters[groups.clusters >= 0], return_counts=True)[1].tolist()
            about["clusters"] = {
                "how": cluster, "number": len(sizes), "sizes": sizes, "left_out": int((groups.clusters < 0).sum()), "why": groups.why,
                "tried": list(groups.tried), "null": groups.null,
            }  # fmt: skip
            labels = table["label"].to_pylist() if "label" in table.column_names else []
            if labels and all(isinstance(label, str) for label in labels):
                about["clusters"]["agreement"] = clusters.agreement(labels, groups.clusters)
        if how != "none":
            flat, about["map"] = clusters.on_a_map(found.features, how, seed)
            table = table.append_column("x", pa.array(flat[:, 0])).append_column("y", pa.array(flat[:, 1]))
    except ValueError as error:
        raise OptionError(f"--cluster and --map do not fit: {error}.") from None
    except ImportError:
        raise OptionError('--map umap needs a package of its own: pip install "graft[explore]", or use --map pca.') from None
    return table, about


def write(folder: Path, table: pa.Table, features: np.ndarray, about: dict, form: str) -> None:
    """embedding.json, and features.parquet (all columns, features as lists), or rows.parquet beside features.npy (float32 [n, width])."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "npy":
        np.save(folder / "features.npy", features)
        pq.write_table(table, folder / "rows.parquet")
    else:
        lists = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
        pq.write_table(table.append_column("features", lists), folder / "features.parquet")
    text = json.dumps(about, indent=1, ensure_ascii=False, default=str) + "\n"
    (folder / "embedding.json").write_text(text, encoding="utf-8")
