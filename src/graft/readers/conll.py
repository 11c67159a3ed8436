"""Words with tags of named entities, one word a line: CoNLL files, as one file or as train, val and test in a folder."""

import os
import re
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError, OptionError
from .decode import decoded
from .labels import check_classes, is_text, listed, printable, text_fingerprint
from .split_files import split_files
from .tagging import Scheme, classes_of, parsed, recognise, to_iob2

EXTENSIONS = (".conll", ".bio", ".iob", ".iob2", ".txt", ".tsv")


@dataclass(frozen=True)
class Options:
    """How a file of tagged words is read.

    word: the column of the word, from 0 (negative from the right); 0, where nearly all such files have it.
    tag: the column of the entity's tag; -1, the last, since columns of grammar stand between.
    separator: what stands between columns ("tab", "space" for any white space, or a sign); None takes tabs where there are
        any, else white space.
    encoding: of the files; "utf-8", because another one read in its place is an error and not a wrong word.
    bad_share: largest share of the entities whose tags may break their scheme before the run refuses to start; 0.05 because
        annotators slip now and then, and more mean that the tags are not what they seem.
    """

    word: int = 0
    tag: int = -1
    separator: str | None = None
    encoding: str = "utf-8"
    bad_share: float = 0.05


@dataclass(frozen=True)
class _Sentence:
    """words and tags, equally long; lines: the line of each word, from 1."""

    file: str
    words: list[str]
    tags: list[str]
    lines: list[int]


def read(path: str, options: Options) -> Data:
    """Read sentences, which empty lines part; lines that begin with -DOCSTART-, and comments (# and no tag), are passed over.

    IOB2, IOB1 and BIOES (or BILOU, BMES) are recognised over all files and turned into IOB2; tags that break their scheme
    are mended as conlleval reads them (an entity begins wherever none of its type goes on) and told of.
    The tables have the columns path ("train.conll:12": the line of the first word), text and label (list<string>).
    Raises DataError, with file and line for a line that has too few columns, and OptionError for an encoding not known.
    """
    root, files, notes = split_files(path, EXTENSIONS, "files of tagged words")
    found = {split: _sentences(file, options) for split, file in files.items()}
    for split, sentences in found.items():
        if not sentences:
            raise DataError(f"'{printable(files[split])}' has no words: give a file with one word and its tag a line.")
    everything = [sentence for sentences in found.values() for sentence in sentences]
    scheme = recognise(sentence.tags for sentence in everything)
    notes += _mended(everything, scheme, options.bad_share)
    tables, types = {}, {}
    for split, sentences in found.items():
        labels = [to_iob2(sentence.tags) for sentence in sentences]
        types[split] = {tag[2:] for tags in labels for tag in tags if tag != "O"}
        tables[split] = _table(sentences, labels)
    repair = f"tag some words of '{printable(root)}', or name the column of the tags with --set data.tag=NUMBER (from 0)"
    names = check_classes(types, repair, least=1)
    counts = Counter(tag[0] for table in tables.values() for tags in table["label"].to_pylist() for tag in tags)
    turned = "" if scheme.name == "IOB2" else " and were turned into IOB2"
    words = f"The tags are {scheme.name}{turned}: {counts['B']} entities of {len(names)} types in {len(everything)} sentences"
    notes.insert(0, Note("info", f"{words}, {counts.total()} words."))
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("text", "tags", classes_of(names), input="text", longest=max(len(one.words) for one in everything)),
        fingerprint=text_fingerprint(tables.values()),
        source=root,
        notes=tuple(notes),
    )


def _sentences(file: str, options: Options) -> list[_Sentence]:
    lines = [line.rstrip("\r") for line in decoded(file, options.encoding, flag=True).split("\n")]
    sign = _sign(lines, options.separator)
    needed = max(2, *(one + 1 if one >= 0 else -one for one in (options.word, options.tag)))
    first = next((line for line in lines if line.strip() and line[0] != "#" and not line.startswith("-DOCSTART-")), "")
    width = max(needed, len(_cells(first, sign)))
    sentences, current = [], _Sentence(file, [], [], [])
    for number, line in enumerate(lines, 1):
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            if current.words:
                sentences.append(current)
                current = _Sentence(file, [], [], [])
            continue
        cells = _cells(line, sign)
        if line[0] == "#" and (len(cells) != width or parsed(cells[options.tag].strip())[0] == "?"):
            continue
        word, tag = _word_and_tag(cells, file, number, width, options)
        current.words.append(word)
        current.tags.append(tag)
        current.lines.append(number)
    return [*sentences, current] if current.words else sentences


def _sign(lines: list[str], given: str | None) -> str | None:
    """What stands between columns; None for any white space."""
    if given:
        return {"tab": "\t", "space": None, " ": None}.get(given, given)
    return "\t" if any("\t" in line for line in lines if line.strip() and line[0] != "#") else None


def _cells(line: str, sign: str | None) -> list[str]:
    # Not str.split(), which would also split at the no-break spaces that words may hold.
    return line.rstrip(" \t").split(sign) if sign else [cell for cell in re.split(r"[ \t]+", line) if cell]


def _word_and_tag(cells: list[str], file: str, number: int, width: int, options: Options) -> tuple[str, str]:
    where = f"Line {number} of '{printable(file)}'"
    if len(cells) < width:
        raise DataError(
            f"{where} has {len(cells)} of {width} columns: write a word and its tag on each line, and leave a line empty "
            "between sentences, or name the columns with --set data.word=NUMBER and data.tag=NUMBER (from 0)."
        )
    if options.word % len(cells) == options.tag % len(cells):
        raise OptionError(f"data.word={options.word} and data.tag={options.tag} are one column of {len(cells)}: name two columns.")
    word, tag = cells[options.word].strip(), cells[options.tag].strip()
    if not word or not tag or not is_text(word):
        raise DataError(f"{where} has no {'tag' if word else 'word'}: fill it in, or remove the line.")
    return word, tag


def _mended(sentences: list[_Sentence], scheme: Scheme, share: float) -> list[Note]:
    """A warning with the places of tags that break the scheme. Raises DataError where these are many."""
    broken, entities = [], 0
    for sentence in sentences:
        broken += [f"{os.path.basename(sentence.file)}:{sentence.lines[i]} ({sentence.tags[i]})" for i in scheme.broken(sentence.tags)]
        entities += sum(tag[0] == "B" for tag in to_iob2(sentence.tags))
    if not broken:
        return []
    if len(broken) > share * entities:
        raise DataError(
            f"{len(broken)} tags of {entities} entities do not follow {scheme.name}, for example {listed(broken)}: correct them, name the "
            "column of the tags with --set data.tag=NUMBER (from 0), or allow more with --set data.bad_share=SHARE."
        )
    words = f"{len(broken)} tags of {entities} entities do not follow {scheme.name} and were mended, for example {listed(broken)}"
    return [Note("warning", f"{words}: an entity begins wherever none of its type goes on.", tuple(broken))]


def _table(sentences: list[_Sentence], labels: list[list[str]]) -> pa.Table:
    return pa.table({
        "path": pa.array([f"{os.path.basename(one.file)}:{one.lines[0]}" for one in sentences], pa.string()),
        "text": pa.array([one.words for one in sentences], pa.list_(pa.string())),
        "label": pa.array(labels, pa.list_(pa.string())),
    })  # fmt: skip
