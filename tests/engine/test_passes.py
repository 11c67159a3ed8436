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

from graft.core import Prepare
from graft.engine import choice, passes, ways
from graft.engine.store import Store
from graft.errors import DataError

ALL = (-1,)


@pytest.fixture
def table(tmp_path):
    return nets.photos(tmp_path / "photos", 20)


def states(run, net, stop, table, views=ALL, **values):
    """(pooled states of the first view, how many rows were computed)."""
    counted, asked = 0, run.streams.pixels

    def count(table, wanted, batch):
        nonlocal counted
        counted += len(wanted)
        return asked(table, wanted, batch)

    run.streams.pixels = count
    kept = run.kept(net, stop, table, views, **values)
    run.streams.pixels = asked
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
