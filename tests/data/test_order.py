from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from graft.core import Stream
from graft.data import order


def stream(n: int, batch: int, balanced: bool = False) -> Stream:
    return Stream(pa.table({"path": [str(i) for i in range(n)]}), batch=batch, balanced=balanced)


def test_generator_depends_on_seed_and_tag_only():
    draws = [order.generator(*key).random() for key in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1)]]
    assert len(set(draws)) == 4
    assert order.generator(0, "a", 1).random() == draws[0]


@pytest.mark.parametrize("n,batch,sizes", [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (4, 4, [4]), (1, 4, [1]), (3, 8, [3])])
def test_batches_hold_every_row_once(n, batch, sizes):
    batches = order.batches(stream(n, batch), None, 0, "x")
    assert [len(rows) for rows in batches] == sizes
    assert sorted(np.concatenate(batches).tolist()) == list(range(n))


def test_order_changes_with_the_tag():
    one, two = (np.concatenate(order.batches(stream(50, 8), None, 0, "x", epoch)) for epoch in (0, 1))
    assert not np.array_equal(one, two) and not np.array_equal(one, np.arange(50))
    assert np.array_equal(one, np.concatenate(order.batches(stream(50, 8), None, 0, "x", 0)))


def test_balanced_draws_classes_and_their_rows_evenly():
    classes = np.array([0] * 20 + [1] * 6 + [3] * 3)
    rows = np.concatenate(order.batches(stream(29, 8, balanced=True), classes, 0, "x"))
    counts = Counter(classes[rows].tolist())
    assert len(rows) == 29 and max(counts.values()) - min(counts.values()) <= 1
    for name in (0, 1, 3):
        times = [int((rows == row).sum()) for row in np.flatnonzero(classes == name)]
        assert max(times) - min(times) <= 1


def test_an_epoch_has_as_many_steps_as_batches():
    for n in range(1, 30):
        assert order.steps(stream(n, 4)) == len(order.batches(stream(n, 4), None, 0))


def test_the_mean_length_is_rounded_up_and_nothing_has_none():
    assert [order.mean_cells(np.array(cells, int)) for cells in ([16, 16, 32], [0, 0], [])] == [22, 0, 0]
