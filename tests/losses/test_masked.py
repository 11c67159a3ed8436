import math

import pytest
import torch

from graft.losses import masked as own

SPECIAL, MASK = (0, 1, 2), 3


def _text(rows=40, length=50, vocabulary=100):
    torch.manual_seed(0)
    ids = torch.randint(4, vocabulary, (rows, length))
    ids[:, 0], ids[:, -1] = 1, 2
    mask = torch.arange(length) < torch.randint(5, length + 1, (rows, 1))
    return ids.masked_fill(~mask, 0), mask


def test_a_seventh_of_the_tokens_is_hidden_in_bert_s_shares_and_special_ones_never():
    ids, mask = _text(rows=400)
    changed, targets = own.masked_tokens(ids, mask, SPECIAL, MASK, 100)
    chosen, free = targets != own.IGNORED, mask & (ids > 2)
    assert (chosen <= free).all() and (targets[chosen] == ids[chosen]).all() and (changed[~chosen] == ids[~chosen]).all()
    for row in range(len(ids)):
        assert chosen[row].sum() == max(1, round(0.15 * int(free[row].sum())))
    hidden, same = (changed[chosen] == MASK).float().mean(), (changed[chosen] == ids[chosen]).float().mean()
    assert hidden.item() == pytest.approx(0.8, abs=0.04) and same.item() == pytest.approx(0.1, abs=0.03)
    # Each free place is as likely as any other.
    assert chosen.float().sum(0)[1:5].std() < 4 * math.sqrt(400 * 0.15 * 0.85)


def test_the_same_generator_hides_the_same_and_a_text_of_special_tokens_hides_nothing():
    ids, mask = _text()
    draw = lambda seed: own.masked_tokens(ids, mask, SPECIAL, MASK, 100, 0.3, torch.Generator().manual_seed(seed))  # noqa: E731
    assert all(torch.equal(a, b) for a, b in zip(draw(0), draw(0), strict=True)) and not torch.equal(draw(0)[0], draw(1)[0])
    only = torch.tensor([[1, 2, 0]])
    changed, targets = own.masked_tokens(only, torch.ones(1, 3, dtype=torch.bool), SPECIAL, MASK, 100)
    assert torch.equal(changed, only) and (targets == own.IGNORED).all()


def test_causal_is_the_mean_surprise_at_each_next_real_token(monkeypatch):
    monkeypatch.setattr(own, "CHUNK", 13 * 7)  # seven tokens at a time
    torch.manual_seed(1)
    logits, ids = torch.randn(3, 9, 13, requires_grad=True), torch.randint(13, (3, 9))
    mask = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    slow, count = 0.0, 0
    for i, length in enumerate((9, 4, 1)):
        for t in range(1, length):
            p = logits[i, t - 1].exp() / logits[i, t - 1].exp().sum()
            slow, count = slow - p[ids[i, t]].log(), count + 1
    value = own.causal(logits, ids, mask)
    assert value.item() == pytest.approx((slow / count).item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.allclose(gradient, torch.autograd.grad(slow / count, logits)[0], atol=1e-6)


@pytest.mark.parametrize("share", [0.15, 0.9])
def test_masked_is_the_mean_over_the_tokens_that_count(share, monkeypatch):
    monkeypatch.setattr(own, "CHUNK", 13 * 4)
    torch.manual_seed(2)
    logits, ids = torch.randn(3, 9, 13, requires_grad=True), torch.randint(13, (3, 9))
    targets = ids.masked_fill(torch.rand(3, 9) > share, own.IGNORED)
    chosen = [(i, t) for i in range(3) for t in range(9) if targets[i, t] != own.IGNORED]
    slow = -sum(logits[i, t].log_softmax(0)[targets[i, t]] for i, t in chosen) / len(chosen)
    value = own.masked(logits, targets)
    assert value.item() == pytest.approx(slow.item(), rel=1e-5)
    assert torch.allclose(torch.autograd.grad(value, logits)[0], torch.autograd.grad(slow, logits)[0], atol=1e-6)
    rows = own.surprises(logits, targets)
    assert (rows[:, 0].sum() / rows[:, 1].sum()).item() == pytest.approx(slow.item(), rel=1e-5)
    assert rows[:, 1].tolist() == [sum(i == row for i, _ in chosen) for row in range(3)]


def test_beside_the_logits_nothing_of_their_size_is_kept_for_the_gradient(monkeypatch):
    monkeypatch.setattr(own, "CHUNK", 500)
    logits = torch.randn(4, 32, 500, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        value = own.causal(logits, torch.randint(500, (4, 32)), torch.ones(4, 32, dtype=torch.bool))
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    storages.pop(logits.untyped_storage().data_ptr())
    assert sum(storages.values()) < 4 * logits.numel() / 10 and value.requires_grad


def test_nothing_to_count_costs_nothing_and_still_has_a_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    value = own.masked(logits, torch.full((2, 3), own.IGNORED))
    assert value.item() == 0 and torch.autograd.grad(value, logits)[0].abs().sum() == 0
