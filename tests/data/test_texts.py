import numpy as np
import pyarrow as pa
import torch
from tests import texts

from graft.core import Stream, TextPrepare
from graft.data.streams import names
from graft.data.texts import EVEN, STEP, Texts

PREPARE = TextPrepare(texts.tokenizer().to_str(), length=64, pad=0)


def table(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    made = [" ".join(rng.choice(texts.WORDS, rng.integers(1, 40))) for _ in range(rows)]
    return pa.table({"path": [f"t.csv:{i + 2}" for i in range(rows)], "text": made, "label": [float(i) for i in range(rows)]})


def encode(rows):
    return torch.tensor(rows["label"].to_pylist())


def made(seed=0):
    return Texts(PREPARE, encode, seed)


def test_an_epoch_has_every_row_once_with_its_own_target_and_little_padding():
    rows = table()
    with made() as source:
        batches = list(source.epoch(Stream(rows, batch=6), ("a", 1)))
        lengths = [len(one) for one in source.tokens(rows)]
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(40))
    assert len(batches) == source.steps(Stream(rows, batch=6))
    for batch in batches:
        assert torch.equal(batch.targets, batch.rows.float())
        assert batch.inputs["mask"].sum(1).tolist() == [lengths[row] for row in batch.rows.tolist()]
    cells = sum(batch.inputs["mask"].numel() for batch in batches)
    drawn = np.random.default_rng(0).permutation(40)
    unsorted = sum(max(lengths[row] for row in drawn[i : i + 6]) * len(drawn[i : i + 6]) for i in range(0, 40, 6))
    assert cells < 0.85 * unsorted, "batches of like lengths hold less padding than drawn ones"


def test_the_texts_of_a_batch_are_next_to_each_other_in_length():
    """Of the texts of a pool the shortest go together, and each batch is padded to its own longest, by one token at most."""
    rows = table(rows=300)
    with made() as source:
        lengths = np.array([len(one) for one in source.tokens(rows)])
        for batches in (list(source.epoch(Stream(rows, batch=6), ("a", 1))), list(source.plain(rows, 6))):
            held = sorted(sorted(lengths[batch.rows.numpy()].tolist()) for batch in batches)
            assert [length for batch in held for length in batch] == sorted(lengths.tolist())
            padded = [batch.inputs["mask"].shape[1] for batch in batches]
            assert all(0 <= width - lengths[batch.rows.numpy()].max() < EVEN for width, batch in zip(padded, batches, strict=True))


def test_batches_depend_on_the_seed_and_the_tag_alone():
    rows = table()
    order = lambda source, *tag: [batch.rows.tolist() for batch in source.epoch(Stream(rows, batch=6), tag)]  # noqa: E731
    with made() as one, made() as two, made(1) as other:
        two.tokens(table(5, seed=9))
        assert order(one, "a", 1) == order(two, "a", 1)
        assert order(one, "a", 1) != order(one, "a", 2) and order(one, "a", 1) != order(other, "a", 1)


def test_scoring_sees_every_row_and_says_which_and_of_which_table():
    rows = table(11)
    with made() as source:
        batches = list(source.plain(rows, 4))
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(11))
    assert all(batch.table is rows for batch in batches)


def test_rows_without_labels_have_targets_of_zeros():
    rows = table(6).drop_columns(["label"])
    with made() as source:
        (batch,) = source.plain(rows)
    assert batch.targets.tolist() == [0.0] * 6


def test_frozen_passes_get_rows_of_one_shape():
    rows = table()
    with made() as source:
        cells = source.cells(rows)
        lengths = np.array([len(one) for one in source.tokens(rows)])
        assert (cells >= lengths).all() and (cells < lengths + STEP).all() and set(cells % STEP) == {0}
        some = np.flatnonzero(cells == cells.max()).tolist()
        (state,) = source.inputs(rows, [(row, -1) for row in some], 64)
    assert state["ids"].shape == (len(some), cells.max())


def test_digests_change_with_the_text_and_with_the_second_one():
    rows = table(3)
    with made() as source:
        first = source.digests(rows)
        assert first == source.digests(rows.take([0, 1, 2])) and len(set(first)) == 3
        changed = rows.set_column(1, "text", pa.array(["another", *rows["text"].to_pylist()[1:]]))
        assert [a == b for a, b in zip(first, source.digests(changed))] == [False, True, True]
        paired = rows.append_column("context", pa.array(["x", "y", "z"]))
        assert not set(first) & set(source.digests(paired))


def test_two_texts_words_and_ids_are_read_from_their_columns():
    with made() as source:
        pairs = pa.table({"path": ["a"], "text": ["the cat"], "context": ["on the mat"], "window": ["mat"]})
        (batch,) = source.plain(pairs)
        assert batch.inputs["types"][0, :6].tolist() == [0, 0, 0, 0, 1, 1], "the window goes before the whole context"
        words = pa.table({"path": ["a"], "text": [["the", "cat"]]})
        (batch,) = source.plain(words)
        assert batch.inputs["words"].tolist() == [[1, 2]]
        blocks = pa.table({"path": ["a"], "text": [""], "ids": [[3, 1, 4]]})
        (batch,) = source.plain(blocks)
        assert batch.inputs["ids"][0, :3].tolist() == [3, 1, 4] and batch.inputs["mask"].sum() == 3
        assert names(words, [0]) == ["a"]


def test_what_is_cut_is_counted():
    with Texts(TextPrepare(texts.tokenizer().to_str(), length=5), encode, 0) as source:
        assert [one.cut for one in source.tokens(pa.table({"path": ["a", "b"], "text": ["the cat", "the cat sat on"]}))] == [0, 1]
