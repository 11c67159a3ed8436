"""What a reader returns: Arrow tables by split, and what their columns mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from .task import Earlier


@dataclass(frozen=True)
class Schema:
    """What goes in and what comes out.

    modality: "image" or "text". target: "class" (one label of `classes`), "labels" (any of `classes`) or "number"; of texts
    also "tags" (one of `classes` for each word, IOB2), "spans" (answers inside a context) or "language" (the text itself).
    "none": there are no labels; the column `label` holds "".
    centre, spread: mean and standard deviation of a "number" target over the rows that learn. longest: most words of a
    row, for "tags". pair: each text stands beside a second one, in the column `context`, and the label is about the two.
    """

    modality: str
    target: str
    classes: tuple[str, ...] = ()
    input: str = "path"
    label: str = "label"
    centre: float = 0.0
    spread: float = 1.0
    longest: int = 0
    pair: bool = False


def name_column(table: pa.Table, column: str) -> str:
    """The column that names a sample for people: its path; without one, `column`, which is what goes in."""
    return "path" if "path" in table.column_names else column


@dataclass(frozen=True)
class Note:
    """Something a reader or a check noticed. level: "info" or "warning"; `files` are the whole list, `text` one sentence."""

    level: str
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Which rows learn, select and score, in words, and whether the score may be believed.

    select, score: what the report calls these rows ("a fifth of train", "val", "test").
    score_name: "val" or "test", the key in scores.json under which the locked score stands.
    drawn: the selecting rows were taken from train, so a method that selects by inner cross-validation may learn from
    them too. optimistic: what is scored has also selected (`--select-on val`). folds: > 0 for outer cross-validation.
    reason: one sentence for the user, with the flag that overrides it.
    """

    select: str
    score: str
    score_name: str = "test"
    drawn: bool = True
    optimistic: bool = False
    folds: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Data:
    """Tables with the columns `schema.input` (string), `schema.label` (string, list<string> or double) and, optionally, `group`.

    Of texts, the column `path` names a sample for people ("train.csv:12") and `text` holds it: a string, or list<string>, its
    words, for "tags" (whose labels are list<string>, one a word). Of pairs, `context` is the second text. For "spans", `text` is the
    question, `context` holds the answers, `label` (list<string>) is their texts and `starts` (list<int64>) their first characters.

    As a reader returns it, the tables are the splits found on disk. After `readers.split.assign`, `train` learns, `val`
    selects and `test` scores, and `plan` says where they came from. fingerprint: hex digest of the rows and file contents.

    target: rows of the domain that counts, without labels (no column `label`); unlabelled: rows of the same domain as `train`,
    without labels. earlier: what the body learnt before, by name, oldest first. A column "teacher" (list<float>) of `train`,
    `unlabelled` or `target` holds the outputs [k] of a larger model on the row, "teacher_features" its pooled features, and
    "earlier.NAME" what the head of an earlier task gave when this fit began.
    """

    train: pa.Table
    schema: Schema
    fingerprint: str
    source: str
    val: pa.Table | None = None
    test: pa.Table | None = None
    target: pa.Table | None = None
    unlabelled: pa.Table | None = None
    notes: tuple[Note, ...] = field(default=())
    plan: Plan | None = None
    earlier: Mapping[str, Earlier] = field(default_factory=dict)

    def learning(self) -> pa.Table:
        """The rows a method that selects by inner cross-validation may learn from: train, and val where it was drawn from train."""
        if self.plan is not None and self.plan.drawn and self.val is not None:
            return pa.concat_tables([self.train, self.val])
        return self.train
