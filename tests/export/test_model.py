"""Reading a model back, using it, and what is said of damaged ones."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graft.data.images import load_images
from graft.errors import DataError, GraftError, WeightsError
from graft.export import bundle
from graft.export.model import Model, read

from .conftest import make, make_task


@pytest.fixture(scope="module")
def saved(photos, tmp_path_factory):
    """Folders of runs, by task; read only."""
    folders = {}
    for kind in ("classification", "multilabel", "regression"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        bundle.write(folders[kind] / "model", *make(kind, photos).arguments())
    return folders


@pytest.fixture
def model(saved) -> Model:
    return read(saved["classification"], make_task)


@pytest.fixture(scope="module")
def paths(photos) -> list[str]:
    return [str(path) for path in sorted(photos.rglob("*.png"))[:7]]


def test_a_class_with_its_probability_and_the_best_others(model, paths):
    answers = model.predict(paths, top=2)
    rows = model.probabilities(paths)
    assert [answer.path for answer in answers] == paths
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    for answer, row in zip(answers, rows, strict=True):
        order = sorted(range(3), key=lambda i: -row[i])
        assert answer.label == model.classes[order[0]] and answer.error is None
        assert answer.probability == pytest.approx(row[order[0]], abs=1e-6)
        assert [name for name, _ in answer.top] == [model.classes[i] for i in order[:2]]


def test_top_is_at_most_all_classes_and_may_be_none(model, paths):
    assert len(model.predict(paths[:1], top=10)[0].top) == 3
    assert model.predict(paths[:1], top=0)[0].top == ()


def test_several_labels(saved, paths):
    model = read(saved["multilabel"], make_task)
    for answer, row in zip(model.predict(paths), model.probabilities(paths), strict=True):
        assert answer.label == tuple(name for name, p in zip(model.classes, row, strict=True) if p >= 0.5)
        alone = [p if name in answer.label else 1 - p for name, p in answer.top]
        assert answer.probability == pytest.approx(alone[0] * alone[1] * alone[2], abs=1e-6)
        assert dict(answer.top).keys() == set(model.classes)


def test_numbers_in_their_own_unit(saved, paths):
    model = read(saved["regression"], make_task)
    with torch.no_grad():
        outputs = model.net(((load_images(paths, model.net.prepare) / 255) - mean_of(model)) / std_of(model))
    answers = model.predict(paths)
    np.testing.assert_allclose([answer.label for answer in answers], outputs[:, 0] * 7.5 + 40.0, rtol=1e-4)
    assert all(answer.probability is None and answer.top == () for answer in answers) and model.classes == ()


def mean_of(model: Model) -> torch.Tensor:
    return torch.tensor(model.net.prepare.mean).view(3, 1, 1)


def std_of(model: Model) -> torch.Tensor:
    return torch.tensor(model.net.prepare.std).view(3, 1, 1)


def test_paths_pictures_and_arrays_are_the_same_image(model, paths):
    picture = Image.open(paths[0])
    rows = model.probabilities([paths[0], picture, np.asarray(picture)])
    np.testing.assert_allclose(rows[1:], rows[[0, 0]], atol=1e-6)
    assert [answer.path for answer in model.predict([paths[0], picture])] == [paths[0], "image 1"]
    assert model.predict(paths[0]) == model.predict([paths[0]])


def test_the_size_of_a_batch_does_not_matter(model, paths):
    np.testing.assert_allclose(model.probabilities(paths, batch=2), model.probabilities(paths), atol=1e-5)


def test_an_unreadable_image_does_not_stop_the_others(model, paths, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture")
    broken = [str(tmp_path / "empty.jpg"), str(tmp_path / "missing.jpg"), str(tmp_path / "text.png")]
    answers = model.predict([broken[0], paths[0], broken[1], paths[1], broken[2]], batch=2)
    assert [answer.label is None for answer in answers] == [True, False, True, False, True]
    assert [answer.path for answer in answers[::2]] == broken and all(path in a.error for path, a in zip(broken, answers[::2], strict=True))
    assert answers[1].probability == pytest.approx(model.predict(paths[:1])[0].probability, abs=1e-5)
    assert all(answer.label is None for answer in model.predict(broken)) and model.predict([]) == []
    with pytest.raises(DataError, match=r"empty\.jpg"):
        model.probabilities([paths[0], broken[0]])
    assert model.probabilities([]).shape == (0, 3)


def test_the_run_its_model_folder_and_a_copy_are_the_same(saved, paths, tmp_path):
    run = saved["classification"]
    shutil.copytree(run / "model", tmp_path / "anywhere")
    rows = [read(path, make_task).probabilities(paths) for path in (run, str(run / "model"), tmp_path / "anywhere")]
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


def test_a_fresh_process_says_the_same(saved, model, paths):
    code = (
        "import sys, json, graft, torch; torch.set_num_threads(1);"
        "print(json.dumps([a.probability for a in graft.load(sys.argv[1]).predict(sys.argv[2:])]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(saved["classification"]), *paths[:3]], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == pytest.approx([a.probability for a in model.predict(paths[:3])], abs=1e-6)


def test_the_card_is_at_hand(model):
    assert "circle" in model.card and "How to use it" in model.card


def damaged(saved, folder, file: str, change) -> None:
    """A copy of the classifier with one file changed by change(bytes) -> bytes; None removes it."""
    for source in (saved["classification"] / "model").iterdir():
        content = source.read_bytes()
        content = change(content) if source.name == file else content
        if content is not None:
            (folder / source.name).write_bytes(content)


def redescribed(**changes):
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("graft.json", lambda b: None, "holds no graft model"),
        ("graft.json", lambda b: b"{", "cannot be read"),
        ("graft.json", lambda b: b"\xff\xfe", "cannot be read"),
        ("graft.json", lambda b: b"[]", "format None"),
        ("graft.json", redescribed(format=2), "in format 2, and this graft reads format 1"),
        ("graft.json", redescribed(head={}), "is damaged"),
        ("graft.json", redescribed(head={"config": {"kind": "no such"}}), "is damaged"),
        ("graft.json", redescribed(taps=[99]), "is damaged"),
        ("graft.json", redescribed(temperature=0), "is damaged"),
        ("weights.safetensors", lambda b: None, "cannot be read"),
        ("weights.safetensors", lambda b: b"", "cannot be read"),
        ("weights.safetensors", lambda b: b[: len(b) // 2], "cannot be read"),
        ("weights.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "is not the file that was saved"),
    ],
)
def test_a_damaged_model_is_one_sentence(saved, tmp_path, file, change, says):
    damaged(saved, tmp_path, file, change)
    with pytest.raises(WeightsError, match=says) as caught:
        read(tmp_path, make_task)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_weights_of_another_head_are_refused(saved, photos, tmp_path):
    def other_head(content: bytes) -> bytes:
        described = json.loads(content)
        described["head"]["config"]["outputs"] = 7
        return json.dumps(described).encode()

    damaged(saved, tmp_path, "graft.json", other_head)
    with pytest.raises(WeightsError, match=r"does not fit its graft\.json \(\d tensors differ, the first is head\."):
        read(tmp_path, make_task)


def test_nothing_there_is_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        read(tmp_path / "nowhere", make_task)
    with pytest.raises(WeightsError, match="holds no graft model"):
        read(tmp_path, make_task)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_descriptions_never_show_a_traceback(saved, tmp_path, data):
    """Bytes and values of graft.json are changed at random: either the model loads or a GraftError says why not."""
    content = (saved["classification"] / "model" / "graft.json").read_bytes()
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(content) - 1))
        content = content[:place] + data.draw(st.binary(min_size=0, max_size=3)) + content[place + data.draw(st.integers(0, 3)) :]
    else:
        described = json.loads(content)
        part = data.draw(st.sampled_from([described, described["backbone"], described["task"], described["backbone"]["prepare"]]))
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(st.sampled_from([None, -1, 0, "", "x", [], [1], {}, {"a": 1}, 1e9]))
        content = json.dumps(described).encode()
    damaged(saved, tmp_path, "graft.json", lambda _: content)
    try:
        assert isinstance(read(tmp_path, make_task), Model)
    except GraftError as error:
        assert str(error)
