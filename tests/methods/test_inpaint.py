"""Hidden blocks are guessed: from maps as SimMIM does, from the patch tokens that are left as MAE does."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.engine.test_execute import run
from tests.methods import stops, words
from tests.methods.phases import collect
from tests.methods.test_self_supervised import without_labels
from torch import nn

from graft import testing
from graft.backbones import from_timm
from graft.core import Batch, Net
from graft.engine.journal import read
from graft.errors import OptionError
from graft.heads.pool import body_pooling
from graft.losses import masked_image
from graft.methods import inpaint

SIDE = 64


@pytest.fixture(scope="module")
def vit():
    return from_timm.load("test_vit", from_timm.Options(weights="none", image_size=SIDE))


def vit_net(body, made):
    import copy

    net = Net(replace(body, stages=copy.deepcopy(body.stages)), body_pooling(body), nn.Identity(), (len(body.names) - 1,))
    torch.manual_seed(1)
    net.head = made.head(body.widths[-1])
    return net


def batch(side, rows=3):
    return {
        "train": Batch(torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(4)), torch.zeros(rows), torch.arange(rows))
    }


def test_maps_have_three_phases_and_what_is_frozen_is_not_in_a_group(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    phase, statistics, head = collect("inpaint", nets.net(made), made, rows, freeze=1)
    assert (phase.name, phase.frozen, phase.keep, phase.score) == ("inpaint", 0, "last", False)
    assert [group.name for group in phase.groups] == ["middle", "top", "decoder"]
    assert (statistics.name, statistics.groups, statistics.frozen, statistics.epochs) == (
        "statistics",
        (),
        1,
        50,
    ) and head.solve is not None
    assert [one.name for one in collect("inpaint", nets.net(made), without_labels(made), rows)] == ["inpaint", "statistics"]


def test_of_a_map_the_hidden_blocks_alone_are_guessed(tmp_path):
    made = nets.task()
    net = nets.net(made)
    (phase, *_) = collect("inpaint", net, made, nets.data(tmp_path), block=4, ratio=0.5, normalise=False)
    net.eval()
    images = batch(16)["train"].inputs
    torch.manual_seed(6)
    found = phase.objective(net, batch(16)).item()
    torch.manual_seed(6)
    hidden = masked_image.blocks(3, 16, 0.5)
    covered = images.clone()
    for n in range(3):
        for cell in range(16):
            if hidden[n, cell]:
                y, x = 4 * (cell // 4), 4 * (cell % 4)
                covered[n, :, y : y + 4, x : x + 4] = 0
    decoder = phase.extras["decoder"]
    guess = decoder(net.stages[2](net.stages[1](net.stages[0]({"x": covered})))["x"])
    assert guess.shape == images.shape
    error, count = 0.0, 0
    for n in range(3):
        for cell in range(16):
            if hidden[n, cell]:
                y, x = 4 * (cell // 4), 4 * (cell % 4)
                error += float((guess - images)[n, :, y : y + 4, x : x + 4].detach().square().sum())
                count += 48
    assert found == pytest.approx(error / count, rel=1e-5)


def test_a_cell_of_the_map_guesses_its_own_pixels():
    decoder = inpaint.MapDecoder(5, 4, 8)
    x = torch.zeros(1, 5, 2, 2)
    before = decoder(x)
    x[0, :, 1, 0] = 1.0
    changed = (decoder(x) - before).abs().sum((0, 1)) > 0
    assert changed[4:, :4].all() and changed.sum() == 16
    assert inpaint.MapDecoder(5, 4, 9)(x).shape == (1, 3, 9, 9)


@pytest.mark.parametrize(("side", "wanted", "expected"), [(224, 32, 32), (96, 96 / 7, 12), (64, 64 / 7, 8), (16, 16 / 7, 2), (97, 14, 1)])
def test_blocks_divide_the_image(side, wanted, expected):
    assert inpaint.nearest_divisor(side, wanted) == expected


def test_of_patch_tokens_the_body_sees_a_quarter(vit, tmp_path):
    made = nets.task()
    net, seen = vit_net(vit, made), []
    (phase, *rest) = collect("inpaint", net, made, nets.data(tmp_path))
    assert [one.name for one in rest] == ["head"], "no running statistics to count anew"
    net.stages[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]["x"]))
    net.eval()
    torch.manual_seed(6)
    phase.objective(net, batch(SIDE))
    torch.manual_seed(6)
    cells = (SIDE // 16) ** 2
    hidden = masked_image.blocks(3, cells, 0.75)
    tokens = net.stages[0]({"x": batch(SIDE)["train"].inputs})["x"]
    assert net.prefix_tokens == 1 and seen[0].shape[1] == 1 + cells // 4
    for n in range(3):
        expected = [tokens[n, 0], *(tokens[n, 1 + i] for i in range(cells) if not hidden[n, i])]
        assert torch.equal(seen[0][n], torch.stack(expected))


def test_each_token_goes_back_to_its_own_place():
    decoder = inpaint.TokenDecoder(6, 8, 1, 3, 2, 12)
    hidden, entered = torch.ones(2, 9, dtype=torch.bool), []
    hidden[0, [1, 5]], hidden[1, [0, 8]] = False, False
    decoder.mixing.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    x = torch.randn(2, 4, 6)
    assert decoder(x, hidden).shape == (2, 9, 12)
    mapped, places = decoder.enter(x), inpaint.positions(3, 8)
    for n, seen in enumerate(([1, 5], [0, 8])):
        assert torch.equal(entered[0][n, :2], mapped[n, :2])
        for cell in range(9):
            token = mapped[n, 2 + seen.index(cell)] if cell in seen else decoder.hidden
            assert torch.allclose(entered[0][n, 2 + cell], token + places[cell], atol=1e-6)


def test_positions_tell_all_cells_apart():
    places = inpaint.positions(7, 16)
    assert places.shape == (49, 16) and torch.cdist(places, places).add(torch.eye(49)).min() > 0.05
    assert places[10, 0].item() == pytest.approx(torch.tensor(1.0).sin().item()), "row 1 of the second row of cells"
    assert places[10, 8].item() == pytest.approx(torch.tensor(3.0).sin().item()), "column 3"


def falls(folder):
    losses = [row["train_loss"] for row in read(folder) if row["event"] == "epoch" and row["phase"] == "inpaint"]
    return losses[-1] < 0.9 * losses[0]


def shades(rows):
    """Images whose pixels follow from their neighbours."""
    import numpy as np
    from PIL import Image

    for i, path in enumerate(rows.train["path"].to_pylist()):
        y, x = np.mgrid[0:20, 0:20] / 20
        pixels = 127 + 100 * np.sin(3 * (x + i) + 2 * y)
        Image.fromarray(np.repeat(pixels[..., None], 3, 2).astype(np.uint8)).save(path)


def test_maps_learn_to_guess_and_frozen_stages_stay(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    shades(rows)
    _, place = run(tmp_path / "run", "inpaint", rows, made, epochs=20, batch=8, lr=5e-3, freeze=1, normalise=False)
    start, now = nets.net(made).state_dict(), place.net.state_dict()
    assert falls(tmp_path / "run")
    assert all(torch.equal(now[name], start[name]) for name in now if name.startswith("stages.0."))
    assert not torch.equal(now["stages.1.body.1.running_mean"], start["stages.1.body.1.running_mean"])


def test_the_statistics_in_the_end_are_those_of_whole_images(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    _, place = run(tmp_path / "run", "inpaint", rows, made, epochs=2, batch=8)
    streams = nets.streams(made)
    with torch.no_grad():
        x = torch.cat([b.inputs for b in streams.plain(rows.train)])
        mean = place.net.stages[0].body[0](x).mean((0, 2, 3))
    kept = place.net.stages[0].body[1].running_mean
    assert (kept - mean).abs().mean() < 0.25 * mean.abs().mean()


def test_the_contract_of_maps(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    testing.check_method(inpaint.phases, inpaint.Options(epochs=2, batch=4, freeze=1), lambda: nets.net(made), made, rows, tmp_path)


def test_the_contract_of_patch_tokens(vit, tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    opts = inpaint.Options(epochs=2, batch=4, freeze=2, decoder_width=16, decoder_depth=1)
    testing.check_method(inpaint.phases, opts, lambda: vit_net(vit, made), made, rows, tmp_path)


def test_a_run_stopped_at_any_checkpoint_ends_bit_identical(tmp_path, monkeypatch):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    monkeypatch.setattr(inpaint, "STATISTICS", 2)
    stops.check(monkeypatch, tmp_path, lambda folder: run(folder, "inpaint", rows, made, epochs=2)[1].net)


class Whole(nn.Module):
    """A block with a bias for each token, which takes no fewer of them."""

    def __init__(self, tokens, width):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, state):
        return {**state, "x": state["x"] + self.bias}


def test_bodies_and_values_that_do_not_fit_are_refused(vit, tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="these are texts"):
        collect("inpaint", words.net(words.task()), words.task(), words.data())
    with pytest.raises(OptionError, match=r"method.block = 5 .*block=4"):
        collect("inpaint", nets.net(made), made, rows, block=5)
    with pytest.raises(OptionError, match="patches are of 16"):
        collect("inpaint", vit_net(vit, made), made, rows, block=8)
    net = vit_net(vit, made)
    net.stages[2] = Whole(17, vit.widths[-1])
    with pytest.raises(OptionError, match="need all of them"):
        collect("inpaint", net, made, rows)
    net = nets.net(made)
    net.forms = ("vector",) * 3
    with pytest.raises(OptionError, match="neither"):
        collect("inpaint", net, made, rows)
    for values in ({"ratio": 1.0}, {"decoder_width": 6}, {"decoder_depth": 0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            inpaint.Options(**values)
