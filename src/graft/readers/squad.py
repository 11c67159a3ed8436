"""Questions with answers inside a context: SQuAD JSON 1.1 and 2.0, as one file or as train, val and test in a folder."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError
from .decode import decoded
from .labels import is_text, listed, printable, text_fingerprint
from .split_files import split_files

NEAR = 20
"""Characters that an offset may be off where the answer occurs several times."""
_SHAPE = 'a SQuAD file is {"data": [{"paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ..., "answers": [...]}]}]}]}'


@dataclass(frozen=True)
class Options:
    """How SQuAD files are read.

    encoding: of the files; "utf-8", as JSON asks for.
    bad_share: largest share of the questions that may be unusable (an answer that is not in its context, no question) before
        the run refuses to start; 0.05 because translated and converted sets lose a few, and more mean wrong offsets.
    """

    encoding: str = "utf-8"
    bad_share: float = 0.05


@dataclass
class _Found:
    """rows: (id, question, context, answers, starts, paragraph). What was mended or dropped is kept by the questions' ids.
    impossible: questions that say that they have no answer; where none does, answers that are absent are only not given."""

    rows: list[tuple[str, str, str, list[str], list[int], str]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    mended: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    impossible: int = 0

    def name(self, given: object, file: str) -> str:
        """The question's id, or its number in the file where there is none, made unique."""
        plain = str(given).strip() if isinstance(given, str | int) and is_text(str(given)) else ""
        name = base = plain or f"{os.path.basename(file)}:{len(self.ids) + 1}"
        count = 1
        while name in self.ids:
            count += 1
            name = f"{base}#{count}"
        self.ids.add(name)
        return name


def read(path: str, options: Options) -> Data:
    """Read questions; those that are impossible (version 2.0) have no answer.

    An answer that does not stand at its offset is put where it stands in the context, if it does so once only, or once
    within NEAR characters of the offset; otherwise it is left out, and the question with it where no answer is left. Both
    are told with the questions' ids.
    The tables have the columns path (the question's id), text (the question), context, label (list<string>, the answers'
    texts), starts (list<int64>, their first characters in context) and group (the paragraph, by its content). Raises DataError.
    """
    root, files, notes = split_files(path, (".json",), "JSON files")
    found = {split: _read_file(file, options.encoding) for split, file in files.items()}
    for split in [split for split in ("val", "test") if split in found]:
        if found[split].rows and not found[split].impossible and not any(row[3] for row in found[split].rows):
            notes.append(Note("warning", f"'{printable(files[split])}' has no answers, so it cannot be scored and was left out."))
            del found[split]
    total = sum(len(one.ids) for one in found.values())
    mended, dropped = ([name for one in found.values() for name in getattr(one, kind)] for kind in ("mended", "dropped"))
    if len(dropped) > options.bad_share * total:
        raise DataError(
            f"{len(dropped)} of {total} questions in '{printable(root)}' cannot be used, since an answer is not in its context or a text "
            f"is missing, for example {listed(dropped)}: correct the file, or allow more with --set data.bad_share=SHARE."
        )
    if mended:
        words = f"Offsets of answers were mended in {len(mended)} of {total} questions, whose answers stand elsewhere in their contexts"
        notes.append(Note("warning", f"{words}: {listed(mended)}.", tuple(mended)))
    if dropped:
        words = f"Left out {len(dropped)} of {total} questions, since an answer is not in its context or a text is missing"
        notes.append(Note("warning", f"{words}: {listed(dropped)}.", tuple(dropped)))
    if not any(row[3] for row in found["train"].rows):
        raise DataError(f"No question of '{printable(files['train'])}' has an answer: give a file with answers to learn from.")
    tables = {split: _table(one.rows) for split, one in found.items() if one.rows}
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("text", "spans", input="text"),
        fingerprint=text_fingerprint(tables.values()),
        source=root,
        notes=tuple(notes),
    )


def _read_file(file: str, encoding: str) -> _Found:
    shown, found = printable(file), _Found()
    try:
        content = json.loads(decoded(file, encoding, flag=True))
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{shown}' is not JSON ({error}): {_SHAPE}.") from None
    for context, group, question in _questions(content, shown):
        name = found.name(question.get("id"), file)
        text = question.get("question")
        texts, starts, moved, lost = _answers(question, context, shown, name)
        impossible = bool(question.get("is_impossible"))
        found.impossible += impossible
        if not _usable(text) or not _usable(context) or (lost and not texts) or (impossible and texts):
            found.dropped.append(name)
            continue
        if moved or lost:
            found.mended.append(name)
        found.rows.append((name, text.strip(), context, texts, starts, group))
    if not found.ids:
        raise DataError(f"'{shown}' has no questions: {_SHAPE}.")
    return found


def _usable(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip()) and is_text(text)


def _questions(content: object, shown: str) -> Iterator[tuple[object, str, dict]]:
    """(context, name of the paragraph, question) of all paragraphs. Raises DataError where the file has another shape."""
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                group = hashlib.sha256(" ".join(str(context).split()).encode("utf-8", "replace")).hexdigest()[:16]
                for question in paragraph["qas"]:
                    if not isinstance(question, dict):
                        raise TypeError
                    yield context, group, question
    except (KeyError, TypeError) as error:
        missing = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else "its parts are nested in another way"
        raise DataError(f"'{shown}' is not a SQuAD file ({missing}): {_SHAPE}.") from None


def _answers(question: dict, context: object, shown: str, name: str) -> tuple[list[str], list[int], int, int]:
    """(texts, starts, how many were moved, how many were lost); an empty answer is none. Raises DataError for another shape."""
    texts, starts, moved, lost = [], [], 0, 0
    for answer in question.get("answers") or []:
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str) or not isinstance(answer.get("answer_start"), int):
            raise DataError(f"Question '{printable(name)}' of '{shown}' has an answer without 'text' and 'answer_start': {_SHAPE}.")
        if not answer["text"].strip():
            continue
        text, start = place(context if isinstance(context, str) else "", answer["text"], answer["answer_start"])
        if start is None:
            lost += 1
            continue
        moved += start != answer["answer_start"]
        if (text, start) not in zip(texts, starts):
            texts.append(text)
            starts.append(start)
    return texts, starts, moved, lost


def place(context: str, text: str, start: int) -> tuple[str, int | None]:
    """The answer and where it stands in the context: at its offset, at its only place, or at its only place within NEAR
    characters of the offset; the answer without white space around it if it is found so only. None where it is not clear."""
    for one in (text, text.strip()):
        if start >= 0 and context.startswith(one, start):
            return one, start
        places = []
        at = context.find(one)
        while at >= 0:
            places.append(at)
            at = context.find(one, at + 1)
        near = [at for at in places if abs(at - start) <= NEAR]
        if len(places) == 1 or len(near) == 1:
            return one, (places if len(places) == 1 else near)[0]
    return text, None


def _table(rows: list[tuple]) -> pa.Table:
    names = ("path", "text", "context", "label", "starts", "group")
    kinds = (pa.string(), pa.string(), pa.string(), pa.list_(pa.string()), pa.list_(pa.int64()), pa.string())
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(zip(names, kinds))})
