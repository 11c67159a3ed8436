"""What an inspection has to say."""

from dataclasses import asdict, dataclass, field

LEVELS = ("problem", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found in the data.

    kind: a short name ("near_duplicates"). level: "problem" (the score cannot be believed, or a fit would fail), "warning"
    or "note". count: how many files, classes or pairs. text: one sentence, what was found. effect: what it can do to the
    score. repair: the flag or the action that mends it. files: every file concerned, those of the examples first.
    examples: up to 12 rows for the report, each with "files" and what else is worth showing. numbers: the measurements behind it.
    """

    kind: str
    level: str
    count: int
    text: str
    effect: str
    repair: str
    files: tuple[str, ...] = ()
    examples: tuple[dict, ...] = ()
    numbers: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level '{self.level}' is not one of {', '.join(LEVELS)}")

    def as_dict(self) -> dict:
        """JSON-able."""
        return asdict(self) | {"files": list(self.files), "examples": [dict(one) for one in self.examples]}


def ordered(findings: list[Finding]) -> list[Finding]:
    """Problems first, then warnings, then notes; as they came within a level."""
    return sorted(findings, key=lambda one: LEVELS.index(one.level))


def noun(modality: str) -> str:
    """What findings call the samples: "texts", else "images"."""
    return "texts" if modality == "text" else "images"
