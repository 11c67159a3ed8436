"""Trivial cues of texts, as columns of numbers: what needs no word to be understood, but may go with the label."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .cues import ALL, NAME, Cues, curved, indicators, spelt
from .passages import Facts

WORDS = 32  # first and last words that get an indicator of their own
SIGNS = ("!", "?", ",", ".", "'\"“”‘’", ":;", "()[]", "-–—")
_LINE = re.compile(r":\d+$")


def of_passages(facts: Facts, names: Sequence[str]) -> Cues:
    """Lengths, punctuation, upper case, digits, links, the first and the last word, and file names without the classes' `names`."""
    characters, words = np.maximum(facts.characters, 1).astype(float), np.maximum(facts.words, 1).astype(float)
    lengths = np.stack([np.log2(words), np.log2(characters), np.log2(characters / words)], 1)
    signs = np.array([[sum(map(text.count, kind)) for kind in SIGNS] for text in facts.text], float).reshape(-1, len(SIGNS))
    shouted = [sum(word.isupper() and len(word) > 1 for word in text.split()) for text in facts.text]
    begins = [text.strip()[:1].isupper() for text in facts.text]
    linked = np.stack([facts.links, facts.mentions, facts.tags, facts.markup], 1).astype(float)
    files = [_LINE.sub("", path) for path in facts.path]
    tables = {
        "length": curved(lengths),
        "punctuation": curved(np.concatenate([np.asarray(facts.marks, float)[:, None], np.sqrt(signs)], 1)),
        "upper case": curved(np.stack([np.sqrt(facts.upper), np.array(shouted, float) / words, np.array(begins, float)], 1)),
        "digits": curved(np.stack([np.sqrt(facts.digits), facts.digits > 0], 1).astype(float)),
        "links and markup": curved(np.sqrt(linked)),
        "first word": indicators(facts.first, WORDS),
        "last word": indicators(facts.last, WORDS),
        NAME: spelt(files, names),
    }
    return Cues(facts.path, tables, lambda name, rows: _told(facts, name, rows), _EFFECTS, _REPAIRS)


def _told(facts: Facts, name: str, inside: np.ndarray) -> str:
    """What the cue is like: the median or the mean, or the commonest."""
    if name == "length":
        return f"{np.median(facts.words[inside]):.0f} words"
    if name in ("punctuation", "upper case", "digits"):
        share = {"punctuation": facts.marks, "upper case": facts.upper, "digits": facts.digits}[name][inside].mean()
        return f"{share:.1%} of the signs"
    if name == "links and markup":
        some = (facts.links + facts.mentions + facts.tags + facts.markup)[inside] > 0
        return f"{some.mean():.0%} have some"
    if name in ("first word", "last word"):
        words = facts.first if name == "first word" else facts.last
        (word, count), *_ = Counter(words[i] for i in inside).most_common(1)
        return f"{count / len(inside):.0%} have '{word[:20]}'"
    return ""


_EFFECTS = {
    "length": "A network sees where a text ends, so its length can stand in for what it says, and fails on texts of another kind.",
    "punctuation": "Signs are tokens like any other: the model need not read the words, and fails on texts that are set another way.",
    "upper case": "An uncased body does not see it; one that tells cases apart need not read the words.",
    "digits": "The presence of numbers alone gives the class away, so the model need not read the words.",
    "links and markup": "Traces of the source give the class away, and are missing in texts from elsewhere.",
    "first word": "An opening that goes with the class is learnt before anything else, and is missing in texts from elsewhere.",
    "last word": "An ending that goes with the class is learnt before anything else, and is missing in texts from elsewhere.",
    ALL: "Together such cues give the class away without a word being understood, and a network sees all of them.",
}
_REPAIRS = {
    "length": "Take all classes from texts of about one length, or cut all alike; test on texts from elsewhere.",
    "punctuation": "Set the signs of all classes alike, where they are no part of what is asked.",
    "upper case": "Write all classes in one case, or take an uncased body.",
    "digits": "Nothing where numbers are what the classes are about; else replace all digits by one sign.",
    "links and markup": "Remove addresses, names and markup from all texts, or replace each kind by one word.",
    "first word": "Strip openings that a source puts before its texts (a dateline, a signature, a greeting).",
    "last word": "Strip endings that a source puts behind its texts (a signature, a link, a copyright line).",
    ALL: "Collect all classes in the same way, and test on texts from elsewhere.",
}
