"""The head of a body that has learnt without labels: the features as they are."""

from torch import Tensor, nn


class Identity(nn.Module):
    """[n, width] -> the same [n, width]; nothing to learn. config describes it for `heads.rebuild`."""

    def __init__(self, width: int):
        super().__init__()
        self.config = {"kind": "identity", "width": width}

    def forward(self, features: Tensor) -> Tensor:
        return features
