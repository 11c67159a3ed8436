"""Each image in its four rotations, which are told apart."""

import pytest
import torch
from PIL import Image
from tests import nets
from tests.engine.test_execute import run
from tests.methods import stops, words
from tests.methods.phases import collect
from tests.methods.test_self_supervised import without_labels
from torch.nn import functional as F

from graft import testing
from graft.core import Batch
from graft.errors import OptionError
from graft.methods import rotation


def test_the_four_rotations_are_those_of_pillow():
    images = (torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 255).byte()
    found = rotation.turned(images)
    assert found.shape == (8, 3, 6, 6)
    for n in range(2):
        picture = Image.fromarray(images[n].permute(1, 2, 0).numpy())
        for k in range(4):
            turned = torch.frombuffer(bytearray(picture.rotate(90 * k).tobytes()), dtype=torch.uint8).view(6, 6, 3)
            assert torch.equal(found[2 * k + n].permute(1, 2, 0), turned), "counter-clockwise"


def test_the_objective_is_the_cross_entropy_of_the_turn():
    net, turn = nets.net(nets.task()).eval(), torch.nn.Linear(16, 4)
    images, total = torch.randn(3, 3, 16, 16), 0.0
    for image in images:
        for k in range(4):
            x = net.advance(image.rot90(k, (1, 2))[None], 0, net.pooled)["x"]
            total += float(F.cross_entropy(turn(x), torch.tensor([k])).detach())
    found = rotation.objective(turn, 0)(net, {"train": Batch(images, torch.zeros(3), torch.arange(3))})
    assert found.item() == pytest.approx(total / 12, rel=1e-5)


def test_one_phase_without_labels_and_a_head(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    phase, head = collect("rotation", nets.net(made), made, rows, freeze="stem")
    assert (phase.frozen, phase.streams["train"].batch, phase.streams["train"].views) == (0, 32, 1), "kept states cannot be turned"
    assert [group.name for group in phase.groups] == ["middle", "top", "turn"] and head.solve is not None
    assert len(collect("rotation", nets.net(made), without_labels(made), rows)) == 1


def shaded(folder, rows):
    """Images whose upper side is light."""
    import numpy as np

    rng = np.random.default_rng(0)
    for path in rows.train["path"].to_pylist():
        pixels = np.linspace(220, 40, 20)[:, None, None] + rng.normal(0, 15, (20, 20, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def test_turns_are_learnt_and_frozen_stages_stay(tmp_path):
    from graft.engine.journal import read

    made, rows = nets.task(), nets.data(tmp_path / "photos")
    shaded(tmp_path, rows)
    outcome, place = run(tmp_path / "run", "rotation", rows, made, epochs=25, batch=8, lr=5e-3, freeze=1)
    losses = [row["train_loss"] for row in read(tmp_path / "run") if row["event"] == "epoch"]
    assert losses[0] > 1.0 and losses[-1] < 0.6, "knowing nothing costs ln 4 = 1.39"
    start = nets.net(made).state_dict()
    still = {name: value for name, value in place.net.state_dict().items() if name.startswith("stages.0.")}
    assert still and all(torch.equal(value, start[name]) for name, value in still.items())
    assert [row["phase"] for row in outcome.phases] == ["rotation", "head"]


@pytest.mark.parametrize("freeze", [None, 1])
def test_the_contract(freeze, tmp_path):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    testing.check_method(rotation.phases, rotation.Options(epochs=2, batch=4, freeze=freeze), lambda: nets.net(made), made, rows, tmp_path)


def test_a_run_stopped_at_any_checkpoint_ends_bit_identical(tmp_path, monkeypatch):
    made, rows = nets.task(), nets.data(tmp_path / "photos")
    stops.check(monkeypatch, tmp_path, lambda folder: run(folder, "rotation", rows, made, epochs=2)[1].net)


def test_texts_are_refused():
    with pytest.raises(OptionError, match="simclr"):
        collect("rotation", words.net(words.task()), words.task(), words.data())
