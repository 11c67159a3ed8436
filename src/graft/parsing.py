"""Values of settings: texts and Python values to what an option's annotation wants, or one sentence that says what it is."""

import math
import os
import re
import types
import typing

from .errors import OptionError

_YES_NO = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_LISTS = {int: ("whole numbers", "256,128"), float: ("numbers", "0.1,0.5"), str: ("names", "a,b")}
_KINDS = {int: ("a whole number", "10"), float: ("a number", "0.001"), bool: ("yes or no", "yes"), str: ("text", "auto")}


def parse(value: object, hint: object, where: str, said: str) -> object:
    """The value as the annotation wants it; texts are parsed. Raises OptionError with the expected type and an example."""
    try:
        return _convert(value, hint)
    except (ValueError, TypeError, OverflowError):
        expected, example = _expected(hint)
        raise OptionError(f"'{said}': {where} is {expected}, for example --set {where}={example}.") from None


def _convert(value: object, hint: object) -> object:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return _convert_union(value, typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if isinstance(value, str):
            bare = value.strip().removeprefix("[").removesuffix("]").strip()
            value = [part.strip() for part in bare.split(",")] if bare else []
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, inner) for item in items)
    if hint is bool and isinstance(value, str):
        return _YES_NO[value.lower()] if value.lower() in _YES_NO else _refuse()
    if hint is str and isinstance(value, os.PathLike | int | float) and not isinstance(value, bool):
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if hint in (int, float) and isinstance(value, str | int | float) and not isinstance(value, bool):
        number = hint(value) if hint is float or not isinstance(value, float) else _refuse()
        return number if math.isfinite(number) else _refuse()
    return value if isinstance(value, hint) and not (hint is int and isinstance(value, bool)) else _refuse()


def _convert_union(value: object, members: tuple) -> object:
    """None, or "none" where no text is taken; else the first member that takes the value, the strictest first."""
    if types.NoneType in members and (value is None or (value == "none" and str not in members)):
        return None
    for member in sorted((m for m in members if m is not types.NoneType), key=lambda m: m is str):
        try:
            return _convert(value, member)
        except (ValueError, TypeError, OverflowError):
            continue
    return _refuse()


def takes_text(hint: object) -> bool:
    """Whether the annotation takes any text, or None."""
    return str in typing.get_args(hint) and types.NoneType in typing.get_args(hint)


def _refuse() -> typing.NoReturn:
    raise ValueError


def _expected(hint: object) -> tuple[str, str]:
    """A type in words, and an example of it."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        words = [_expected(m)[0] for m in typing.get_args(hint) if m is not types.NoneType]
        first = next(m for m in typing.get_args(hint) if m is not types.NoneType)
        return " or ".join([*words, "none"] if types.NoneType in typing.get_args(hint) else words), _expected(first)[1]
    if typing.get_origin(hint) is tuple:
        words, example = _LISTS.get(typing.get_args(hint)[0], ("names or numbers", "a,2"))
        return f"{words} separated by commas", example
    return _KINDS[hint]


def seconds(text: str, said: str) -> float | None:
    """ "90s", "5m", "1h30m" or a plain number of seconds."""
    if text.strip().lower() == "none":
        return None
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    total = sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0.0
    if total <= 0:
        raise OptionError(f"'{said}': the budget is a time above zero, for example 90s, 5m or 1h30m.")
    return total
