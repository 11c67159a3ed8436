"""Any network of timm as ordered stages, with the preprocessing and the size its weights were trained with."""

# ruff: noqa: E402

import inspect
import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..core.vision import import_vision

import_vision()  # Before anything imports timm.

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import get_arch_pretrained_cfgs, is_model, split_model_name_tag
from torch import Tensor, nn

from ..core import Backbone, Origin, Prepare, Stage
from ..errors import OptionError, WeightsError, nearest
from . import cuts, weights
from .ending import upto

_RANDOM = ("none", "random")
_FETCH = ("yes", "no", "fit-only")
_TRAINED_ON = {
    "in1k": "ImageNet-1k", "in12k": "ImageNet-12k", "in21k": "ImageNet-21k", "in22k": "ImageNet-22k",
    "openai": "WIT-400M image-text pairs", "laion2b": "LAION-2B image-text pairs", "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M", "sat493m": "SAT-493M", "webli": "WebLI image-text pairs", "jft300m": "JFT-300M",
    "merged2b": "Merged-2B image-text pairs", "dfn2b": "DFN-2B image-text pairs", "dfn5b": "DFN-5B image-text pairs",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """weights: a file, "hub", or "none" for random weights; by default the local cache, then the hub.
    fetch: "yes", "no", or "fit-only" (a fit may fetch, later steps may not); "no" leaves the local cache.
    image_size: pixels of the square input; by default the size that the weights were trained with.
    until: the last stage that is kept, by its name or number, for a smaller body ("stage5"); by default all.
    """

    weights: str | None = None
    fetch: str = "yes"
    image_size: int | None = None
    until: str | int | None = None


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """The timm network `name` ("resnet50", "resnet50.a1_in1k" or "timm:resnet50") with its weights, without classifier.

    seed: for random weights. Raises OptionError (unknown network, impossible size) and WeightsError.
    """
    name = known(name.removeprefix("timm:"))
    if options.fetch not in _FETCH:
        raise OptionError(f"fetch is '{options.fetch}', but it can be {', '.join(_FETCH)}.")
    model = create(name, options.image_size, seed)
    size = options.image_size or _size(model)
    if options.weights in _RANDOM:
        source, sha256 = "random", ""
    elif options.weights in (None, "hub"):
        path = hub_file(name, model.pretrained_cfg, options.fetch != "no")
        source = f"hub:{_hub_id(model.pretrained_cfg)}"
        sha256 = fill(model, path)
    else:
        source, sha256 = f"file:{Path(options.weights).name}", fill(model, options.weights)
    licence, trained_on = _credits(model.pretrained_cfg, source)
    origin = Origin(name, f"timm:{name}", source, {}, sha256, licence, trained_on)
    return upto(assemble(model, origin, replace(prepare(model), size=size), options.image_size), options.until)


def known(name: str) -> str:
    """The name, if timm has the network and, where one is given, the tag of weights. Raises OptionError."""
    base, tag = split_model_name_tag(name)
    if not is_model(base):
        raise OptionError(f"timm has no network called '{name}'.{nearest(base, timm.list_models())}")
    tags = [cfg.split(".", 1)[1] for cfg in get_arch_pretrained_cfgs(base) if "." in cfg]
    if tag and tag not in tags:
        raise OptionError(f"timm has no weights '{tag}' for {base}.{nearest(tag, tags) if tags else ' Leave the tag out.'}")
    return name


def create(name: str, image_size: int | None, seed: int) -> nn.Module:
    """The network with random weights drawn from `seed`, in eval mode. A network built for one size is built for
    `image_size`. Raises OptionError where that size is impossible, saying the nearest possible ones."""
    if image_size is not None and image_size < 1:
        raise OptionError(f"image_size is {image_size}, but it has to be at least 1 pixel.")
    fixed = image_size is not None and _takes_size(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return timm.create_model(name, pretrained=False, num_classes=0, **({"img_size": image_size} if fixed else {})).eval()
        except (AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
            if image_size is None:
                raise
            raise OptionError(_impossible(name, image_size)) from error


def _takes_size(name: str) -> bool:
    """Whether a network is built for one image size: position embeddings and windows depend on it."""
    base = split_model_name_tag(name)[0]
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        try:
            classes = [type(timm.create_model(base, pretrained=False, num_classes=0))]
        except Exception:  # some networks compute with numbers while they are built, which "meta" cannot
            module = sys.modules[timm.models.model_entrypoint(base).__module__]
            classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    return any("img_size" in inspect.signature(c.__init__).parameters for c in classes if issubclass(c, nn.Module))


def _impossible(name: str, image_size: int) -> str:
    near = [s for s in (_near(name, image_size, -1), _near(name, image_size, 1)) if s is not None]
    sizes = f"the nearest possible: {' or '.join(str(s) for s in near)}" if near else "leave image_size out for its own size"
    return f"{name} cannot work on images of {image_size} x {image_size} pixels; {sizes}."


def _near(name: str, image_size: int, direction: int) -> int | None:
    """The nearest size below (direction -1) or above (1) at which the network runs, among multiples of its step."""
    model = timm.create_model(name, pretrained=False, num_classes=0)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    step = max(patch) if isinstance(patch, tuple) else (patch or 32)
    start = image_size // step if direction < 0 else -(-image_size // step)
    for multiple in range(max(start, 1) if direction > 0 else start, start + 8 * direction, direction):
        size = multiple * step
        if size < step or size == image_size:
            continue
        try:
            fixed = {"img_size": size} if _takes_size(name) else {}
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                timm.create_model(name, pretrained=False, num_classes=0, **fixed).eval()(torch.zeros(1, 3, size, size))
            return size
        except (AssertionError, ValueError, RuntimeError, ZeroDivisionError):
            continue
    return None


def _size(model: nn.Module) -> int:
    return int(resolve_model_data_config(model)["input_size"][-1])


def prepare(model: nn.Module) -> Prepare:
    """The preprocessing that timm's configuration of the network names, for `torch` tensors of RGB images."""
    config = resolve_model_data_config(model)
    mode = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    return Prepare(int(config["input_size"][-1]), float(config["crop_pct"]), mode, tuple(config["mean"]), tuple(config["std"]))


def fill(model: nn.Module, path: str | Path) -> str:
    """Reads a weights file into a timm network whatever its classifier; the file's SHA-256. Raises WeightsError."""
    tensors, sha256 = weights.read(path)
    own = model.pretrained_cfg.get("classifier") or ()
    drop = weights.CLASSIFIERS + ((own,) if isinstance(own, str) else tuple(own))
    weights.fit(model, tensors, drop, source=Path(path).name)
    return sha256


def assemble(model: nn.Module, origin: Origin, prepared: Prepare, image_size: int | None = None, kind: str | None = None) -> Backbone:
    """A timm network cut into stages. kind: a former cut's kind, to be believed; None to find and check one.

    `origin.build` becomes what rebuilds the same stages empty. Raises OptionError where the size is impossible.
    """
    try:
        cut = cuts.cut(model, prepared.size, kind)
    except (AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
        if image_size is None:
            raise
        raise OptionError(_impossible(origin.architecture.removeprefix("timm:"), image_size)) from error
    build = {"model": origin.architecture.removeprefix("timm:"), "image_size": image_size, "cut": cut.kind}
    stages = nn.ModuleList(Stage(module) for module in cut.modules).eval()
    return Backbone(
        stages, cut.names, cut.widths, cut.strides, cut.forms, prepared, replace(origin, build=build), cut.pool, cut.prefix_tokens
    )


def rebuild(build: dict, origin: Origin, prepared: Prepare) -> Backbone:
    """The stages that `assemble` described in `build`, with random weights and no check. Raises WeightsError where this
    version of timm has no such network."""
    try:
        name = known(build["model"])
    except OptionError as error:
        raise WeightsError(f"{error} Install the version of timm that the model was made with.") from error
    return assemble(create(name, build["image_size"], 0), origin, prepared, build["image_size"], build["cut"])


def _hub_id(config: dict) -> str:
    hub = config.get("hf_hub_id") or ""
    tag = f".{config['tag']}" if config.get("tag") else ""
    return f"{hub}{config['architecture']}{tag}" if hub.endswith("/") else hub


def hub_file(name: str, config: dict, fetch: bool) -> str:
    """The path of a network's safetensors: from the local cache, else, when `fetch`, from the hub. Raises WeightsError."""
    from huggingface_hub import hf_hub_download

    repository = _hub_id(config)
    repair = "give --weights FILE, or use --backbone graft-mini, which needs no download"
    if not repository:
        raise WeightsError(f"The hub has no weights for {name}; {repair}.")
    return weights.from_hub(partial(hf_hub_download, repository, "model.safetensors"), repository, fetch, name, repair)


def _credits(config: dict, source: str) -> tuple[str, str]:
    """Licence and training data, as far as the source of the weights tells."""
    if source == "random":
        return "Apache-2.0", "nothing"
    if source.startswith("file:"):
        return "unknown", "unknown"
    tag = config.get("tag") or ""
    words = [_TRAINED_ON[part] for part in re.split(r"[_.]", tag) if part in _TRAINED_ON]
    return str(config.get("license") or "unknown"), ", then ".join(dict.fromkeys(words)) or (tag or "unknown")


def source_head(name: str, options: Options, width: int) -> tuple[Tensor, Tensor] | None:
    """(weight [classes, width], bias [classes]) of the linear classifier that the weights' file holds; None where there is no file,
    no such classifier, or it takes features of another width."""
    if options.weights in _RANDOM:
        return None
    path = options.weights
    if path in (None, "hub"):
        path = hub_file(name.removeprefix("timm:"), timm.create_model(name.removeprefix("timm:")).pretrained_cfg, options.fetch != "no")
    return weights.linear_head(weights.read(path)[0], width)
