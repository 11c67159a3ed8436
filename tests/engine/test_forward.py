"""Passes without learning leave nothing behind, and kept states give the same outputs as images."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests import nets
from tests.methods import words

from graft.data.texts import Texts
from graft.engine import forward
from graft.engine.device import Machine
from graft.engine.passes import Passes


def test_states_can_be_learnt_from_and_statistics_do_not_move(tmp_path):
    made = nets.task()
    net, rows = nets.net(made), nets.data(tmp_path)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    seen = []
    kept = nets.passes(made).kept(net, net.pooled, rows.train, tick=seen.append)
    state = kept.take(np.arange(len(rows.train)))
    assert sum(seen) == len(rows.train) and state["x"].shape == (len(rows.train), 16)
    net.head(state["x"]).sum().backward()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_kept_states_give_the_same_outputs_as_images(depth, tmp_path):
    made = nets.task()
    net, rows, passes = nets.net(made), nets.data(tmp_path), nets.passes(made)
    whole = forward.outputs(net, passes.streams.plain(rows.train), passes.machine)
    torch.testing.assert_close(forward.scored(passes, net, rows.train, depth), whole, rtol=1e-4, atol=1e-5)
    kept = passes.kept(net, depth, rows.train)
    again = forward.outputs(net, forward.slices(kept, made.encode(rows.train), depth, rows.train, 5), passes.machine)
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)


def test_outputs_stand_in_the_order_of_the_rows_however_the_batches_come():
    """Texts come by length, and what is scored against their labels has to come back in the order of the table."""
    made, table = words.task(), words.table(11, 0)
    longer = [" ".join([text] * (1 + 3 * (i % 3 == 0))) for i, text in enumerate(table["text"].to_pylist())]
    table = table.set_column(1, "text", pa.array(longer))
    net, machine, streams = words.net(made).eval(), Machine(torch.device("cpu")), Texts(words.body().prepare, made.encode, 0)
    batches = list(streams.plain(table, 4))
    assert torch.cat([batch.rows for batch in batches]).tolist() != list(range(11))
    ids = [torch.from_numpy(one.ids).long()[None] for one in streams.tokens(table)]
    with torch.no_grad():
        wanted = torch.cat([net({"ids": one, "mask": torch.ones_like(one, dtype=torch.bool)}) for one in ids])
    for some in (batches, batches[::-1]):
        torch.testing.assert_close(forward.outputs(net, some, machine), wanted, rtol=1e-5, atol=1e-5)
    numbered = forward.outputs(net, batches, machine, lambda _, batch: batch.rows[:, None].float())
    assert numbered[:, 0].tolist() == list(range(11)), "a task's summary of a batch too"
    passes = Passes(streams, machine, "exact", None)
    for depth in (0, 1, 2, net.pooled):
        torch.testing.assert_close(forward.scored(passes, net, table, depth), wanted, rtol=1e-5, atol=1e-5)


def test_embeddings_that_stayed_frozen_are_looked_up_and_not_kept(monkeypatch):
    made = words.task()
    net, table = words.net(made), words.table(8, 3)
    with Texts(net.prepare, made.encode, 0) as streams:
        passes = Passes(streams, Machine(torch.device("cpu")), "exact")
        kept, real = [], passes.kept
        monkeypatch.setattr(passes, "kept", lambda net, stop, *rest, **more: kept.append(stop) or real(net, stop, *rest, **more))
        found = [forward.scored(passes, net, table, frozen) for frozen in (0, 1, 2, 3)]
    assert kept == [2, net.pooled] and torch.equal(found[0], found[1])
    assert all(torch.allclose(one, found[0], atol=1e-5) for one in found)
