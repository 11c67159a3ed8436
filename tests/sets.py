"""Tiny sets of texts as files, of the words that tests/texts.py has tokens for."""

import json
import random

from tests import texts


def said(rng, end="", least=3, most=12):
    """Some words, and one at the end that decides."""
    return " ".join([*rng.choices(texts.WORDS[:14], k=rng.randint(least, most)), *([end] if end else [])])


def table(path, target="class", rows=60, most=12, seed=0):
    """A CSV of texts that are good or bad; its lines from 2."""
    rng, lines = random.Random(seed), ["text,label"]
    for i in range(rows):
        good, third = i % 2 == 0, i % 3 == 0
        labels = "|".join(name for name, has in (("kind", good), ("odd", third)) if has) or "none"
        label = {"class": "good" if good else "bad", "labels": labels, "number": f"{good + 0.3 * rng.random():.3f}"}[target]
        lines.append(f"{said(rng, 'good' if good else 'bad', most=most)},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def paired(path, rows=60, most=6, seed=0):
    """A CSV of pairs that end alike or not; its lines from 2."""
    rng, lines = random.Random(seed), ["premise,hypothesis,label"]
    for i in range(rows):
        ends = [rng.choice(("good", "bad")) for _ in range(2)]
        first, second = (said(rng, end, most=most) for end in ends)
        lines.append(f"{first} {i},{second},{'same' if ends[0] == ends[1] else 'other'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tagged(path, rows=50, seed=0):
    """CoNLL: animals are entities."""
    rng = random.Random(seed)
    sentences = [[(word, "B-ANIMAL" if word in ("cat", "dog") else "O") for word in said(rng).split()] for _ in range(rows)]
    path.write_text("\n\n".join("\n".join(f"{word} {tag}" for word, tag in one) for one in sentences) + "\n", encoding="utf-8")
    return path


def asked(path, rows=40, around=4, seed=0):
    """SQuAD: who sat on the mat."""
    rng, paragraphs = random.Random(seed), []
    for i in range(rows):
        answer, before = rng.choice(("cat", "dog")), said(rng, most=around)
        context = f"{before} the {answer} sat on the mat {said(rng, most=around)}"
        answers = [{"text": answer, "answer_start": len(before) + 5}]
        paragraphs.append({"context": context, "qas": [{"id": f"q{i:02d}", "question": "it is the", "answers": answers}]})
    path.write_text(json.dumps({"data": [{"title": "mats", "paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def running(folder, files=30, seed=0):
    """A folder of .txt."""
    rng = random.Random(seed)
    folder.mkdir()
    for i in range(files):
        (folder / f"{i:02d}.txt").write_text(" ".join(said(rng, "good") for _ in range(12)), encoding="utf-8")
    return folder
