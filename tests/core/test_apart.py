"""Two texts read apart: each as if it were alone, whatever the padding, and compared once they are pooled."""

import torch

from graft.core import apart


def test_folding_and_back_is_nothing_and_taps_are_left_alone():
    state = {"x": torch.randn(3, 8, 5), "mask": torch.rand(3, 8) > 0.5, "tap0": torch.randn(3, 20)}
    folded = apart.folded(state)
    assert folded["x"].shape == (6, 4, 5) and folded["mask"].shape == (6, 4) and folded["tap0"] is state["tap0"]
    back = apart.unfolded(folded)
    assert all(torch.equal(value, back[key]) for key, value in state.items())


def test_the_texts_of_a_row_stand_side_by_side_and_padding_at_the_end_is_padding_of_both():
    x = torch.tensor([[1, 10, 2, 20, 0, 0], [3, 30, 4, 40, 0, 0]])[..., None]
    assert apart.folded({"x": x})["x"][..., 0].tolist() == [[1, 2, 0], [10, 20, 0], [3, 4, 0], [30, 40, 0]]


def test_vectors_are_compared():
    u, v = torch.tensor([[0.6, -0.8]]), torch.tensor([[5.0, 0.0]])
    size, wanted = 2**0.5, [0.6, -0.8, 1.0, 0.0, 0.4, 0.8, 0.6 * 2**0.5, 0.0]
    torch.testing.assert_close(apart.compared(torch.cat([u, v])), torch.tensor([wanted]) * size)
    cosine = torch.nn.functional.cosine_similarity(u, v)
    torch.testing.assert_close(apart.compared(torch.cat([u, v]))[:, -2:].mean(1), cosine)
    assert apart.compared(torch.randn(6, 4)).shape == (3, 16)
