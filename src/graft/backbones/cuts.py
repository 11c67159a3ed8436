"""Cuts a timm network into ordered, named stages, and checks on real passes that they are the network.

The proposals of parts.py are tried from the simplest on. One is accepted when, in eval mode and in train mode (same seed,
so that dropout and drop-path draw the same numbers), its stages give what the network's own `forward_features` gives.
A network that no proposal fits becomes one stage.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import parts

_KINDS = {"chain": parts.chain, "hollow": parts.hollow, "traced": parts.traced, "whole": parts.whole}
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Cut:
    """modules[i]: tensor -> tensor; names, widths, strides, forms and pool as in `core.Backbone`. kind: the proposal that
    held, or with a plus where a last stage pools: enough to cut the same network again without the check."""

    kind: str
    modules: tuple[nn.Module, ...]
    names: tuple[str, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    forms: tuple[str, ...]
    pool: str
    prefix_tokens: int


def cut(model: nn.Module, size: int, kind: str | None = None) -> Cut:
    """The stages of a timm network without a classifier (`num_classes=0`), for square images of `size` pixels.

    kind: what an earlier call found (`Cut.kind`); given, it is believed, which saves four passes.
    Raises what the network raises on an image of that size. Modes, buffers and random state are left as they were.
    """
    image = torch.linspace(-2, 2, 2 * 3 * size * size).reshape(2, 3, size, size)
    image = image + torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    with _undisturbed(model):
        model.eval()
        if kind == "model":
            return _vector(model, image)
        order = parts.called(model, parts.candidates(model), "forward_features", image)
        if kind is not None:
            return _cut(model, order, image, kind)
        with _awake(model):
            for name in _KINDS:
                try:
                    found = _cut(model, order, image, name)
                except Exception:  # a
                    if name == "whole":
                        return _vector(model, image)
                    continue
                if _holds(model, found, image):
                    return found
    raise AssertionError("unreachable: a network that is one stage is itself")


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.clone()) for b in model.buffers()]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.copy_(value)
            for module, mode in modes:
                module.training = mode


@contextmanager
def _awake(model: nn.Module) -> Iterator[None]:
    """Parameters that are next to zero (layer scale, zero-initialised residual branches) would hide a wrong cut: they are
    given values during the check."""
    asleep = [(p, p.clone()) for p in model.parameters() if p.numel() and p.abs().max() < 1e-3]
    generator = torch.Generator().manual_seed(0)
    for parameter, _ in asleep:
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    try:
        yield
    finally:
        for parameter, value in asleep:
            parameter.copy_(value)


def _cut(model: nn.Module, order: list[str], image: Tensor, kind: str) -> Cut:
    base, _, tail = kind.partition("+")
    model.eval()
    items = _KINDS[base](model, order, image)
    if not items or len({id(m) for _, m in items}) != len(items):
        raise ValueError("not a chain")
    outputs, x = [], image
    for _, module in items:
        x = module(x)
        outputs.append(x)
    groups = [("body", [items[0][1]], x)] if base == "whole" else _grouped(items, outputs)
    prefix = int(getattr(model, "num_prefix_tokens", 0)) if x.ndim == 3 else 0
    names, modules = [g[0] for g in groups], [_joined(g[1]) for g in groups]
    pool = _pool(model, x, image, prefix)
    last = groups[-1][2]
    if tail or (pool is None and kind == base):
        head = _head(model, last)
        names.append("fc" if "pre_logits" in dict(model.named_children()) else "neck")
        modules.append(head)
        kind = f"{base}+head"
    if pool is None:
        pool = "cls" if prefix else "avg"
    return _measured(model, kind, names, modules, image, pool, prefix)


def _pool(model: nn.Module, features: Tensor, image: Tensor, prefix: int) -> str | None:
    """The plain pooling that gives the network's own pre-classifier features, or None where there is more to it."""
    target = model.forward_head(features, pre_logits=True).flatten(1)
    if features.ndim == 4:
        last = parts.is_channels_last(features.shape, getattr(model, "output_fmt", "") == "NHWC")
        return "avg" if _same(features.mean((1, 2) if last else (2, 3)), target) else None
    if features.ndim == 2:
        return "avg" if _same(features, target) else None
    means = {"avg": features[:, prefix:].mean(1), "cls": features[:, 0]}
    first = ("cls", "avg") if prefix and getattr(model, "global_pool", "") == "token" else ("avg", "cls")
    return next((name for name in first if _same(means[name], target)), None)


def _head(model: nn.Module, features: Tensor) -> nn.Module:
    children = dict(model.named_children())
    used = parts.called(model, children, "forward_head", features, pre_logits=True)
    head = nn.Sequential(parts.Part(model, "forward_head", set(used), False, {"pre_logits": True}), nn.Flatten(1))
    return head


def _joined(modules: list[nn.Module]) -> nn.Module:
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _measured(model: nn.Module, kind: str, names: list, modules: list, image: Tensor, pool: str, prefix: int) -> Cut:
    """Forms, widths and strides from a real pass; channels-last bodies wrapped; in-place changes of what is given ended."""
    widths, strides, forms, done = [], [], [], []
    preferred = getattr(model, "output_fmt", "") == "NHWC"
    x, channels_last = image, False
    for module in modules:
        given = x.clone()
        y = module(x)
        if not torch.equal(x, given):
            parts.settle(module)
            x = given.clone()
            y = module(x)
            if not torch.equal(x, given):
                raise ValueError("a stage changes what it is given")
        after = y.ndim == 4 and parts.is_channels_last(y.shape, preferred)
        done.append(parts.Layout(module, channels_last, after) if channels_last or after else module)
        x, channels_last = y, after
        shape = (y.shape[0], y.shape[3], y.shape[1], y.shape[2]) if after else y.shape
        forms.append({4: "map", 3: "tokens", 2: "vector"}[len(shape)])
        widths.append(int(shape[2] if len(shape) == 3 else shape[1]))
        strides.append(round(image.shape[-1] / shape[2]) if len(shape) == 4 else 0)
    unique = [name if names.count(name) == 1 else f"{name}_{names[: i + 1].count(name)}" for i, name in enumerate(names)]
    return Cut(kind, tuple(done), tuple(unique), tuple(widths), tuple(strides), tuple(forms), pool, prefix)


def _vector(model: nn.Module, image: Tensor) -> Cut:
    """The last resort: the network whole, with its own pooling, which without a classifier gives features [n, c]."""
    return _measured(model, "model", ["body"], [model], image, "avg", 0)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= _TOLERANCE * (1 + b.abs().max()))


def _holds(model: nn.Module, found: Cut, image: Tensor) -> bool:
    """Whether the stages give what the network gives, in eval and in train mode."""
    kept = [b.clone() for b in model.buffers()]
    for train in (False, True):
        model.train(train)
        for module in found.modules:
            module.train(train)
        results = []
        for stages in (None, found.modules):
            for buffer, value in zip(model.buffers(), kept, strict=True):
                buffer.copy_(value)
            torch.manual_seed(0)
            results.append(_own(model, image, found.kind.endswith("+head")) if stages is None else _run(stages, image))
        if train and not all(torch.isfinite(r).all() for r in results):
            continue
        expected = results[0]
        if expected.ndim == 4 and expected.shape != results[1].shape:
            expected = expected.permute(0, 3, 1, 2)
        if not _same(results[1], expected):
            return False
    for module in found.modules:
        module.eval()
    return True


def _own(model: nn.Module, image: Tensor, head: bool) -> Tensor:
    x = model.forward_features(image)
    return model.forward_head(x, pre_logits=True).flatten(1) if head else x


def _run(modules: tuple[nn.Module, ...], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


def _learns(module: nn.Module) -> int:
    return sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules())


def _grouped(items: parts.Items, outputs: list[Tensor]) -> list[tuple[str, list[nn.Module], Tensor]]:
    """Items joined into the stages that a person would name: (name, modules, output)."""
    heavy = [path == "embed" or _learns(module) >= 2 for path, module in items]
    numbered = {path.rpartition(".")[0] for (path, _), h in zip(items, heavy, strict=True) if h and path.rpartition(".")[2].isdigit()}
    heavy = [h or (path.rpartition(".")[0] in numbered - {""} and _learns(m) > 0) for (path, m), h in zip(items, heavy, strict=True)]
    flat = not any(heavy)
    heavy = _after_pools(items) if flat else heavy
    groups: list[list] = []
    for i, (path, module) in enumerate(items):
        trailing = not flat and not any(heavy[i:])
        starts = not groups or heavy[i] or (trailing and heavy[i - 1] and any(p.numel() for _, m in items[i:] for p in m.parameters()))
        if starts and not (groups and groups[-1][3] == "lead" and not heavy[i]):
            kind = "stage" if heavy[i] else ("trail" if trailing and groups else "lead")
            groups.append([path, [], None, kind])
        groups[-1][1].append(module)
        groups[-1][2] = outputs[i]
    return [(_name(i, groups), modules, output) for i, (_, modules, output, _) in enumerate(groups)]


def _after_pools(items: parts.Items) -> list[bool]:
    """In a plain chain of layers (VGG) a stage begins after each pooling."""
    pools = (nn.MaxPool2d, nn.AvgPool2d)
    return [i == 0 or isinstance(items[i - 1][1], pools) for i in range(len(items))]


def _name(index: int, groups: list[list]) -> str:
    path, modules, output, kind = groups[index]
    tokens = output.ndim == 3
    if kind == "trail":
        return "neck" if any(_learns(m) for m in modules) else "norm"
    if path == "embed" or (kind == "lead" and (tokens or "embed" in path)):
        return "embed"
    top, _, last = path.rpartition(".")
    if top and last.isdigit():
        number = sum(1 for g in groups[: index + 1] if g[0].rpartition(".")[0] == top and g[3] == "stage")
        return f"{'block' if tokens and top == 'blocks' else 'stage'}{max(number, 1)}"
    plain = re.fullmatch(r"(layer|stage|stages|s|level|blocks?)_?(\d+)", last)
    if plain:
        return f"stage{plain[2]}"
    if kind == "lead" or (index == 0 and len(groups) > 1):
        return "stem"
    return last.lower()
