"""Text files as text: never a character replaced, and an error that names the line and the likely encoding."""

import codecs
import re
from collections.abc import Sequence

from ..core import Note
from ..errors import DataError, OptionError, nearest
from .labels import printable

_USUAL = ("utf-8", "latin-1", "cp1252", "utf-16", "cp1251", "gb18030", "shift_jis", "euc-kr", "big5")
_WRONG = re.compile(
    "\ufffd|[\u00c2\u00c3][\u0080-\u00bf\u20ac\u201a\u201e\u2026\u2020\u2030\u0160\u0178\u2122]|\u00e2\u20ac|\u00e2\u0080|\u00f0[\u0178\u009f]"
)
"""The replacement character, and what UTF-8 looks like when it was read as Latin-1 or Windows-1252 (an e with an acute accent
becomes U+00C3 U+00A9, a curly quote U+00E2 U+20AC ...)."""
FEW_WRONG = 3
"""So many rows with such characters are told of; one or two are what people type."""


def decoded(file: str, encoding: str = "utf-8", flag: bool = False) -> str:
    """A file as text: UTF-8 with or without a byte order mark, UTF-16 with one, or the encoding that is given.

    flag: the reader has an option data.encoding, which the error may name. Raises DataError for a file that cannot be read
    or is in another encoding, OptionError for an encoding that is not known.
    """
    _check_encoding(encoding)
    try:
        with open(file, "rb") as opened:
            raw = opened.read()
    except OSError as error:
        raise DataError(f"'{printable(file)}' cannot be read ({error.strerror}): give this user the right to read it.") from None
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    wide = utf8 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig" if utf8 else encoding)
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        place = f"line {raw.count(10, 0, at) + 1}, byte {at}"
        if not utf8:
            raise DataError(
                f"'{printable(file)}' is not {encoding} ({place}): leave out data.encoding for UTF-8, or name its own encoding."
            ) from None
        likely, words = _likely(raw)
        mend = f", or read it with --set data.encoding={likely}" if flag else ""
        raise DataError(
            f"'{printable(file)}' is not UTF-8 ({place}; {words}): save it again with the encoding UTF-8 ('CSV UTF-8'){mend}."
        ) from None


def _check_encoding(name: str) -> None:
    try:
        b"a".decode(name)
        "a".encode(name)
    except (LookupError, ValueError):  # Unknown, or no encoding of text.
        raise OptionError(f"There is no encoding '{printable(name)}'.{nearest(name, _USUAL)}") from None


def _likely(raw: bytes) -> tuple[str, str]:
    """(an encoding's name, why in words) for bytes that are not UTF-8. A guess: the bytes do not say it."""
    sample = raw[:100_000]
    if sample.count(0) > len(sample) // 10:
        return ("utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"), "it looks like UTF-16 without its mark"
    letters = [byte for byte in sample if byte > 0x7F or chr(byte).isalpha()]
    if sum(byte > 0x7F for byte in letters) > len(letters) // 3:
        return "NAME", "it looks like another script, such as cp1251 for Cyrillic, gb18030 for Chinese or shift_jis for Japanese"
    if any(0x80 <= byte <= 0x9F for byte in raw):
        return "cp1252", "it looks like cp1252, the Windows encoding of Western Europe"
    return "latin-1", "it looks like latin-1"


def wrong_characters(texts: Sequence[str], paths: Sequence[str]) -> list[Note]:
    """A warning where FEW_WRONG texts or more hold the signs of a wrong encoding, with the paths of these rows."""
    odd = [path for text, path in zip(texts, paths) if _WRONG.search(text)]
    if len(odd) < FEW_WRONG:
        return []
    words = (
        f"{len(odd)} of {len(texts)} texts hold characters such as \ufffd or \u00c3\u00a9, the trace of a wrong encoding: save the file "
        "again from its source, in the right one."
    )
    return [Note("warning", words, tuple(odd))]
