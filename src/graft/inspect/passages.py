"""What can be told of texts from one quick look at each: length, signs, scripts, leftovers of markup, damage."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .finding import Finding

LEAST = 2
"""Letters and digits below which an ASCII text says nothing; one sign of any other script may be a word."""
SHARE = 0.05  # of all texts: what is odd about fewer of them cannot decide a score
TIMES, FAR = 8, 5.0
"""A text is very long where it has TIMES as many words as the median and its logarithm lies FAR robust standard deviations above."""
SHOWN, EXCERPT = 12, 160  # examples of a finding; characters of a text that is quoted

# Combining marks of scripts that spell vowels with them are kept: without them different words would become one.
_GAP = re.compile(r"(?:[^\w\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e00-\u109f\u1780-\u17ff]|_)+")
_SIGNS = re.compile(r"[^\w\s]|_")
_DIGITS = re.compile(r"\d")
_MEAT = re.compile(r"[A-Za-z0-9]|[^\x00-\x7f\s\u200b-\u200f\ufeff\ufffd\xa0]")
_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<!\w)@\w+")
_TAG = re.compile(r"(?<![\w&])#[^\W\d]\w*")
_MARKUP = re.compile(
    r"</?[a-z][a-z0-9]*(?:\s[^<>]{0,300})?/?>|&(?:[a-z]{2,8}|#x?[0-9a-f]{1,6});|(?<!\w)#\d{2,5};|\b(?:quot|amp|nbsp|lt|gt);", re.IGNORECASE
)
# UTF-8 that was read as Latin-1 or Windows-1252: accents, typographic quotes, a byte order mark, emoji, Cyrillic.
_BROKEN = re.compile(
    "\ufffd|Ã[\x80-\xbfƒ„…†‡ˆ‰Š‹Œ‘’•–—˜™š›œ]|Â[\x80-\xbf]|â(?:€[\x80-\xbf“”‘’™œž¦¢˜]|\x80[\x80-\xbf]|‚¬)|ï»¿|ðŸ|(?:[ÐÑ][\x80-\xbf]){2}"
)
_KINDS = ((_LINK, ("://", "www.", "WWW.")), (_MENTION, "@"), (_TAG, "#"), (_MARKUP, "<;"))


@dataclass(frozen=True, eq=False)
class Facts:
    """One entry for each text, n in all, in the order given.

    path: names the text for people. characters, words: int32 [n]; words are parted by white space. upper, digits, marks,
    foreign: shares of the characters that are upper case, digits, punctuation or symbols, and outside of ASCII, float32 [n].
    links, mentions, tags, markup, broken: how many addresses, @names, #topics, pieces of HTML, and pieces of damaged encoding
    there are, int32 [n]. meat: letters and digits, int32 [n]. first, last: the outermost words, in lower case. script: what most
    letters are of ("Latin"), "" without letters. digest: 16 bytes, blake2b of the text in lower case with punctuation and
    white space squeezed into single blanks; a text of which nothing is left then has one of its own.
    """

    path: tuple[str, ...]
    text: tuple[str, ...]
    characters: np.ndarray
    words: np.ndarray
    upper: np.ndarray
    digits: np.ndarray
    marks: np.ndarray
    foreign: np.ndarray
    links: np.ndarray
    mentions: np.ndarray
    tags: np.ndarray
    markup: np.ndarray
    broken: np.ndarray
    meat: np.ndarray
    first: tuple[str, ...]
    last: tuple[str, ...]
    script: tuple[str, ...]
    digest: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray) -> "Facts":
        """Those of some texts, in that order."""
        names = self.__dataclass_fields__
        picked = {name: getattr(self, name) for name in names}
        return Facts(**{k: v[rows] if isinstance(v, np.ndarray) else tuple(v[i] for i in rows) for k, v in picked.items()})


def gather(paths: Sequence[str], texts: Sequence[str | Sequence[str]]) -> Facts:
    """One look at each text; a list of words is joined by blanks. Never raises for a text."""
    texts = [text if isinstance(text, str) else " ".join(text or ()) for text in texts]
    rows = [_look(path, text) for path, text in zip(paths, texts, strict=True)]
    counts = np.array([row[0] for row in rows], np.int32).reshape(-1, 8)
    shares = np.array([row[1] for row in rows], np.float32).reshape(-1, 4)
    first, last, script, digest = (tuple(row[i] for row in rows) for i in range(2, 6))
    names = ("characters", "words", "links", "mentions", "tags", "markup", "broken", "meat")
    return Facts(
        path=tuple(paths), text=tuple(texts), **dict(zip(names, counts.T, strict=True)),
        **dict(zip(("upper", "digits", "marks", "foreign"), shares.T, strict=True)), first=first, last=last, script=script, digest=digest,
    )  # fmt: skip


def normal(text: str) -> str:
    """In lower case, one encoding of each sign, words between single blanks, without punctuation and symbols."""
    return _GAP.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def joined_digest(digest: bytes, beside: str) -> bytes:
    """16 bytes of a text's digest (see Facts) and of what stands beside it, normalised alike."""
    return hashlib.blake2b(digest + normal(beside).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _look(path: str, text: str) -> tuple:
    """(counts, shares, first, last, script, digest) of one text."""
    n, words, plain = max(len(text), 1), text.split(), text.isascii()
    foreign = 0 if plain else n - len(text.encode("ascii", "ignore"))
    # A look for the sign that a piece cannot be without spares most texts the slow look for the piece.
    found = [len(each.findall(text)) if any(sign in text for sign in signs) else 0 for each, signs in _KINDS]
    squeezed = normal(text)
    broken = 0 if plain else len(_BROKEN.findall(text))
    meat = len(squeezed) - squeezed.count(" ") if plain else len(_MEAT.findall(text))
    shares = (sum(map(str.isupper, text)) / n, len(_DIGITS.findall(text)) / n, len(_SIGNS.findall(text)) / n, foreign / n)
    digest = hashlib.blake2b((squeezed or f"\0{path}\0{text}").encode("utf-8", "surrogatepass"), digest_size=16).digest()
    first, last = (words[0].casefold(), words[-1].casefold()) if words else ("", "")
    return (len(text), len(words), *found, broken, meat), shares, first, last, _script(text, plain), digest


def _script(text: str, plain: bool) -> str:
    if plain:
        return "Latin" if any(map(str.isalpha, text)) else ""
    counts = Counter(_script_of(sign) for sign in text if sign.isalpha())
    return counts.most_common(1)[0][0] if counts else ""


@lru_cache(maxsize=65536)
def _script_of(sign: str) -> str:
    """The first word of the letter's Unicode name: Latin, Cyrillic, Arabic, Cjk, Hangul ..."""
    name = unicodedata.name(sign, "unknown").split()[0].capitalize()
    return "Cjk" if name in ("Hiragana", "Katakana", "Fullwidth", "Halfwidth") else name


def findings(
    facts: Facts, labels: Sequence | None = None, tokens: np.ndarray | None = None, length: int = 0, most: int = 0
) -> list[Finding]:
    """What is odd about the texts as texts. Whether it goes with the label, which is worse, `shortcuts` tells.

    labels [n], shown beside the examples. tokens: of each text with all its special ones, int [n], None where not counted;
    length: how many the model reads; most: how many the body could read at most, 0 where that is not known.
    """
    show = _Shown(facts, labels)
    made = [_empty(show), _truncated(show, tokens, length, most), _damaged(show), _marked_up(show), _scripts(show), _long(show)]
    return [one for one in made if one]


def quoted(found: Sequence[Finding], texts: Mapping[str, str | Sequence[str]]) -> list[Finding]:
    """The same findings with "texts" beside the "files" of every example: the beginning of each text, by its path."""
    return [replace(one, examples=tuple(_quoted(row, texts) for row in one.examples)) for one in found]


def _quoted(row: dict, texts: Mapping[str, str | Sequence[str]]) -> dict:
    known = [texts.get(path, "") for path in row.get("files") or ()]
    return row | {"texts": [excerpt(text if isinstance(text, str) else " ".join(text)) for text in known]} if any(known) else row


def excerpt(text: str, most: int = EXCERPT) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


@dataclass(frozen=True)
class _Shown:
    """Makes findings of row numbers."""

    facts: Facts
    labels: Sequence | None

    def finding(self, kind: str, level: str, rows: np.ndarray, words: tuple[str, str, str], column: Sequence, **numbers) -> Finding:
        """words: text, effect and repair. column [n]: what is worth showing beside each text."""
        examples = []
        for i in rows[:SHOWN]:
            one = {"files": [self.facts.path[i]], "what": str(column[i])}
            examples.append(one | ({"label": self.labels[i]} if self.labels is not None else {}))
        return Finding(kind, level, len(rows), *words, tuple(self.facts.path[i] for i in rows), tuple(examples), numbers)

    def some(self, rows: np.ndarray) -> str:
        """ "3 of 20 texts"."""
        return f"{len(rows)} of {len(self.facts)} texts"

    def level(self, rows: np.ndarray) -> str:
        return "warning" if len(rows) > SHARE * len(self.facts) else "note"


def _empty(show: _Shown) -> Finding | None:
    facts = show.facts
    foreign = facts.foreign > 0
    rows = np.flatnonzero((facts.meat < LEAST) & ~(foreign & (facts.meat > 0)))
    if not len(rows):
        return None
    nothing = int((facts.meat[rows] == 0).sum())
    words = (
        f"{show.some(rows)} {'is' if len(rows) == 1 else 'are'} empty or nearly empty: {nothing} without a letter or digit.",
        "Nothing in them supports their label; learnt, they are noise, and scored, they are luck.",
        "Fill them or remove them.",
    )
    column = [f"'{text.strip()[:20]}'" for text in facts.text]
    return show.finding("empty_texts", "warning", rows, words, column, nothing=nothing)


def _truncated(show: _Shown, tokens: np.ndarray | None, length: int, most: int) -> Finding | None:
    if tokens is None or length < 1:
        return None
    tokens = np.asarray(tokens)
    rows = np.flatnonzero(tokens > length)
    if not len(rows):
        return None
    rows = rows[np.argsort(-tokens[rows], kind="stable")]
    longest, share = int(tokens[rows[0]]), len(rows) / len(tokens)
    lost = float((tokens[rows] - length).sum() / tokens.sum())
    # Multiples of 8 suit the hardware; a length for nearly all texts is far cheaper than one for the longest.
    wanted = min(-(-int(np.quantile(tokens, 0.99)) // 8) * 8, most or longest)
    wanted = wanted if wanted > length else min(-(-longest // 8) * 8, most or longest + 8)
    left = int((tokens > wanted).sum())
    whole = "all of them" if not left else f"all but {left}"
    repair = (
        f"Add --set backbone.length={wanted}, which reads {whole} whole and costs time and memory, or cut long texts into several."
        if wanted > length
        else "This body reads no more: put what matters first, or cut long texts into several."
    )
    words = (
        f"{show.some(rows)} ({share:.1%}) are longer than the {length} tokens that are read; the longest has {longest}, and {lost:.1%} of "
        f"all tokens are left out.",
        "What stands behind the end of the reading is truncated: neither learnt from nor seen when it is scored.",
        repair,
    )
    column = [f"{count} tokens" for count in tokens.tolist()]
    return show.finding(
        "truncated_texts", show.level(rows), rows, words, column, length=length, share=share, longest=longest, lost=lost, wanted=wanted
    )  # fmt: skip


def _damaged(show: _Shown) -> Finding | None:
    facts = show.facts
    rows = np.flatnonzero(facts.broken > 0)
    if not len(rows):
        return None
    rows = rows[np.argsort(-facts.broken[rows], kind="stable")]
    pieces = {i: "".join(_BROKEN.findall(facts.text[i])[:5]) for i in rows[:SHOWN].tolist()}
    lost = sum("\ufffd" in facts.text[i] for i in rows)
    words = (
        f"{show.some(rows)} {'holds' if len(rows) == 1 else 'hold'} signs of a wrong encoding, such as '{pieces[rows[0]][:12]}'"
        f"{f'; in {lost} signs are lost for good' if lost else ''}.",
        "The same word is then spelt in two ways, one of which the body never saw; where a source goes with a class, it gives it away.",
        "Read the source in its own encoding (UTF-8 that was read as Latin-1 looks like this) and write the file anew.",
    )
    column = [pieces.get(i, "") for i in range(len(facts))]
    return show.finding("broken_encoding", "warning", rows, words, column, lost=lost)


def _marked_up(show: _Shown) -> Finding | None:
    facts = show.facts
    rows = np.flatnonzero(facts.markup > 0)
    if not len(rows):
        return None
    rows = rows[np.argsort(-facts.markup[rows], kind="stable")]
    kinds = Counter(piece for i in rows for piece in set(_MARKUP.findall(facts.text[i]))).most_common(3)
    named = ", ".join(f"{excerpt(piece, 30)} ({count})" for piece, count in kinds)
    words = (
        f"{show.some(rows)} {'holds' if len(rows) == 1 else 'hold'} pieces of HTML: {named}.",
        "They take up tokens and say nothing; where a source goes with a class, they give it away.",
        "Strip the tags and decode the entities (html.unescape), here and in the texts that the model will meet.",
    )
    column = [f"{count} piece{'s' if count != 1 else ''}" for count in facts.markup.tolist()]
    return show.finding("markup", show.level(rows), rows, words, column, pieces=int(facts.markup.sum()))


def _scripts(show: _Shown) -> Finding | None:
    facts = show.facts
    counts = Counter(script for script in facts.script if script).most_common()
    if len(counts) < 2:
        return None
    rows = np.array([i for i, script in enumerate(facts.script) if script not in ("", counts[0][0])], int)
    named = ", ".join(f"{count} {script}" for script, count in counts[:4])
    words = (
        f"The texts are of several scripts: {named}.",
        "A tokenizer cuts a script that it hardly knows into single bytes or unknowns, so that nothing of the body carries over.",
        "Remove them where they came here by mistake; else take a body that has learnt these languages.",
    )
    return show.finding("mixed_scripts", show.level(rows), rows, words, facts.script, counts=dict(counts))


def _long(show: _Shown) -> Finding | None:
    words = show.facts.words
    logs = np.log(np.maximum(words, 1))
    if not len(logs):
        return None
    middle = np.median(logs)
    scale = max(1.4826 * np.median(np.abs(logs - middle)), 0.1)
    rows = np.flatnonzero((logs - middle > FAR * scale) & (words >= TIMES * np.exp(middle)))
    if not len(rows):
        return None
    rows = rows[np.argsort(-words[rows], kind="stable")]
    typical, longest = round(float(np.exp(middle))), int(words[rows[0]])
    said = (
        f"{show.some(rows)} {'is' if len(rows) == 1 else 'are'} very long, up to {longest} words where {typical} are usual.",
        "They may be several texts run together by a missing quotation mark; every batch that holds one is slow and large.",
        "Look at them, and mend the file or cut them into several.",
    )
    return show.finding("long_texts", "note", rows, said, [f"{count} words" for count in words.tolist()], median=typical, longest=longest)
