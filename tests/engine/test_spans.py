import json

import pytest

from graft.engine.spans import WINDOW, answer_errors, entity_counts, entity_errors, spans, write_answers, write_entities


def test_spans_of_tags():
    assert spans(["B-LOC", "I-LOC", "O", "B-PER", "B-PER", "I-LOC"]) == [(0, 2, "LOC"), (3, 4, "PER"), (4, 5, "PER"), (5, 6, "LOC")]
    assert spans(["I-LOC", "I-LOC", "O", "I-PER"]) == [(0, 2, "LOC"), (3, 4, "PER")]
    assert spans([]) == spans(["O", "O"]) == []


def test_spans_against_seqeval():
    import numpy as np
    from seqeval.metrics.sequence_labeling import get_entities

    rng = np.random.default_rng(0)
    for _ in range(200):
        tags = rng.choice(["O", "B-A", "I-A", "B-B", "I-B"], rng.integers(0, 9)).tolist()
        assert spans(tags) == sorted((first, last + 1, kind) for kind, first, last in get_entities(tags))


def errors(truth, said):
    words = [f"w{i}" for i in range(len(truth))]
    rows = entity_errors([words], [truth], [said], ["a:1"])
    return [(e["kind"], e["type"], e["truth"], e["predicted"]) for row in rows for e in row["errors"]]


@pytest.mark.parametrize(
    ("truth", "said", "wanted"),
    [
        ("B-A I-A O", "O O O", [("missed", "A", [0, 2, "A"], None)]),
        ("O O O", "O B-A O", [("invented", "A", None, [1, 2, "A"])]),
        ("B-A I-A O", "B-B I-B O", [("wrong type", "A", [0, 2, "A"], [0, 2, "B"])]),
        ("B-A I-A O", "B-A O O", [("wrong border", "A", [0, 2, "A"], [0, 1, "A"])]),
        ("B-A I-A O", "B-A I-A O", []),
        # One true name that was cut in two: the longer part is its wrong border, the other is invented.
        ("B-A I-A I-A", "B-A B-A I-A", [("wrong border", "A", [0, 3, "A"], [1, 3, "A"]), ("invented", "A", None, [0, 1, "A"])]),
        # The same type goes before a longer overlap of another one.
        ("B-A I-A I-A", "B-A B-B I-B", [("wrong border", "A", [0, 3, "A"], [0, 1, "A"]), ("invented", "B", None, [1, 3, "B"])]),
        ("B-A O O", "B-A", []),
        ("O O B-A", "O", [("missed", "A", [2, 3, "A"], None)]),
    ],
)
def test_each_kind_of_error(truth, said, wanted):
    assert sorted(errors(truth.split(), said.split()), key=str) == sorted(wanted, key=str)


def test_only_sentences_with_errors_and_counts_that_add_up():
    import numpy as np

    rng = np.random.default_rng(1)
    draw = lambda: [rng.choice(["O", "O", "B-A", "I-A", "B-B", "I-B"], 7).tolist() for _ in range(80)]  # noqa: E731
    truth, said = draw(), draw()
    truth[:20] = said[:20]
    words = [[f"w{i}" for i in range(7)]] * 80
    rows = entity_errors(words, truth, said, [str(i) for i in range(80)])
    assert not {row["path"] for row in rows} & {str(i) for i in range(20)}
    counts = entity_counts(truth, rows)
    both = sum(len(set(spans(a)) & set(spans(b))) for a, b in zip(truth, said, strict=True))
    assert sum(one["right"] for one in counts.values()) == both
    for kind, one in counts.items():
        assert one["true"] == sum(s[2] == kind for tags in truth for s in spans(tags))
        assert one["true"] == one["right"] + one["missed"] + one["wrong type"] + one["wrong border"]
    predicted = sum(len(spans(tags)) for tags in said)
    assert predicted == sum(one["right"] + one["wrong type"] + one["wrong border"] + one["invented"] for one in counts.values())


def test_the_file_of_entities(tmp_path):
    words, truth = [["New", "York", "Ann"], ["Bo"], ["x"]], [["B-L", "I-L", "B-P"], ["B-P"], ["O"]]
    made = write_entities(tmp_path, words, truth, [["O", "B-L", "O"], ["O"], ["O"]], ["a:1", "a:2", "a:3"], limit=1)
    assert made == json.loads((tmp_path / "explain" / "entities.json").read_text())
    assert made["of"] == 3 and made["wrong"] == 2 and [row["path"] for row in made["sentences"]] == ["a:1"]
    assert made["counts"]["P"]["missed"] == 2 and made["counts"]["L"]["wrong border"] == 1
    assert made["sentences"][0]["truth"] == [[0, 2, "L"], [2, 3, "P"]] and made["sentences"][0]["words"] == words[0]


def test_answers_in_their_context(tmp_path):
    context = "a" * 300 + " It was Ann who came in 1999, not in 1998 or 1999. " + "b" * 300
    start = context.index("1999")
    rows = answer_errors(
        ["q1", "q2", "q3", "q4"], ["When?"] * 4, [context] * 4, [["1999"], ["1999"], [], ["1999"]], [[start], [start], [], [start]],
        ["1998", "1999", "Ann", "in 1999, not"], [0, 1, 0, 0], [0.0, 1.0, 0.0, 0.5],
    )  # fmt: skip
    assert [row["path"] for row in rows] == ["q1", "q3", "q4"]
    for row in rows:
        for key, text in (("right", row["truth"][0] if row["truth"] else None), ("said", row["predicted"])):
            assert (row[key] is None) == (text is None) and (text is None or row["excerpt"][slice(*row[key])] == text)
        assert row["cut"] == [True, True] and len(row["excerpt"]) < 2 * WINDOW + 60
    assert write_answers(tmp_path, rows) == json.loads((tmp_path / "explain" / "answers.json").read_text())


def test_of_several_places_the_nearest_is_shown_and_far_ones_are_left_out():
    context = f"1999 {'x' * 3000} 1999 or 2000"
    at = context.index("2000")
    (row,) = answer_errors(["q"], ["?"], [context], [["2000"]], [[at]], ["1999"], [0], [0])
    assert row["excerpt"][slice(*row["said"])] == "1999" and row["said"][1] < row["right"][0] and row["cut"] == [True, False]
    (row,) = answer_errors(["q"], ["?"], [context.replace("1999 or", "or")], [["2000"]], [[at - 5]], ["1999"], [0], [0])
    assert row["said"] is None and row["excerpt"][slice(*row["right"])] == "2000"
    (row,) = answer_errors(["q"], ["?"], ["short"], [[]], [[]], ["elsewhere"], [0], [0])
    assert row["right"] is row["said"] is None and row["excerpt"] == "short"
