"""ELMo: words from their characters, then layers of bidirectional LSTMs; reads the published files (options.json, hdf5).

Peters et al., "Deep contextualized word representations", 2018; the characters' network: Kim et al., "Character-aware neural
language models", 2016; the LSTM with projection: Sak et al., 2014. Each text stands alone: the published code carries the LSTMs'
last state from one batch into the next, which would make what a text gives depend on those before it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import Backbone, Origin, State
from ..core.text import TextPrepare
from ..data.characters import BOUNDARIES, IDS, PAD, encode_words
from ..errors import OptionError, WeightsError, nearest
from . import weights
from .elmo_file import Plan, read

_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
SIZES = {
    "tiny": Plan(((1, 8), (2, 8), (3, 16)), 8, 1, 32, 16),
    "small": Plan(_FILTERS, 16, 1, 1024, 128),
    "original": Plan(_FILTERS, 16, 2, 4096, 512),
}
"""The published elmo_2x1024_128_2048cnn_1xhighway and elmo_2x4096_512_2048cnn_2xhighway, and one to try things with."""


@dataclass(frozen=True)
class Options:
    """weights: a folder with options.json and weights.hdf5 as published, that .hdf5 file with its options beside it, or "none"
        for random weights; it has to be said, as nothing is fetched.
    size: of random weights: "tiny", "small" (14 million parameters, the default, as it is quick) or "original" (94 million);
        published weights bring their own.
    length: most words of a text; the network has no limit, but its time grows with every word, and most texts are shorter.
    """

    weights: str | None = None
    size: str | None = None
    length: int = 512


class Highway(nn.Module):
    """[m, c] -> [m, c]: g * relu(W x + b) + (1 - g) * x, g = sigmoid(V x + a). (Srivastava et al., 2015.)"""

    def __init__(self, width: int):
        super().__init__()
        self.transform, self.carry = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.carry(x))
        return gate * F.relu(self.transform(x)) + (1 - gate) * x


class Spelling(nn.Module):
    """Characters of words, ids [m, 50] -> [m, projection]: embeddings, convolutions of several spans with their greatest value
    over the word, highway layers, a linear layer."""

    def __init__(self, plan: Plan):
        super().__init__()
        width = sum(count for _, count in plan.filters)
        self.embedding = nn.Embedding(IDS, plan.embedding, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(plan.embedding, count, span) for span, count in plan.filters)
        self.highways = nn.ModuleList(Highway(width) for _ in range(plan.highway))
        self.projection = nn.Linear(width, plan.projection)
        self.activation = torch.tanh if plan.activation == "tanh" else torch.relu
        self.widest = max(span for span, _ in plan.filters)

    def forward(self, ids: Tensor) -> Tensor:
        # Beyond the longest word and one whole window of padding, a convolution only repeats itself.
        longest = int((ids != PAD).any(0).sum())
        letters = self.embedding(ids[:, : longest + self.widest]).transpose(1, 2)
        x = torch.cat([self.activation(convolve(letters).amax(2)) for convolve in self.convolutions], 1)
        for highway in self.highways:
            x = highway(x)
        return self.projection(x)


class Characters(nn.Module):
    """The first stage: "ids" [n, l, 50] and "mask" -> "x" [n, l, 2 * projection], each word's vector twice, for both directions;
    0 where there is no word. "edges" [n, 4 * projection]: the same for the words that stand before the text and after it."""

    def __init__(self, plan: Plan):
        super().__init__()
        self.spelling = Spelling(plan)
        self.register_buffer("boundaries", torch.from_numpy(encode_words(BOUNDARIES)).long(), persistent=False)

    def forward(self, state: State) -> State:
        real = state["mask"].bool()
        words = torch.cat([self.boundaries, state["ids"][real]])
        # Most of the work is here, and most words of a batch stand in it more than once.
        different, which = torch.unique(words, dim=0, return_inverse=True)
        vectors = F.embedding(which, self.spelling(different)).repeat(1, 2)  # an embedding's gradient is always summed in one order
        x = vectors.new_zeros(*real.shape, vectors.shape[1])
        x[real] = vectors[2:]
        kept = {key: value for key, value in state.items() if key not in ("ids", "types")}
        return {**kept, "x": x, "edges": vectors[:2].reshape(1, -1).repeat(len(x), 1)}


class Layer(nn.Module):
    """A later stage: an LSTM forwards and one backwards, each with its own half of "x" [n, l, 2 * projection]; 0 where there is
    no word. "edges" as in Characters. Gates stand in the order in, new, forget, out; the cell and the projection are clipped.

        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(j),   h_t = P (sigmoid(o) tanh(c_t)),   (i, j, f, o) = W [x_t, h_(t-1)] + b

    residual: the input is added to the output.
    """

    def __init__(self, plan: Plan, residual: bool):
        super().__init__()
        self.residual, self.cell_clip, self.proj_clip = residual, plan.cell_clip, plan.proj_clip
        self.kernel = nn.Parameter(torch.empty(2, 2 * plan.projection, 4 * plan.dim))
        self.bias = nn.Parameter(torch.empty(2, 1, 4 * plan.dim))
        self.projection = nn.Parameter(torch.empty(2, plan.dim, plan.projection))

    def forward(self, state: State) -> State:
        real = state["mask"].bool()
        lengths = real.sum(1)
        longest = int(lengths.max())
        whole = _enclosed(state["x"][:, :longest], state["edges"], lengths)
        turned = _turned(lengths + 2, longest + 2)
        ahead, back = whole.chunk(2, 2)
        out = self.run(torch.stack([ahead, _taken(back, turned)]))
        out = torch.cat([out[0], _taken(out[1], turned)], 2)
        out = out + whole if self.residual else out
        x = out[:, 1:-1].masked_fill(~real[:, :longest, None], 0)
        edges = torch.cat([out[:, 0], _taken(out, (lengths + 1)[:, None])[:, 0]], 1)
        return {**state, "x": F.pad(x, (0, 0, 0, real.shape[1] - longest)), "edges": edges}

    def run(self, x: Tensor) -> Tensor:
        """Both directions, each from its own first step on: [2, n, t, projection] -> the same shape."""
        two, n, _, width = x.shape
        hidden, cell, found = x.new_zeros(two, n, width), x.new_zeros(two, n, self.projection.shape[1]), []
        for step in x.unbind(2):
            gates = torch.baddbmm(self.bias, torch.cat([step, hidden], 2), self.kernel)
            into, new, forget, out = gates.chunk(4, 2)
            cell = _clipped(torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(new), self.cell_clip)
            hidden = _clipped((torch.sigmoid(out) * torch.tanh(cell)) @ self.projection, self.proj_clip)
            found.append(hidden)
        return torch.stack(found, 2)


def _clipped(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)


def _enclosed(x: Tensor, edges: Tensor, lengths: Tensor) -> Tensor:
    """Words [n, l, c] between the two that stand around the text: [n, l + 2, c], the last right after each text's own end."""
    before, after = edges.unflatten(1, (2, 1, -1)).unbind(1)
    whole = torch.cat([before, x, torch.zeros_like(before)], 1)
    place = torch.arange(whole.shape[1], device=x.device) == (lengths + 1)[:, None]
    return torch.where(place[..., None], after, whole)


def _turned(lengths: Tensor, steps: int) -> Tensor:
    """Places [n, steps] that turn the first `lengths` steps of each row round and leave the rest."""
    place = torch.arange(steps, device=lengths.device).expand(len(lengths), -1)
    ends = lengths[:, None] - 1
    return torch.where(place <= ends, ends - place, place)


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """[n, l, c] -> [n, m, c]: of each row the steps at its own places [n, m]."""
    first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1).index_select(0, (first + places).flatten()).unflatten(0, places.shape)


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """ELMo as the stages "characters", "lstm1", "lstm2", ... seed: for random weights.

    Raises OptionError (unknown size, a size beside published weights) and WeightsError (missing, damaged, misshapen files).
    """
    if options.length < 1:
        raise OptionError(f"elmo's length is {options.length}, but a text has at least 1 word; try length=512.")
    prepare = TextPrepare("", options.length, kind="characters")
    if options.weights in ("none", "random"):
        size = options.size or "small"
        if size not in SIZES:
            raise OptionError(f"elmo has no size '{size}'.{nearest(size, tuple(SIZES))}")
        return _backbone(SIZES[size], prepare, seed, Origin(name, "elmo", "random", {}, "", "Apache-2.0", "nothing"))
    if options.weights is None:
        raise WeightsError(
            "ELMo's weights are not fetched; give --weights FOLDER with its options.json and weights.hdf5, or --weights none."
        )
    if options.size is not None:
        raise OptionError(f"The size '{options.size}' is for random weights, but {options.weights} brings its own; leave size out.")
    path, plan, arrays = read(options.weights)
    body = _backbone(plan, prepare, 0, Origin(name, "elmo", f"file:{path.name}", {}, weights.digest(path)))
    _fill(body.stages, arrays)
    return body


def rebuild(build: dict, prepare: TextPrepare) -> Backbone:
    """The same stages again with random weights, from what the origin keeps. Raises TypeError where it is damaged."""
    return _backbone(Plan(**build), prepare, 0, Origin("elmo", "elmo", "random"))


def _backbone(plan: Plan, prepare: TextPrepare, seed: int, origin: Origin) -> Backbone:
    plan = replace(plan, filters=tuple((span, count) for span, count in plan.filters))  # JSON knows no tuples
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [Layer(plan, plan.skip and number > 0) for number in range(plan.layers)]
        stages = nn.ModuleList([Characters(plan), *layers])
        _draw(stages, plan)
    build = {**asdict(plan), "filters": [list(pair) for pair in plan.filters]}
    names = ("characters", *(f"lstm{number}" for number in range(1, plan.layers + 1)))
    count = len(names)
    widths, forms = (2 * plan.projection,) * count, ("text",) * count
    return Backbone(stages.eval(), names, widths, (0,) * count, forms, prepare, replace(origin, build=build))


@torch.no_grad()
def _draw(stages: nn.ModuleList, plan: Plan) -> None:
    """Random weights as bilm-tf draws them."""
    spelling = stages[0].spelling
    nn.init.uniform_(spelling.embedding.weight, -1, 1)[0] = 0
    for convolve in spelling.convolutions:
        if plan.activation == "tanh":
            nn.init.normal_(convolve.weight, std=1 / math.sqrt(convolve.weight[0].numel()))
        else:
            nn.init.uniform_(convolve.weight, -0.05, 0.05)
        nn.init.zeros_(convolve.bias)
    for linear in [*(part for highway in spelling.highways for part in (highway.transform, highway.carry)), spelling.projection]:
        nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
        nn.init.zeros_(linear.bias)
    for highway in spelling.highways:
        nn.init.constant_(highway.carry.bias, -2.0)
    for layer in stages[1:]:
        kernel, out = math.sqrt(6 / (2 * plan.projection + 4 * plan.dim)), math.sqrt(6 / (plan.dim + plan.projection))
        nn.init.uniform_(layer.kernel, -kernel, kernel)
        nn.init.uniform_(layer.projection, -out, out)
        nn.init.zeros_(layer.bias)[..., 2 * plan.dim : 3 * plan.dim] = 1.0


@torch.no_grad()
def _fill(stages: nn.ModuleList, arrays: dict[str, np.ndarray]) -> None:
    """The published numbers: kernels stand there as [in, out], and 1 is added to the forget gate's bias as TensorFlow does."""

    def put(parameter: Tensor, name: str, change: Callable[[np.ndarray], np.ndarray] = np.transpose) -> None:
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(change(arrays[name]))))

    spelling = stages[0].spelling
    put(spelling.embedding.weight[1:], "char_embed", np.asarray)
    for i, convolve in enumerate(spelling.convolutions):
        put(convolve.weight, f"CNN/W_cnn_{i}", lambda array: array[0].transpose(2, 1, 0))
        put(convolve.bias, f"CNN/b_cnn_{i}")
    for i, highway in enumerate(spelling.highways):
        for part in ("transform", "carry"):
            put(getattr(highway, part).weight, f"CNN_high_{i}/W_{part}")
            put(getattr(highway, part).bias, f"CNN_high_{i}/b_{part}")
    put(spelling.projection.weight, "CNN_proj/W_proj")
    put(spelling.projection.bias, "CNN_proj/b_proj")
    for j, layer in enumerate(stages[1:]):
        dim = layer.projection.shape[1]
        for side in (0, 1):
            cell = f"RNN_{side}/RNN/MultiRNNCell/Cell{j}/LSTMCell"
            put(layer.kernel[side], f"{cell}/W_0", np.asarray)
            put(layer.bias[side, 0], f"{cell}/B")
            layer.bias[side, 0, 2 * dim : 3 * dim] += 1.0
            put(layer.projection[side], f"{cell}/W_P_0", np.asarray)
