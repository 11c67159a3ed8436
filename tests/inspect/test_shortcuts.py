import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from graft.inspect import shortcuts
from graft.inspect.photos import Facts
from graft.inspect.shortcuts import ALL, NAME, PENALTY, TELLING, _folds, _Learner, _permuted, finding, probe


def drawn(n, seed=0, **changes):
    """Facts of n images in which nothing goes with anything."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    facts = Facts(
        path=tuple(f"/x/{value:09d}.jpg" for value in rng.integers(1e9, size=n)), bytes=rng.integers(20_000, 60_000, n),
        width=rng.integers(200, 400, n), height=rng.integers(200, 400, n), mode=tuple(rng.choice(["RGB", "L"], n)),
        orientation=np.ones(n, np.int8), format=tuple(rng.choice(["JPEG", "PNG"], n)), digest=tuple(bytes([i % 256]) for i in range(n)),
        colour=rng.uniform(60, 190, (n, 3)), border=rng.uniform(60, 190, (n, 3)), spread=rng.uniform(20, 70, n), small=small,
    )  # fmt: skip
    return replace(facts, **changes)


def alternating(n, names=("ant", "bee")):
    return [names[i % len(names)] for i in range(n)]


def by_name(cues):
    return {cue.name: cue for cue in cues}


N = 120
ODD = np.arange(N) % 2  # 1 for the bees


def noisy(seed=9):
    return np.random.default_rng(seed).normal(size=N)


CASES = {
    "file size": {"bytes": (40_000 * np.exp2(0.8 * ODD + 0.2 * noisy())).astype(int)},
    "dimensions": {"width": 300 + 100 * ODD, "height": np.full(N, 300)},
    "mean colour": {"colour": 120 + 40 * ODD[:, None] + 8 * noisy()[:, None] + np.zeros(3)},
    "border pixels": {"border": 120 + 40 * ODD[:, None] + 8 * noisy()[:, None] + np.zeros(3)},
    "format and mode": {"format": tuple("PNG" if odd and i % 10 else "JPEG" for i, odd in enumerate(ODD))},
    NAME: {"path": tuple(f"/x/{'cam' if odd else 'dsc'}_{i:04d}.jpg" for i, odd in enumerate(ODD))},
}


@pytest.mark.parametrize("name", CASES)
def test_each_cue_is_found_where_it_tells_the_classes_apart(name):
    cues = probe(drawn(N, **CASES[name]), alternating(N))
    assert [cue.name for cue in cues] == ["file size", "dimensions", "mean colour", "border pixels", "format and mode", NAME, ALL]
    found = by_name(cues)
    assert found[name].balanced > 0.9 and found[name].corrected < 0.02 and found[name].skill > TELLING
    others = [cue for cue in cues if cue.name not in (name, ALL)]
    assert max(cue.balanced for cue in others) < 0.75
    made = finding(cues)
    assert [one.numbers["cue"] for one in made] == [name] and made[0].level == ("note" if name == NAME else "warning")
    json.dumps(made[0].as_dict())


def test_a_class_between_the_others_or_more_spread_out_is_found():
    """No straight line tells these apart: the squares do."""
    colour = np.repeat(np.where(ODD, 120.0, 120 + 40 * np.sign(noisy()))[:, None], 3, 1)
    assert by_name(probe(drawn(N, colour=colour), alternating(N)))["mean colour"].balanced > 0.95


@pytest.mark.parametrize("k", [2, 4])
def test_random_labels_raise_an_alarm_seldom(k, monkeypatch):
    """In at most 5 % of repetitions, by the p-values alone too; of 25, more than 4 would have a probability under 1 %."""
    monkeypatch.setattr(shortcuts, "RESAMPLES", 100)
    alarms = significant = 0
    for seed in range(25):
        cues = probe(drawn(60, seed), np.random.default_rng(seed).permutation(alternating(60, "abcd"[:k])).tolist(), seed=seed)
        alarms += bool(finding(cues, 0.5))
        significant += any(cue.corrected < shortcuts.SIGNIFICANT for cue in cues)
    assert alarms <= 1 and significant <= 4, (alarms, significant)


def test_nothing_is_learnt_from_the_rows_that_are_predicted():
    """Whatever the labels of a fold are, what is said of its rows stays the same."""
    x, fold = np.random.default_rng(0).normal(size=(N, 5)), _folds(ODD, np.arange(N), 0)
    assert all(np.bincount(ODD[fold == k]).tolist() == [12, 12] for k in range(5))
    before, after = _Learner(x, fold, 2)(np.stack([ODD, np.where(fold == 2, 1 - ODD, ODD)]))
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert not np.allclose(before[fold == 1], after[fold == 1])


def test_the_classifier_against_scikit_learn_fold_by_fold():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, 7)) * np.geomspace(0.1, 100, 7) + 50, rng.choice(3, N, p=[0.6, 0.3, 0.1])
    fold = _folds(y, np.arange(N), 0)
    held = _Learner(x, fold, 3)(y[None])[0]
    for k in range(5):
        learn = fold != k
        scaler = StandardScaler().fit(x[learn])
        ridge = Ridge(alpha=PENALTY * learn.sum()).fit(scaler.transform(x[learn]), np.eye(3)[y[learn]])
        wanted = ridge.predict(scaler.transform(x[~learn])) / np.bincount(y[learn]) * learn.sum()
        np.testing.assert_allclose(held[~learn], wanted, rtol=1e-6, atol=1e-9)


def test_groups_do_not_part():
    """Ten photographers with a light of their own, each of one class: by rows the light tells the class, by groups it does not."""
    group = np.arange(N) % 10
    light = np.random.default_rng(3).uniform(60, 190, (10, 3))[group]
    facts = drawn(N, colour=light)
    labels = [("ant", "bee")[g % 2] for g in group]
    assert by_name(probe(facts, labels))["mean colour"].balanced > 0.85
    cue = by_name(probe(facts, labels, groups=group))["mean colour"]
    assert cue.p > 0.05 and finding([cue]) == []
    fold = _folds(group % 2, group, 0)
    assert all(len(set(fold[group == g])) == 1 for g in range(10))


def fixed(guess, k=2):
    """Answers that do not hear of the labels."""

    def learner(labels):
        return np.repeat(np.eye(k)[guess][None], len(labels), 0)

    learner.k = k
    return learner


def test_the_p_value_against_fishers_exact_test():
    """With two classes of equal size and fixed answers, balanced accuracy rises with the hits in one cell."""
    guess, y = np.array([1] * 13 + [0] * 7 + [1] * 6 + [0] * 14), np.array([1] * 20 + [0] * 20)
    exact = hypergeom.sf(12, 40, 20, 19)
    assert exact < 0.06 and abs(_permuted(fixed(guess), y, np.arange(40), 0, 27 / 40) - exact) < 0.03
    assert _permuted(fixed(y), y, np.arange(40), 0, 1.0) == 1 / 400
    assert _permuted(fixed(1 - y), y, np.arange(40), 0, 0.0) == 1.0


def test_p_values_of_groups_count_groups_and_not_rows():
    """Three groups on each side, all told right: one of twenty ways of dealing them out does as well."""
    units = np.tile(np.arange(6), 20)
    y = (units >= 3).astype(int)
    assert abs(_permuted(fixed(y), y, units, 0, 1.0) - 1 / 20) < 0.03
    assert _permuted(fixed(y), y, np.arange(120), 0, 1.0) == 1 / 400


def test_holms_correction_against_its_definition():
    cues = probe(drawn(80), alternating(80))
    ranked = sorted(cue.p for cue in cues)
    for cue in cues:
        steps = [(len(ranked) - i) * p for i, p in enumerate(ranked) if p <= cue.p]
        assert cue.corrected == pytest.approx(min(1.0, max(steps[: ranked.index(cue.p) + 1])))


def test_a_cue_that_does_as_well_as_the_features_is_a_problem():
    cues = probe(drawn(N, **CASES["border pixels"]), alternating(N))
    accuracy = by_name(cues)["border pixels"].accuracy
    assert [one.level for one in finding(cues, features_score=accuracy)] == ["problem"]
    one = finding(cues, features_score=1.0)[0]
    assert "reach 100% accuracy" in one.effect and one.level == "problem"
    assert finding(cues, features_score=0.5)[0].level == "warning"  # The features are no better than the majority.
    rest = replace(by_name(cues)["border pixels"], accuracy=0.85)
    assert finding([rest], features_score=1.0)[0].level == "warning"  # 0.7 of the way.


def test_names_of_classes_in_file_names_are_no_cue():
    path = tuple(f"/x/{label}/{label}.{int(value):09d}.jpg" for label, value in zip(alternating(N), 1e9 * abs(noisy()) / 4))
    assert by_name(probe(drawn(N, path=path), alternating(N)))[NAME].corrected > 0.05


def test_constant_cues_are_not_tried():
    n = 40
    facts = drawn(n, width=np.full(n, 256), height=np.full(n, 256), mode=("RGB",) * n, format=("JPEG",) * n)
    assert [cue.name for cue in probe(facts, alternating(n))] == ["file size", "mean colour", "border pixels", NAME, ALL]


def test_small_classes_are_left_out_and_too_few_rows_say_nothing():
    cues = probe(drawn(44), [*alternating(40), *["rare"] * 4])
    assert set(cues[0].recall) == {"ant", "bee"} and cues[0].rows == 40
    assert probe(drawn(8), alternating(8)) == [] and probe(drawn(20), ["ant"] * 20) == []


def test_of_many_rows_a_part_is_looked_at(monkeypatch):
    monkeypatch.setattr(shortcuts, "MOST", 50)
    cues = probe(drawn(N), alternating(N), seed=1)
    assert {cue.rows for cue in cues} == {50} and cues == probe(drawn(N), alternating(N), seed=1)


def test_what_a_cue_is_like_is_told_by_class():
    cue = by_name(probe(drawn(N, **CASES["border pixels"]), alternating(N)))["border pixels"]
    assert cue.told["ant"].startswith("rgb(1") and set(cue.told) == {"ant", "bee"}
    assert all(len(files) == 3 for files in cue.typical.values()) and cue.chance == cue.majority == 0.5
    assert cue.interval[0] <= cue.balanced <= cue.interval[1]


@pytest.mark.data
@pytest.mark.slow
def test_real_sets(data_dir):
    """One grey cloth under all potato leaves; ants and bees were photographed by many people."""
    from graft.inspect.photos import gather
    from graft.readers import image_folder

    def told(name, score):
        table = image_folder.read(str(data_dir / name), image_folder.Options()).train
        facts = gather(table["path"].to_pylist())
        return {one.numbers["cue"]: one.level for one in finding(probe(facts, table["label"].to_pylist()), score)}

    assert "warning" in {level for cue, level in told("potato_leaf", None).items() if cue != NAME}
    assert "problem" not in told("hymenoptera", 0.9).values()
