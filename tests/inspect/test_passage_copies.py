import json

import numpy as np
import pytest

from graft.inspect import duplicates, passage_copies, passages
from graft.inspect.passage_copies import ALIKE, Passages, candidates, jaccard, measured, pieces, signatures

rng = np.random.default_rng(0)
WORDS = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(800)]


def sentences(n, seed=0, words=18):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, words)) for _ in range(n)]


def slow(a, b):
    """The Jaccard index of all pieces of five signs, as sets of strings."""
    one, two = ({f" {text} "[i : i + 5] for i in range(len(text) - 2)} for text in (a, b))
    return len(one & two) / len(one | two)


def edited(text, at=5):
    words = text.split()
    return " ".join([*words[:at], "zz", *words[at + 1 :]])


def search(texts, labels=None, splits=None):
    n = len(texts)
    facts = passages.gather([f"a.csv:{i}" for i in range(n)], texts)
    rows = duplicates.Rows(facts.digest, facts.path, labels or ["x"] * n, splits or ["train"] * n, "texts")
    found, left_out = duplicates.find(rows, Passages(texts))
    for one in found:
        json.dumps(one.as_dict())
    return {one.kind: one for one in found}, left_out


def test_the_index_against_sets_of_strings():
    texts = sentences(12)
    texts += [edited(text) for text in texts[:6]] + [texts[0][:40]]
    for a in texts[:6]:
        for b in texts:
            assert jaccard(pieces(a), pieces(b)) == pytest.approx(slow(a, b))
    pairs = np.array([[i, j] for i in range(6) for j in range(7, 19)])
    np.testing.assert_allclose(measured(texts, pairs), [slow(texts[i], texts[j]) for i, j in pairs])


def test_signatures_agree_as_often_as_the_index_says(monkeypatch):
    """96 draws: within five standard deviations; and cut into chunks they are the same."""
    texts = [text for one in sentences(30) for text in (one, edited(one), " ".join(one.split()[:12]))]
    signs = signatures(texts)
    for i in range(0, 90, 3):
        for j in (i + 1, i + 2):
            s = slow(texts[i], texts[j])
            assert abs((signs[i] == signs[j]).mean() - s) < 5 * (s * (1 - s) / 96) ** 0.5 + 1e-9
    monkeypatch.setattr(passage_copies, "CHUNK", 500)
    np.testing.assert_array_equal(signatures(texts), signs)


def test_each_piece_is_hashed_inside_of_its_text_only():
    """A text has the same signature alone and between others."""
    texts = sentences(5)
    np.testing.assert_array_equal(signatures(texts)[2:3], signatures(texts[2:3]))


def test_all_close_pairs_are_candidates_and_are_found():
    texts = sentences(400)
    texts += [edited(text, 7) for text in texts[:60]]
    wanted = {(i, j) for i in range(len(texts)) for j in range(i) if slow(texts[i], texts[j]) >= ALIKE}
    assert len(wanted) >= 50
    pairs = {tuple(sorted(pair, reverse=True)) for pair in candidates(signatures(texts)).tolist()}
    assert wanted <= pairs
    found = Passages(texts).near()
    assert {tuple(sorted(pair, reverse=True)) for pair in found.pairs.tolist()} == wanted
    index = 1 - 10**found.scores + passage_copies.FLOOR
    np.testing.assert_allclose(index, [slow(texts[i], texts[j]) for i, j in found.pairs], atol=1e-6)


def test_many_copies_of_one_text_do_not_make_all_pairs():
    base = sentences(1)[0]
    texts = [f"{base} {i}" for i in range(300)]
    pairs = candidates(signatures(texts))
    assert len(pairs) < 20 * 300
    groups = duplicates.grouped(300, Passages(texts).near().pairs)
    assert [len(group) for group in groups] == [300]


def test_copies_are_found_and_nothing_else():
    texts = sentences(50)
    copied = [*texts, texts[0].upper() + "!", edited(texts[1]), f"rt user {texts[2]}"]
    found, left_out = search(copied)
    assert set(found) == {"exact_duplicates", "near_duplicates"} and left_out == []
    exact = found["exact_duplicates"]
    assert exact.files == ("a.csv:50",) and "1 text is the same as another one but for case" in exact.text
    near = found["near_duplicates"]
    assert set(near.files) == {"a.csv:51", "a.csv:52"} and "2 texts are a copy of another one with small edits" in near.text
    assert "image" not in near.text + near.effect + near.repair and "mirrored" not in near.examples[0]
    assert near.numbers["precision"] is None and near.numbers["recall_by_kind"]["a word left out"] == 1.0
    assert near.examples[0]["distance"] == pytest.approx(1 - max(slow(texts[1], edited(texts[1])), slow(texts[2], copied[52])), abs=2e-4)
    assert search(texts) == ({}, [])


def test_across_splits_and_with_other_labels():
    texts = sentences(30)
    copied = [*texts, edited(texts[0]), texts[1] + " ."]
    splits = ["test"] * 10 + ["train"] * 22
    found, _ = search(copied, splits=splits)
    across = found["duplicates_across_splits"]
    assert (across.level, across.count, set(across.files)) == ("problem", 2, {"a.csv:30", "a.csv:31"})
    assert "2 of 10 texts of test" in across.text
    found, _ = search(copied, labels=["x"] * 30 + ["y", "y"])
    assert set(found) == {"duplicates_with_other_labels"} and "(4 texts)" in found["duplicates_with_other_labels"].text


def test_short_texts_are_compared_exactly_only():
    found, left_out = search(["great phone", "great phone!", "great phones"])
    assert set(found) == {"exact_duplicates"} and "too few to compare" in left_out[0]
    assert search([""] * 5)[0] == {}


def test_the_order_of_the_texts_makes_no_difference():
    texts = sentences(60)
    texts += [edited(text) for text in texts[:9]]
    order = np.random.default_rng(1).permutation(len(texts))
    one = {frozenset(texts[i] for i in pair) for pair in Passages(texts).near().pairs.tolist()}
    two = {frozenset(texts[order[i]] for i in pair) for pair in Passages(texts).take(order).near().pairs.tolist()}
    assert one == two and len(one) == 9


def test_what_stands_beside_a_text_has_to_be_alike_too():
    texts = sentences(12)
    beside = sentences(12, seed=1, words=60)
    both = Passages([*texts, edited(texts[0]), texts[1]], [*beside, edited(beside[0]), beside[2]])
    assert both.near().pairs.tolist() == [[0, 12]] and Passages(both.texts).near().pairs.tolist() == [[0, 12], [1, 13]]
    assert both.take(np.array([0, 12])).near().pairs.tolist() == [[0, 1]]
