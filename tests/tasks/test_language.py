import math
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from tests.tasks import toys

from graft.core import Batch, Data, Schema
from graft.data.tokens import Tokenizer, Tokens, collate
from graft.errors import DataError, OptionError
from graft.losses import masked as losses
from graft.tasks import language
from graft.tasks.language import Options, task

SCHEMA = Schema("text", "language", (), "text")
TEXTS = ["the cat sat on the mat .", "", "anna ran to town , and bob ran to berlin in may .", "old dog"] * 3


def _data(texts=TEXTS, **values):
    paths = [f"train.txt:{i + 1}" for i in range(len(texts))]
    return Data(pa.table({"path": paths, "text": pa.array(texts, pa.string()), "label": [""] * len(texts)}), SCHEMA, "f", "here", **values)


def _batch(built, prepare, table, rows=None):
    rows = list(range(len(table))) if rows is None else rows
    ids = [torch.tensor(table["ids"][row].as_py(), dtype=torch.int32).numpy() for row in rows]
    index = torch.tensor(rows)
    return Batch(collate([Tokens(one, None) for one in ids], prepare.pad), built.encode(table)[index], index, table=table)


@pytest.mark.parametrize("name", ["pieces", "bytewise"])
def test_blocks_are_the_running_text_and_lose_no_token(name):
    prepare = getattr(toys, name)()
    table = task(SCHEMA, Options("causal", block=16)).expand(_data(), prepare).train
    own, around = Tokenizer(prepare), language.frame(prepare)
    ids = table["ids"].to_pylist()
    assert all(len(one) == 16 for one in ids[:-1]) and len(ids[-1]) <= 16
    for one in ids:
        assert tuple(one[: len(around.before)]) == around.before and tuple(one[len(one) - len(around.after) :]) == around.after
    running = [token for one in ids for token in around.inside(one)]
    wanted = []
    for text in filter(None, TEXTS):
        wanted += [*around.inside(own.texts([text])[0].ids.tolist()), *around.between]
    wanted = wanted[: -len(around.between)]
    assert running == wanted[: len(running)] and len(wanted) - len(running) < 2
    paths = table["path"].to_pylist()
    assert paths[0] == "train.txt:1" and len(set(paths)) == len(paths) and set(table["label"].to_pylist()) == {""}
    assert "the cat sat" in table["text"][0].as_py()


def test_texts_are_joined_in_the_order_of_their_lines():
    """Splits sort by name, and "a.txt:10" comes before "a.txt:2" there."""
    prepare, built = toys.pieces(16), task(SCHEMA, Options("causal", block=16))
    texts = [*TEXTS[:3], "the cat"]
    named = lambda order: pa.table({  # noqa: E731
        "path": [f"a.txt:{(1, 2, 10, 11)[i]}" for i in order], "text": [texts[i] for i in order], "label": [""] * 4,
    })  # fmt: skip
    whole, sorted_ = (built.expand(replace(_data(), train=named(order)), prepare).train for order in ((0, 1, 2, 3), (0, 2, 3, 1)))
    assert whole.equals(sorted_)


def test_what_stands_around_a_text_is_found():
    around = language.frame(toys.pieces())
    assert (around.before, around.after, around.between, around.ends) == ((2,), (3,), (3,), {3})
    around = language.frame(toys.bytewise())
    assert (around.before, around.after, around.between, around.ends) == ((), (), (0,), {0})


def test_a_long_text_is_not_cut_and_what_cannot_be_read_is_refused():
    prepare = toys.pieces(16)
    built = task(SCHEMA, Options("masked", block=16))
    table = built.expand(_data(["the cat sat " * 40]), prepare).train
    assert sum(len(ids) - 2 for ids in table["ids"].to_pylist()) == 120 and table["path"][1].as_py() == "train.txt:1#2"
    with pytest.raises(OptionError, match="block=16"):
        task(SCHEMA, Options("masked", block=32)).expand(_data(), prepare)
    with pytest.raises(DataError, match="no text"):
        built.expand(_data(["", " "]), prepare)
    with pytest.raises(OptionError, match=r"task\.kind"):
        task(SCHEMA, Options())
    with pytest.raises(OptionError, match="own head"):
        built.head(16)
    for wrong in ({"kind": "both"}, {"block": 2}, {"share": 1.0}):
        with pytest.raises(OptionError):
            Options(**wrong)


def test_ids_are_the_targets_and_a_shorter_batch_costs_the_same():
    prepare, built = toys.bytewise(), task(SCHEMA, Options("causal", block=20))
    table = built.expand(_data(TEXTS[:3]), prepare).train
    targets = built.encode(table)
    assert targets.shape == (len(table), 20) and (targets[-1, len(table["ids"][-1]) :] == losses.IGNORED).all()
    torch.manual_seed(0)
    logits, last = torch.randn(len(table), 24, toys.size(prepare)), len(table) - 1
    slow = 0.0
    for row, ids in enumerate(table["ids"].to_pylist()):
        chances = logits[row].exp() / logits[row].exp().sum(1, keepdim=True)
        slow -= sum(math.log(chances[t, ids[t + 1]]) for t in range(len(ids) - 1))
    tokens = sum(len(ids) - 1 for ids in table["ids"].to_pylist())
    assert built.loss(logits, targets, smoothing=0.1).item() == pytest.approx(slow / tokens, rel=1e-5)
    own = len(table["ids"][last])
    assert built.loss(logits[last:, :own], targets[last:]) == pytest.approx(built.loss(logits[last:], targets[last:]))
    found = built.summarise(logits, Batch({}, targets, torch.arange(len(table)), table=table))
    assert found.sum(0).tolist() == pytest.approx([slow, tokens], rel=1e-5)
    assert built.metrics(built.decode(found).numpy(), targets.numpy())["perplexity"] == pytest.approx(math.exp(slow / tokens), rel=1e-5)
    assert built.primary == "perplexity" and not built.higher and not built.calibrated and built.pool == "tokens"
    assert Options(**built.config) == Options("causal", block=20)


def test_what_is_hidden_of_a_row_follows_from_the_row_alone_when_it_is_scored():
    prepare, built = toys.pieces(), task(SCHEMA, Options("masked", block=24))
    table = built.expand(_data(), prepare).train
    batch = _batch(built, prepare, table)
    ids, mask = batch.inputs["ids"], batch.inputs["mask"]
    changed, targets = language.corrupt(ids, mask, prepare, seed=0)
    assert (targets >= 0).sum(1).min() >= 1 and not torch.isin(targets, torch.tensor([0, 2, 3])).any() and (changed != ids).any()
    alone = language.corrupt(ids[-1:, : int(mask[-1].sum())], mask[-1:, : int(mask[-1].sum())], prepare, seed=0)
    assert torch.equal(alone[0][0], changed[-1, : alone[0].shape[1]]) and torch.equal(alone[1][0], targets[-1, : alone[1].shape[1]])
    assert not torch.equal(language.corrupt(ids, mask, prepare, seed=1)[1], targets)
    torch.manual_seed(0)
    first, second = (language.corrupt(ids, mask, prepare)[1] for _ in range(2))
    assert not torch.equal(first, second)
    with pytest.raises(OptionError, match="causal"):
        language.corrupt(ids, mask, toys.bytewise(), seed=0)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_objective_and_measure_are_loss_and_summary_without_all_logits(kind, monkeypatch):
    monkeypatch.setattr(language, "TOKENS", 7)
    causal = kind == "causal"
    prepare = toys.bytewise() if causal else toys.pieces()
    built = task(SCHEMA, Options(kind, block=24))
    table = built.expand(_data(), prepare).train
    net, batch = toys.net(prepare, "tokens", causal=causal), _batch(built, prepare, table)
    net.eval()
    torch.manual_seed(5)
    value = built.loss.of_net(net, batch)
    torch.manual_seed(5)
    inputs, targets = batch.inputs, batch.targets
    if not causal:
        ids, targets = language.corrupt(inputs["ids"], inputs["mask"], prepare)
        inputs = {**inputs, "ids": ids}
    assert value.item() == pytest.approx(built.loss(net(inputs), targets).item(), rel=1e-5) and value.requires_grad
    if not causal:
        ids, targets = language.corrupt(batch.inputs["ids"], batch.inputs["mask"], prepare, seed=0)
        inputs = {**batch.inputs, "ids": ids}
    slow = built.summarise(net(inputs), Batch(inputs, targets, batch.rows)).detach()
    found = built.summarise.of_net(net, batch)
    assert torch.allclose(found, slow, rtol=1e-4) and torch.equal(found, language.measure(net, batch, causal))
    # Whatever stands beside it in the batch.
    alone = language.measure(net, _batch(built, prepare, table, [len(table) - 1]), causal)
    assert torch.allclose(alone[0], found[-1], rtol=1e-4)


def test_a_batch_in_which_nothing_was_hidden_is_refused():
    prepare, built = toys.pieces(), task(SCHEMA, Options("masked", block=24))
    table = built.expand(_data(), prepare).train
    net, batch = toys.net(prepare, "tokens"), _batch(built, prepare, table)
    with pytest.raises(ValueError, match="no token of this batch was hidden"):
        built.loss(net(batch.inputs), batch.targets)
    with pytest.raises(ValueError, match="no token of this batch was hidden"):
        built.summarise(net(batch.inputs), batch)
    kept = Batch(net.advance(batch.inputs, 0, 1), batch.targets, batch.rows, start=1)
    with pytest.raises(OptionError, match="finetune"):
        language.objective(net, kept, causal=False)
    assert torch.allclose(language.objective(net, kept, causal=True), language.objective(net, batch, causal=True))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_net_learns_the_language(kind):
    causal = kind == "causal"
    prepare = toys.bytewise() if causal else toys.pieces()
    built = task(SCHEMA, Options(kind, block=24))
    table = built.expand(_data(), prepare).train
    net, batch = toys.net(prepare, "tokens", causal=causal), _batch(built, prepare, table)
    score = lambda: built.metrics(language.measure(net, batch, causal).numpy(), batch.targets.numpy())["perplexity"]  # noqa: E731
    before = score()
    toys.learn(net, lambda step: language.objective(net, batch, causal), 60)
    assert score() < before / 5
