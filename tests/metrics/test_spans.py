import collections
import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.metrics import spans

text = st.lists(st.sampled_from(["The", "a", "An", "cat", "Cat", "dog's", "U.S.", "-", "42", "é", " ", "theme"]), max_size=6).map(" ".join)


def _normalize_answer(s):
    def remove_articles(text):
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    return " ".join(remove_articles(remove_punc(s.lower())).split())


def _official(a_pred, answers):
    """The loops of the evaluation script of SQuAD 2.0, one question."""
    gold = [a for a in answers if _normalize_answer(a)]
    gold = gold or [""]
    exact, f1 = [], []
    for a_gold in gold:
        exact.append(int(_normalize_answer(a_gold) == _normalize_answer(a_pred)))
        gold_toks, pred_toks = _normalize_answer(a_gold).split(), _normalize_answer(a_pred).split()
        common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
        num_same = sum(common.values())
        if len(gold_toks) == 0 or len(pred_toks) == 0:
            f1.append(int(gold_toks == pred_toks))
        elif num_same == 0:
            f1.append(0)
        else:
            precision, recall = num_same / len(pred_toks), num_same / len(gold_toks)
            f1.append((2 * precision * recall) / (precision + recall))
    return max(exact), max(f1)


@settings(max_examples=200, deadline=None)
@given(text, st.lists(text, max_size=3))
def test_scores_are_those_of_the_official_script(answer, answers):
    assert spans.best(answer, answers) == pytest.approx(_official(answer, answers))


def test_articles_case_and_punctuation_do_not_matter_and_repeated_words_count_once_each():
    assert spans.normalise("  The U.S. -- an  Answer ") == "us answer" and spans.exact("the Cat!", "a cat") == 1
    assert spans.f1("cat cat sat", "cat ran") == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert spans.best("", []) == (1, 1) and spans.best("cat", []) == (0, 0) and spans.best("", ["cat"]) == (0, 0)
    assert spans.best("big cat", ["dog", "the big cat", "cat"]) == (1, 1)


def _rows(n=50, seed=0):
    """Windows of 20 questions in any order."""
    rng = np.random.default_rng(seed)
    question = rng.integers(0, 20, n)
    silent = (np.arange(20) % 4 == 0)[question]
    exact = (rng.random(n) < 0.5) & ~silent
    f1 = np.where(exact, 1, rng.random(n) * ~silent)
    columns = [
        question,
        rng.integers(0, 9, n),
        rng.integers(9, 20, n),
        rng.normal(size=n),
        rng.normal(size=n),
        exact,
        f1,
        silent,
        np.ones(n),
    ]
    return np.stack(columns, 1).astype(np.float32)


def _slow(rows):
    found = []
    for number in sorted(set(rows[:, 0])):
        own = rows[rows[:, 0] == number]
        best = max(own, key=lambda row: row[3])
        if best[8] and min(own[:, 4]) > best[3]:
            found.append((best[7], best[7]))
        else:
            found.append((best[5], best[6]))
    return dict(zip(("exact_match", "f1"), np.mean(found, 0), strict=True))


def test_the_best_window_of_a_question_speaks_unless_silence_scores_more():
    rows = _rows()
    assert spans.scores(rows, rows[:, :2]) == pytest.approx(_slow(rows))
    rows[:, 8] = 0
    assert spans.scores(rows, rows[:, :2]) == pytest.approx(_slow(rows))


def test_questions_drawn_with_all_their_windows_count_as_often_as_they_are_drawn():
    rows = _rows()
    times = np.random.default_rng(1).integers(0, 3, 20)
    found = spans.prepare(rows, rows)(times[rows[:, 0].astype(int)])
    each = [(_slow(rows[rows[:, 0] == number]), times[number]) for number in set(rows[:, 0].astype(int))]
    for name in found:
        assert found[name] == pytest.approx(sum(score[name] * t for score, t in each) / sum(t for _, t in each))


def test_two_arms_in_one_table_do_not_speak_for_each_other():
    """As evidence compares arms: both stand in one table and counts choose the rows of one."""
    one, other = _rows(seed=0), _rows(seed=0)
    other[:, 3:5] = _rows(seed=5)[:, 3:5]
    score, n = spans.prepare(np.concatenate([one, other]), np.zeros((100, 2))), len(one)
    assert score(np.repeat([1.0, 0.0], n)) == pytest.approx(spans.scores(one, one))
    assert score(np.repeat([0.0, 1.0], n)) == pytest.approx(spans.scores(other, other))
