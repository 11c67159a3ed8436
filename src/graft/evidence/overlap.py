"""Whether a body plausibly learnt from the very images that it is now tried on, judged by the names of the classes."""

import re
from collections.abc import Iterator, Sequence

ENOUGH = 0.25  # of the classes must have a name in common: one name in twenty is chance
SHOWN = 4
BRIEF = 60  # characters: what is longer is told elsewhere
WEB = re.compile(r"image-text pairs|LVD|JFT|LAION|WebLI|openai|in the wild", re.IGNORECASE)
_TAG = re.compile(r"^(n\d{8}|\d+)[ .]+")  # "n02206856_bee", "001.Black_footed_Albatross"
_IRREGULAR = {
    "mice": "mouse", "geese": "goose", "oxen": "ox", "wolves": "wolf", "leaves": "leaf", "knives": "knife", "loaves": "loaf",
    "people": "person", "men": "man", "women": "woman", "children": "child", "teeth": "tooth", "feet": "foot",
    "calves": "calf", "shelves": "shelf", "cacti": "cactus", "fungi": "fungus", "buses": "bus", "shoes": "shoe", "canoes": "canoe",
}  # fmt: skip


def notice(trained_on: str, classes: Sequence[str], source_names: Sequence[str]) -> str | None:
    """One sentence where what the body was trained on plausibly has these images, else None.

    trained_on: Origin.trained_on, such as "ImageNet-21k, then ImageNet-1k", "unknown" or "nothing". classes: names of the data's
    classes. source_names: names of ImageNet's classes, each a list of lemmas such as "ant, emmet, pismire" (timm.data.ImageNetInfo
    has them); used where trained_on names ImageNet or is unknown. Names say nothing of images taken for another purpose, and
    images of other names can be in there too: it is a hint, in either direction.
    """
    known = trained_on.strip().lower()
    if known in ("", "nothing"):
        return None
    effect = "so the score, and its lead over training from scratch, may be higher than on new images"
    if "imagenet" in known or known == "unknown":
        found = matches(classes, source_names)
        if found and len(found) >= ENOUGH * len(classes):
            pairs = [f"{one} ('{other}')" for one, other in list(found.items())[:SHOWN]]
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            has = f"has images of the same things for {len(found)} of {len(classes)} classes: {', '.join(pairs)}{more}"
            if known == "unknown":
                return (
                    f"What the body was trained on is unknown; ImageNet, which most bodies learn from, {has}: it plausibly contains "
                    f"some of these images, {effect}."
                )
            named = f" ({trained_on})" if len(trained_on) <= BRIEF else ""
            return f"The body's training data{named} plausibly contain some of these images, {effect}: ImageNet {has}."
    if WEB.search(trained_on):
        return (
            f"The body was trained on images gathered from the web ({trained_on}); if these images were public, they plausibly were among "
            f"them, {effect}."
        )
    return None


def matches(classes: Sequence[str], source_names: Sequence[str]) -> dict[str, str]:
    """{class: the source's name for it}: the same words, or one is a kind of the other ("cats" and "Persian cat", "honey bee"
    and "bee"), whatever the case, underscores and plural."""
    whole, last = {}, {}
    for names in source_names:
        for lemma in names.split(","):
            words = _words(lemma)
            if words:
                whole.setdefault(words, lemma.strip())
            if words and "-" not in lemma.split()[-1]:  # a bicycle-built-for-two is no kind of two
                last.setdefault(words[-1:], lemma.strip())
    found = ((one, _match(_words(one), whole, last)) for one in classes)
    return {one: name for one, name in found if name}


def _match(words: tuple[str, ...], whole: dict, last: dict) -> str | None:
    return whole.get(words) or last.get(words) or whole.get(words[-1:]) if words else None


def _words(name: str) -> tuple[str, ...]:
    """Lower-case words with the last one in the singular."""
    plain = _TAG.sub("", re.sub(r"[\s_\-/]+", " ", name.strip().lower()))
    words = tuple(re.findall(r"[^\W\d_]+", plain))
    return (*words[:-1], _singular(words[-1])) if words else ()


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    return next((word[: -len(end)] + instead for end, instead in _endings(word)), word)


def _endings(word: str) -> Iterator[tuple[str, str]]:
    """(plural ending, what stands for it), the likeliest first."""
    if len(word) > 4 and word.endswith("ies"):
        yield "ies", "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes", "oes")):
        yield "es", ""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        yield "s", ""
