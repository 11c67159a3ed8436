"""Bodies: each module's `load(name, options, seed)` gives a `core.Backbone`. `describe` and `rebuild` turn one into JSON
and back, without its weights."""

from dataclasses import asdict, replace

from ..core import Backbone, Origin, Prepare
from ..core.vision import import_vision
from ..errors import WeightsError

import_vision()  # Before any of the files here imports timm.


def describe(backbone: Backbone) -> dict:
    """JSON from which `rebuild` makes the same stages, empty."""
    return {
        "origin": asdict(backbone.origin) | {"parents": [dict(parent) for parent in backbone.origin.parents]},
        "prepare": asdict(backbone.prepare) | {"mean": list(backbone.prepare.mean), "std": list(backbone.prepare.std)},
        "names": list(backbone.names),
        "widths": list(backbone.widths),
        "strides": list(backbone.strides),
        "forms": list(backbone.forms),
        "pool": backbone.pool,
        "prefix_tokens": backbone.prefix_tokens,
    }


def rebuild(described: dict) -> Backbone:
    """A body with the stages that `describe` described and random weights, so that `stages.load_state_dict` fills it.

    Raises WeightsError where the description is damaged, or its network is not known here.
    """
    try:
        origin = Origin(**{**described["origin"], "parents": tuple(described["origin"]["parents"])})
        prepare = described["prepare"]
        prepared = Prepare(**{**prepare, "mean": tuple(prepare["mean"]), "std": tuple(prepare["std"])})
        kind = origin.architecture.partition(":")[0]
        if kind == "timm":
            from . import from_timm

            built = from_timm.rebuild(origin.build, origin, prepared)
        elif kind == "gabor":
            from . import gabor

            built = gabor.rebuild(origin.build)
        else:
            raise WeightsError(f"The model's body is of the kind '{kind}', which is not known here; install the plug-in that made it.")
        # Names are only words and may have changed between versions; what counts is where the body is cut.
        built = replace(built, names=tuple(described["names"]))
        if list(built.widths) != list(described["widths"]):
            raise WeightsError("The model's body comes out in other stages here; install the version of timm that it was made with.")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError("The model's description is damaged; export the model again.") from error
    return replace(built, prepare=prepared, origin=origin, pool=described["pool"], prefix_tokens=described["prefix_tokens"])
