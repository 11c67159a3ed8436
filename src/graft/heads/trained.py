"""Heads trained by gradient descent: hidden layers (none by default), then a linear layer.

The classic recipes are one line each: VGG's `build(25088, k, (256,), dropout=0.5)` on flattened features,
`build(width, k, (1024, 512))` on averaged ones, and the linear probe `build(width, k)`.
"""

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
}  # fmt: skip


class Dense(nn.Module):
    """[n, width] -> [n, outputs]. Made by `build`; `final` is the last, linear layer."""

    def __init__(self, width: int, outputs: int, hidden: tuple[int, ...], activation: str, dropout: float, normalise: bool):
        super().__init__()
        self.config = {
            "kind": "linear", "width": width, "outputs": outputs, "hidden": list(hidden), "activation": activation,
            "dropout": dropout, "normalise": normalise,
        }  # fmt: skip
        # Without parameters or running statistics: neither micro-batches nor a batch of one change what it computes.
        layers: list[nn.Module] = [nn.LayerNorm(width, elementwise_affine=False)] if normalise else []
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

    def forward(self, features: Tensor) -> Tensor:
        return self.final(self.body(features))


def build(
    width: int,
    outputs: int,
    hidden: tuple[int, ...] = (),
    activation: str = "relu",
    dropout: float = 0.0,
    normalise: bool = False,
) -> Dense:
    """A new head: features [n, width] -> outputs [n, outputs]; deterministic given torch's random state.

    hidden: width of each hidden layer. activation: a name in ACTIVATIONS. dropout: probability, after each hidden
    activation, or on the features where there is no hidden layer. normalise: layer normalisation of the features, without
    parameters, first; for bodies whose features differ much in size from sample to sample.
    """
    return Dense(width, outputs, tuple(hidden), activation, dropout, normalise)
