"""Ways to take a timm network apart into an ordered list of (path, module), the composition of which is its features.

Each is a proposal only: cuts.py checks it on real passes before anybody relies on it.
"""

import copy

import torch
from torch import Tensor, fx, nn

Items = list[tuple[str, nn.Module]]

_CONTAINERS = ("blocks", "stages", "layers", "features", "trunk", "network", "body", "levels", "trunk_output")
_HEADS = ("head", "head_dist", "fc", "classifier", "head_drop", "fc_norm", "AuxLogits")


class Part(nn.Module):
    """Some children of a network, run by one of the network's own methods: glue code (position embeddings, pooling)
    stays the network's own.

    model: the network. method: name of the method that maps tensor to tensor. keep: names of the direct children that
    stay; every other is replaced by an identity without parameters. parameters: whether the network's own direct
    parameters and buffers stay. The kept modules are shared with `model`, not copied.
    """

    def __init__(self, model: nn.Module, method: str, keep: set[str], parameters: bool = True, arguments: dict | None = None):
        super().__init__()
        shell = model.__class__.__new__(model.__class__)
        shell.__dict__ = {k: copy.copy(v) if isinstance(v, dict) else v for k, v in model.__dict__.items()}
        for name, child in model._modules.items():
            if name not in keep and child is not None:
                empty = type(child) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
                shell._modules[name] = type(child)() if empty else nn.Identity()
        if not parameters:
            shell._parameters, shell._buffers = {}, {}
        self.shell, self.method, self.arguments = shell, method, dict(arguments or {})

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.shell, self.method)(x, **self.arguments)


def candidates(model: nn.Module) -> dict[str, nn.Module]:
    """The direct children, and in their place the children of containers, by path, in order of registration."""
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        listed = isinstance(child, nn.ModuleList) or (isinstance(child, nn.Sequential) and name in _CONTAINERS)
        found.update({f"{name}.{n}": c for n, c in child.named_children()} if listed else {name: child})
    return found


def called(model: nn.Module, modules: dict[str, nn.Module], method: str, x: Tensor, **arguments) -> list[str]:
    """The paths of `modules` in the order in which `model.method(x)` runs them; one that runs twice is named twice."""
    order: list[str] = []
    handles = [m.register_forward_pre_hook(lambda _m, _x, p=path: order.append(p)) for path, m in modules.items()]
    try:
        getattr(model, method)(x, **arguments)
    finally:
        for handle in handles:
            handle.remove()
    return order


def chain(model: nn.Module, order: list[str], image: Tensor) -> Items:
    """The children in the order in which they run, and nothing between them: ResNet, VGG, EfficientNet, ConvNeXt, Swin."""
    modules = candidates(model)
    return [(path, modules[path]) for path in order if not isinstance(modules[path], nn.Identity)]


class Given(nn.Module):
    """A block with further arguments that are the same for every image: the rotary position embedding of EVA and DINOv3."""

    def __init__(self, block: nn.Module, arguments: dict):
        super().__init__()
        self.block, self.constants = block, {}
        for name, value in arguments.items():
            if isinstance(value, Tensor):
                self.register_buffer(f"given_{name}", value.detach().clone(), persistent=False)
            else:
                self.constants[name] = value

    def forward(self, x: Tensor) -> Tensor:
        given = {name.removeprefix("given_"): value for name, value in self._buffers.items()}
        return self.block(x, **self.constants, **given)


def _arguments(model: nn.Module, blocks: Items, image: Tensor) -> list[dict]:
    """The keyword arguments with which each block is called. Raises ValueError where one of them is learnt."""
    seen: dict[int, dict] = {}
    handles = [
        m.register_forward_pre_hook(lambda _m, args, kwargs, i=i: seen.update({i: (args, kwargs)}), with_kwargs=True)
        for i, (_, m) in enumerate(blocks)
    ]
    try:
        with torch.enable_grad():
            model.forward_features(image[:1])
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for i in range(len(blocks)):
        args, kwargs = seen[i]
        if len(args) > 1 or any(isinstance(v, Tensor) and v.requires_grad for v in kwargs.values()):
            raise ValueError("a block takes more than one changing value")
        found.append(kwargs)
    return found


def _head_only(model: nn.Module, used: set[str], features: Tensor) -> set[str]:
    children = {name: m for name, m in model.named_children() if name not in used}
    return set(called(model, children, "forward_head", features, pre_logits=True)) | (set(_HEADS) & set(children))


def hollow(model: nn.Module, order: list[str], image: Tensor) -> Items:
    """The blocks of the largest container, with whatever happens before them as one part: vision transformers, whose
    embedding is glue code around parameters of the network itself."""
    modules = candidates(model)
    sizes: dict[str, int] = {}
    for path in dict.fromkeys(order):
        if "." in path:
            top = path.split(".")[0]
            sizes[top] = sizes.get(top, 0) + sum(p.numel() for p in modules[path].parameters())
    if not sizes:
        return []
    trunk = max(sizes, key=sizes.get) + "."
    first = next(i for i, path in enumerate(order) if path.startswith(trunk))
    rest = [(path, modules[path]) for path in order[first:] if not isinstance(modules[path], nn.Identity)]
    arguments = _arguments(model, rest, image)
    rest = [(path, Given(m, given) if given else m) for (path, m), given in zip(rest, arguments, strict=True)]
    used = {path.split(".")[0] for path in order}
    gone = {path.split(".")[0] for path in order[first:]} | _head_only(model, used, model.forward_features(image[:1]))
    return [("embed", Part(model, "forward_features", {n for n, _ in model.named_children()} - gone)), *rest]


class _Features(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


class _Tracer(fx.Tracer):
    """Modules without children are leaves, so that dropout and drop-path keep looking at their own mode."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children()) or super().is_leaf_module(m, module_qualified_name)


def traced(model: nn.Module, order: list[str], image: Tensor) -> Items:
    """Cuts at the points of the traced graph where exactly one value is alive (DPN, HRNet's stem, dense skips between
    children), between two different children."""
    from torch.fx.passes.split_module import split_module

    root = _Features(model)
    graph = _Tracer().trace(root)
    nodes = list(graph.nodes)
    listed = {path.split(".")[0] for path in candidates(model) if "." in path}
    place = {node: i for i, node in enumerate(nodes)}
    last_use = {node: max((place[user] for user in node.users), default=-1) for node in nodes}

    def child(node: fx.Node) -> str | None:
        if node.op != "call_module":
            return None
        path = str(node.target).split(".")[1:]
        return ".".join(path[:2]) if path[0] in listed else path[0]

    segment, number, paths, here = {}, 0, [], None
    for i, node in enumerate(nodes):
        name = child(node)
        if name is not None and here is not None and name != here:
            alive = sum(place[n] < i <= last_use[n] for n in nodes if n.op != "get_attr")
            if alive == 1:
                number += 1
        if name is not None:
            here = name
            paths += [name] * (number + 1 - len(paths))
        segment[node] = number
    if number == 0:
        return []
    whole = split_module(fx.GraphModule(root, graph), root, lambda node: segment[node])
    parts = [m for _, m in whole.named_children()]
    return list(zip(paths, parts, strict=True)) if len(parts) == len(paths) else []


def whole(model: nn.Module, order: list[str], image: Tensor) -> Items:
    """One stage: everything up to the features."""
    used = {path.split(".")[0] for path in order}
    kept = {n for n, _ in model.named_children()} - _head_only(model, used, model.forward_features(image[:1]))
    return [("body", Part(model, "forward_features", kept))]


class Layout(nn.Module):
    """Runs a body that works channels-last ([n, h, w, c]) between stages that are "map"s ([n, c, h, w])."""

    def __init__(self, body: nn.Module, before: bool, after: bool):
        super().__init__()
        self.body, self.before, self.after = body, before, after

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x.permute(0, 2, 3, 1) if self.before else x)
        return x.permute(0, 3, 1, 2) if self.after else x


def settle(module: nn.Module) -> None:
    """Switches every in-place activation or dropout in a module off, so that what it is given stays as it was."""
    for m in module.modules():
        if getattr(m, "inplace", False) is True:
            m.inplace = False


def is_channels_last(shape: torch.Size, preferred: bool) -> bool:
    """Whether a 4-D output for a square image is [n, h, w, c]; `preferred` decides where all three sizes are equal."""
    if shape[1] == shape[2] == shape[3]:
        return preferred
    return shape[1] == shape[2]
