import math

import torch

from graft.heads.attention import Attend

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def test_it_starts_at_the_mean_of_the_real_tokens():
    x = torch.randn(2, 4, 5)
    out = Attend(5)(x, MASK)
    assert torch.allclose(out[0], x[0, :3].mean(0), atol=1e-6) and torch.allclose(out[1], x[1, 0], atol=1e-6)


def test_against_the_formula_written_out():
    torch.manual_seed(0)
    head, x = Attend(3), torch.randn(2, 4, 3)
    with torch.no_grad():
        head.query.copy_(torch.tensor([1.5, -2.0, 0.5]))
    out = head(x, MASK).detach()
    for n, length in ((0, 3), (1, 1)):
        scores = [math.exp(sum(float(q * v) for q, v in zip(head.query.detach(), x[n, t])) / math.sqrt(3)) for t in range(length)]
        for c in range(3):
            wanted = sum(score * float(x[n, t, c]) for t, score in enumerate(scores)) / sum(scores)
            assert math.isclose(float(out[n, c]), wanted, rel_tol=1e-4, abs_tol=1e-6)


def test_padding_and_empty_rows():
    torch.manual_seed(0)
    head, x = Attend(3), torch.randn(2, 4, 3)
    torch.nn.init.normal_(head.query)
    other = x.masked_fill(~MASK[..., None], torch.inf)
    assert torch.equal(head(x, MASK), head(other, MASK)), "what stands in the padding does not matter"
    out = head(x, torch.zeros_like(MASK))
    assert torch.equal(out, torch.zeros(2, 3))
    out.sum().backward()
    assert torch.isfinite(head.query.grad).all()


def test_the_query_learns_from_the_start():
    head = Attend(3)
    head(torch.randn(2, 4, 3), MASK).pow(2).sum().backward()
    assert head.takes_mask and float(head.query.grad.abs().max()) > 0
