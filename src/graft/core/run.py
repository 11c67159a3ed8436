"""What a fit leaves behind."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """folder: the run's folder. scores: the content of scores.json. seconds: wall-clock of the whole fit.

    decisions: every automatic choice, as (what, value, reason, flag that overrides it).
    """

    folder: Path
    scores: dict
    seconds: float
    decisions: tuple[tuple[str, str, str, str], ...] = field(default=())

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"
