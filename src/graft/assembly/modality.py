"""What differs between images and texts outside of readers, bodies and tasks: how batches are made, and what is usual."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import torch
from torch import Tensor

from .. import catalog
from ..core import Backbone, Data, Schema, Task, TextPrepare
from ..data.augment import Augment, Options
from ..data.images import load_images, normalise
from ..data.streams import Streams
from ..data.texts import Texts
from ..data.tokens import collate
from ..errors import OptionError
from ..inspect import files
from ..readers.sniff import reader_of
from ..spec import AUTO, Part, backbone_row, options

EMBEDDED = {"image": "graft-mini", "text": "minilm"}
"""The body that needs no download."""


def embedded(data: Part) -> str:
    """The body that needs no download, for what a reader that is named, or found, reads."""
    reader = reader_of(data.values["path"])[0] if data.name == AUTO else data.name
    return EMBEDDED["image" if reader in ("image_folder", "csv_table", "images") else "text"]


def load(part: Part, seed: int) -> Backbone:
    """The body that is named, with its options. Raises OptionError and WeightsError."""
    return catalog.resolve("backbone", backbone_row(part.name).name)(part.name, options("backbone", part), seed)


def streams(body: Backbone, encode: Callable[[pa.Table], Tensor], schema: Schema, seed: int, augment: Augment | None = None):
    """Batches of the data for a body; images are augmented where it is said how."""
    if isinstance(body.prepare, TextPrepare):
        return Texts(body.prepare, encode, seed, schema.input, schema.label)
    classes = len(schema.classes) if schema.target == "class" else 0
    augment = augment or Augment(Options("none"))
    threads = torch.get_num_threads()
    return Streams(body.prepare, encode, augment, seed, classes=classes, column=schema.input, threads=threads, label=schema.label)


def again(held: Streams | Texts, schema: Schema, seed: int) -> Streams | Texts:
    """The same batches drawn from another seed."""
    if isinstance(held, Texts):
        return Texts(held.prepare, held.encode, seed, held.column, held.label)
    threads = torch.get_num_threads()
    return Streams(held.prepare, held.encode, held.augment, seed, held.classes, held.column, threads, label=held.label)


def checked(data: Data, share: float) -> Data:
    """The data without files that cannot be read; texts were read with their table."""
    return files.check(data, share=share) if data.schema.modality == "image" else data


def suited(body: Backbone, data: Data, pairs: str = "auto", flag: str = "--backbone") -> Backbone:
    """The body as it reads these data: of pairs of texts each by itself, or both as one ("apart", "together"; "auto" is apart where the
    body was trained to compare texts, or reads one at a time). Raises OptionError for a body of images on texts, the other way round,
    and where it cannot read so."""
    reads = "text" if isinstance(body.prepare, TextPrepare) else "image"
    if reads != data.schema.modality:
        kind = data.schema.modality
        raise OptionError(f"'{body.origin.name}' is a body for {reads}s, and the data are {kind}s; use {flag} {EMBEDDED[kind]}, say.")
    if reads == "image":
        return body
    if not data.schema.pair and pairs != "auto":
        raise OptionError(f"task.pairs is {pairs}, but these data have one text a row; leave it out, or name the other with data.second.")
    one_only = body.prepare.kind == "characters"
    if one_only and pairs == "together":
        raise OptionError(f"'{body.origin.name}' reads one text at a time; use --set task.pairs=apart, or another body.")
    apart = data.schema.pair and (pairs == "apart" or (pairs == "auto" and (body.compares or one_only)))
    return replace(body, prepare=replace(body.prepare, apart=apart))


def inputs(body: Backbone, task: Task, table: pa.Table, seed: int = 0):
    """What the net takes at depth 0 for a few rows of a table, in their order: float32 [n, 3, s, s], or the State of texts."""
    if not isinstance(body.prepare, TextPrepare):
        return normalise(load_images(table[task.schema.input].to_pylist(), body.prepare), body.prepare)
    with Texts(body.prepare, task.encode, seed, task.schema.input, task.schema.label) as texts:
        return collate(texts.tokens(table), body.prepare.pad)
