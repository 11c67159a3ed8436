"""Heads trained by gradient descent: hidden layers (none by default), then a linear layer.

The classic recipes are one line each: VGG's `build(25088, k, (256,), dropout=0.5)` on flattened features,
`build(width, k, (1024, 512))` on averaged ones, and the linear probe `build(width, k)`.
"""

from torch import Tensor, nn

from ..errors import OptionError
from .attention import Attend
from .mix import Mix

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
}  # fmt: skip


class Unit(nn.Module):
    """[.., width] -> the same directions at length 1."""

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(features, dim=-1)


class Dense(nn.Module):
    """[.., width] -> [.., outputs], or, with attention, [n, l, width] -> [n, outputs]. Made by `build`; `final` is the last, linear
    layer. takes_mask: it is called with the mask of real tokens, bool [n, l], as its second argument."""

    def __init__(
        self,
        width: int,
        outputs: int,
        hidden: tuple[int, ...],
        activation: str,
        dropout: float,
        normalise: bool,
        mix: int = 0,
        attend: bool = False,
        unit: bool = False,
    ):
        super().__init__()
        self.config = {
            "kind": "linear", "width": width, "outputs": outputs, "hidden": list(hidden), "activation": activation,
            "dropout": dropout, "normalise": normalise,
        }  # fmt: skip
        # Only where asked for, so that the head without them is described as it always was.
        self.config |= ({"mix": mix} if mix else {}) | ({"attend": True} if attend else {}) | ({"unit": True} if unit else {})
        if mix and width % mix:
            raise OptionError(f"Layers of different widths cannot be mixed ({mix} of them are {width} wide); leave task.mix out.")
        width = width // mix if mix else width
        self.mix = Mix(mix, width) if mix else None
        self.attend = Attend(width) if attend else None
        self.takes_mask = attend
        # Without parameters or running statistics: neither micro-batches nor a batch of one change what it computes.
        layers: list[nn.Module] = [nn.LayerNorm(width, elementwise_affine=False)] if normalise else []
        layers += [Unit()] if unit else []
        for before, after in zip((width, *hidden), hidden):
            layer = nn.Linear(before, after)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="tanh" if activation == "tanh" else "relu")
            nn.init.zeros_(layer.bias)
            layers += [layer, ACTIVATIONS[activation](), nn.Dropout(dropout)]
        if not hidden and dropout:
            layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.final = nn.Linear(hidden[-1] if hidden else width, outputs)
        # Small, so that the loss starts at that of knowing nothing (ln k) and the first gradients that reach a
        # pre-trained body are small too: a large random head distorts its features (Kumar et al., 2022).
        nn.init.normal_(self.final.weight, std=0.01)
        nn.init.zeros_(self.final.bias)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        features = features if self.mix is None else self.mix(features)
        features = features if self.attend is None else self.attend(features, mask)
        return self.final(self.body(features))


def build(
    width: int,
    outputs: int,
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    normalise: bool = False,
    mix: int = 0,
    attend: bool = False,
    unit: bool = False,
) -> Dense:
    """A new head: features [n, width] -> outputs [n, outputs]; deterministic given torch's random state.

    hidden: width of each hidden layer. activation: a name in ACTIVATIONS. dropout: probability, after each hidden
    activation, or on the features where there is no hidden layer. normalise: layer normalisation of the features, without
    parameters, first; for bodies whose features differ much in size from sample to sample. mix: how many parts of equal width
    the features are joined of, to be averaged with learnt weights before anything else; 0 leaves them joined. attend: the
    features are those of tokens [n, l, width], pooled by attention after that. unit: features are put to length 1 first. Raises
    OptionError where the parts are unequal.
    """
    return Dense(width, outputs, tuple(hidden), activation, dropout, normalise, mix, attend, unit)
