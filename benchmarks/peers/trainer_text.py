"""Texts with transformers: its Trainer, its Auto classes, everything learns. As its examples do it, from a local folder.

    python benchmarks/peers/trainer_text.py classify --train train.csv --test test.csv --body FOLDER

classify  run_glue.py: dynamic padding, linear decay, 2 epochs
tags      run_ner.py: the label of a word is on its first token, 3 epochs; F1 is seqeval's
spans     run_qa.py: windows of 384 tokens that overlap by 128, the 20 best starts and ends, answers of at most 30 tokens, 3 epochs

Peak rate 5e-5, batches of 32, no warm-up, no decay of weights, the last epoch is scored; --bf16 for mixed precision. The
scored rows choose nothing.
"""

import contextlib
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"

import peer_text as peer
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

MODELS = {"classify": AutoModelForSequenceClassification, "tags": AutoModelForTokenClassification, "spans": AutoModelForQuestionAnswering}
LENGTHS, EPOCHS = {"classify": 512, "tags": 512, "spans": 384}, {"classify": 2, "tags": 3, "spans": 3}
STRIDE, BEST, LONGEST = 128, 20, 30


def arguments():
    parser = peer.arguments(__doc__)
    parser.add_argument("task", choices=tuple(MODELS))
    parser.add_argument("--epochs", type=float, help="2 for classify, 3 for the others")
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, help="most tokens; 512, 384 for spans")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    args.epochs, args.length = args.epochs or EPOCHS[args.task], args.length or LENGTHS[args.task]
    return args


class Classify:
    """Each class does three things: rows for the Trainer, the names of the labels, and from logits to numbers a row."""

    def __init__(self, args, tokenizer):
        self.args, self.tokenizer = args, tokenizer
        self.train, self.test = peer.table(args.train), peer.table(args.test)
        self.labels = sorted({label for _, _, label in self.train})
        self.collator = DataCollatorWithPadding(tokenizer)

    def rows(self, given: list[tuple]) -> list[dict]:
        told = self.tokenizer([text for _, text, _ in given], truncation=True, max_length=self.args.length)
        number = {label: i for i, label in enumerate(self.labels)}
        return [{**row, "labels": number[label]} for row, (_, _, label) in zip(separate(told), given, strict=True)]

    def score(self, logits, _) -> dict[str, list]:
        return {name: [int(self.labels[row.argmax()] == label)] for row, (name, _, label) in zip(logits, self.test, strict=True)}


class Tags:
    def __init__(self, args, tokenizer):
        self.args, self.tokenizer = args, tokenizer
        self.train, self.test = peer.sentences(args.train), peer.sentences(args.test)
        self.labels = sorted({tag for _, _, tags in self.train for tag in tags})
        self.collator = DataCollatorForTokenClassification(tokenizer)

    def rows(self, given: list[tuple]) -> list[dict]:
        told = self.tokenizer([words for _, words, _ in given], is_split_into_words=True, truncation=True, max_length=self.args.length)
        number = {tag: i for i, tag in enumerate(self.labels)}
        out = []
        for i, (row, (_, _, tags)) in enumerate(zip(separate(told), given, strict=True)):
            first = firsts(told.word_ids(i))
            # A tag that train does not have counts in the score, and has no loss.
            known = {token: number.get(tags[word], -100) for word, token in first.items()}
            out.append({**row, "labels": [known.get(token, -100) for token in range(len(row["input_ids"]))], "first": first})
        return out

    def score(self, logits, rows) -> dict[str, list]:
        found = {}
        for values, row, (name, words, tags) in zip(logits, rows, self.test, strict=True):
            # A word that was cut off, or that has no token, is outside.
            best = {word: self.labels[values[token].argmax()] for word, token in row["first"].items()}
            found[name] = peer.entities([best.get(i, "O") for i in range(len(words))], tags)
        return found


class Spans:
    def __init__(self, args, tokenizer):
        self.args, self.tokenizer, self.labels = args, tokenizer, None
        self.train, self.test = peer.questions(args.train), peer.questions(args.test)
        self.collator = DataCollatorWithPadding(tokenizer)

    def rows(self, given: list[dict]) -> list[dict]:
        told = self.tokenizer(
            [row["question"] for row in given], [row["context"] for row in given], truncation="only_second", max_length=self.args.length,
            stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        home, offsets = told.pop("overflow_to_sample_mapping"), told.pop("offset_mapping")
        out = []
        for i, row in enumerate(separate(told)):
            inside = [place if of == 1 else None for place, of in zip(offsets[i], told.sequence_ids(i), strict=True)]
            start, end = window(given[home[i]], inside)
            out.append({**row, "start_positions": start, "end_positions": end, "offsets": inside, "home": home[i]})
        return out

    def score(self, logits, rows) -> dict[str, list]:
        best = {}
        for starts, ends, row in zip(*logits, rows, strict=True):
            found = best_span(starts, ends, row["offsets"])
            if found and found > best.get(row["home"], (float("-inf"),)):
                best[row["home"]] = found
        found = {}
        for i, row in enumerate(self.test):
            _, start, end = best.get(i, (0.0, 0, 0))
            found[row["id"]] = peer.answer(row["context"][start:end], row["answers"])
        return found


def separate(told) -> list[dict]:
    """A row a sample of what a tokenizer gives for many."""
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in told]
    return [dict(zip(names, values)) for values in zip(*(told[name] for name in names))]


def firsts(words: list[int | None]) -> dict[int, int]:
    """Word -> its first token."""
    found = {}
    for token, word in enumerate(words):
        if word is not None:
            found.setdefault(word, token)
    return found


def window(row: dict, inside: list) -> tuple[int, int]:
    """First and last token of the answer; token 0 for both where this window does not hold all of it."""
    if not row["answers"]:
        return 0, 0
    begin = row["starts"][0]
    end = begin + len(row["answers"][0])
    tokens = [i for i, place in enumerate(inside) if place is not None]
    if not tokens or inside[tokens[0]][0] > begin or inside[tokens[-1]][1] < end:
        return 0, 0
    return max(i for i in tokens if inside[i][0] <= begin), min(i for i in tokens if inside[i][1] >= end)


def best_span(starts, ends, inside: list) -> tuple[float, int, int] | None:
    """(score, first, end character) of the best pair among the 20 best starts and ends of a window."""
    found = []
    for start in starts[: len(inside)].argsort()[::-1][:BEST]:
        for end in ends[: len(inside)].argsort()[::-1][:BEST]:
            if inside[start] is not None and inside[end] is not None and start <= end < start + LONGEST:
                found.append((float(starts[start] + ends[end]), inside[start][0], inside[end][1]))
    return max(found) if found else None


def make(args, labels: list[str] | None):
    """The body of the folder with a new head; `labels` names its classes."""
    names = {} if labels is None else {"num_labels": len(labels), "id2label": dict(enumerate(labels))}
    return MODELS[args.task].from_pretrained(args.body, **names)


def given(rows: list[dict]) -> list[dict]:
    """What the model takes of them."""
    return [{name: value for name, value in row.items() if name not in ("first", "offsets", "home")} for row in rows]


def main() -> None:
    args, parts = arguments(), peer.Parts()
    parts.end("start")
    set_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.body)
    task = {"classify": Classify, "tags": Tags, "spans": Spans}[args.task](args, tokenizer)
    train, test = task.rows(task.train), task.rows(task.test)
    model = make(args, task.labels)
    parts.end("prepare")
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(open(os.devnull, "w")):
        settings = TrainingArguments(
            out, num_train_epochs=args.epochs, learning_rate=args.lr, per_device_train_batch_size=args.batch,
            per_device_eval_batch_size=args.batch, bf16=args.bf16, use_cpu=not torch.cuda.is_available(), seed=args.seed,
            save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(model, settings, train_dataset=given(train), data_collator=task.collator, processing_class=tokenizer)
        steps = trainer.train().global_step
        parts.end("train")
        logits = trainer.predict(given(test)).predictions
    found = task.score(logits, test)
    parts.end("score")
    peer.finish(
        args, args.task, parts, found, steps=steps, epochs=args.epochs, lr=args.lr, batch=args.batch, bf16=args.bf16,
        samples_per_s=round(len(train) * args.epochs / parts.seconds["train"], 2), threads=torch.get_num_threads(),
        body=Path(args.body).name, selected_on_scored=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
