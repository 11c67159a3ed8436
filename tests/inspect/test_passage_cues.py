import json

import numpy as np
import pytest

from graft.inspect.cues import ALL, NAME
from graft.inspect.passages import gather
from graft.inspect.shortcuts import TELLING, finding, probe

N = 120
COMMON = "time year people way day man thing woman life child world school state family student group country problem hand part"
WORDS = COMMON.split()
SETS = ["length", "punctuation", "upper case", "digits", "links and markup", "first word", "last word", NAME, ALL]


def plain(seed=0):
    """Texts in which nothing goes with anything; every cue varies."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(N):
        words = [WORDS[i] for i in rng.integers(0, 20, rng.integers(9, 14))]
        for change, share in (("12", 0.3), ("Big", 0.3), ("@you", 0.2), ("so,", 0.5)):
            if rng.random() < share:
                words.insert(int(rng.integers(1, 5)), change)
        out.append(" ".join(words))
    return out


CASES = {
    "length": lambda i, text: f"{text} {' '.join(WORDS[5:])}" if i % 2 else text,
    "punctuation": lambda i, text: text.replace(" ", "! ", 2) if i % 2 else text,
    "upper case": lambda i, text: text.title() if i % 2 else text,
    "digits": lambda i, text: text.replace("12", "").replace(" ", " 47 ", 1) if i % 2 else text.replace("12", ""),
    "links and markup": lambda i, text: text.replace("@you", "").replace(" ", " @me ", 1) if i % 2 else text.replace("@you", ""),
    "first word": lambda i, text: f"{'well' if i % 2 else 'there'} {text}",
    "last word": lambda i, text: f"{text} {'well' if i % 2 else 'there'}",
}


def labels():
    return ["ab"[i % 2] for i in range(N)]


@pytest.mark.parametrize("name", CASES)
def test_each_cue_is_found_where_it_tells_the_classes_apart(name):
    texts = [CASES[name](i, text) for i, text in enumerate(plain())]
    cues = probe(gather([f"a.csv:{i}" for i in range(N)], texts), labels())
    found = {cue.name: cue for cue in cues}
    assert [cue.name for cue in cues] == [one for one in SETS if one in found] and NAME not in found
    assert found[name].skill > TELLING and found[name].corrected < 0.03
    told = [one.numbers["cue"] for one in finding(cues)]
    assert name in told or told == [ALL], told
    for one in finding(cues):
        assert "image" not in one.text + one.effect + one.repair and one.effect.endswith(".") and one.repair.endswith(".")
        json.dumps(one.as_dict())


def test_random_labels_raise_no_alarm():
    facts = gather([f"a.csv:{i}" for i in range(N)], plain(3))
    for seed in range(4):
        assert finding(probe(facts, np.random.default_rng(seed).permutation(labels()).tolist(), seed=seed), 0.5) == []


def test_what_a_cue_is_like_is_told_by_class():
    texts = [f"{'well' if i % 2 else 'there'} {'word ' * (20 if i % 2 else 10)}" for i in range(N)]
    found = {cue.name: cue for cue in probe(gather([f"a.csv:{i}" for i in range(N)], texts), labels())}
    assert found["first word"].told == {"a": "100% have 'there'", "b": "100% have 'well'"}
    assert found["length"].told == {"a": "11 words", "b": "21 words"}


def test_lines_of_a_table_are_no_file_names_and_files_are():
    texts = plain()
    assert NAME not in {cue.name for cue in probe(gather([f"a.csv:{i}" for i in range(N)], texts), labels())}
    paths = [f"{'cam' if i % 2 else 'dsc'}_{i // 2:03d}.txt" for i in range(N)]
    found = {cue.name: cue for cue in probe(gather(paths, texts), labels())}
    assert found[NAME].balanced > 0.95
    assert finding([found[NAME]])[0].level == "note"


def test_of_many_rows_the_same_part_is_looked_at(monkeypatch):
    from graft.inspect import shortcuts

    monkeypatch.setattr(shortcuts, "MOST", 60)
    facts = gather([f"a.csv:{i}" for i in range(N)], [CASES["first word"](i, text) for i, text in enumerate(plain())])
    found = {cue.name: cue for cue in probe(facts, labels(), seed=1)}
    assert {cue.rows for cue in found.values()} == {60} and found["first word"].balanced > 0.95
    assert set(found["first word"].typical["a"]) <= {path for i, path in enumerate(facts.path) if i % 2 == 0}
