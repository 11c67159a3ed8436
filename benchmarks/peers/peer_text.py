"""What the peers' scripts for texts share: arguments, files of rows, scores of one row, the JSON line. Knows nothing of graft."""

import argparse
import collections
import csv
import json
import re
import shutil
import string
import time
from pathlib import Path

import peer

BEGAN = peer.BEGAN
COLUMNS = {"classify": ("right",), "tags": ("true positives", "found", "there"), "spans": ("exact", "f1")}
"""Task -> what `predictions` holds of a row. F1 of tags is 2 tp / (found + there) over all sentences."""


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all have; a script adds its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--body", type=Path, required=True, help="a folder with config.json, tokenizer.json and model.safetensors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the JSON line here too")
    return parser


def table(path: Path) -> list[tuple[str, str, str]]:
    """(name, text, label) of each row of a CSV with the columns text and label; the name is "FILE:LINE"."""
    with open(path, encoding="utf-8-sig", newline="") as opened:
        reader = csv.reader(opened)
        header = next(reader)
        text, label = header.index("text"), header.index("label")
        return [(f"{path.name}:{reader.line_num}", row[text], row[label]) for row in reader if row]


def sentences(path: Path) -> list[tuple[str, list[str], list[str]]]:
    """(name, words, tags) of each sentence of a CoNLL file: a word, a tab, a tag; the name is that of its first line."""
    found, start = [], True
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            start = True
            continue
        word, _, tag = line.rstrip("\r").rpartition("\t")
        if start:
            found.append((f"{path.name}:{number}", [], []))
        start = False
        found[-1][1].append(word)
        found[-1][2].append(tag)
    return found


def questions(path: Path) -> list[dict]:
    """id, question, context, answers (texts), starts (characters) and paragraph (a number) of each question of a SQuAD file."""
    paragraphs = [one for article in json.loads(path.read_text(encoding="utf-8"))["data"] for one in article["paragraphs"]]
    return [
        {"id": qa["id"], "question": qa["question"].lstrip(), "context": one["context"], "answers": [a["text"] for a in qa["answers"]],
         "starts": [a["answer_start"] for a in qa["answers"]], "paragraph": number}
        for number, one in enumerate(paragraphs) for qa in one["qas"]
    ]  # fmt: skip


def write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([("text", "label"), *rows])


def copy(source: Path, target: Path, limit: int) -> None:
    """The file, or about `limit` rows from all over it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not limit:
        shutil.copy(source, target)
    elif source.suffix == ".csv":
        write_table(target, spread([row[1:] for row in table(source)], limit))
    elif source.suffix == ".conll":
        # Few sentences at random would lack a type of entity.
        found = spread([row for row in sentences(source) if set(row[2]) > {"O"}], limit)
        target.write_text("\n".join("".join(f"{w}\t{t}\n" for w, t in zip(words, tags)) for _, words, tags in found), encoding="utf-8")
    else:
        told = json.loads(source.read_text(encoding="utf-8"))
        each = max(1, len(told["data"]) * limit // len(questions(source)))
        target.write_text(json.dumps({**told, "data": told["data"][:each]}), encoding="utf-8")


def spread(rows: list, limit: int) -> list:
    return rows[:: max(1, len(rows) // limit)][:limit] if limit else rows


def entities(predicted: list[str], there: list[str]) -> list[int]:
    """[entities that are right in extent and type, found, there] of a sentence, as seqeval counts them."""
    from seqeval.metrics.sequence_labeling import get_entities

    one, other = set(get_entities(list(predicted))), set(get_entities(list(there)))
    return [len(one & other), len(one), len(other)]


def answer(predicted: str, answers: list[str]) -> list[float]:
    """[exact match, F1 of the words] against the nearest of the answers, by SQuAD's own rules (Rajpurkar et al., 2016)."""
    if not answers:
        return [float(not predicted)] * 2
    return [max(float(_words(predicted) == _words(one)) for one in answers), max(_overlap(predicted, one) for one in answers)]


def _words(text: str) -> list[str]:
    text = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _overlap(predicted: str, there: str) -> float:
    one, other = _words(predicted), _words(there)
    both = sum((collections.Counter(one) & collections.Counter(other)).values())
    return 2 * both / (len(one) + len(other)) if both else 0.0


class Parts:
    """Seconds of the parts of a process; "start" is everything before the first."""

    def __init__(self):
        self.seconds, self._last = {}, BEGAN

    def end(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 2)
        self._last = now


def finish(args: argparse.Namespace, task: str, parts: Parts, predictions: dict[str, list], **more: object) -> None:
    """Print the JSON line. predictions: name of a row -> the numbers that COLUMNS names for the task."""
    sums = [sum(column) for column in zip(*predictions.values())]
    n = len(predictions)
    scores = {
        "classify": lambda: {"accuracy": sums[0] / n},
        "tags": lambda: {"f1": 2 * sums[0] / max(1, sums[1] + sums[2])},
        "spans": lambda: {"exact": sums[0] / n, "f1": sums[1] / n},
    }[task]()
    line = json.dumps({
        "task": task, "scores": scores, "n": n, "seconds_total": round(time.monotonic() - BEGAN, 2), "seconds_of": parts.seconds,
        "peak_memory_mb": round(peer.peak_memory_mb(), 1), "seed": args.seed, **more, "files": list(predictions),
        "predictions": list(predictions.values()),
    })  # fmt: skip
    if args.out:
        args.out.write_text(line + "\n")
    print(line, flush=True)
