import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.readers.tagging import Scheme, classes_of, parsed, recognise, to_iob2

SENTENCES = st.lists(st.tuples(st.sampled_from("OAB"), st.integers(1, 4)), max_size=8)
"""Entities (type A or B) and gaps (O) with their lengths."""


def encode(parts, scheme):
    """The slow way from entities to tags, straight from the definition of each scheme."""
    tags, last = [], None
    for kind, length in parts:
        if kind == "O":
            tags += ["O"] * length
        elif scheme == "IOB2":
            tags += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        elif scheme == "IOB1":
            tags += [f"{'B' if last == kind else 'I'}-{kind}"] + [f"I-{kind}"] * (length - 1)
        else:
            begin, inside, end, alone = scheme
            tags += [f"{alone}-{kind}"] if length == 1 else [f"{begin}-{kind}", *[f"{inside}-{kind}"] * (length - 2), f"{end}-{kind}"]
        last = kind
    return tags


@settings(deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=4), st.sampled_from(["IOB1", "BIES", "BILU", "BMES"]))
def test_every_scheme_becomes_iob2(sentences, scheme):
    tags = [encode(parts, scheme) for parts in sentences]
    found = recognise(tags)
    assert [to_iob2(one) for one in tags] == [encode(parts, "IOB2") for parts in sentences]
    assert [found.broken(one) for one in tags] == [[] for _ in tags]


@settings(deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=4))
def test_iob2_stays_as_it_is(sentences):
    tags = [encode(parts, "IOB2") for parts in sentences]
    assert recognise(tags).name == "IOB2" and [to_iob2(one) for one in tags] == tags
    assert [recognise(tags).broken(one) for one in tags] == [[] for _ in tags]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "AB")]), max_size=12))
def test_broken_tags_are_mended_as_seqeval_reads_them(tags):
    from seqeval.metrics.sequence_labeling import get_entities

    mended = to_iob2(tags)
    assert get_entities(mended) == get_entities(tags)
    assert Scheme("IOB2").broken(mended) == []


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (["O", "B-A", "I-A"], "IOB2"), (["I-A", "O", "I-A", "B-A"], "IOB1"), (["B-A", "E-A"], "BIOES"), (["U-A"], "BIOES"), (["O"], "IOB2"),
    ],
)  # fmt: skip
def test_schemes_are_recognised(tags, name):
    assert recognise([tags]).name == name


def test_what_breaks_a_scheme():
    assert Scheme("IOB2").broken(["O", "I-A", "I-A", "I-B", "X-A"]) == [1, 3, 4]
    assert Scheme("IOB1").broken(["B-A", "I-A", "B-A"]) == [0]
    assert Scheme("BIOES").broken(["B-A", "O", "E-A", "S-A", "I-B", "E-B"]) == [0, 2, 4]


def test_tags_without_a_usual_shape():
    assert [parsed(tag) for tag in ("O", "B-A-b", "I_A", "B", "PER")] == [
        ("O", ""), ("B", "A-b"), ("I", "A"), ("B", "entity"), ("?", "PER"),
    ]  # fmt: skip
    assert to_iob2(["PER", "PER", "O", "B", "I"]) == ["B-PER", "I-PER", "O", "B-entity", "I-entity"]
    assert classes_of(["b", "a"]) == ("O", "B-a", "I-a", "B-b", "I-b")
