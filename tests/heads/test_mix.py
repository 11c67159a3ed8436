import math

import torch
from torch import nn

from graft.heads.mix import Mix


def test_it_starts_at_the_mean_of_the_layers():
    layers = torch.randn(3, 4, 5)
    assert torch.allclose(Mix(3, 5)(torch.cat(list(layers), -1)), layers.mean(0), atol=1e-6)


def test_against_the_equation_written_out():
    torch.manual_seed(0)
    mix, layers = Mix(3, 2), torch.randn(3, 2, 4, 2)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.3, -1.2, 2.0]))
        mix.gamma.fill_(1.7)
    out, total = mix(torch.cat(list(layers), -1)).detach(), sum(math.exp(w) for w in (0.3, -1.2, 2.0))
    for n in range(2):
        for t in range(4):
            for c in range(2):
                wanted = 1.7 * sum(math.exp(w) / total * float(layers[j, n, t, c]) for j, w in enumerate((0.3, -1.2, 2.0)))
                assert math.isclose(float(out[n, t, c]), wanted, rel_tol=1e-5, abs_tol=1e-6)


def test_it_finds_the_layer_that_matters():
    torch.manual_seed(0)
    mix, x = Mix(2, 3), torch.randn(200, 6)
    optimizer = torch.optim.Adam(mix.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.mse_loss(mix(x), 2 * x[:, 3:]).backward()
        optimizer.step()
    share = torch.softmax(mix.weights.detach(), 0)
    assert share[1] > 0.95 and abs(float(mix.gamma.detach()) - 2) < 0.15
