"""Low-rank adapters beside a frozen body, merged into it at the end."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..core import Data, Group, Net, Phase, Task
from ..errors import OptionError, nearest
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """rank: of each layer's update; 8 is the paper's most used one, and more seldom gains. alpha: the update is scaled by alpha /
        rank, so that the rank can be changed without another rate; 16 with rank 8 is the paper's choice for RoBERTa large.
    dropout: of an adapter's input while it learns; 0, because so few parameters hardly overfit.
    targets: names of the layers that get adapters, in full or their last parts ("qkv", "attn.proj"); empty for all linear layers and
        all convolutions without groups above `freeze`.
    lr: 5e-4 is the larger of the paper's two rates for RoBERTa base (its table 9): updates start at zero. With MiniLM on 200 sentences
        (rt_polarity, one seed) its accuracy was 0.725; that of 1e-4 0.660, of 2e-3 0.710.
    decay: 1, one rate for all adapters, as in the paper. head_lr: None is the body's usual 1e-4: the head is trained already.
    epochs: None gives about 300 steps within 8 to 40. freeze, head_epochs, patience (4) and smoothing (0) as for lp_ft.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    lr: float = 5e-4
    decay: float = 1.0
    smoothing: float = 0.0
    patience: int = 4
    head_epochs: int = 100
    freeze: str | int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (("rank", 1, 4096), ("alpha", 1e-6, 1e4), ("dropout", 0, 0.9)):
            if not low <= getattr(self, name) <= high:
                default = type(self).__dataclass_fields__[name].default
                raise OptionError(
                    f"method.{name} = {getattr(self, name)} is outside {low:g} to {high:g}; try --set method.{name}={default}."
                )


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head first; then, beside each matrix W of the body, an update B A of low rank learns with the head (Hu et al., 2022, eq. 3).

    Suits large bodies: a hundredth of the numbers learn, and the optimizer remembers no others. Not for small convolutional
    bodies, which lp_ft moves as cheaply. The body's own numbers are constant while the adapters learn, except BatchNorm's
    running statistics, which follow the data in the stages that hold adapters or lie above them, as in fine-tuning. At the end
    the adapters are added into W and removed, so what is saved is an ordinary body.
    """
    recipe.check_trainable(task, "lora")
    names = chosen(net, groups.depth(net, opts.freeze), opts.targets)
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    hooks = attach(net, names, opts.rank, opts.alpha, opts.dropout)
    who = _groups(net, names, opts) + groups.head(net, opts.head_lr or recipe.Training.lr, opts.weight_decay)
    lowest = min(int(name.split(".")[1]) for name in names)
    tuned = yield recipe.phase("lora", task, data, opts, who, frozen=lowest)
    merge(net, hooks)
    yield from recipe.probe_again(tuned, net, task, data, opts)


class Adapter(nn.Module):
    """A low-rank update of one layer: down [r, in(, h, w)] reads what the layer reads, up [out, r] starts at zero."""

    def __init__(self, layer: nn.Module, rank: int, alpha: float, dropout: float):
        super().__init__()
        weight = layer.weight
        out, shape = (weight.shape[1], weight.shape[:1]) if _is_transposed(layer) else (weight.shape[0], weight.shape[1:])
        # Drawn on the CPU, so that every device starts from the same numbers.
        down = torch.empty(rank, *shape)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        self.down, self.up = nn.Parameter(down.to(weight.device)), nn.Parameter(torch.zeros(out, rank, device=weight.device))
        self.scale, self.dropout = alpha / rank, dropout

    def forward(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What is added to the layer's output: alpha / r x B A x."""
        x = nn.functional.dropout(x, self.dropout, self.training)
        if isinstance(layer, nn.Conv2d):
            small = nn.functional.conv2d(x, self.down, None, layer.stride, layer.padding, layer.dilation)
            return nn.functional.conv2d(small, self.up[:, :, None, None]) * self.scale
        return nn.functional.linear(nn.functional.linear(x, self.down), self.up) * self.scale

    def update(self, layer: nn.Module) -> Tensor:
        """alpha / r x B A in the shape of the layer's weight."""
        product = self.scale * (self.up @ self.down.flatten(1))
        return product.T if _is_transposed(layer) else product.view_as(layer.weight)


def chosen(net: Net, frozen: int, targets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names, in `net.named_modules()`, of the layers that get adapters. Raises OptionError where there are none.

    Linear layers (GPT-2's Conv1D among them) and ungrouped convolutions, in the stages from `frozen` up that are run. A grouped
    one has no more numbers than an adapter. Layers whose weights somebody else reads past their own forward pass are left
    out: those inside torch's MultiheadAttention, and types derived from the two.
    """
    inside = tuple(f"{name}." for name, module in net.named_modules() if isinstance(module, nn.MultiheadAttention))
    found = [
        name for i in range(frozen, net.taps[-1] + 1) for name, module in net.stages[i].named_modules(prefix=f"stages.{i}")
        if _takes_adapter(module) and not (inside and name.startswith(inside))
    ]  # fmt: skip
    if not found:
        raise OptionError(
            f"None of the stages that learn has a linear layer or a convolution to adapt (frozen: {frozen} of {len(net.stages)}); "
            "use --method lp_ft, or a smaller --freeze."
        )
    for target in targets:
        if not any(_is_called(name, target) for name in found):
            last = sorted({name.rpartition(".")[2] for name in found})
            raise OptionError(f"No layer that learns is called '{target}' (method.targets).{nearest(target, last)}")
    return tuple(name for name in found if not targets or any(_is_called(name, target) for target in targets))


def attach(net: Net, names: tuple[str, ...], rank: int, alpha: float, dropout: float = 0.0) -> dict[str, RemovableHandle]:
    """Give each of these layers an adapter, its child "adapter", and what `merge` takes: the hooks that add what it gives.
    The layers' own names and the net's outputs stay as they are."""
    hooks = {}
    for name in names:
        layer = net.get_submodule(name)
        layer.adapter = Adapter(layer, rank, alpha, dropout)
        hooks[name] = layer.register_forward_hook(_add)
    return hooks


@torch.no_grad()
def merge(net: Net, hooks: dict[str, RemovableHandle]) -> None:
    """Add the updates into the layers' weights and remove the adapters. What an adapter has not moved keeps its bits."""
    for name, hook in hooks.items():
        layer = net.get_submodule(name)
        if layer.adapter.up.any():
            layer.weight.add_(layer.adapter.update(layer))
        hook.remove()
        del layer.adapter


def _add(layer: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return out + layer.adapter(layer, inputs[0])


def _groups(net: Net, names: tuple[str, ...], opts: Options) -> tuple[Group, ...]:
    """A group a stage, at lr * decay ** (stages above it)."""
    found = []
    for i in range(len(net.stages)):
        own = tuple(f"{name}.adapter.{part}" for name in names if name.startswith(f"stages.{i}.") for part in ("down", "up"))
        if own:
            found.append(Group(f"adapters of {net.names[i]}", own, opts.lr * opts.decay ** (net.taps[-1] - i), opts.weight_decay))
    return tuple(found)


def _takes_adapter(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.padding_mode == "zeros"
    return type(module) is nn.Linear or _is_transposed(module)


def _is_transposed(module: nn.Module) -> bool:
    """Whether it is transformers' Conv1D, a linear layer whose weight is [in, out]; where that is not loaded, nothing is."""
    library = sys.modules.get("transformers.pytorch_utils")
    return library is not None and type(module) is library.Conv1D


def _is_called(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
