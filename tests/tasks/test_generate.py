import pytest
import torch
from tests.tasks import toys

from graft.core import Batch
from graft.data.tokens import Tokenizer, collate
from graft.errors import OptionError
from graft.tasks import language
from graft.tasks.generate import _draw, continue_text

TEXT = "the cat sat on the mat and anna ran to town ."


@pytest.fixture(scope="module")
def taught():
    """A net that knows one text by heart, and the end of it."""
    prepare = toys.bytewise()
    net = toys.net(prepare, "tokens", causal=True, width=32)
    tokens = Tokenizer(prepare).texts([f"{TEXT}<|endoftext|>"])
    inputs = collate(tokens)
    batch = Batch(inputs, inputs["ids"], torch.arange(1))
    toys.learn(net, lambda step: language.objective(net, batch, causal=True), 80)
    return net, prepare


def test_it_goes_on_as_it_was_taught_and_stops_at_the_end(taught):
    net, prepare = taught
    net.train()
    for values in ({"temperature": 0}, {"top_p": 0.5}, {"temperature": 0.1, "seed": 3}):
        assert continue_text(net, prepare, "the cat sat", 60, **values) == TEXT.removeprefix("the cat sat")
    assert net.training and TEXT.startswith("the cat sat" + continue_text(net, prepare, "the cat sat", 3, temperature=0))


def test_the_seed_decides_what_is_drawn(taught):
    net, prepare = taught
    drawn = [continue_text(net, prepare, "the", 12, temperature=50.0, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_longer_text_than_the_body_reads_is_seen_from_its_end(taught):
    net, prepare = taught
    assert isinstance(continue_text(net, prepare, TEXT * 20, 3), str) and len(Tokenizer(prepare).texts([TEXT * 20])[0]) == prepare.length


def test_draws_have_the_shares_of_the_softmax_and_the_nucleus_leaves_out_the_tail():
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    generator = torch.Generator().manual_seed(0)

    def shares(*values):
        drawn = [_draw(logits, *values, generator) for _ in range(2000)]
        return [drawn.count(token) / 2000 for token in range(4)]

    assert shares(1.0, 1.0) == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.04)
    squared = logits.mul(2).softmax(0).tolist()
    assert shares(0.5, 1.0) == pytest.approx(squared, abs=0.04)
    # 0.4 alone is less than 0.6, with 0.3 it is not: the two are drawn from.
    assert shares(1.0, 0.6) == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=0.04)
    assert shares(1.0, 1e-6) == [0, 1, 0, 0] and _draw(logits, 0, 1.0, generator) == 1


def test_what_cannot_be_asked_is_refused(taught):
    net, prepare = taught
    with pytest.raises(OptionError, match="causal"):
        continue_text(toys.net(toys.pieces(), "tokens"), toys.pieces(), "the cat")
    for wrong in ({"tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(OptionError):
            continue_text(net, prepare, "the cat", **wrong)
    assert isinstance(continue_text(net, prepare, "", 2), str)  # from the end of the text before it
