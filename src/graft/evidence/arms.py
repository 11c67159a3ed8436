"""The arms of a study, as a user says them: METHOD[@STAGE][:OPTION=VALUE...], each on every body."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import OptionError, nearest

LONGEST = 60  # characters of an arm's folder, before names are cut and told apart by a digest


@dataclass(frozen=True)
class Arm:
    """One way to transfer, on one body.

    stage: the first stage that learns, by its name or its number from 1; what is below it stays frozen. None leaves that
    to the method. settings: "section.option=value" each.
    """

    method: str
    backbone: str
    stage: str | None = None
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The arm without its body, as it was asked for: "finetune@stage3:lr=1e-3"."""
        stage = f"@{self.stage}" if self.stage else ""
        return ":".join([self.method + stage, *(text.removeprefix("method.") for text in self.settings)])

    @property
    def name(self) -> str:
        return f"{self.label} on {self.backbone}"

    @property
    def folder(self) -> str:
        """A name for a folder, another for every arm of a study."""
        plain = "-".join(re.sub(r"[^\w.@=+-]+", "_", word).strip("_.-") for word in (self.label, self.backbone))
        exact = plain == f"{self.label}-{self.backbone}"
        if exact and len(plain) <= LONGEST:
            return plain
        return f"{plain[:LONGEST]}-{hashlib.blake2b(self.name.encode(), digest_size=4).hexdigest()}"


def parse(arms: str | Sequence[str], backbones: str | Sequence[str], methods: Mapping[str, bool]) -> tuple[Arm, ...]:
    """Every arm on every body, body by body, in the order given.

    arms, backbones: texts, or one text with commas between. methods: each known method, and whether it can leave the first
    stages frozen. Raises OptionError: nothing named, an unknown method, a stage for a method that takes none, an
    option without a value, one arm twice, or only one arm on one body.
    """
    found = []
    for backbone in _names(backbones, "--backbones", "graft-mini,mobilenetv2_100"):
        for text in _names(arms, "--arms", "extract,lp_ft,scratch"):
            arm = _arm(text, backbone, methods)
            if arm in found:
                raise OptionError(f"The arm '{arm.name}' is named twice; name it once, and use --seeds to repeat every arm.")
            found.append(arm)
    if len(found) < 2:
        raise OptionError(f"There is nothing to compare '{found[0].name}' with; name a second arm in --arms, or a body in --backbones.")
    return tuple(found)


def _names(given: str | Sequence[str], flag: str, example: str) -> list[str]:
    texts = given.split(",") if isinstance(given, str) else [str(one) for one in given]
    names = [text.strip() for text in texts if text.strip()]
    if not names:
        raise OptionError(f"{flag} names nothing; give names with commas between, for example {flag} {example}.")
    return names


def _arm(text: str, backbone: str, methods: Mapping[str, bool]) -> Arm:
    head, *options = text.split(":")
    method, at, stage = head.partition("@")
    if method not in methods:
        raise OptionError(f"There is no method called '{method}' (in --arms).{nearest(method, list(methods))}")
    if at and not stage:
        raise OptionError(f"'{text}' (in --arms) names no stage after '@'; give one, for example {method}@stage3 to learn from stage3 on.")
    if stage and not methods[method]:
        takes = next((name for name, can in methods.items() if can), None)
        other = f", or use {takes}@{stage}" if takes else ""
        raise OptionError(f"Method '{method}' cannot begin to learn at a stage; leave '@{stage}' out of --arms{other}.")
    settings = []
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise OptionError(f"'{option}' in the arm '{text}' needs the form option=value, for example {method}:lr=1e-3.")
        key = key.strip() if "." in key else f"method.{key.strip()}"
        settings.append(f"{key}={value.strip()}")
    return Arm(method, backbone, stage or None, tuple(settings))
