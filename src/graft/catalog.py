"""The only registry: every name a user can say, where its code is, and one line about it. Nothing is imported until used.

Plug-ins add rows through entry points of the group "graft": `backbone.NAME = "module:function"`.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from .errors import OptionError, nearest


@dataclass(frozen=True)
class Row:
    """kind and name as the user says them; target "module:function"; line: one sentence; needs: extras to install."""

    kind: str
    name: str
    target: str
    line: str
    needs: tuple[str, ...] = ()


_ROWS = (
    Row("reader", "image_folder", "graft.readers.image_folder:read", "class folders of images, with or without train/val/test"),
    Row("reader", "csv_table", "graft.readers.csv_table:read", "a CSV, JSONL or Parquet table of file paths and labels"),
    Row("reader", "text_table", "graft.readers.text_table:read", "a table of texts and labels: CSV, JSONL or Parquet, or a folder of them"),
    Row("reader", "text_folder", "graft.readers.text_folder:read", "class folders of text files"),
    Row("reader", "conll", "graft.readers.conll:read", "words and their tags, one a line (CoNLL: BIO, IOB1 or BIOES)"),
    Row("reader", "squad", "graft.readers.squad:read", "questions with answers in a context (SQuAD v1.1 or v2)"),
    Row("reader", "plain_text", "graft.readers.plain_text:read", "running text, for a language model"),
    Row("reader", "images", "graft.readers.unlabelled:read", "images without labels: a folder, whatever is in it, or a list of files"),
    Row("reader", "texts", "graft.readers.unlabelled:read_texts", "texts without labels: a table, .txt files, or a text a line"),
    Row("backbone", "graft-mini", "graft.backbones.embedded:load", "the small body that ships with graft; offline, at once"),
    Row("backbone", "gabor", "graft.backbones.gabor:load", "a fixed bank of Gabor filters; nothing is learnt"),
    Row("backbone", "timm", "graft.backbones.from_timm:load", "any network of timm, by its own name: resnet50, vgg16, ..."),
    Row("backbone", "torchvision", "graft.backbones.from_torchvision:load", "what timm has not: squeezenet1_0, ..., or torchvision:NAME"),
    Row("backbone", "minilm", "graft.backbones.minilm:load", "all-MiniLM-L6-v2, a small body of sentences; offline, at once", ("text",)),
    Row("backbone", "elmo", "graft.backbones.elmo:load", "ELMo: characters, then two layers that read both ways", ("text",)),
    Row("backbone", "transformers", "graft.backbones.from_transformers:load", "BERT, GPT-2, ...: a folder, or a hub's name", ("text",)),
    Row("backbone", "run", "graft.backbones.from_run:load", "the body of a former run: run:PATH"),
    Row("task", "classification", "graft.tasks.classification:task", "one label for each sample"),
    Row("task", "multilabel", "graft.tasks.multilabel:task", "any number of labels for each sample"),
    Row("task", "regression", "graft.tasks.regression:task", "a number for each sample"),
    Row("task", "tags", "graft.tasks.tags:task", "a tag for each word: named entities", ("text",)),
    Row("task", "spans", "graft.tasks.spans:task", "the answer to a question, inside a context", ("text",)),
    Row("task", "language", "graft.tasks.language:task", "the next, or the masked, token of running text", ("text",)),
    Row("task", "representation", "graft.tasks.representation:task", "no labels: features that tell samples apart"),
    Row("head", "linear", "graft.heads.trained:build", "hidden layers (none by default), then a linear layer, by gradient descent"),
    Row("head", "logistic", "graft.heads.logistic:solve", "L2 logistic (or ridge) regression; strength by inner cross-validation"),
    Row("head", "logistic_unit", "graft.heads.logistic:solve_unit", "the same of features put to length 1, so that directions alone count"),
    Row("head", "svm", "graft.heads.svm:solve", "linear support vector machine, calibrated; strength by inner cross-validation"),
    Row("head", "svm_rbf", "graft.heads.svm:solve_rbf", "support vector machine with a Gaussian kernel, calibrated"),
    Row("head", "knn", "graft.heads.neighbours:solve", "the k nearest training samples vote; k by inner cross-validation"),
    Row("head", "lda", "graft.heads.discriminant:solve", "linear discriminant analysis with a shrunk covariance"),
    Row("method", "scratch", "graft.methods.scratch:phases", "random weights, everything learns: the control"),
    Row("method", "extract", "graft.methods.extract:phases", "the body is frozen; a new head learns on its features"),
    Row("method", "finetune", "graft.methods.finetune:phases", "head and body learn together, from a stage you choose"),
    Row("method", "gradual", "graft.methods.gradual:phases", "unfreeze from the top, stage after stage"),
    Row("method", "lp_ft", "graft.methods.lp_ft:phases", "first the head alone, then everything at a small rate"),
    Row("method", "l2_sp", "graft.methods.l2_sp:phases", "fine-tuning with a pull back to the pre-trained weights"),
    Row("method", "lwf", "graft.methods.lwf:phases", "a new task; earlier heads go on saying what they said of the new rows"),
    Row("method", "ewc", "graft.methods.ewc:phases", "a new task; weights that earlier tasks depend on are pulled back"),
    Row("method", "rehearsal", "graft.methods.rehearsal:phases", "a new task; a few rows of earlier ones are shown again beside it"),
    Row("method", "extend", "graft.methods.extend:phases", "add classes to those of an earlier run, with a few rows of its own"),
    Row("method", "lora", "graft.methods.lora:phases", "low-rank updates beside a frozen body, merged into it at the end"),
    Row("method", "few_shot", "graft.methods.few_shot:phases", "few labels: pairs of samples teach the body, then a head is solved"),
    Row("method", "distill", "graft.methods.distill:phases", "a larger model's answers teach a smaller body, beside the labels"),
    Row("method", "simclr", "graft.methods.simclr:phases", "no labels: views of a sample come together, others go apart; then a head"),
    Row("method", "byol", "graft.methods.byol:phases", "no labels, images only: foresee what a slow copy says of another view"),
    Row("method", "rotation", "graft.methods.rotation:phases", "no labels, images only: say by how much an image was turned"),
    Row("method", "inpaint", "graft.methods.inpaint:phases", "no labels, images only: guess the hidden blocks of an image (MAE, SimMIM)"),
    Row("method", "uda", "graft.methods.uda:phases", "a target without labels: several adaptations, and label-free scores choose"),
    Row("method", "coral", "graft.methods.coral:phases", "a target without labels: the source's features take on its covariance"),
    Row("method", "pseudo_label", "graft.methods.pseudo_label:phases", "a target without labels: the head learns what it trusts there"),
    Row("method", "dann", "graft.methods.dann:phases", "a target without labels: features hide their domain from a discriminator"),
    Row("method", "cdan", "graft.methods.cdan:phases", "as dann, with a discriminator that sees the predicted class too"),
    Row("method", "mmd", "graft.methods.mmd:phases", "a target without labels: features of both domains are drawn together (DAN)"),
    Row("method", "mcc", "graft.methods.mcc:phases", "a target without labels: its predictions learn not to be torn between classes"),
    Row("method", "fixmatch", "graft.methods.fixmatch:phases", "what is sure of a row without label is learnt of a harder view of it"),
    Row("method", "adabn", "graft.methods.adabn:phases", "the target's statistics in BatchNorm, and nothing else changes"),
    Row("method", "tent", "graft.methods.tent:phases", "as adabn; then BatchNorm's scales and shifts make predictions certain"),
    Row("method", "adapt", "graft.methods.adapt_language:phases", "the language of your texts first, without labels, then the task"),
    Row("method", "ulmfit", "graft.methods.ulmfit:phases", "the language of your texts, then the task from the top layer down"),
)  # fmt: skip


@cache
def _table() -> dict[tuple[str, str], Row]:
    from importlib.metadata import entry_points

    table = {(row.kind, row.name): row for row in _ROWS}
    for point in entry_points(group="graft"):
        kind, _, name = point.name.partition(".")
        table.setdefault((kind, name), Row(kind, name, point.value, f"from {point.dist.name if point.dist else 'a plug-in'}"))
    return table


def rows(kind: str | None = None) -> list[Row]:
    """All rows, or those of one kind, in the order of the page above."""
    return [row for row in _table().values() if kind in (None, row.kind)]


def find(kind: str, name: str) -> Row:
    """The row of that name. Raises OptionError with a did-you-mean."""
    row = _table().get((kind, name))
    if row is None:
        raise OptionError(f"There is no {kind} called '{name}'.{nearest(name, [r.name for r in rows(kind)])}")
    return row


def resolve(kind: str, name: str) -> Callable:
    """The function behind a name; imports its module now."""
    module, _, function = find(kind, name).target.partition(":")
    return getattr(import_module(module), function)


def make_task(name: str, schema: object, config: dict) -> object:
    """The core.Task of that name for a core.Schema, from the `config` that was saved with it."""
    return resolve("task", name)(schema, options("task", name)(**config))


def options(kind: str, name: str) -> type:
    """The Options dataclass that stands beside the function."""
    return import_module(find(kind, name).target.partition(":")[0]).Options


_TEXT_BODIES = (
    "bert", "distilbert", "roberta", "xlm-roberta", "camembert", "distilroberta", "electra", "deberta", "modernbert", "gpt2",
    "distilgpt2", "minilm", "all-minilm",
)  # fmt: skip


def is_text_body(name: str) -> bool:
    """Whether a backbone's name is that of a text body: "transformers:NAME", a folder with config.json, or a family's usual names."""
    if name.startswith("transformers:") or os.path.isfile(os.path.join(os.path.expanduser(name), "config.json")):
        return True
    last = name.lower().rpartition("/")[2]
    return any(last == family or last.startswith((f"{family}-", f"{family}_")) for family in _TEXT_BODIES)


_TORCHVISION = (
    r"alexnet|googlenet|squeezenet1_[01]|mobilenet_v2|mobilenet_v3_(small|large)|mnasnet[01]_\d+|shufflenet_v2_x[012]_[05]|maxvit_t|"
    r"efficientnet_v2_[sml]|regnet_[xy]_[\d_]+[gm]f|swin(_v2)?_[tsb]|vit_[blh]_\d\d"
)


def is_torchvision_body(name: str) -> bool:
    """Whether a backbone's name is "torchvision:NAME", or that of a classification network which torchvision has and timm has not."""
    return name.startswith("torchvision:") or re.fullmatch(_TORCHVISION, name) is not None
