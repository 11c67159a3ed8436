import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.tasks import toys
from torch.nn import functional as F

from graft.core import Batch, Schema
from graft.data.tokens import Tokenizer, collate
from graft.errors import DataError, OptionError
from graft.tasks.tags import Options, loss, task

SCHEMA = Schema("text", "tags", ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), "text", longest=6)
TEXTS = [["anna", "ran", "to", "old", "town"], ["bob", "sat"], ["the", "cat", "and", "anna", "bob", "ran"]]
TAGS = [["B-PER", "O", "O", "B-LOC", "I-LOC"], ["B-PER", "O"], ["O", "O", "O", "B-PER", "I-PER", "O"]]


def _table(texts=TEXTS, tags=TAGS):
    return pa.table({"path": [f"train.conll:{i}" for i in range(len(texts))], "text": texts, "label": tags})


def _batch(built, prepare, table, rows):
    inputs = collate([Tokenizer(prepare).words(table["text"].to_pylist())[row] for row in rows])
    index = torch.tensor(rows)
    return Batch(inputs, built.encode(table)[index], index, table=table)


def test_tags_become_numbers_of_one_width():
    built = task(SCHEMA, Options())
    assert built.encode(_table()).tolist()[:2] == [[3, 0, 0, 1, 2, -100], [3, 0, -100, -100, -100, -100]]
    for texts, tags, wrong in (
        ([["a", "b"]], [["O"]], "train.conll:0 has 2 words and 1 tags"),
        ([["a"]], [["B-LO"]], "the tag 'B-LO'.*Did you mean 'B-LOC'"),
        ([["a"] * 7], [["O"] * 7], "7 words, and 6 is the most"),
        ([["a"]], [None], "has no tags"),
    ):
        with pytest.raises(DataError, match=wrong):
            built.encode(_table(texts, pa.array(tags, pa.list_(pa.string()))))
    for classes in (("O",), ("O", "LOC"), ("B-LOC", "I-LOC")):
        with pytest.raises(DataError):
            task(Schema("text", "tags", classes, "text", longest=3), Options())


def test_loss_is_the_mean_over_words_whatever_the_padding():
    torch.manual_seed(0)
    outputs, targets = torch.randn(3, 6, 5), task(SCHEMA, Options()).encode(_table())
    weights = torch.tensor([0.5, 1.0, 2.0, 1.0, 3.0])
    slow, words = 0.0, 0
    for i, tags in enumerate(TAGS):
        for j, tag in enumerate(tags):
            smooth = 0.9 * F.one_hot(torch.tensor(SCHEMA.classes.index(tag)), 5) + 0.1 / 5
            slow -= sum(float(weights[c] * smooth[c]) * outputs[i, j].log_softmax(0)[c] for c in range(5))
            words += 1
    assert loss(outputs, targets, 0.1, weights).item() == pytest.approx((slow / words).item(), rel=1e-5)
    soft = F.one_hot(targets.clamp(min=0), 5).float() * (targets >= 0)[..., None]
    assert loss(outputs, soft, 0.1, weights).item() == pytest.approx((slow / words).item(), rel=1e-5)
    # A batch that holds fewer words than the longest row of all, and one padded beyond it.
    assert loss(outputs[1:2, :2], targets[1:2]) == pytest.approx(loss(outputs[1:2], targets[1:2]))
    assert loss(F.pad(outputs, (0, 0, 0, 3)), targets) == pytest.approx(loss(outputs, targets))
    assert loss(outputs[:1], torch.full((1, 6), -100)) == 0


def test_words_that_were_cut_off_are_not_learnt_from():
    prepare = toys.pieces(length=6)  # [CLS], four pieces, [SEP]
    built, table = task(SCHEMA, Options(dropout=0.0)), _table()
    net = toys.net(prepare, "words", built.head)
    batch = _batch(built, prepare, table, [0, 1, 2])
    outputs, slow, words = net(batch.inputs).log_softmax(-1), 0.0, 0
    for i, places in enumerate(batch.inputs["words"].tolist()):
        for j, place in enumerate(places):
            if place >= 0:
                slow, words = slow - outputs[i, j, SCHEMA.classes.index(TAGS[i][j])], words + 1
    assert 0 < words < sum(map(len, TAGS))
    assert built.loss.of_net(net, batch).item() == pytest.approx((slow / words).item(), rel=1e-5)
    kept = net.advance(batch.inputs, 0, net.pooled)
    pooled = Batch(kept, batch.targets, batch.rows, net.pooled)
    assert built.loss.of_net(net, pooled, 0.1).item() == pytest.approx(built.loss.of_net(net, batch, 0.1).item())


def test_outputs_become_tags_of_one_width_and_words_that_were_cut_off_are_outside():
    prepare = toys.pieces(length=6)  # [CLS], four pieces, [SEP]
    built, table = task(SCHEMA, Options(dropout=0.0)), _table()
    net = toys.net(prepare, "words", built.head)
    batch = _batch(built, prepare, table, [0, 1])
    with torch.no_grad():
        net.head.final.bias += torch.tensor([-9.0, 9, 0, 0, 0])  # all B-LOC
        found = built.summarise(net(batch.inputs), batch)
    assert found.tolist() == [[1, 1, 1, 1, 0, -1], [1, 1, -1, -1, -1, -1]] and found.dtype == torch.float32
    assert torch.equal(built.decode(found, temperature=2.0), found)
    # From kept features, which know a word that was cut off by its zeros alone, and without tags.
    kept = net.advance(batch.inputs, 0, net.pooled)
    assert torch.equal(built.summarise(net.head(kept["x"]), Batch(kept, batch.targets, batch.rows, net.pooled, table)), found)
    plain = Batch(batch.inputs, torch.zeros(2), batch.rows, table=table.drop_columns(["label"]))
    assert torch.equal(built.summarise(net(batch.inputs), plain), found)


def test_a_net_learns_the_tags_and_scores_them():
    prepare, table = toys.pieces(), _table()
    built = task(SCHEMA, Options())
    net = toys.net(prepare, "words", built.head)
    batch = _batch(built, prepare, table, [2, 0, 1])
    toys.learn(net, lambda step: built.loss(net(batch.inputs), batch.targets, smoothing=0.1), 60)
    net.eval()
    decoded, targets = built.decode(built.summarise(net(batch.inputs), batch)).detach().numpy(), batch.targets.numpy()
    found = built.metrics(decoded, targets)
    assert found[built.primary] == 1 and found["f1 LOC"] == 1 and np.isfinite(list(found.values())).all()
    assert built.solve is None and not built.calibrated and built.pool == "words" and built.higher


def test_config_builds_the_same_task_and_what_does_not_go_together_is_refused():
    options = Options(hidden=(8,), activation="gelu", layers=(1, 2), mix=True)
    built = task(SCHEMA, options)
    assert Options(**{k: tuple(v) if isinstance(v, list) else v for k, v in built.config.items()}) == options
    assert built.layers == (1, 2) and built.head(32).config["mix"] == 2
    with pytest.raises(OptionError, match="dropout"):
        task(SCHEMA, Options(dropout=1.5))
    with pytest.raises(OptionError, match="mix"):
        task(SCHEMA, Options(mix=True))
