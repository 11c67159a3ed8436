import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support
from tests.report import folders

from graft.report import tables


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.9412, "0.941"), (12.345, "12.35"), (1234567, "1 234 567"), (-0.5, "−0.500"), (0.00042, "4.2e−4"), (float("nan"), "–"),
     (None, "–"), ("7", "–"), (True, "–"), (0.0, "0.000"), (math.inf, "–")],
)  # fmt: skip
def test_number(value, words):
    assert tables.number(value).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"value": 0.9412, "interval": [0.9, 0.97]}, ("0.941", "0.90", "0.97")),
        ({"value": 0.94123, "interval": [0.9391, 0.9432]}, ("0.9412", "0.939", "0.943")),
        ({"value": 312.44, "interval": [290.1, 330.2]}, ("312.4", "290", "330")),
        ({"value": 1.0, "interval": [1.0, 1.0]}, ("1.000", "1.00", "1.00")),
        ({"value": 0.5, "interval": None}, ("0.500", "", "")),
        (0.5, ("0.500", "", "")),
    ],
)
def test_scored_shows_as_many_digits_as_the_interval_carries(entry, words):
    assert tuple(tables.scored(entry).values()) == words


def test_scored_of_nothing():
    assert tables.scored(None) is None and tables.scored({"value": None}) is None and tables.scored({"value": math.nan}) is None


def test_span():
    assert tables.span({"value": 0.5, "interval": [0.4, 0.7]}) == (40.0, 30.0, 50.0)
    assert tables.span({"value": 3.0, "interval": [2.0, 4.0]}) is None and tables.span({"value": 0.5}) is None


def test_duration_and_sizes():
    assert [tables.duration(s) for s in (1.44, 38, 192.4, 7500, None)] == ["1.4 s", "38 s", "3 min 12 s", "2 h 05 min", "–"]
    assert tables.megabytes(812.4) == "812 MB" and tables.megabytes(3072) == "3.0 GB"
    assert tables.count(2_226_434) == "2.2 M" and tables.count(24_300) == "24 k" and tables.count(999_900) == "1.0 M"
    assert tables.rate(0.001) == "1e−3" and tables.rate(0.00025) == "2.5e−4" and tables.rate(None) == "–"
    assert tables.metric("balanced_accuracy") == "Balanced accuracy" and tables.metric("mae") == "Mean absolute error"


@pytest.fixture
def answers():
    rng, classes = np.random.default_rng(0), ["a", "b", "c", "unseen"]
    true = rng.choice(classes[:3], 200, p=[0.6, 0.3, 0.1]).tolist()
    said = [t if rng.random() < 0.7 else str(rng.choice(classes[:3])) for t in true]
    return true, said, classes


def test_confusion_and_scores_by_class_agree_with_scikit_learn(answers):
    true, said, classes = answers
    counts = tables.confusion(true, said, classes)
    assert (counts == confusion_matrix(true, said, labels=classes)).all()
    reference = precision_recall_fscore_support(true, said, labels=classes, zero_division=np.nan)
    rows = {row["name"]: row for row in tables.by_class(counts, classes)}
    for i, name in enumerate(classes[:3]):
        assert [rows[name][k] for k in ("precision", "recall", "f1", "n")] == pytest.approx([part[i] for part in reference])
    assert math.isnan(rows["unseen"]["recall"])
    order = [row["name"] for row in tables.by_class(counts, classes)]
    assert order[-1] == "unseen" and order[:3] == sorted(order[:3], key=lambda name: rows[name]["f1"])


def test_confused_pairs_are_the_largest_cells_off_the_diagonal():
    counts = np.array([[9, 1, 5], [3, 7, 0], [0, 0, 4]])
    pairs = tables.confused_pairs(counts, ["a", "b", "c"])
    assert [(p["true"], p["predicted"], p["n"]) for p in pairs] == [("a", "c", 5), ("b", "a", 3)]
    assert pairs[0]["share"] == pytest.approx(5 / 15)
    assert tables.confused_pairs(np.diag([3, 4]), ["a", "b"]) == []
    assert len(tables.confused_pairs(np.array([[3, 1], [1, 3]]), ["a", "b"])) == 2


def test_scores_by_label_agree_with_scikit_learn():
    rng, classes = np.random.default_rng(1), ["x", "y", "z"]
    truth, p = rng.random((60, 3)) < 0.4, rng.random((60, 3)).round(1)
    truth[:, 2] = False
    rows = {row["name"]: row for row in tables.by_label(truth, p > 0.5, p, classes)}
    for i, name in enumerate(classes[:2]):
        reference = precision_recall_fscore_support(truth[:, i], p[:, i] > 0.5, average="binary")
        assert [rows[name][k] for k in ("precision", "recall", "f1")] == pytest.approx(reference[:3])
        assert rows[name]["ap"] == pytest.approx(average_precision_score(truth[:, i], p[:, i]))
    assert math.isnan(rows["z"]["ap"]) and tables.by_label(truth, p > 0.5, p, classes)[-1]["name"] == "z"


def test_membership():
    assert tables.membership([["b"], [], None, ["a", "b", "other"]], ["a", "b"]).tolist() == [
        [False, True],
        [False, False],
        [False, False],
        [True, True],
    ]


def test_as_probabilities_leaves_probabilities_alone():
    p = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert tables.as_probabilities(p, exclusive=True) is p
    logits = np.array([[2.0, -1.0], [0.0, 3.0]])
    assert tables.as_probabilities(logits, exclusive=True) == pytest.approx(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    assert tables.as_probabilities(logits, exclusive=False) == pytest.approx(1 / (1 + np.exp(-logits)))


def test_curves_put_phases_side_by_side_and_count_a_repeated_epoch_once():
    rows = folders.events("accuracy", ("fold1", "final"))
    again = next(row for row in rows if row["event"] == "epoch" and row["run"] == "final" and row["phase"] == "all")
    found = tables.curves([*rows, again], "accuracy")
    assert found["phases"] == [{"name": "head", "from": 0, "to": 6}, {"name": "all", "from": 6, "to": 12}]
    final = next(run for run in found["runs"] if run["name"] == "final")
    assert [x for x, _ in final["metric"]] == list(range(1, 13)) == [x for x, _ in final["loss"]]
    assert [x for x, _ in final["kept"]] == [5, 11]


def test_curves_of_nothing_or_of_another_metric():
    assert tables.curves([], "accuracy") is None
    assert tables.curves(folders.events("mae"), "accuracy")["metric"] == "mae"


def test_freezing_says_what_is_frozen_and_at_what_rate_the_rest_learns():
    rows = folders.events("accuracy")
    body = next(row for row in rows if row["event"] == "backbone")
    head, everything = tables.freezing(body, rows)
    assert [c["state"] for c in head["cells"]] == ["frozen"] * 6 + ["learnt"]
    assert [c["state"] for c in everything["cells"]] == ["frozen"] * 2 + ["learnt"] * 5
    assert head["cells"][-1]["rate"] == "1e−2" and head["cells"][-1]["warmth"] == 1
    warmth = [c["warmth"] for c in everything["cells"][2:]]
    assert warmth == sorted(warmth) and warmth[0] == 0
    assert everything["summary"].startswith("stem – blocks0 frozen; blocks1 – head learnt at 1.3e−4 – 1e−3")


def test_freezing_reads_tensor_names_where_they_are_given_and_knows_constants():
    body = {"stages": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    group = {"name": "anything", "lr": 1e-3, "tensors": ["stages.2.body.weight", "head.bias"]}
    (row,) = tables.freezing(body, [folders.phase("final", "p", 0, 1, [group])])
    assert [c["state"] for c in row["cells"]] == ["frozen", "constant", "learnt", "learnt"]


def test_a_group_named_for_no_stage_reaches_all_that_is_not_frozen():
    body = {"stages": [{"name": "a"}, {"name": "b"}]}
    groups = [{"name": "body", "lr": 1e-4}, {"name": "head", "lr": 1e-3}]
    (row,) = tables.freezing(body, [folders.phase("final", "p", 0, 1, groups)])
    assert [c["rate"] for c in row["cells"]] == ["–", "1e−4", "1e−3"]


def test_a_stage_called_head_is_told_from_the_head_by_its_size():
    body = {"stages": [{"name": "stem", "parameters": 10}, {"name": "head", "parameters": 70}]}
    groups = [{"name": "head", "lr": 1e-4, "parameters": 70, "tensors": 2}, {"name": "head", "lr": 1e-3, "parameters": 8, "tensors": 2}]
    (row,) = tables.freezing(body, [folders.phase("final", "p", 0, 1, groups)])
    assert [(c["name"], c["rate"]) for c in row["cells"]] == [("stem", "–"), ("head", "1e−4"), ("new head", "1e−3")]
    (row,) = tables.freezing(body, [folders.phase("final", "p", 0, 2, groups[1:])])
    assert [c["state"] for c in row["cells"]] == ["frozen", "frozen", "learnt"]
