"""graft-mini: the body that ships with graft, so that the first command works at once and offline."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from ...core import Backbone, Origin, Prepare
from ...errors import WeightsError
from .. import from_timm
from ..ending import upto

_CARD = Path(__file__).with_name("graft_mini.json")
_WEIGHTS = Path(__file__).with_name("graft_mini.safetensors")


@dataclass(frozen=True)
class Options:
    """weights: "none" for random weights (the control "from scratch"), or a file; by default those that ship with graft.
    image_size: pixels of the square input; by default the size that it was trained with.
    until: the last stage that is kept, by its name or number, for a smaller body ("stage5"); by default all.
    """

    weights: str | None = None
    image_size: int | None = None
    until: str | int | None = None


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """The embedded body. seed: for random weights. Raises WeightsError where the installed file is not the one that was
    published (its hash is checked), OptionError where the size is impossible."""
    card = json.loads(_CARD.read_text(encoding="utf-8"))
    model = from_timm.create(card["architecture"], options.image_size, seed)
    prepare = Prepare(options.image_size or card["image_size"], 1.0, "bicubic", tuple(card["mean"]), tuple(card["std"]))
    origin = Origin(card["name"], f"timm:{card['architecture']}", "embedded", {}, card["sha256"], card["licence"], card["trained_on"])
    if options.weights in ("none", "random"):
        origin = replace(origin, weights="random", sha256="", trained_on="nothing")
    elif options.weights is not None:
        sha256 = from_timm.fill(model, options.weights)
        file = Path(options.weights).name
        origin = replace(origin, weights=f"file:{file}", sha256=sha256, licence="unknown", trained_on="unknown")
    else:
        if not _WEIGHTS.is_file() or hashlib.sha256(_WEIGHTS.read_bytes()).hexdigest() != card["sha256"]:
            raise WeightsError("The embedded weights of graft-mini are missing or damaged; install graft again.")
        from_timm.fill(model, _WEIGHTS)
    return upto(from_timm.assemble(model, origin, prepare, options.image_size), options.until)


def card() -> dict:
    """What graft-mini learnt from, how long, and what it scored, as recorded when it was made."""
    return json.loads(_CARD.read_text(encoding="utf-8"))
