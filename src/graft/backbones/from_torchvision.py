"""A classification network of torchvision as ordered stages: what timm has not (SqueezeNet, AlexNet, ShuffleNet, GoogLeNet, MNASNet, ...).

The network is given timm's few methods (`Chain`), and graft.backbones.cuts takes it apart as it does timm's.
"""

# ruff: noqa: E402

from dataclasses import dataclass, replace
from pathlib import Path

from ..core.vision import import_vision

import_vision()  # Before anything imports torchvision.

import torch
from torch import Tensor, nn
from torchvision import models

from ..core import Backbone, Origin, Prepare, Stage
from ..errors import OptionError, WeightsError, nearest
from . import cuts, weights
from .ending import upto

_RANDOM = ("none", "random")
_FETCH = ("yes", "no", "fit-only")
_HEADS = ("avgpool", "classifier", "fc", "head", "heads")
_HALVES = ("googlenet", "inception_v3")
"""Trained on images scaled to [-1, 1]: torchvision's published networks turn the usual normalisation into that inside (transform_input)."""
_FAILURES = (AssertionError, ValueError, RuntimeError, ZeroDivisionError)


@dataclass(frozen=True)
class Options:
    """weights: a file, "hub" (what torchvision publishes), or "none" for random weights; by default torch's cache, then torchvision's site.
    fetch: "yes", "no", or "fit-only"; "no" leaves the cache. image_size: pixels of the square input; by default that of the weights.
    until: the last stage that is kept, by its name or number, for a smaller body; by default all.
    """

    weights: str | None = None
    fetch: str = "yes"
    image_size: int | None = None
    until: str | int | None = None


class Chain(nn.Module):
    """A network's children up to its pooling, under their own names, run one after the other; `forward_features`, `forward_head` and
    `pretrained_cfg` are those of timm."""

    def __init__(self, name: str, model: nn.Module):
        super().__init__()
        self.pretrained_cfg = {"architecture": name}
        for child, module in model.named_children():
            if child in _HEADS:
                break
            self.add_module(child, module)
        if isinstance(model, models.DenseNet):
            self.add_module("relu", nn.ReLU())  # its forward applies one between features and pooling

    def forward_features(self, x: Tensor) -> Tensor:
        """[n, 3, s, s] -> [n, c, h, w]."""
        for child in self.children():
            for module in child if isinstance(child, nn.ModuleList) else (child,):
                x = module(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = True) -> Tensor:
        """[n, c, h, w] -> [n, c]: the mean over pixels."""
        return x.mean((2, 3))


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """torchvision's network `name` ("squeezenet1_0" or "torchvision:squeezenet1_0") with its weights, without classifier.

    Of a file nothing says which published version it is, so it is prepared for as the first version of the network's weights.
    seed: for random weights. Raises OptionError (unknown network, impossible size, a network that is no chain) and WeightsError.
    """
    name = known(name.removeprefix("torchvision:"))
    if options.fetch not in _FETCH:
        raise OptionError(f"fetch is '{options.fetch}', but it can be {', '.join(_FETCH)}.")
    versions = models.get_model_weights(name)
    ours = options.weights in (None, "hub")
    version = versions.DEFAULT if ours else next(iter(versions))
    prepared = prepare(name, version)
    prepared = replace(prepared, size=options.image_size or prepared.size)
    chain = create(name, prepared.size, seed)
    source, sha256, licence, trained_on = "random", "", "BSD-3-Clause", "nothing"
    if ours:
        source, sha256, trained_on = (
            f"hub:torchvision/{name}.{version.name}",
            fill(chain, fetched(name, version, options.fetch)),
            "ImageNet-1k",
        )
    elif options.weights not in _RANDOM:
        source, sha256 = f"file:{Path(options.weights).name}", fill(chain, options.weights)
        licence = trained_on = "unknown"
    return upto(assemble(chain, Origin(name, f"torchvision:{name}", source, {}, sha256, licence, trained_on), prepared), options.until)


def known(name: str) -> str:
    """The name, if torchvision has a classification network called so. Raises OptionError."""
    names = models.list_models(module=models)
    if name not in names:
        raise OptionError(f"torchvision has no classification network called '{name}'.{nearest(name, names)}")
    return name


def create(name: str, size: int, seed: int, check: bool = True) -> Chain:
    """The network without its head, in eval mode, with random weights drawn from `seed`. Raises OptionError where its children in
    order are not what it computes, or `size` is impossible; without `check`, which takes a pass, both are believed."""
    if size < 1:
        raise OptionError(f"image_size is {size}, but it has to be at least 1 pixel.")
    extra = {"input_size": (size, size)} if name.startswith("maxvit") else {}
    extra |= {"aux_logits": False, "init_weights": True} if name in _HALVES else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = models.get_model(name, weights=None, **extra).eval()
            chain = Chain(name, model).eval()
            same = not check or _is_chain(model, chain, size)
        except _FAILURES as error:
            if name.startswith("vit"):
                same = False
            else:
                raise OptionError(_impossible(name, size)) from error
    if not same:
        raise OptionError(f"torchvision's {name} is no chain of layers that could be cut; take timm's network of that kind instead.")
    return chain


def _impossible(name: str, size: int) -> str:
    usual = prepare(name, models.get_model_weights(name).DEFAULT).size
    return f"{name} cannot work on images of {size} x {size} pixels; leave image_size out for its own {usual}."


def _is_chain(model: nn.Module, chain: Chain, size: int) -> bool:
    """Whether the chain gives what the network itself gives to its head (its pooling or, where that is no module, its classifier)."""
    seen: list[Tensor] = []
    heads = [m for name, m in model.named_children() if name in _HEADS]
    handles = [m.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone())) for m in heads]
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            model(image)
            found = chain.forward_features(image)
    finally:
        for handle in handles:
            handle.remove()
    found = found if seen[0].ndim == 4 else chain.forward_head(found)
    return found.shape == seen[0].shape and torch.allclose(found, seen[0], rtol=1e-4, atol=1e-5)


def prepare(name: str, version: models.WeightsEnum) -> Prepare:
    """The preprocessing that torchvision publishes with weights of that version."""
    preset = version.transforms()
    mean, std = ((0.5,) * 3, (0.5,) * 3) if name in _HALVES else (tuple(preset.mean), tuple(preset.std))
    size = int(preset.crop_size[0])
    return Prepare(size, size / int(preset.resize_size[0]), preset.interpolation.value, mean, std)


def fill(chain: Chain, path: str | Path) -> str:
    """Reads a weights file into the network whatever its classifier; the file's SHA-256. Raises WeightsError, saying what differs."""
    tensors, sha256 = weights.read(path)
    weights.fit(chain, tensors, (*weights.CLASSIFIERS, "heads", "aux1", "aux2"), source=Path(path).name)
    return sha256


def fetched(name: str, version: models.WeightsEnum, fetch: str) -> Path:
    """The file of published weights in torch's cache, put there first where it is missing and `fetch` allows it. Raises WeightsError."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / version.url.rpartition("/")[2]
    repair = "give --weights FILE, or use --backbone graft-mini, which needs no download"
    if path.is_file():
        return path
    if fetch == "no":
        raise WeightsError(f"Weights of {name} are not in the local cache and fetching is off; {repair}.")
    start = path.stem.rpartition("-")[2]  # the hash's first digits are in the published name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(version.url, str(path), start if len(start) >= 8 else None, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"torchvision's site cannot be reached for the weights of {name}; {repair}.") from error
    return path


def in_cache(folder: Path) -> dict[str, Path]:
    """{name: file} of the networks whose published weights lie in torch's folder of checkpoints, and that can be cut."""
    names = (name for name in models.list_models(module=models) if not name.startswith("vit_"))
    files = {name: folder / models.get_model_weights(name).DEFAULT.url.rpartition("/")[2] for name in names}
    return {name: file for name, file in files.items() if file.is_file()}


def assemble(chain: Chain, origin: Origin, prepared: Prepare, kind: str | None = None) -> Backbone:
    """A network of torchvision cut into stages. kind: a former cut's kind, to be believed; None to find and check one."""
    cut = cuts.cut(chain, prepared.size, kind)
    build = {"model": origin.architecture.removeprefix("torchvision:"), "image_size": prepared.size, "cut": cut.kind}
    stages = nn.ModuleList(Stage(module) for module in cut.modules).eval()
    return Backbone(stages, cut.names, cut.widths, cut.strides, cut.forms, prepared, replace(origin, build=build), cut.pool)


def rebuild(build: dict, origin: Origin, prepared: Prepare) -> Backbone:
    """The stages that `load` described in `build`, with random weights. Raises WeightsError where this version of torchvision has
    no such network."""
    try:
        chain = create(known(build["model"]), build["image_size"], 0, check=False)
    except OptionError as error:
        raise WeightsError(f"{error} Install the version of torchvision that the model was made with.") from error
    return assemble(chain, origin, prepared, build["cut"])


def source_head(name: str, options: Options, width: int) -> tuple[Tensor, Tensor] | None:
    """As that of from_timm: the linear classifier that the weights' file holds, (weight [classes, width], bias [classes]), or None.

    None too for a network with something between pooling and classifier (SqueezeNet's convolution comes before its pooling)."""
    if options.weights in _RANDOM:
        return None
    path = options.weights
    if path in (None, "hub"):
        name = name.removeprefix("torchvision:")
        path = fetched(name, models.get_model_weights(name).DEFAULT, options.fetch)
    return weights.linear_head(weights.read(path)[0], width)
