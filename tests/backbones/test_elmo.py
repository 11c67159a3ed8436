import copy
import json

import numpy as np
import pytest
import torch
from tests.backbones import published_elmo as published

from graft.backbones.elmo import Options, load, rebuild
from graft.core.text import TextPrepare
from graft.data.characters import encode_words
from graft.errors import OptionError, WeightsError

TEXTS = [
    ["The", "cat", "sat", "on", "the", "mat", "."],
    ["Transfer"],
    ["naïve", "日本語", "x" * 60, "The"],
    ["a", "a"],
]


def _state(texts, cells=None):
    cells = cells or max(len(words) for words in texts)
    ids, mask = torch.zeros(len(texts), cells, 50, dtype=torch.int64), torch.zeros(len(texts), cells, dtype=torch.bool)
    for row, words in enumerate(texts):
        ids[row, : len(words)] = torch.from_numpy(encode_words(words))
        mask[row, : len(words)] = True
    return {"ids": ids, "mask": mask}


def _stages(body, state):
    """The state after each stage."""
    found = []
    for stage in body.stages:
        state = stage(state)
        found.append(state)
    return found


def _tiny(seed=0, **options):
    return load("elmo", Options(weights="none", size="tiny", **options), seed)


def _changed(**parts):
    options = copy.deepcopy(published.OPTIONS)
    for part, values in parts.items():
        options[part] |= values
    return options


@pytest.mark.parametrize(
    "options",
    [
        published.OPTIONS,
        _changed(char_cnn={"activation": "tanh", "n_highway": 1, "n_characters": 261}),
        _changed(lstm={"cell_clip": None, "proj_clip": 0, "use_skip_connections": False, "n_layers": 3}),
    ],
    ids=["as published", "tanh", "no clips, no skips, three layers"],
)
def test_every_stage_of_published_files_is_the_equations_worked_out_slowly(tmp_path, options):
    body = load("elmo", Options(weights=str(published.write(tmp_path, options))))
    with torch.no_grad():
        found = _stages(body, _state(TEXTS, 9))
    assert len(found) == options["lstm"]["n_layers"] + 1
    for row, words in enumerate(TEXTS):
        for after, wanted in zip(found, published.layers(tmp_path, words), strict=True):
            assert np.abs(after["x"][row, : len(words)].numpy() - wanted).max() < 1e-5
            assert not after["x"][row, len(words) :].any()


def test_both_clips_are_met_in_that_test(tmp_path):
    folder, free = published.write(tmp_path / "a"), _changed(lstm={"cell_clip": None, "proj_clip": None})
    clipped = published.layers(folder, TEXTS[0])
    for one in ("cell_clip", "proj_clip"):
        other = published.layers(published.write(tmp_path / one, _changed(lstm={one: free["lstm"][one]})), TEXTS[0])
        assert np.abs(clipped[2] - other[2]).max() > 0.01


def test_many_steps_and_a_text_without_a_word(tmp_path):
    body = load("elmo", Options(weights=str(published.write(tmp_path))))
    words = ["w", "or", "d"] * 13
    state = _state([words, []])
    state["mask"][1, 0] = True  # as a text without any token is given
    with torch.no_grad():
        last = _stages(body, state)[-1]["x"]
    assert np.abs(last[0].numpy() - published.layers(tmp_path, words)[-1]).max() < 1e-5
    assert torch.isfinite(last[1]).all()


def test_padding_and_company_change_nothing():
    body = _tiny(1)
    with torch.no_grad():
        together = _stages(body, _state(TEXTS, 20))
        for row, words in enumerate(TEXTS):
            for alone, after in zip(_stages(body, _state([words])), together, strict=True):
                assert torch.allclose(alone["x"][0], after["x"][row, : len(words)], atol=1e-5)
                assert torch.allclose(alone["edges"][0], after["edges"][row], atol=1e-5)


def test_forwards_sees_what_came_and_backwards_what_comes():
    body, words = _tiny(2), TEXTS[0]
    with torch.no_grad():
        plain, changed = (_stages(body, _state([one]))[-1]["x"][0] for one in (words, [*words[:3], "under", *words[4:]]))
    differs = (plain - changed).abs() > 1e-7
    assert not differs[:3, :16].any() and differs[3:, :16].any(1).all()
    assert not differs[4:, 16:].any() and differs[:4, 16:].any(1).all()


def test_what_it_says_of_itself_is_so():
    body = _tiny(length=77)
    assert body.names == ("characters", "lstm1", "lstm2") and body.forms == ("text",) * 3 and body.strides == (0, 0, 0)
    assert body.prepare == TextPrepare("", 77, kind="characters") and body.pool == "avg" and not body.causal
    assert body.origin.architecture == "elmo" and body.origin.weights == "random" and body.origin.sha256 == ""
    state = _state(TEXTS) | {"words": torch.zeros(4, 3), "types": torch.zeros(4, 7)}
    given = {key: value.clone() for key, value in state.items()}
    for after, width in zip(_stages(body, state), body.widths, strict=True):
        assert after["x"].shape == (4, 7, width) and set(after) == {"x", "mask", "edges", "words"}
    assert all(torch.equal(state[key], given[key]) for key in given)
    assert body.forward(body.prepare.blank()).shape == (1, 8, 32)


def test_the_published_sizes():
    for size, millions, width in (("small", 13.6, 256), ("original", 93.6, 1024)):
        body = load("elmo", Options(weights="none", size=size))
        count = sum(p.numel() for p in body.stages.parameters()) / 1e6
        assert count == pytest.approx(millions, abs=0.05) and body.widths == (width,) * 3


def test_rebuilt_and_filled_it_is_the_same(tmp_path):
    for body in (_tiny(3), load("elmo", Options(weights=str(published.write(tmp_path))))):
        build = json.loads(json.dumps(body.origin.build))
        again = rebuild(build, body.prepare)
        again.stages.load_state_dict(body.stages.state_dict())
        assert (again.names, again.widths, again.forms, again.prepare, again.origin.build) == (
            body.names, body.widths, body.forms, body.prepare, body.origin.build,
        )  # fmt: skip
        with torch.no_grad():
            assert torch.equal(again.forward(_state(TEXTS)), body.forward(_state(TEXTS)))


def test_random_weights_follow_the_seed_and_leave_torchs_alone():
    before = torch.get_rng_state()
    one, two, other = (_tiny(seed).stages.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert not one["0.spelling.embedding.weight"][0].any()


def test_gradients_reach_everything_and_are_finite_differences(tmp_path):
    body = load("elmo", Options(weights=str(published.write(tmp_path, _changed(lstm={"cell_clip": None, "proj_clip": None})))))
    body.stages.double()
    state = _state(TEXTS[:3])
    weigh = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0)).double()

    def value():
        return (body.forward(state) * weigh).sum()

    value().backward()
    for name, parameter in body.stages.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        flat, at = parameter.data.view(-1), int(parameter.grad.abs().argmax())
        with torch.no_grad():
            flat[at] += 1e-5
            up = value()
            flat[at] -= 2e-5
            down = value()
            flat[at] += 1e-5
        assert float((up - down) / 2e-5) == pytest.approx(float(parameter.grad.view(-1)[at]), rel=1e-3, abs=1e-6), name
    assert not body.stages[0].spelling.embedding.weight.grad[0].any()


def test_published_weights_say_where_they_come_from(tmp_path):
    folder = published.write(tmp_path)
    origin = load("elmo", Options(weights=str(folder / "weights.hdf5"))).origin
    assert origin.weights == "file:weights.hdf5" and len(origin.sha256) == 64 and origin.trained_on == "unknown"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (Options(), WeightsError, "--weights FOLDER"),
        (Options(weights="none", size="smal"), OptionError, "Did you mean 'small'"),
        (Options(weights="somewhere", size="small"), OptionError, "leave size out"),
        (Options(weights="none", length=0), OptionError, "length=512"),
        (Options(weights="nowhere"), WeightsError, "no weights file"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(options, error, words):
    with pytest.raises(error, match=words) as caught:
        load("elmo", options)
    assert "\n" not in str(caught.value)
