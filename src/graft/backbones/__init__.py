"""Bodies: each module's `load(name, options, seed)` gives a `core.Backbone`. `describe` and `rebuild` turn one into JSON
and back, without its weights. What a body of images needs is imported for those alone, and so for texts."""

from dataclasses import asdict, replace

from ..core import Backbone, Origin, Prepare, TextPrepare
from ..errors import WeightsError
from .ending import KEPT, upto

TOKENIZER = "tokenizer.json"
"""Where a saved model of texts keeps its tokenizer, beside its description."""


def describe(backbone: Backbone) -> dict:
    """JSON from which `rebuild` makes the same stages, empty. Of texts it leaves out the tokenizer's content, which stands in a
    file of its own: backbone.prepare.tokenizer."""
    return {
        "origin": asdict(backbone.origin) | {"parents": [dict(parent) for parent in backbone.origin.parents]},
        "prepare": _prepare(backbone.prepare),
        "names": list(backbone.names),
        "widths": list(backbone.widths),
        "strides": list(backbone.strides),
        "forms": list(backbone.forms),
        "pool": backbone.pool,
        "prefix_tokens": backbone.prefix_tokens,
        "compares": backbone.compares,
    }


def rebuild(described: dict, tokenizer: str = "") -> Backbone:
    """A body with the stages that `describe` described and random weights, so that `stages.load_state_dict` fills it.

    tokenizer: its content, for a body of texts. Raises WeightsError where the description is damaged, or its network is not known
    here.
    """
    try:
        origin = Origin(**{**described["origin"], "parents": tuple(described["origin"]["parents"])})
        prepared = _prepared(described["prepare"], tokenizer)
        build = {name: value for name, value in origin.build.items() if name != KEPT}
        built = upto(_built(replace(origin, build=build), prepared), origin.build.get(KEPT))
        # Names are only words and may have changed between versions; what counts is where the body is cut.
        built = replace(built, names=tuple(described["names"]))
        if list(built.widths) != list(described["widths"]):
            library = origin.architecture.partition(":")[0]
            raise WeightsError(f"The model's body comes out in other stages here; install the version of {library} that it was made with.")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError("The model's description is damaged; export the model again.") from error
    told = {"pool": described["pool"], "prefix_tokens": described["prefix_tokens"], "compares": bool(described.get("compares"))}
    return replace(built, prepare=prepared, origin=origin, **told)


def _built(origin: Origin, prepared: Prepare | TextPrepare) -> Backbone:
    kind = origin.architecture.partition(":")[0]
    if kind == "timm":
        from . import from_timm

        return from_timm.rebuild(origin.build, origin, prepared)
    if kind == "torchvision":
        from . import from_torchvision

        return from_torchvision.rebuild(origin.build, origin, prepared)
    if kind == "gabor":
        from . import gabor

        return gabor.rebuild(origin.build)
    if kind == "transformers":
        from . import from_transformers

        return from_transformers.rebuild(origin.build, prepared)
    if kind == "elmo":
        from . import elmo

        return elmo.rebuild(origin.build, prepared)
    raise WeightsError(f"The model's body is of the kind '{kind}', which is not known here; install the plug-in that made it.")


def _prepare(prepare: Prepare | TextPrepare) -> dict:
    if isinstance(prepare, TextPrepare):
        kept = "" if prepare.kind == "characters" else TOKENIZER
        return {"modality": "text", **asdict(prepare), "tokenizer": kept}
    return asdict(prepare) | {"mean": list(prepare.mean), "std": list(prepare.std)}


def _prepared(described: dict, tokenizer: str) -> Prepare | TextPrepare:
    if described.get("modality") == "text":
        return TextPrepare(**{key: value for key, value in described.items() if key != "modality"} | {"tokenizer": tokenizer})
    return Prepare(**{**described, "mean": tuple(described["mean"]), "std": tuple(described["std"])})
