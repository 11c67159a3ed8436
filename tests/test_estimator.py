"""The scikit-learn classifiers: what it accepts, that every row learns, and the checks of scikit-learn that apply to images."""

import copy
import pickle
import random
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks
from tests import texts
from tests.conftest import _draw

import graft
from graft.data.streams import Streams
from graft.engine import store
from graft.errors import DataError, OptionError
from graft.estimator import GraftClassifier, GraftTextClassifier, _files

SIZE = 48
SHAPES = ("circle", "cross", "stripes")

APPLY = (
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
    "check_no_attributes_set_in_init", "check_do_not_raise_errors_in_init_or_set_params", "check_mixin_order",
    "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params", "check_estimators_unfitted",
    "check_estimator_sparse_tag",
)  # fmt: skip
"""Those of scikit-learn's checks that make no table [rows, features] of their own, or never come to fit it. The others all fit
such tables (check_fit2d_1sample, check_classifiers_train, check_estimators_dtypes, check_n_features_in, ...), weigh rows
(check_sample_weight*, for there is no sample_weight), or ask for several outputs; none of it has a meaning for images. What
check_dont_overwrite_parameters, check_estimators_overwrite_params, check_dict_unchanged, check_fit_idempotent,
check_estimators_fit_returns_self, check_fit_score_takes_y, check_estimators_pickle, check_methods_subset_invariance and
check_methods_sample_order_invariance ask for is asked below, of images."""


def small(**values) -> GraftClassifier:
    return GraftClassifier(image_size=32, **values)


@pytest.fixture(scope="module")
def drawn():
    """(pixels uint8 [36, 48, 48, 3], names [36]), twelve of each shape."""
    X = np.stack([np.asarray(_draw(shape, seed=100 * i + n, size=SIZE)) for i, shape in enumerate(SHAPES) for n in range(12)])
    return X, np.repeat(np.array(SHAPES), 12)


@pytest.fixture(scope="module")
def fitted(drawn, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return small().fit(*drawn)


@pytest.mark.parametrize("name", APPLY)
@pytest.mark.parametrize("kind", [GraftClassifier, GraftTextClassifier])
def test_the_checks_of_scikit_learn_that_apply(name, kind):
    getattr(checks, name)(kind.__name__, kind())


def test_what_is_learnt_is_right_and_calibrated_shapes_hold(fitted, drawn):
    X, y = drawn
    proba = fitted.predict_proba(X)
    assert fitted.score(X, y) > 0.9 and proba.shape == (36, 3) and proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-12)
    assert list(fitted.classes_) == sorted(SHAPES) and fitted.n_classes_ == 3
    assert (fitted.predict(X) == fitted.classes_[proba.argmax(1)]).all()
    assert all(reason and flag for _, _, reason, flag in fitted.decisions_)


def test_paths_pictures_arrays_and_floats_say_the_same(fitted, drawn, photos):
    paths = sorted(photos.rglob("*.png"))
    kinds = {
        "paths": paths, "texts": np.array([str(p) for p in paths]), "column": np.array([[str(p)] for p in paths], object),
        "pictures": [Image.open(p) for p in paths], "floats": drawn[0] / 255.0, "list": list(drawn[0]),
    }  # fmt: skip
    wanted = fitted.predict_proba(drawn[0])
    for kind, X in kinds.items():
        np.testing.assert_array_equal(fitted.predict_proba(X), wanted, err_msg=kind)


@pytest.mark.parametrize("labels", [np.array([3, -1, 10]), np.array(["b", "a", "ü"]), np.array([True, False]), np.array([0.0, 2.0])])
def test_labels_of_any_type_come_back(labels, drawn):
    y = labels[np.arange(36) // 12 % len(labels)]
    found = small().fit(drawn[0], y)
    assert found.classes_.dtype == labels.dtype and set(found.predict(drawn[0][::6]).tolist()) <= set(labels.tolist())
    assert list(found.classes_) == list(np.unique(labels))


def test_every_row_learns(drawn, monkeypatch):
    """The solved head must have seen as many rows as were given: none is set aside for scoring."""
    from graft.heads import logistic

    seen, solve = [], logistic.solve
    monkeypatch.setattr(logistic, "solve", lambda features, *a, **k: seen.append(len(features)) or solve(features, *a, **k))
    small().fit(*drawn)
    assert seen == [36]


def test_nothing_is_left_behind_and_the_caller_s_data_stay(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, y = drawn[0].copy(), drawn[1].copy()
    estimator = small(settings=("method.patience=3",))
    before = copy.deepcopy(estimator.get_params())
    assert estimator.fit(X, y) is estimator
    state = {name: value for name, value in vars(estimator).items() if name != "net_"}
    estimator.predict(X)
    assert not list(tmp_path.iterdir()) and estimator.get_params() == before
    assert (drawn[0] == X).all() and (y == drawn[1]).all()
    assert state == {name: value for name, value in vars(estimator).items() if name != "net_"}


def test_fitting_again_gives_the_same_and_forgets_the_first(drawn):
    X, y = drawn
    estimator = small(random_state=np.random.RandomState(0)).fit(X[:24], y[:24])
    assert estimator.n_classes_ == 2
    estimator.set_params(random_state=0).fit(X, y)
    np.testing.assert_array_equal(estimator.predict_proba(X), clone(estimator).fit(X, y).predict_proba(X))


def test_rows_are_judged_one_by_one(fitted, drawn):
    X = drawn[0]
    order = np.random.default_rng(0).permutation(36)
    whole = fitted.predict_proba(X)
    np.testing.assert_allclose(fitted.predict_proba(X[order]), whole[order], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([fitted.predict_proba(X[i : i + 9]) for i in range(0, 36, 9)]), whole, atol=1e-6)


def test_folds_of_the_same_images_run_the_body_once(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    asked, pixels = [], Streams.inputs
    monkeypatch.setattr(Streams, "inputs", lambda self, table, wanted, batch: asked.extend(wanted) or pixels(self, table, wanted, batch))
    found = cross_val_score(small(), *drawn, cv=3)
    assert found.mean() > 0.6 and len(asked) == 36 and store.find() is not None


def test_in_a_pipeline_and_a_search(drawn):
    X, y = drawn
    pipeline = make_pipeline(FunctionTransformer(lambda batch: batch[:, :, ::-1]), small())
    search = GridSearchCV(pipeline, {"graftclassifier__head": ["logistic", "lda"], "graftclassifier__layers": [None, "1"]}, cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all() and search.predict(X[:2]).shape == (2,)
    assert not hasattr(pipeline[-1], "net_")


@pytest.mark.slow
@pytest.mark.parametrize("values", [{"method": "lp_ft", "epochs": 2}, {"method": "finetune", "epochs": 1, "freeze": "1"}])
def test_methods_that_train_keep_a_fifth_to_select(values, drawn):
    estimator = small(**values, settings=("method.batch=8",), augment="none").fit(*drawn)
    assert estimator.predict(drawn[0]).shape == (36,)
    copied = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_allclose(copied.predict_proba(drawn[0]), estimator.predict_proba(drawn[0]), atol=1e-6)


def test_a_pickle_carries_safetensors_and_predicts_the_same(fitted, drawn):
    copied = pickle.loads(pickle.dumps(fitted))
    state = fitted.__getstate__()
    assert set(state["_files"]) == {"weights.safetensors", "graft.json", "README.md"}
    assert not any(hasattr(value, "parameters") for value in state.values())
    np.testing.assert_array_equal(copied.predict_proba(drawn[0]), fitted.predict_proba(drawn[0]))
    assert (pickle.loads(pickle.dumps(copied)).predict(drawn[0]) == fitted.predict(drawn[0])).all()
    assert copy.deepcopy(fitted).classes_.tolist() == fitted.classes_.tolist()


def test_what_is_saved_is_a_model_of_graft(fitted, drawn, tmp_path):
    held = graft.load(fitted.save(tmp_path / "model"))
    assert held.classes == tuple(fitted.classes_)
    np.testing.assert_allclose(held.probabilities(list(drawn[0])), fitted.predict_proba(drawn[0]), atol=1e-5)


def test_tags_say_images():
    tags = GraftClassifier().__sklearn_tags__()
    assert tags.estimator_type == "classifier" and tags.target_tags.required and not tags.non_deterministic
    assert not tags.input_tags.two_d_array and tags.input_tags.three_d_array and tags.input_tags.string and not tags.input_tags.sparse


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        (np.zeros((4, 64)), [0, 1, 0, 1], DataError, r"shape \[64\]"),
        (np.full((4, 8, 8), 16.0), [0, 1, 0, 1], DataError, "outside 0..1"),
        (np.zeros((0, 8, 8, 3), np.uint8), [], DataError, "no images"),
        ("photos", ["a"], DataError, "one str"),
        (["there-is-no-such.png"] * 2, [0, 1], DataError, "there-is-no-such"),
        (np.zeros((4, 8, 8), np.uint8), [0, 0, 0, 0], DataError, "1 classes"),
        (np.zeros((4, 8, 8), np.uint8), [0, 1, 0], ValueError, "inconsistent"),
        (np.zeros((4, 8, 8), np.uint8), [0.1, 0.2, 0.3, 0.4], ValueError, "continuous"),
    ],
)
def test_what_cannot_be_learnt_is_said(X, y, error, words):
    estimator = small()
    with pytest.raises(error, match=words):
        estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_unknown_options_are_refused_in_fit_not_before(drawn):
    with pytest.raises(OptionError, match="Did you mean 'extract'"):
        small(method="extrakt").fit(*drawn)
    with pytest.raises(OptionError, match="method"):
        small(settings=("method.no_such=1",)).fit(*drawn)


def test_files_are_named_by_their_pixels(drawn, tmp_path):
    X = drawn[0]
    paths = _files(list(X[[0, 1, 0]]), tmp_path)
    assert paths[0] == paths[2] != paths[1] and len(list(tmp_path.iterdir())) == 2
    assert (np.asarray(Image.open(paths[1])) == X[1]).all()
    grey = _files([X[0, :, :, 0]], tmp_path)
    assert (np.asarray(Image.open(grey[0])) == X[0, :, :, :1]).all() and Path(grey[0]).parent == tmp_path


@pytest.fixture(scope="module")
def said():
    """(texts [40], names [40]): the last word decides."""
    rng = random.Random(0)
    X = [f"{' '.join(rng.choices(texts.WORDS[:14], k=rng.randint(3, 9)))} {'good' if i % 2 else 'bad'}" for i in range(40)]
    return X, np.array(["dull", "fine"])[np.arange(40) % 2]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body") / "bert"
    texts.write(folder, "bert")
    return str(folder)


def reader(bert, **values) -> GraftTextClassifier:
    return GraftTextClassifier(backbone=bert, **{"method": "extract", **values})


def test_texts_are_learnt_kept_and_passed_on(bert, said, tmp_path):
    found = reader(bert).fit(*said)
    proba = found.predict_proba(said[0])
    assert found.score(*said) > 0.6 and proba.shape == (40, 2) and found.classes_.tolist() == ["dull", "fine"]
    np.testing.assert_allclose(pickle.loads(pickle.dumps(found)).predict_proba(said[0]), proba, atol=1e-6)
    held = graft.load(found.save(tmp_path / "model"))
    np.testing.assert_allclose(held.probabilities(said[0]), proba, atol=1e-5)
    for X in (np.array(said[0]), np.array(said[0], object)[:, None], pa.chunked_array([said[0]])):
        np.testing.assert_array_equal(found.predict_proba(X), proba)


def test_the_method_for_texts_is_chosen_and_written_down(bert, said):
    found = reader(bert, method="auto", epochs=2).fit(*said)
    assert {what: value for what, value, *_ in found.decisions_}["method"] == "few_shot"
    found = reader(bert, method="finetune", settings=("method.batch=8",), epochs=1).fit(*said)
    assert found.predict(said[0]).shape == (40,)


def test_folds_of_the_same_texts_and_a_search(bert, said, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    assert np.isfinite(cross_val_score(reader(bert), *said, cv=2)).all() and store.find() is not None
    search = GridSearchCV(reader(bert), {"head": ["logistic", "logistic_unit"], "layers": ["1", "-1"]}, cv=2).fit(*said)
    assert search.predict(said[0][:3]).shape == (3,)


def test_pairs_of_texts(bert, said):
    X = list(zip(said[0], said[0][1:] + said[0][:1], strict=True))
    found = reader(bert).fit(X, said[1])
    proba = found.predict_proba(X)
    np.testing.assert_array_equal(found.predict_proba(np.array(X)), proba)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(found)).predict_proba(X), proba, atol=1e-6)
    with pytest.raises(DataError, match=r"1 text\(s\) where those that were learnt have 2"):
        found.predict(said[0])


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        (["a", " ", "b", "c"], DataError, "Row 1 of X"), (["a", 7, "b", "c"], DataError, "Row 1 of X"),
        ([("a", "b"), "c", "d", "e"], DataError, "Row 1 of X has 1 texts where row 0 has 2"), ([], DataError, "no texts"),
        ("a text", DataError, "one str"), (["a", "b", "c"], ValueError, "inconsistent"), (["cat"] * 4, None, ""),
    ],
)  # fmt: skip
def test_texts_that_cannot_be_learnt_are_said(X, error, words, bert):
    y = ["x", "y", "x", "y"][: 0 if not len(X) else 4]
    if error is None:
        assert reader(bert).fit(X, y).predict(X).shape == (4,)
        return
    with pytest.raises(error, match=words):
        reader(bert).fit(X, y)


def test_a_body_of_images_reads_no_texts(bert, said, drawn):
    with pytest.raises(OptionError, match="is a body for images, and the data are texts; use backbone minilm"):
        reader("graft-mini").fit(*said)
    with pytest.raises(OptionError, match="is a body for texts"):
        GraftClassifier(backbone=bert).fit(*drawn)
