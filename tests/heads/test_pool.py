import pytest
import torch

from graft.errors import OptionError
from graft.heads.pool import MODES, pooled_width, pooling

MAP, TOKENS, VECTOR = torch.randn(2, 3, 4, 5), torch.randn(2, 7, 3), torch.randn(2, 6)


def test_each_mode_is_its_formula():
    assert torch.allclose(pooling("avg", "max")(MAP, "map"), MAP.sum((2, 3)) / 20, atol=1e-6)
    assert torch.equal(pooling("max", "avg")(MAP, "map"), MAP.amax((2, 3)))
    assert torch.equal(pooling("flatten", "avg")(MAP, "map"), MAP.reshape(2, 60))
    patches = TOKENS[:, 2:]
    assert torch.allclose(pooling("avg", "cls", 2)(TOKENS, "tokens"), patches.sum(1) / 5, atol=1e-6)
    assert torch.equal(pooling("max", "cls", 2)(TOKENS, "tokens"), patches.amax(1))
    assert torch.equal(pooling("flatten", "cls", 2)(TOKENS, "tokens"), patches.reshape(2, 15))
    assert torch.equal(pooling("cls", "avg", 2)(TOKENS, "tokens"), TOKENS[:, 0])


def test_auto_is_what_the_body_was_trained_with():
    assert torch.equal(pooling("auto", "max")(MAP, "map"), pooling("max", "max")(MAP, "map"))
    assert torch.equal(pooling("auto", "cls", 1)(TOKENS, "tokens"), TOKENS[:, 0])
    assert torch.equal(pooling("auto", "cls", 1)(MAP, "map"), pooling("avg", "cls", 1)(MAP, "map")), "an early stage of a hybrid"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("x", "form", "channels", "grid"), [(MAP, "map", 3, (4, 5)), (TOKENS, "tokens", 3, (7,)), (VECTOR, "vector", 6, ())]
)
def test_the_width_is_known_before_the_pass(mode, x, form, channels, grid):
    if (mode, form) == ("cls", "map"):
        with pytest.raises(OptionError, match="avg, max or flatten"):
            pooling(mode, "avg", 1)(x, form)
        return
    for native in ("avg", "flatten"):
        assert pooling(mode, native, 1)(x, form).shape == (2, pooled_width(mode, native, form, channels, grid, 1))


def test_what_is_not_possible_is_refused_with_the_repair():
    with pytest.raises(OptionError, match="no class token"):
        pooling("cls", "avg")
    with pytest.raises(OptionError, match="Did you mean 'avg'"):
        pooling("avgg", "avg")
