"""Which blocks are hidden, where their pixels lie, and the error of those alone, against loops."""

import math

import pytest
import torch

from graft.losses import masked_image


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("cells", "share", "expected"), [(16, 0.75, 12), (49, 0.6, 29), (4, 0.99, 3), (9, 0.01, 1)])
def test_equally_many_blocks_are_hidden_in_each_image_and_never_all(cells, share, expected):
    hidden = masked_image.blocks(40, cells, share, generator())
    assert hidden.dtype == torch.bool and hidden.shape == (40, cells) and hidden.sum(1).tolist() == [expected] * 40
    assert len({tuple(row) for row in hidden.tolist()}) > 1, "each image has its own"
    assert hidden.any(0).all(), "each block is hidden in some image"


def test_torchs_own_generator_decides_where_none_is_given():
    torch.manual_seed(3)
    first = masked_image.blocks(5, 9, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, masked_image.blocks(5, 9, 0.5)) and not torch.equal(first, masked_image.blocks(5, 9, 0.5))


def test_pixels_are_those_of_the_hidden_blocks():
    hidden = masked_image.blocks(3, 9, 0.5, generator())
    found = masked_image.pixels(hidden, 4)
    assert found.shape == (3, 1, 12, 12)
    for n in range(3):
        for y in range(12):
            for x in range(12):
                assert found[n, 0, y, x] == hidden[n, (y // 4) * 3 + x // 4]


def test_patches_are_cut_row_by_row():
    images = torch.randn(2, 3, 8, 8, generator=generator())
    found = masked_image.patches(images, 4)
    assert found.shape == (2, 4, 48)
    for number, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        assert torch.equal(found[:, number].sort(1)[0], images[:, :, y : y + 4, x : x + 4].flatten(1).sort(1)[0])


@pytest.mark.parametrize("normalise", [True, False])
def test_only_hidden_patches_are_guessed(normalise):
    predicted, wanted = (torch.randn(3, 4, 6, generator=generator(seed)) * 2 + 1 for seed in (1, 2))
    hidden = masked_image.blocks(3, 4, 0.5, generator())
    total, count = 0.0, 0
    for n in range(3):
        for patch in range(4):
            if not hidden[n, patch]:
                continue
            row = wanted[n, patch].tolist()
            if normalise:
                mean = sum(row) / 6
                deviation = math.sqrt(sum((v - mean) ** 2 for v in row) / 5 + 1e-6)
                row = [(v - mean) / deviation for v in row]
            total += sum((float(p) - w) ** 2 for p, w in zip(predicted[n, patch], row, strict=True))
            count += 6
    assert masked_image.guessed(predicted, wanted, hidden, normalise).item() == pytest.approx(total / count, rel=1e-5)


def test_a_patch_of_one_colour_is_finite_and_no_gradient_comes_from_what_is_seen():
    predicted = torch.ones(2, 3, 4, requires_grad=True)
    hidden = torch.tensor([[True, False, False], [False, True, False]])
    loss = masked_image.guessed(predicted, torch.full((2, 3, 4), 5.0), hidden)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert loss.item() == pytest.approx(1) and gradient[hidden].abs().min() > 0 and gradient[~hidden].abs().max() == 0
