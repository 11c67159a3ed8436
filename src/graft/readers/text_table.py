"""A table of texts and labels: CSV, TSV, JSONL or Parquet, or a folder with one such table for each split."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError, OptionError, nearest
from .columns import LABELS, classes_of, find_group, find_label, find_split, known, matches, names_of, read_groups, read_splits, spelt
from .decode import wrong_characters
from .labels import listed, text_fingerprint
from .sheet import Sheet, joined, load
from .split_files import split_files
from .target import TARGETS, checked, read_labels

TEXTS = (
    "text", "sentence", "review", "content", "body", "comment", "message", "tweet", "question", "document", "post", "query", "utterance",
    "texts", "sentences", "reviews", "comments", "messages", "tweets", "questions", "review_text", "review_body", "comment_text",
    "full_text", "clean_text", "text_content", "article", "abstract", "description", "headline", "title", "subject", "summary", "prompt",
)  # fmt: skip
_MORE_LABELS = (
    "sentiment", "intent", "topic", "emotion", "polarity", "rating", "stars", "score", "spam", "toxic", "genre", "section", "gold_label",
    "is_duplicate", "similarity",
)  # fmt: skip
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"), ("text1", "text2"),
    ("text_1", "text_2"), ("text_a", "text_b"), ("question1", "question2"), ("question_1", "question_2"), ("question", "passage"),
    ("question", "context"), ("question", "sentence"), ("question", "paragraph"), ("query", "passage"), ("query", "document"),
    ("claim", "evidence"),
)  # fmt: skip
"""Names of two columns whose texts are meant to be read together."""
FEWEST_GROUPS = 20
"""Different texts of a side below which it is rather a question that is put to many texts than something to be kept together."""
REPEATED = 0.9
"""Share of different texts among a side's rows from which it counts as not repeated."""
_GROUPS = ("group", "group_id", "groups")  # "subject" names a patient beside images, but a title beside texts.
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".txt")


@dataclass(frozen=True)
class Options:
    """How a table of texts is read. Every name of a column may be left out where it is a usual one.

    text: the column of the text, or several to be joined by a space ("title+body"); None finds text, sentence, review,
        content, ..., or else the column with the longest texts.
    second: the column of a second text, where the label is about two (a premise and a hypothesis, two questions); None finds
        the pairs of PAIRS where `text` was not given; "" reads one text.
    label: the column of the label, or several columns of 0/1, one a class; () finds label, class, target, sentiment, ...
    split: the column that says train, val or test; None finds split, set, subset, ...; "" for no split.
    group: the column of what must not part (an author, a document); None finds group or group_id, or of pairs the text that many
        share; "" for none.
    separator: what stands between several labels in one cell ("space" for a space); None finds "|" and ";" where they
        are obvious. A space or comma is never taken by itself, since names of classes hold them.
    target: "class", "labels" (any number of them), "number", or "auto" to see it from the cells.
    encoding: of CSV, TSV and JSONL; "utf-8", because another one read in its place is an error and not a wrong text.
    bad_share: largest share of the rows that may have no text before the run refuses to start; 0.05 because a few empty
        cells are normal in real collections, and more mean that this is not the column of the text.
    fewest: classes that there have to be; 2, because one alone cannot be told from anything, and 1 for method extend, which adds to others.
    """

    text: str | None = None
    second: str | None = None
    label: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    separator: str | None = None
    target: str = "auto"
    encoding: str = "utf-8"
    bad_share: float = 0.05
    fewest: int = 2


def read(path: str, options: Options) -> Data:
    """Read one table, or train, val and test tables of a folder; what was decided is said in notes.

    Labels are read as by csv_table. Rows without a text are left out with a warning, and equal texts with different labels
    are told of. The tables have the columns path ("train.csv:12": the file and the line, or the row of a Parquet file),
    text (string), label (string, list<string> or double) and, if given, context (string: the second text) and group (string).
    Raises OptionError for a column, target or encoding that is not there, DataError for everything wrong in the table.
    """
    if options.target not in TARGETS:
        raise OptionError(f"There is no target '{options.target}'.{nearest(options.target, TARGETS)}")
    root, files, notes = split_files(path, _TABLES, "tables")
    if options.split and os.path.isdir(root):
        raise OptionError(f"data.split={options.split} has no meaning where '{root}' has a file for each split: leave it out.")
    sheets = {split: load(file, options.encoding, flag=True) for split, file in files.items()}
    texts, second, names, split, group = _columns(sheets["train"], options, notes)
    pair = [second] if second else []
    if os.path.isdir(root):
        sheet, splits = _join(root, sheets, [*texts, *pair, *names, *([group] if group else [])], names, notes)
    else:
        sheet, splits = sheets["train"], read_splits(sheets["train"], split) if split else None
    kept = _with_text(sheet, texts, pair, options.bad_share, notes)
    splits = [splits[i] for i in kept] if splits else ["train"] * len(kept)
    sheet = sheet.take(kept)
    places, words, beside = _places(sheet), _texts(sheet, texts), _texts(sheet, pair, "second") if pair else None
    target, labels = read_labels(sheet, names, options.target, options.separator, notes)
    groups = read_groups(sheet, group) if group else None
    if groups is None and beside is not None and options.group is None:
        groups = _repeated(words, beside, [texts[0], *pair], notes)
    notes += wrong_characters(words if beside is None else list(map(" ".join, zip(words, beside))), places)
    if target != "number":
        notes += _contradictions(words if beside is None else list(zip(words, beside)), labels, places)
    rows = {name: [i for i, split in enumerate(splits) if split == name] for name in ("train", "val", "test")}
    rows = {name: inside for name, inside in rows.items() if inside}
    classes = classes_of(sheet, {name: [labels[i] for i in inside] for name, inside in rows.items()}, target, names, notes, options.fewest)
    tables = {name: _table(inside, target, places, words, beside, labels, groups) for name, inside in rows.items()}
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("text", target, classes, input="text", pair=beside is not None),
        fingerprint=text_fingerprint(tables.values()),
        source=root,
        notes=tuple(notes),
    )


def _columns(sheet: Sheet, options: Options, notes: list[Note]) -> tuple[list[str], str | None, tuple[str, ...], str | None, str | None]:
    """(text columns, column of the second text, label columns, split column, group column) of the table to learn from."""
    split, group = find_split(sheet, options.split, notes), find_group(sheet, options.group, notes, _GROUPS)
    names = names_of(options.label)
    for name in names:
        known(sheet, name, "label")
    usual_labels = LABELS if matches(sheet, LABELS) else _MORE_LABELS
    second = known(sheet, options.second, "second") if options.second else None
    usual = [name for name in matches(sheet, TEXTS) if name not in (*names, split, group, second)]
    pair = None if options.text or options.second is not None else pair_of(sheet.columns, (*names, split, group))
    if pair:
        texts, second = [pair[0]], pair[1]
        words = f"'{pair[0]}' and '{pair[1]}' are read as a pair of texts; --set data.second= (nothing after the sign) reads one."
        notes.append(Note("info", words))
    elif options.text:
        texts = [options.text] if options.text in sheet.columns else [part.strip() for part in options.text.split("+")]
        texts = [known(sheet, name, "text") for name in texts]
        if second in texts:
            raise OptionError(f"The column '{second}' cannot be both texts of a pair: name another with --set data.second=COLUMN.")
    elif usual:
        texts = usual[:1]
        if len(usual) > 1:
            words = f"'{usual[0]}' is read as the text, not {listed(usual[1:])}; --set data.text={usual[1]}+{usual[0]} reads both."
            notes.append(Note("info", words))
    else:
        texts = [_longest(sheet, (*(names or matches(sheet, usual_labels)[:1]), split, group, second), notes)]
    if not names:
        names = (find_label(sheet, (*texts, second, split, group), notes, usual_labels),)
        _check_header(sheet, names[0])
    return texts, second, names, split, group


def pair_of(columns: Iterable[str], taken: Sequence[str | None] = (), first: str = "") -> tuple[str, str] | None:
    """The two columns whose names say that they are read together, as PAIRS has them. first: the first of them, where it is known."""
    named = {spelt(name): name for name in reversed(list(columns)) if name not in taken}
    for one, other in PAIRS:
        if one in named and other in named and first in ("", named[one]):
            return named[one], named[other]
    return None


def _longest(sheet: Sheet, taken: Sequence[str | None], notes: list[Note]) -> str:
    """The column of strings with the longest mean. Raises DataError where no column holds words."""
    means = {}
    for name, cells in sheet.columns.items():
        given = [cell for cell in cells if cell is not None]
        texts = name not in taken and all(isinstance(cell, str) for cell in given)
        if texts and 2 * sum(any(letter.isalpha() for letter in cell) for cell in given) > len(given):
            means[name] = sum(map(len, given)) / len(given)
    if not means:
        raise DataError(
            f"'{sheet.shown}' has no column of texts among {listed(list(sheet.columns), 8)}: name it with --set data.text=COLUMN "
            "(the first line must name the columns)."
        )
    best = max(means, key=means.get)
    words = f"'{best}' is read as the text, having the longest cells ({means[best]:.0f} characters on average); --set data.text=COLUMN"
    notes.append(Note("info", f"{words} chooses another."))
    return best


def _check_header(sheet: Sheet, label: str) -> None:
    """Raises DataError where the first line is a sample: its label is called as a class is."""
    count = sum(isinstance(cell, str) and cell.strip() == label for cell in sheet.columns[label])
    if count > 1:
        raise DataError(
            f"The first line of '{sheet.shown}' seems to be a sample and not the names of the columns, since {label!r} is also the label "
            f"of {count} rows: put a line such as text,label before it, or name the column with --set data.label={label}."
        )


def _join(root: str, sheets: dict[str, Sheet], columns: Sequence[str], names: Sequence[str], notes: list[Note]) -> tuple[Sheet, list[str]]:
    """The tables of a folder as one, and the split of each row. A test table without labels cannot be scored and is left out."""
    for split, sheet in list(sheets.items()):
        missing = [name for name in dict.fromkeys(columns) if name not in sheet.columns]
        if missing and split == "test" and set(missing) <= set(names):
            notes.append(Note("warning", f"'{sheet.shown}' has no column {listed(missing)}, so it cannot be scored and was left out."))
            del sheets["test"]
        elif missing:
            raise DataError(
                f"'{sheet.shown}' has no column {listed(missing)}, which '{sheets['train'].shown}' has: give all tables the same columns."
            )
    splits = [split for split, sheet in sheets.items() for _ in sheet.numbers]
    return joined(root, list(sheets.values()), list(dict.fromkeys(columns))), splits


def _places(sheet: Sheet) -> list[str]:
    name = os.path.basename(sheet.file)
    return [number if isinstance(number, str) else f"{name}:{number}" for number in sheet.numbers]


def _repeated(words: list[str], beside: list[str], names: Sequence[str], notes: list[Note]) -> list[str] | None:
    """The text of each pair that stands in the most rows, as its group, where one of the two sides repeats itself; else None."""
    sides = [(len(set(side)), name, side) for name, side in zip(names, (words, beside), strict=True)]
    count, name, side = min(sides, key=lambda one: one[0])
    if not FEWEST_GROUPS <= count <= REPEATED * len(side):
        return None
    told = f"'{name}' holds {count} different texts in {len(side)} rows, and rows with the same one are kept together"
    notes.append(Note("info", f"{told}; --set data.group= (nothing after the sign) treats them as independent."))
    return side


def _with_text(sheet: Sheet, names: Sequence[str], pair: Sequence[str], share: float, notes: list[Note]) -> list[int]:
    """The rows with a text, and a second one where there are pairs; the others are told. Raises DataError where these are more than
    `share` of all."""
    total, both = len(sheet.numbers), [names, pair] if pair else [names]
    kept = [i for i in range(total) if all(any(not _bare(sheet.columns[name][i]) for name in one) for one in both)]
    if len(kept) == total:
        return kept
    places, full = _places(sheet), set(kept)
    empty = [places[i] for i in range(total) if i not in full]
    if len(empty) > share * total:
        where = listed([*names, *pair])
        raise DataError(
            f"{len(empty)} of {total} rows of '{sheet.shown}' have no text in {where}, for example {listed(empty)}: fill them in, "
            "choose the column with --set data.text=COLUMN, or allow more with --set data.bad_share=SHARE."
        )
    notes.append(Note("warning", f"Left out {len(empty)} of {total} rows: they have no text.", tuple(empty)))
    return kept


def _bare(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)


def _texts(sheet: Sheet, names: Sequence[str], option: str = "text") -> list[str]:
    """The text of each row. option: what names the columns. Raises DataError for cells that are no texts."""
    columns = []
    for name in names:
        cells = ["" if _bare(cell) else cell for cell in sheet.columns[name]]
        odd = next((i for i, cell in enumerate(cells) if not isinstance(cell, str)), None)
        if odd is not None:
            raise DataError(
                f"'{name}' of '{sheet.shown}' holds a {type(cells[odd]).__name__} at {sheet.unit} {sheet.numbers[odd]}, not a text: choose "
                f"another column with --set data.{option}=COLUMN."
            )
        columns.append([checked(sheet, cell, i) for i, cell in enumerate(cells)])
    return [" ".join(part for part in row if part) for row in zip(*columns)]


def _contradictions(texts: list, labels: list, places: list[str]) -> list[Note]:
    """A warning where one text, or pair of them, has two labels: no model can get both right."""
    given: dict[str | tuple, set] = {}
    for text, label in zip(texts, labels):
        given.setdefault(text, set()).add(tuple(label) if isinstance(label, list) else label)
    odd = {text for text, found in given.items() if len(found) > 1}
    if not odd:
        return []
    files = tuple(place for text, place in zip(texts, places) if text in odd)
    which = f"One text stands in {len(files)} rows" if len(odd) == 1 else f"{len(odd)} texts stand in {len(files)} rows"
    return [Note("warning", f"{which} with different labels, of which a model can get one right at most: keep one of each.", files)]


def _table(
    rows: list[int], target: str, places: list[str], texts: list[str], beside: list[str] | None, labels: list, groups: list[str] | None
) -> pa.Table:
    kind = {"class": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}[target]
    columns = {
        "path": pa.array([places[i] for i in rows], pa.string()),
        "text": pa.array([texts[i] for i in rows], pa.string()),
        "label": pa.array([labels[i] for i in rows], kind),
    }
    if beside is not None:
        columns["context"] = pa.array([beside[i] for i in rows], pa.string())
    if groups is not None:
        columns["group"] = pa.array([groups[i] for i in rows], pa.string())
    return pa.table(columns)
