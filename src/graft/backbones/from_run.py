"""The body of a former run, fine-tuned or not, as the start of a new one: sequential transfer."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core import Backbone, Origin, TextPrepare
from ..errors import OptionError, WeightsError
from . import TOKENIZER, rebuild, weights
from .ending import KEPT, upto


@dataclass(frozen=True)
class Options:
    """weights: "none" for the same network with random weights (the control "from scratch"); by default the run's.
    image_size: pixels of the square input; by default the size that the run worked with. Position embeddings are resampled.
    length: most tokens of a text; by default the run's.
    until: the last stage that is kept, by its name or number, for a smaller body ("stage5"); by default all that the run has.
    """

    weights: str | None = None
    image_size: int | None = None
    length: int | None = None
    until: str | int | None = None


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """The body in RUN/model/ (or RUN/) of "run:RUN". seed: for random weights.

    Raises WeightsError (no finished run there, damaged, hash unknown), OptionError (impossible size, other weights).
    """
    path = name.removeprefix("run:")
    if options.weights not in (None, "none", "random"):
        raise OptionError(f"A run's body brings its own weights, so weights '{options.weights}' cannot be given; leave weights out.")
    folder = _model_folder(Path(path).expanduser())
    built = _built(folder)
    if isinstance(built.prepare, TextPrepare):
        built = _shortened(built, options)
    elif options.length is not None:
        raise OptionError(f"{built.origin.name} looks at images, which have no length; leave length out.")
    elif options.image_size is not None and options.image_size != built.prepare.size:
        built = _resized(built, options.image_size)
    if options.weights in ("none", "random"):
        return upto(_random(built, options.image_size, seed), options.until)
    tensors, sha256 = weights.read(folder / "weights.safetensors")
    body = {key.removeprefix("stages."): value for key, value in tensors.items() if key.startswith("stages.")}
    _fill(built.stages, body, folder)
    old = built.origin
    parents = (*old.parents, {k: v for k, v in asdict(old).items() if k != "parents"})
    trained_on = f"{old.trained_on}, then {_data(folder)}"
    own = replace(built, origin=replace(old, weights=f"run:{path}", sha256=sha256, trained_on=trained_on, parents=parents))
    return upto(own, options.until)


def _model_folder(run: Path) -> Path:
    for folder in (run / "model", run):
        if (folder / "graft.json").is_file():
            return folder
    raise WeightsError(f"{run} holds no finished model; give the folder of a run that ended, e.g. run:graft-runs/NAME.")


def _built(folder: Path) -> Backbone:
    """The body as its description says it, empty."""
    try:
        described = json.loads((folder / "graft.json").read_text(encoding="utf-8"))["backbone"]
        file = folder / TOKENIZER if described["prepare"].get("tokenizer") else None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(f"{folder / 'graft.json'} is damaged; export the run again.") from error
    if file is None:
        return rebuild(described)
    try:
        return rebuild(described, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{folder} has no {TOKENIZER} that can be read; export the run again.") from error


def _data(folder: Path) -> str:
    """The data the run learnt from, by the name of its folder or file."""
    try:
        return Path(json.loads((folder.parent / "data.json").read_text(encoding="utf-8"))["source"]).name
    except (ValueError, KeyError, TypeError, OSError):
        return "a former run's data"


def _shortened(built: Backbone, options: Options) -> Backbone:
    """A body of texts with the length that was asked for."""
    if options.image_size is not None:
        raise OptionError(f"{built.origin.name} reads texts, which have no image_size; leave it out.")
    if options.length in (None, built.prepare.length):
        return built
    if not built.origin.architecture.startswith("transformers:"):
        raise OptionError(f"{built.origin.name} reads texts of {built.prepare.length} words; leave length out.")
    from . import from_transformers

    build = built.origin.build
    from_transformers.check_length(options.length, build["config"])
    prepare = replace(built.prepare, length=options.length)
    return replace(built, prepare=prepare, origin=replace(built.origin, build=build | {"length": options.length}))


def _resized(built: Backbone, size: int) -> Backbone:
    whole = _anew(built, built.origin, size, 0)
    if whole is None:
        raise OptionError(f"{built.origin.name} works on images of {built.prepare.size} pixels only; leave image_size out.")
    return _as_short(whole, built)


def _random(built: Backbone, image_size: int | None, seed: int) -> Backbone:
    origin = replace(built.origin, weights="random", sha256="", trained_on="nothing", licence="Apache-2.0", parents=())
    if origin.architecture.startswith("transformers:"):
        from . import from_transformers

        made = from_transformers.rebuild(origin.build, built.prepare, seed)
        made = _as_short(made, built)
        return replace(made, origin=origin, names=built.names, pool=built.pool, compares=built.compares)
    whole = _anew(built, origin, image_size or origin.build.get("image_size"), seed)
    return replace(built, origin=origin) if whole is None else _as_short(whole, built)


def _anew(built: Backbone, origin: Origin, size: int | None, seed: int) -> Backbone | None:
    """The whole network with random weights, for images of that size (None: its own); None where no library makes it."""
    library, _, _ = origin.architecture.partition(":")
    prepared = built.prepare if size is None else replace(built.prepare, size=size)
    if library == "timm":
        from . import from_timm

        model = from_timm.create(origin.build["model"], size, seed)
        return from_timm.assemble(model, origin, prepared, size, origin.build["cut"])
    if library == "torchvision":
        from . import from_torchvision

        chain = from_torchvision.create(origin.build["model"], prepared.size, seed)
        return from_torchvision.assemble(chain, origin, prepared, origin.build["cut"])
    return None


def _as_short(whole: Backbone, built: Backbone) -> Backbone:
    """The whole network, ending where the run's body does."""
    short = upto(whole, built.origin.build.get(KEPT))
    return replace(short, origin=replace(short.origin, name=built.origin.name))


def _fill(stages: nn.ModuleList, tensors: dict[str, Tensor], folder: Path) -> None:
    wanted = stages.state_dict()
    prefix = _prefix_tokens(wanted)
    for key, value in wanted.items():
        if key in tensors and tensors[key].shape != value.shape:
            tensors[key] = _resampled(key, tensors[key], value, prefix)
    differ = [k for k in wanted.keys() | tensors.keys() if k not in tensors or k not in wanted or tensors[k].shape != wanted[k].shape]
    if differ:
        raise WeightsError(
            f"{folder / 'weights.safetensors'} differs from its description in {len(differ)} tensors, e.g. '{min(differ)}'; "
            "export the run again."
        )
    stages.load_state_dict(tensors)


def _prefix_tokens(wanted: dict[str, Tensor]) -> int:
    return sum(value.shape[1] for key, value in wanted.items() if key.rsplit(".", 1)[-1] in ("cls_token", "reg_token", "dist_token"))


def _resampled(key: str, old: Tensor, new: Tensor, prefix: int) -> Tensor:
    """A position embedding for another grid (bicubic); any other tensor as it is."""
    from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table

    if key.endswith("relative_position_bias_table"):
        side = round(new.shape[0] ** 0.5)
        return resize_rel_pos_bias_table(old, (side // 2 + 1, side // 2 + 1), tuple(new.shape))
    if not key.endswith("pos_embed") or old.ndim != 3 or new.ndim != 3:
        return old
    inside = prefix if round((new.shape[1] - prefix) ** 0.5) ** 2 == new.shape[1] - prefix else 0
    side = round((new.shape[1] - inside) ** 0.5)
    with torch.no_grad():
        return resample_abs_pos_embed(old, [side, side], num_prefix_tokens=inside)
