"""BatchNorm statistics of images beside those that were learnt."""

import numpy as np
import torch
from tests import nets
from torch import nn

from graft.engine import statistics
from graft.engine.device import Machine

CPU = Machine(torch.device("cpu"))


def learnt():
    """A net whose statistics are not those of random weights."""
    net = nets.net(nets.task())
    layers = [m for m in net.stages.modules() if isinstance(m, nn.BatchNorm2d)]
    for i, layer in enumerate(layers):
        layer.running_mean.normal_(generator=torch.Generator().manual_seed(i))
        layer.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(i))
    return net, layers


def test_statistics_are_those_of_a_training_step():
    net, layers = learnt()
    assert layers, "the test net has no BatchNorm"
    images = torch.randn(6, 3, net.prepare.size, net.prepare.size, generator=torch.Generator().manual_seed(0))
    found = statistics.norms(net, images.split(3), CPU)
    assert len(found.batch_mean) == len(layers) and found.batch_mean[0].shape == (2, layers[0].num_features)
    # The first layer's input does not depend on other layers: momentum 1 makes its statistics those of the batch.
    first, before = layers[0], layers[0].running_mean.clone()
    np.testing.assert_allclose(found.running_mean[0], before.numpy(), rtol=1e-6)
    first.momentum, first.training = 1.0, True
    with torch.no_grad():
        net.advance(images[:3], 0, len(net.stages))
    np.testing.assert_allclose(found.batch_mean[0][0], first.running_mean.numpy(), atol=1e-5)
    n = 3 * np.prod(images.shape[2:])  # unbiased in training, and at full size here at most; the ratio is close to one
    assert np.allclose(found.batch_var[0][0], first.running_var.numpy(), rtol=10 / n + 0.02)


def test_random_weights_have_nothing_to_compare_with():
    net = nets.net(nets.task())
    assert statistics.norms(net, [torch.zeros(1, 3, net.prepare.size, net.prepare.size)], CPU) is None


def test_the_net_is_left_as_it_was():
    net, _ = learnt()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    statistics.norms(net, [torch.randn(2, 3, net.prepare.size, net.prepare.size)], CPU)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net.training and not any(m._forward_pre_hooks for m in net.modules())
