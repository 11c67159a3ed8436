"""What the methods without labels share: rows, rates, grey views, and the head that comes last."""

from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from tests import nets

from graft.errors import OptionError
from graft.methods import recipe, self_supervised
from graft.methods.self_supervised import Unlabelled


def without_labels(made):
    return replace(made, schema=replace(made.schema, target="none"))


def test_rows_are_those_that_learn_and_those_without_labels(tmp_path):
    rows = nets.data(tmp_path)
    more = pa.table({"path": ["a.png", "b.png"], "width": [3, 4]})
    table = self_supervised.rows(replace(rows, unlabelled=more))
    assert table.column_names == ["path"] and table["path"].to_pylist() == [*rows.train["path"].to_pylist(), "a.png", "b.png"]
    assert self_supervised.rows(rows).equals(rows.train.select(["path"]))


@pytest.mark.parametrize(
    ("weights", "given", "expected"), [("random", None, (1e-3, 1e-3)), ("embedded", None, (2e-4, 1e-3)), ("embedded", 5e-4, (5e-4, 5e-4))]
)
def test_random_weights_learn_faster_unless_a_rate_is_given(weights, given, expected):
    net, opts = nets.net(nets.task()), Unlabelled(lr=given)
    net.origin = replace(net.origin, weights=weights)
    extras, beside = self_supervised.beside(net, opts, projector=self_supervised.mlp(16, 5, 3))
    assert {g.lr for g in self_supervised.body(net, opts, "m", 0)} == {expected[0]} and {g.lr for g in beside} == {expected[1]}
    named = {f"extras.{name}" for name, _ in extras.named_parameters()}
    assert named == {name for group in beside for name in group.parameters}


def test_who_learns_ends_below_what_is_not_run_and_begins_above_what_is_frozen():
    net = nets.net(nets.task())
    names = lambda *given: [g.name for g in self_supervised.body(net, Unlabelled(), "m", *given)]  # noqa: E731
    assert names(0) == ["stem", "middle", "top"] and names(1, 1) == ["middle"]
    with pytest.raises(OptionError, match="--freeze"):
        names(3)


def test_epochs_give_about_600_steps():
    assert self_supervised.epochs(Unlabelled(), 1680) == 46 and self_supervised.epochs(Unlabelled(), 50) == 200
    assert self_supervised.epochs(Unlabelled(), 10**6) == 4 and self_supervised.epochs(Unlabelled(epochs=3), 10) == 3


def test_a_grey_view_has_its_luma_in_each_colour():
    net = nets.net(nets.task())
    prepare = replace(net.prepare, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.1))
    images = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = self_supervised.greyed(images, prepare, 1.0)
    for n in range(2):
        for y in range(4):
            for x in range(4):
                rgb = [float(images[n, c, y, x]) * prepare.std[c] + prepare.mean[c] for c in range(3)]
                luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
                expected = [(luma - prepare.mean[c]) / prepare.std[c] for c in range(3)]
                assert found[n, :, y, x].tolist() == pytest.approx(expected, abs=1e-4)


def test_each_image_is_greyed_or_not_at_all():
    prepare = nets.net(nets.task()).prepare
    images = torch.randn(200, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert self_supervised.greyed(images, prepare, 0.0) is images
    torch.manual_seed(1)
    found = self_supervised.greyed(images, prepare, 0.3)
    same = (found == images).flatten(1).all(1)
    assert 110 < same.sum() < 170
    assert torch.equal(found[~same], self_supervised.greyed(images, prepare, 1.0)[~same])


def test_looking_at_a_shape_leaves_the_net_as_it_was():
    net = nets.net(nets.task()).train()
    net.stages[0].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert self_supervised.blank(net, 2).shape == (1, 12, 4, 4) and self_supervised.blank(net, net.pooled).shape == (1, 16)
    assert [stage.training for stage in net.stages] == [False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_head_comes_last_and_only_where_there_are_labels(tmp_path):
    rows, made, opts = nets.data(tmp_path), nets.task(), Unlabelled()
    net = nets.net(made)
    (head,) = self_supervised.then(net, made, rows, opts)
    assert head.solve is not None and head.frozen == 3 and len(head.streams["train"].table) == len(rows.train) + len(rows.val)
    (trained,) = self_supervised.then(net, nets.task(head="linear"), rows, opts)
    assert (
        trained.epochs == 100 and trained.groups[0].lr == 10 * recipe.Training.lr and len(trained.streams["train"].table) == len(rows.train)
    )
    assert list(self_supervised.then(net, without_labels(made), rows, opts)) == []


def test_numbers_out_of_range_are_refused_with_the_default():
    with pytest.raises(OptionError, match=r"batch = 7 is outside 8 to 9; try --set method.batch=128"):
        self_supervised.in_range(Unlabelled(batch=7), {"batch": (8, 9)})
    self_supervised.in_range(Unlabelled(), {"lr": (0, 1)})
