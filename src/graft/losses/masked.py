"""Losses of language models: the next token, or tokens that were hidden."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IGNORED = -100
"""In targets, tokens that do not count."""
CHUNK = 2**24
"""Logits whose softmax is held at a time, 64 MB in float32."""


def masked_tokens(
    ids: Tensor,
    mask: Tensor,
    special: Sequence[int],
    mask_id: int,
    vocabulary: int,
    share: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """(ids [n, l] with some tokens changed, targets [n, l]: what these were, IGNORED elsewhere).

    Of each row's tokens (mask bool [n, l], without the ids in `special`), round(share * their number) are chosen, at least one.
    Of those 80 % become `mask_id`, 10 % an id drawn from 0 to vocabulary - 1, and 10 % stay, so that the body cannot rely on the
    sign (Devlin et al., "BERT", 2019, section 3.1). generator: on the CPU, torch's own if None: what is drawn is the same on
    every device.
    """
    free = mask & ~torch.isin(ids, torch.tensor(list(special), dtype=ids.dtype, device=ids.device))
    draw = lambda: torch.rand(ids.shape, generator=generator).to(ids.device)  # noqa: E731
    # The rank of each free token in a random order; those that are not free come last.
    rank = draw().masked_fill(~free, 2.0).argsort(1).argsort(1)
    wanted = (share * free.sum(1)).round().clamp(min=1)
    chosen = free & (rank < wanted[:, None])
    fate, other = draw(), torch.randint(vocabulary, ids.shape, generator=generator).to(ids.device, ids.dtype)
    changed = ids.masked_fill(chosen & (fate < 0.8), mask_id)
    changed = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), other, changed)
    return changed, ids.masked_fill(~chosen, IGNORED)


def following(ids: Tensor, mask: Tensor) -> Tensor:
    """targets [n, l] of a model that names the next token: each token's successor, IGNORED where there is none."""
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = ids[:, 1:].masked_fill(~mask[:, 1:], IGNORED)
    return targets


def causal(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Mean of -ln p(token | those before it) over real tokens (mask bool [n, l]) from the second on; logits [n, l, vocabulary].

    A scalar; 0 where no token counts. The softmax is computed in chunks, and again for the gradient instead of being kept: beside
    the logits nothing of their size is held but their gradient.
    """
    return masked(logits, following(ids, mask))


def masked(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -ln p over the tokens that count: logits [n, l, vocabulary], targets [n, l] with IGNORED elsewhere. As `causal`."""
    rows, wanted = logits.flatten(0, 1), targets.flatten()
    counted = wanted != IGNORED
    if 2 * int(counted.sum()) < len(wanted):
        rows, wanted = rows[counted], wanted[counted]
    return _Surprise.apply(rows, wanted) / counted.sum().clamp(min=1)


@torch.no_grad()
def surprises(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each row, -ln p summed over the tokens that count, and their number: float32 [n, 2]; logits and targets as in `masked`."""
    sums = torch.stack([_surprise(row, wanted) for row, wanted in zip(logits, targets, strict=True)])
    return torch.stack([sums, (targets != IGNORED).sum(1).to(sums.dtype)], 1)


def _surprise(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")


class _Surprise(torch.autograd.Function):
    """-ln p summed over rows: logits [k, vocabulary], targets [k] with IGNORED."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(logits, targets)
        total = logits.new_zeros((), dtype=torch.float32)
        for some, wanted in _pieces(logits, targets):
            total += _surprise(some, wanted)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, above: Tensor) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for (some, wanted), (place, _) in zip(_pieces(logits, targets), _pieces(gradient, targets), strict=True):
            slope = some.float().softmax(-1)
            slope[torch.arange(len(wanted), device=wanted.device), wanted.clamp(min=0)] -= 1
            place.copy_(slope.mul_(((wanted != IGNORED) * above)[:, None]))
        return gradient, None


def _pieces(logits: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = max(1, CHUNK // logits.shape[-1])
    return list(zip(logits.split(size), targets.split(size), strict=True))
