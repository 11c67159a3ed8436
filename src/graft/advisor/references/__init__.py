"""Statistics of a body's features on what it was trained on, kept with it: no image, and so few numbers that they fit in a small file."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError, OutputError

ROWS = 1000
RANK = 96
"""Directions that are kept: of ImageNet images that they were not made from they hold 55 % (MobileNetV2) to 88 % (graft-mini) of what
features vary; how far a row is from all of them is one number more, so that what lies outside is not lost."""
FORMAT = "graft-reference-2"
_CARD = Path(__file__).with_name("references.json")


@dataclass(frozen=True)
class Reference:
    """name: of the source. mean float32 [d] and basis float16 [d, k], the directions in which its features at the body's last layer
    vary most. rows float16 [m, k + 1]: another sample of it in that basis, as `reduce` gives it, whose covariance is the source's there.

    Rows are never those that the basis was made from: these lie nearer to it than any new image of the same source, and a classifier
    tells them from it (the proxy A-distance of ImageNet to itself was 1.6 so, with SqueezeNet)."""

    name: str
    mean: np.ndarray
    basis: np.ndarray
    rows: np.ndarray

    def __post_init__(self) -> None:
        kinds = (self.mean.dtype, self.basis.dtype, self.rows.dtype) == (np.float32, np.float16, np.float16)
        shapes = kinds and self.mean.ndim == 1 and self.basis.ndim == self.rows.ndim == 2 and len(self.rows) > 1
        if not shapes or len(self.basis) != len(self.mean) or self.rows.shape[1] != self.basis.shape[1] + 1:
            raise DataError("A reference is a mean [d] in float32, a basis [d, k] and rows [m, k + 1] in float16; make it again.")
        if not all(np.isfinite(a).all() for a in (self.mean, self.basis, self.rows)):
            raise DataError("A reference has values that are not finite, or too large for float16; make it again from sound features.")

    @classmethod
    def of(cls, name: str, features: np.ndarray, rank: int = RANK, seed: int = 0) -> "Reference":
        """Of features [n, d], n >= 4: mean and first `rank` principal directions of one half of the rows, drawn, and at most ROWS of the
        other. Raises DataError for features that float16 cannot hold."""
        x = np.asarray(features, np.float64)
        drawn = np.random.default_rng(seed).permutation(len(x))
        half, rest = x[np.sort(drawn[: len(x) // 2])], x[np.sort(drawn[len(x) // 2 :][:ROWS])]
        mean = half.mean(0)
        directions = np.linalg.svd(half - mean, full_matrices=False)[2][:rank].T
        # Which way a direction points is the solver's choice; its largest entry is made positive, so that a recipe gives one file.
        directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])])
        made = cls(name, mean.astype(np.float32), directions.astype(np.float16), np.zeros((2, directions.shape[1] + 1), np.float16))
        with np.errstate(over="ignore"):
            return cls(name, made.mean, made.basis, made.reduce(rest).astype(np.float16))

    def reduce(self, features: np.ndarray) -> np.ndarray:
        """[n, d] -> float32 [n, k + 1]: B'(x - m), and |x - m - B B'(x - m)|, how far x is from everything in the basis."""
        x = np.asarray(features, np.float32)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise DataError(f"Two sets of features compare with one width, not {x.shape} and {(len(self.rows), len(self.mean))}.")
        basis = self.basis.astype(np.float32)
        inside = (x - self.mean) @ basis
        rest = np.linalg.norm(x - self.mean - inside @ basis.T, axis=1, keepdims=True)
        return np.concatenate([inside, rest], 1)

    def save(self, path: str | Path) -> Path:
        """One safetensors file, written beside and renamed. Raises OutputError."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        path = Path(path)
        part = path.with_name(f"{path.name}.part")
        held = {"mean": self.mean, "basis": np.ascontiguousarray(self.basis), "rows": np.ascontiguousarray(self.rows)}
        try:
            save_file(held, part, {"format": FORMAT, "name": self.name})
            part.replace(path)
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"The reference {path} cannot be written; name a folder that is there and has room.") from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Reference":
        """Raises DataError where the file is missing, damaged or something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT or {"mean", "basis", "rows"} != set(file.keys()):
                    raise DataError(f"{path} is not a reference of a body; give a file that Reference.save wrote.")
                return cls(about.get("name", ""), *(file.get_tensor(name) for name in ("mean", "basis", "rows")))
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is missing or damaged as a reference; make or copy it again.") from error


def cards() -> list[dict]:
    """{"body", "weights_sha256", "size", "source", "images", "file", ...} of every reference that comes with graft."""
    return json.loads(_CARD.read_text(encoding="utf-8"))


def find(sha256: str, size: int) -> Reference | None:
    """The reference of the weights with that hash, at that image size; None where none comes with graft."""
    card = next((card for card in cards() if sha256 and (card["weights_sha256"], card["size"]) == (sha256, size)), None)
    return None if card is None else Reference.load(_CARD.with_name(card["file"]))
