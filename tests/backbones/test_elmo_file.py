import json

import h5py
import numpy as np
import pytest
from tests.backbones import published_elmo as published

from graft.backbones.elmo_file import layout, read
from graft.errors import WeightsError


def test_everything_is_read_by_its_published_name(tmp_path):
    path, plan, arrays = read(published.write(tmp_path))
    assert path == tmp_path / "weights.hdf5"
    assert (plan.filters, plan.embedding, plan.highway, plan.dim, plan.projection) == (((1, 3), (2, 4), (5, 2)), 5, 2, 6, 4)
    assert (plan.layers, plan.activation, plan.cell_clip, plan.proj_clip, plan.skip) == (2, "relu", 0.6, 0.4, True)
    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, held: names.append(name) if isinstance(held, h5py.Dataset) else None)
        assert set(names) == set(arrays) == set(layout(plan))
        assert all(np.array_equal(file[name][...], array) and array.dtype == np.float32 for name, array in arrays.items())


def test_files_under_the_names_they_are_published_with(tmp_path):
    name = "elmo_2x1024_128_2048cnn_1xhighway"
    folder = published.write(tmp_path, name=f"{name}_weights.hdf5", told=f"{name}_options.json")
    assert read(folder)[0] == read(folder / f"{name}_weights.hdf5")[0] == folder / f"{name}_weights.hdf5"


def _replace(file, name, value):
    del file[name]
    if value is not None:
        file[name] = value


CELL = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: _replace(file, "CNN_proj/W_proj", None), r"no dataset 'CNN_proj/W_proj'.*\[9, 4\]"),
        (lambda file: _replace(file, CELL, None), rf"no dataset '{CELL}/W_0'"),
        (lambda file: _replace(file, "char_embed", np.zeros((262, 5), "f4")), r"'char_embed' of shape \[262, 5\].*\[261, 5\]"),
        (lambda file: _replace(file, f"{CELL}/W_P_0", np.zeros((4, 6), "f4")), r"W_P_0' of shape \[4, 6\].*\[6, 4\]"),
        (lambda file: _replace(file, f"{CELL}/B", np.full(24, np.nan, "f4")), "not finite"),
        (lambda file: _replace(file, f"{CELL}/B", np.zeros(24, "i4")), "int32"),
        (lambda file: file.__setitem__("CNN_high_2/W_carry", np.zeros(3, "f4")), "CNN_high_2.*does not ask for"),
        (lambda file: file.__setitem__("RNN_0/RNN/MultiRNNCell/Cell2/LSTMCell/B", np.zeros(3, "f4")), "Cell2.*does not ask for"),
    ],
)
def test_a_wrong_dataset_is_named_with_its_shapes(tmp_path, change, words):
    published.write(tmp_path)
    with h5py.File(tmp_path / "weights.hdf5", "r+") as file:
        change(file)
    _refused(tmp_path, words)


def test_objects_are_not_read(tmp_path):
    published.write(tmp_path)
    with h5py.File(tmp_path / "weights.hdf5", "r+") as file:
        del file["CNN_proj/b_proj"]
        file.create_dataset("CNN_proj/b_proj", (4,), h5py.string_dtype())
    _refused(tmp_path, "holds object in 'CNN_proj/b_proj'")


def test_datasets_in_other_files_are_not_followed(tmp_path):
    published.write(tmp_path / "a")
    published.write(tmp_path / "b")
    with h5py.File(tmp_path / "a" / "weights.hdf5", "r+") as file:
        del file["char_embed"]
        file["char_embed"] = h5py.ExternalLink(str(tmp_path / "b" / "weights.hdf5"), "char_embed")
    _refused(tmp_path / "a", "another file")


def test_a_file_of_another_kind(tmp_path):
    published.write(tmp_path)
    (tmp_path / "weights.hdf5").write_bytes(b"\x80\x04 not an HDF5 file")
    _refused(tmp_path, "not an HDF5 file")


def test_missing_files(tmp_path):
    _refused(tmp_path, r"no weights file .*weights\.hdf5")
    published.write(tmp_path)
    (tmp_path / "options.json").unlink()
    _refused(tmp_path, "no options.json beside")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("lstm", {"dim": None}, "damaged"),
        ("lstm", {"cell_clip": -1}, "damaged"),
        ("lstm", {"n_layers": 0}, "damaged"),
        ("char_cnn", {"filters": [[1, 2, 3]]}, "damaged"),
        ("char_cnn", {"filters": [[51, 2]]}, "filters"),
        ("char_cnn", {"activation": "gelu"}, "relu and tanh"),
        ("char_cnn", {"max_characters_per_token": 16}, "16 of them a word"),
        ("char_cnn", {"n_characters": 60}, "60 characters"),
    ],
)
def test_impossible_options(tmp_path, part, change, words):
    _refused(published.write(tmp_path), words, {**published.OPTIONS, part: published.OPTIONS[part] | change})


def test_options_that_leave_something_out(tmp_path):
    lstm = {key: value for key, value in published.OPTIONS["lstm"].items() if key != "projection_dim"}
    _refused(published.write(tmp_path), "does not say 'projection_dim'", {**published.OPTIONS, "lstm": lstm})
    _refused(tmp_path, "damaged", [1, 2])


def _refused(folder, words, options=None):
    if options is not None:
        (folder / "options.json").write_text(json.dumps(options))
    with pytest.raises(WeightsError, match=words) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
