import pytest
import torch

from graft.errors import OptionError
from graft.heads.pool import MODES, TEXT_ONLY, pooling

MAP, TOKENS, VECTOR = torch.randn(2, 3, 4, 5), torch.randn(2, 7, 3), torch.randn(2, 6)
LENGTHS = [7, 3]
MASK = torch.arange(7)[None] < torch.tensor(LENGTHS)[:, None]


def pooled(mode, native, x, form, prefix=0):
    return pooling(mode, native, prefix)({"x": x}, form)


def pooled_text(mode, native="avg", **more):
    return pooling(mode, native, 0, text=True)({"x": TOKENS, "mask": MASK, **more}, "text")


def test_each_mode_is_its_formula():
    assert torch.allclose(pooled("avg", "max", MAP, "map"), MAP.sum((2, 3)) / 20, atol=1e-6)
    assert torch.equal(pooled("max", "avg", MAP, "map"), MAP.amax((2, 3)))
    assert torch.equal(pooled("flatten", "avg", MAP, "map"), MAP.reshape(2, 60))
    patches = TOKENS[:, 2:]
    assert torch.allclose(pooled("avg", "cls", TOKENS, "tokens", 2), patches.sum(1) / 5, atol=1e-6)
    assert torch.equal(pooled("max", "cls", TOKENS, "tokens", 2), patches.amax(1))
    assert torch.equal(pooled("flatten", "cls", TOKENS, "tokens", 2), patches.reshape(2, 15))
    assert torch.equal(pooled("cls", "avg", TOKENS, "tokens", 2), TOKENS[:, 0])


def test_auto_is_what_the_body_was_trained_with():
    assert torch.equal(pooled("auto", "max", MAP, "map"), pooled("max", "max", MAP, "map"))
    assert torch.equal(pooled("auto", "cls", TOKENS, "tokens", 1), TOKENS[:, 0])
    assert torch.equal(pooled("auto", "cls", MAP, "map", 1), pooled("avg", "cls", MAP, "map", 1)), "an early stage of a hybrid"


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in TEXT_ONLY])
def test_a_vector_stays_what_it_is_and_a_grid_has_no_class_token(mode):
    assert torch.equal(pooled(mode, "avg", VECTOR, "vector", 1), VECTOR)
    if mode == "cls":
        with pytest.raises(OptionError, match="avg, max or flatten"):
            pooled(mode, "avg", MAP, "map", 1)


def test_only_real_tokens_of_a_text_count():
    rows = [TOKENS[i, : LENGTHS[i]] for i in (0, 1)]
    assert torch.allclose(pooled_text("avg"), torch.stack([row.mean(0) for row in rows]), atol=1e-6)
    assert torch.equal(pooled_text("max"), torch.stack([row.amax(0) for row in rows]))
    assert torch.equal(pooled_text("cls"), TOKENS[:, 0])
    assert torch.equal(pooled_text("last"), torch.stack([row[-1] for row in rows]))
    assert torch.equal(pooled_text("auto", "last"), pooled_text("last"))
    assert torch.equal(pooled_text("tokens"), TOKENS)
    words = torch.tensor([[1, 4, -1], [2, -1, -1]])
    wanted = torch.stack([torch.stack([TOKENS[0, 1], TOKENS[0, 4], torch.zeros(3)]), torch.stack([TOKENS[1, 2], *torch.zeros(2, 3)])])
    assert torch.equal(pooled_text("words", words=words), wanted)


def test_what_is_not_possible_is_refused_with_the_repair():
    with pytest.raises(OptionError, match="no class token"):
        pooling("cls", "avg")
    with pytest.raises(OptionError, match="Did you mean 'avg'"):
        pooling("avgg", "avg")
    with pytest.raises(OptionError, match="for texts"):
        pooling("last", "avg")
    with pytest.raises(OptionError, match="differ in length"):
        pooling("flatten", "avg", text=True)
