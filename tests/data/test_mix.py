import numpy as np
import pytest
import torch

from graft.data.mix import mix

torch.set_num_threads(1)


def batch(n: int = 6) -> torch.Tensor:
    """Sample i is i everywhere, so that a mixed pixel tells whom it came from."""
    return torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1).expand(n, 3, 12, 10).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("mixup,cutmix", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
@pytest.mark.parametrize("seed", range(8))
def test_targets_are_mixed_as_the_inputs_are(mixup, cutmix, seed):
    inputs, targets = batch(), torch.arange(6)
    mixed, soft = mix(inputs, targets, np.random.default_rng(seed), mixup, cutmix, 6)
    assert mixed.shape == inputs.shape and soft.shape == (6, 6) and soft.dtype == torch.float32
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    # With these inputs the mean of a sample is the mean class under its soft target, for both kinds of mixing.
    torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ torch.arange(6.0), atol=1e-5, rtol=1e-5)


def test_kinds():
    pure = set(range(6))
    for seed in range(10):
        cut = mix(batch(), torch.arange(6), np.random.default_rng(seed), 0, 1.0, 6)[0]
        assert set(cut.unique().tolist()) <= pure  # whole pixels are pasted
    blended = mix(batch(), torch.arange(6), np.random.default_rng(1), 5.0, 0, 6)[0]
    assert not set(blended.unique().tolist()) <= pure


def test_labels_and_numbers_are_interpolated():
    numbers = torch.arange(6.0)[:, None]
    mixed, targets = mix(batch(), numbers, np.random.default_rng(3), 1.0, 0, 0)
    torch.testing.assert_close(mixed[:, 0, 0, :1], targets)
    labels = torch.rand(6, 4).round()
    soft = mix(batch(), labels, np.random.default_rng(3), 1.0, 0, 4)[1]
    assert soft.shape == (6, 4)
    torch.testing.assert_close(soft.sum(0), labels.sum(0))


def test_off_is_untouched_and_inputs_are_never_changed():
    inputs, targets = batch(), torch.arange(6)
    same, hard = mix(inputs, targets, np.random.default_rng(0), 0, 0, 6)
    assert same is inputs and hard is targets
    kept = inputs.clone()
    mix(inputs, targets, np.random.default_rng(0), 0, 1.0, 6)
    assert torch.equal(inputs, kept)
    with pytest.raises(ValueError, match="classes"):
        mix(inputs, targets, np.random.default_rng(0), 1.0, 0, 0)
