"""A saved model adapts to the images it is to predict, or says why not and stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests import nets
from tests.export.conftest import make
from tests.methods import domains

from graft import api
from graft.core import Schema
from graft.errors import OptionError
from graft.export import bundle
from graft.export.model import Model
from graft.verbs import adapting


def certain(*classes, k=2, size=4.0):
    """Logits that name these classes."""
    return size * np.eye(k)[list(classes)]


def test_a_net_that_collapses_is_not_believed():
    before, after = certain(0, 1, 0, 1, 1, 0, size=1.0), certain(1, 1, 1, 1, 1, 1)
    kept, why = adapting.verdict(before, after)
    assert not kept and "100% of the images one class" in why and "50%" in why


def test_one_that_spreads_out_or_grows_certain_is():
    before = certain(0, 1, 0, 1, 1, 0, size=1.0)
    kept, why = adapting.verdict(before, certain(0, 1, 0, 1, 1, 1))
    assert kept and "rises" in why
    assert adapting.verdict(certain(0, 0, 0, 0, 0, 1), before * 3)[0], "more classes than before is no collapse"


def test_one_that_grows_uncertain_is_not():
    kept, why = adapting.verdict(certain(0, 1, 0, 1), certain(0, 1, 0, 1, size=0.5))
    assert not kept and "falls" in why


@pytest.fixture
def toy(tmp_path):
    """A model of the source, read from nowhere, and the target's paths with their labels."""
    rows, truth = domains.data(tmp_path / "photos", 64)
    made = domains.task()
    joined = domains.net(made, True, rows.train)
    domains.run(tmp_path / "run", "extract", joined, made, rows)
    described = {"temperature": 1.0, "task": {}}
    return Model(joined, made, described, tmp_path, adapter=adapting.adapt), truth


def right(predictions, truth):
    return np.mean([one.label == label for one, label in zip(predictions, truth["label"].to_pylist(), strict=True)])


@pytest.mark.parametrize("how", adapting.WAYS)
def test_it_reads_the_shifted_images_better_and_the_model_stays_as_it_was(how, toy):
    model, truth = toy
    paths, before = truth["path"].to_pylist(), {k: v.clone() for k, v in model.net.state_dict().items()}
    plain = model.predict(paths)
    adapted, told = model.adapted(paths, how)
    assert told["kept"] and told["how"] == how and "rises" in told["why"]
    assert right(adapted.predict(paths), truth) > 0.95 > 0.85 > right(plain, truth)
    changed = np.mean([a.label != b.label for a, b in zip(plain, adapted.predict(paths), strict=True)])
    assert told["changed"] == pytest.approx(changed)
    assert model.predict(paths, adapt=how) == adapted.predict(paths)
    assert all(torch.equal(value, before[name]) for name, value in model.net.state_dict().items())
    assert model.predict(paths) == plain and not model.net.training and not adapted.net.training


def test_twice_is_the_same(toy):
    model, truth = toy
    first, second = (model.adapted(truth["path"].to_pylist(), "tent")[0].net.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_in_memory_serves_as_files_do_and_what_cannot_be_read_is_left_out(toy, tmp_path):
    model, truth = toy
    paths = truth["path"].to_pylist()
    (tmp_path / "broken.png").write_bytes(b"no image")
    items = [Image.open(path) for path in paths[:20]] + [np.asarray(Image.open(path)) for path in paths[20:]]
    adapted, _ = model.adapted(items, "adabn")
    same, _ = model.adapted([*paths, str(tmp_path / "broken.png")], "adabn")
    first, second = (one.net.stages[1].body[0].running_mean for one in (adapted, same))
    assert torch.allclose(first, second, atol=1e-4)
    found = model.predict([*paths, str(tmp_path / "broken.png")], adapt="adabn")
    assert found[-1].error and found[-1].label is None and len(found) == len(paths) + 1


def test_an_adapted_net_that_looks_worse_is_not_kept_and_that_is_said(toy, monkeypatch):
    model, truth = toy
    monkeypatch.setattr(adapting, "verdict", lambda before, after: (False, "it looks worse"))
    same, told = model.adapted(truth["path"].to_pylist(), "tent")
    assert same is model and not told["kept"] and told["changed"] > 0
    with pytest.warns(UserWarning, match="without adapting: it looks worse"):
        assert model.predict(truth["path"].to_pylist(), adapt="tent") == model.predict(truth["path"].to_pylist())


def test_tent_is_not_kept_where_the_statistics_alone_look_worse(toy, monkeypatch):
    """What it learns is to look certain, so that its own outputs cannot be asked."""
    model, truth = toy
    answers = iter([(False, "the statistics look worse"), (True, "it looks certain")])
    monkeypatch.setattr(adapting, "verdict", lambda before, after: next(answers))
    same, told = model.adapted(truth["path"].to_pylist(), "tent")
    assert same is model and told["why"] == "the statistics look worse"


def test_images_of_one_class_are_not_spread_over_both(toy):
    """Statistics of one class alone would say that half of it is the other."""
    model, truth = toy
    left = [path for path, label in zip(truth["path"].to_pylist(), truth["label"].to_pylist()) if label == "left"]
    _, told = model.adapted(left, "adabn")
    assert isinstance(told["kept"], bool) and told["why"]


def test_what_it_is_not_made_for_is_refused(toy, tmp_path):
    model, truth = toy
    paths = truth["path"].to_pylist()
    with pytest.raises(OptionError, match="16 images or more, and 15"):
        model.adapted(paths[:15], "tent")
    with pytest.raises(OptionError, match=r"'tend'.*'tent'"):
        model.adapted(paths, "tend")
    bare = Model(domains.net(domains.task()), domains.task(), {"temperature": 1.0}, tmp_path, adapter=adapting.adapt)
    with pytest.raises(OptionError, match="no BatchNorm"):
        bare.adapted(paths, "adabn")
    number = replace(model.task, schema=Schema("image", "number"))
    with pytest.raises(OptionError, match="one class"):
        Model(model.net, number, model.described, tmp_path, adapter=adapting.adapt).adapted(paths, "adabn")
    with pytest.raises(OptionError, match=r"graft\.load"):
        Model(model.net, model.task, model.described, tmp_path).adapted(paths, "adabn")
    with pytest.raises(OptionError, match="16 images"):
        model.adapted([str(tmp_path / f"{i}.png") for i in range(20)], "adabn")


def test_images_of_one_kind_of_body_run_through_the_engine(tmp_path):
    """A net of three BatchNorm layers with dropout, and a stage before none of them."""
    made, rows = nets.task(), nets.data(tmp_path / "photos", rows=60)
    model = Model(nets.net(made), made, {"temperature": 1.0}, tmp_path, adapter=adapting.adapt)
    paths = rows.test["path"].to_pylist()
    _, told = model.adapted(paths, "tent")
    assert set(told) == {"how", "kept", "why", "changed"} and 0 <= told["changed"] <= 1


def test_a_model_that_graft_load_has_read_knows_how(photos, tmp_path):
    bundle.write(tmp_path / "model", *make("classification", photos).arguments())
    model = api.load(tmp_path)
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    paths = sorted(str(path) for path in photos.rglob("*.png"))[:18]
    adapted, told = model.adapted(paths, "adabn")
    assert (adapted is model) != told["kept"] and len(adapted.predict(paths)) == 18
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == weights
