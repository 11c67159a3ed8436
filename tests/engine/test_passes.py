"""Each sample is computed once; nothing that changed is served from what was kept."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests import nets
from tests.methods import words

from graft.core import Net, Prepare
from graft.data.texts import STEP, Texts
from graft.engine import choice, passes, ways
from graft.engine.device import Machine
from graft.engine.store import Store
from graft.errors import DataError
from graft.heads.pool import pooling

ALL = (-1,)


@pytest.fixture
def table(tmp_path):
    return nets.photos(tmp_path / "photos", 20)


def states(run, net, stop, table, views=ALL, **values):
    """(pooled states of the first view, how many rows were computed)."""
    counted, asked = 0, run.streams.inputs

    def count(table, wanted, batch):
        nonlocal counted
        counted += len(wanted)
        return asked(table, wanted, batch)

    run.streams.inputs = count
    kept = run.kept(net, stop, table, views, **values)
    run.streams.inputs = asked
    return torch.cat([kept.take(np.arange(len(table)), view)["x"] for view in range(len(views))]), counted


def test_computed_once_and_shared_by_folds_runs_and_views(table, tmp_path):
    made, store = nets.task(), Store(tmp_path / "store")
    net = nets.net(made)
    first, computed = states(nets.passes(made, store=store), net, 4, table)
    again, more = states(nets.passes(made, store=Store(tmp_path / "store")), net, 4, table)
    assert computed == 20 and more == 0 and torch.equal(first, again)
    part, none = states(nets.passes(made, store=store), net, 4, table.take([7, 3, 3]))
    assert none == 0 and torch.equal(part, first[[7, 3, 3]])
    viewed = nets.passes(made, store=store, views=2)
    assert states(viewed, net, 4, table, (0, 1))[1] == 40 and states(viewed, net, 4, table, (1, 0))[1] == 0


def test_without_a_store_they_are_shared_in_memory(table):
    made = nets.task()
    run, net = nets.passes(made), nets.net(made)
    assert [states(run, net, 4, table)[1] for _ in range(2)] == [20, 0]


def test_the_same_image_under_another_name_is_the_same_sample(table, tmp_path):
    made = nets.task()
    run = nets.passes(made, store=Store(tmp_path / "store"))
    net = nets.net(made)
    states(run, net, 4, table)
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(table["path"][0].as_py()).read_bytes())
    assert states(run, net, 4, pa.table({"path": [str(copy)], "label": ["dark"]}))[1] == 0


def test_half_a_pass_goes_on_where_it_was_and_to_the_same_bits(table, tmp_path):
    made, net = nets.task(), nets.net(nets.task())
    whole, _ = states(nets.passes(made, store=Store(tmp_path / "whole")), net, 4, table)
    store = Store(tmp_path / "half")
    states(nets.passes(made, store=store), net, 4, table[3:10])
    rest, computed = states(nets.passes(made, store=store), net, 4, table)
    assert computed == 13 and torch.equal(rest, whole)


CHANGES = st.sampled_from(["pixels", "weight", "buffer", "mean", "std", "crop", "interpolation", "view", "augmentation", "seed", "nothing"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, min_size=1, max_size=4), data=st.data())
def test_what_changed_is_never_served_from_before(changes, data, tmp_path_factory):
    """After any sequence of changes, what comes from the store is to the bit what a fresh computation gives."""
    folder = tmp_path_factory.mktemp("case")
    rows, made, store = nets.photos(folder / "photos", 6), nets.task(), Store(folder / "store")
    net, seed, preset, view, prepare = nets.net(made), 0, "light", -1, Prepare(size=nets.SIZE, crop=0.9, interpolation="bilinear")

    def found(where):
        run = nets.passes(made, preset, store=where, views=2)
        run.streams.prepare, run.streams.seed, net.prepare = prepare, seed, prepare
        return states(run, net, 4, rows, (view,))[0]

    found(store)
    for change in changes:
        if change == "pixels":
            path = rows["path"][data.draw(st.integers(0, 5))].as_py()
            pixels = np.array(Image.open(path))
            pixels[4:12, 4:12] ^= 0x40
            Image.fromarray(pixels).save(path)
        elif change in ("weight", "buffer"):
            with torch.no_grad():
                target = net.stages[1].body[0].weight if change == "weight" else net.stages[0].body[1].running_var
                target.mul_(1.5)
        elif change in ("mean", "std"):
            prepare = Prepare(prepare.size, prepare.crop, prepare.interpolation, **{
                "mean": prepare.mean, "std": prepare.std, change: tuple(v + 0.1 for v in getattr(prepare, change))
            })  # fmt: skip
        elif change == "crop":
            prepare = Prepare(prepare.size, prepare.crop - 0.15, prepare.interpolation, prepare.mean, prepare.std)
        elif change == "interpolation":
            prepare = Prepare(prepare.size, prepare.crop, "bicubic", prepare.mean, prepare.std)
        elif change == "view":
            view = {-1: 0, 0: 1, 1: -1}[view]
        elif change == "augmentation":
            preset = {"light": "medium", "medium": "light"}[preset]
        elif change == "seed":
            seed += 1
        assert torch.equal(found(store), found(None))


def test_a_file_that_changes_meanwhile_is_an_error_and_not_a_wrong_state(table, tmp_path):
    made = nets.task()
    run = nets.passes(made, store=Store(tmp_path / "store"))
    run.streams.digests(table)
    path = table["path"][2].as_py()
    Image.new("RGB", (20, 20)).save(path)
    with pytest.raises(DataError, match="changed while"):
        states(run, nets.net(made), 4, table)


def test_a_disk_that_fills_up_on_the_way_costs_nothing_but_the_keeping(table, tmp_path, monkeypatch):
    made, store, net = nets.task(), Store(tmp_path / "store"), nets.net(nets.task())
    wanted, _ = states(nets.passes(made), net, 4, table)
    monkeypatch.setattr("graft.engine.shelf.save_file", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    run = nets.passes(made, store=store)
    assert torch.equal(states(run, net, 4, table)[0], wanted)


def tried(made, monkeypatch, good, **values):
    monkeypatch.setattr(ways, "short_is_native", lambda: True)
    monkeypatch.setattr(choice, "WORTH_SHORTENING", 0)
    monkeypatch.setattr(choice, "verdict", lambda *a: (good, "as the test says"))
    return nets.passes(made, **values)


@pytest.mark.parametrize("good", [True, False])
def test_a_trial_decides_is_written_down_and_its_work_is_kept(good, table, tmp_path, monkeypatch):
    made = nets.task()
    run, net = tried(made, monkeypatch, good, store=Store(tmp_path / "store")), nets.net(made)
    _, computed = states(run, net, 4, table)
    assert computed == 40  # all 20 rows were tried in both, and none again
    ((about, name),) = run.decided.items()
    assert name == ("torch bfloat16" if good else "torch float32") and "depth 4" in about
    row = next(row for row in run.journal._waiting if row["event"] == "decision")
    assert row["value"] == name and row["flag"] == "--precision exact|fast"


def test_a_resumed_run_takes_the_way_it_took(table, monkeypatch):
    made = nets.task()
    run = tried(made, monkeypatch, True)
    run.decided = {"frozen passes to depth 4": "torch float32"}
    monkeypatch.setattr(choice, "verdict", lambda *a: pytest.fail("tried again"))
    assert states(run, nets.net(made), 4, table)[1] == 20


def test_what_is_scored_is_float32_whatever_was_asked(table, monkeypatch):
    made, net = nets.task(), nets.net(nets.task())
    wanted, _ = states(nets.passes(made), net, 4, table)
    monkeypatch.setattr(ways, "short_is_native", lambda: True)
    run = nets.passes(made, precision="fast")
    assert torch.equal(states(run, net, 4, table, exact=True)[0], wanted)
    assert not torch.equal(states(run, net, 4, table)[0], wanted)


def test_features_beyond_memory_are_read_when_asked_for(table, tmp_path, monkeypatch):
    made, net = nets.task(), nets.net(nets.task())
    run = nets.passes(made, store=Store(tmp_path / "store"))
    wanted, _ = states(run, net, 4, table)
    monkeypatch.setattr(passes, "MEMORY_MB", 0.0)
    rows = passes.Rows(run.kept(net, 4, table))
    assert rows.shape == (20, 16) and len(rows) == 20
    assert np.array_equal(rows[3:7], wanted[3:7]) and np.array_equal(rows[np.array([9, 1])], wanted[[9, 1]])


def said(listed=False):
    """Texts of 1 to 32 tokens, in no order."""
    lengths = [5, 32, 1, 17, 16, 9, 31, 2]
    texts = [[f"w{(i * 5 + k) % 17}" for k in range(n)] for i, n in enumerate(lengths)]
    return lengths, pa.table({"path": [str(n) for n in lengths], "text": texts if listed else [" ".join(text) for text in texts]})


def read(mode, listed=False, store=None):
    """(what a net of words pools in a mode, its passes, the table)."""
    _, table = said(listed)
    made = Net(words.body(), pooling(mode, "avg", text=True), torch.nn.Identity(), (2,)).eval()
    streams = Texts(made.prepare, lambda rows: torch.zeros(len(rows)), 0)
    return made, passes.Passes(streams, Machine(torch.device("cpu")), "exact", store), table


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("stop", [1, 2])
def test_texts_of_different_lengths_are_padded_to_the_longest_that_is_taken(stop, stored, tmp_path):
    net, run, table = read("avg", store=Store(tmp_path / "store") if stored else None)
    kept, (lengths, _) = run.kept(net, stop, table), said()
    for rows in ([3, 0, 2], [1, 7, 1], [0, 5], range(8)):
        state = kept.take(np.array(rows))
        wanted = [lengths[row] for row in rows]
        assert state["mask"].sum(1).tolist() == wanted and state["x"].shape[1] == -(-max(wanted) // STEP) * STEP
        for i, row in enumerate(rows):
            with torch.no_grad():
                alone = net.advance({"ids": torch.from_numpy(run.streams.tokens(table)[row].ids).long()[None],
                                     "mask": torch.ones(1, lengths[row], dtype=torch.bool)}, 0, stop)  # fmt: skip
            torch.testing.assert_close(state["x"][i, : lengths[row]], alone["x"][0], rtol=1e-5, atol=1e-5)
            with torch.no_grad():
                pooled = net.advance({key: value[i : i + 1] for key, value in state.items()}, stop, net.pooled)["x"]
                torch.testing.assert_close(pooled, net.advance(alone, stop, net.pooled)["x"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["avg", "max", "cls", "last", "words", "tokens"])
@pytest.mark.parametrize("stored", [True, False])
def test_pooled_texts_are_those_of_a_direct_pass(mode, stored, tmp_path, monkeypatch):
    net, run, table = read(mode, mode == "words", Store(tmp_path / "store") if stored else None)
    if stored:
        monkeypatch.setattr(passes, "MEMORY_MB", 0.0)
    kept, (lengths, _) = run.kept(net, net.pooled, table), said()
    assert kept.in_memory != stored
    state = kept.take(torch.tensor([6, 2, 0, 1]))
    for i, row in enumerate([6, 2, 0, 1]):
        alone = {"ids": torch.from_numpy(run.streams.tokens(table)[row].ids).long()[None]}
        alone["mask"] = torch.ones_like(alone["ids"], dtype=torch.bool)
        alone |= {"words": torch.arange(lengths[row])[None]} if mode == "words" else {}
        with torch.no_grad():
            wanted = net.advance(alone, 0, net.pooled)["x"][0]
        found = state["x"][i] if wanted.ndim == 1 else state["x"][i, : lengths[row]]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        if mode == "words":
            assert not state["x"][i, lengths[row] :].any(), "no word is zeros"


def test_a_text_that_comes_again_is_not_computed_again(tmp_path):
    store = Store(tmp_path / "store")
    net, run, table = read("avg", store=store)
    # One more than is computed is asked for: the example that a compiled form is made from.
    assert states(run, net, net.pooled, table)[1] == 8 + 1
    other = table.append_column("label", pa.array(["a"] * 8)).take([5, 1, 1, 0])
    assert states(read("avg", store=store)[1], net, net.pooled, other)[1] == 0 + 1
    assert states(read("max", store=store)[1], read("max")[0], net.pooled, other)[1] > 1, "other pooling, other states"
