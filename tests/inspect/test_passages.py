import hashlib
import json

import numpy as np
import pytest

from graft.inspect import passages
from graft.inspect.finding import Finding
from graft.inspect.passages import excerpt, findings, gather, normal, quoted

PLAIN = [f"The film number {i} was good and I would see it again with friends" for i in range(20)]


def facts_of(*texts):
    return gather([f"a.csv:{i + 2}" for i in range(len(texts))], texts)


def kinds(texts, **more):
    found = findings(facts_of(*texts), **more)
    for one in found:
        assert one.text.endswith(".") and one.effect.endswith(".") and one.repair.endswith(".")
        assert one.files[: len(one.examples)] == tuple(example["files"][0] for example in one.examples)
        json.dumps(one.as_dict())
    return {one.kind: one for one in found}


def test_facts_of_each_text():
    texts = ["Hello, WORLD 42!", "", "see https://a.b/c @you #now #39; <br/>", "Привет, мир"]
    facts = facts_of(*texts, ["Two", "words"])
    assert facts.path[0] == "a.csv:2" and facts.text[4] == "Two words" and len(facts) == 5
    assert facts.characters.tolist() == [16, 0, 38, 11, 9] and facts.words.tolist() == [3, 0, 6, 2, 2]
    assert facts.upper[0] == pytest.approx(6 / 16) and facts.digits[0] == pytest.approx(2 / 16) and facts.marks[0] == pytest.approx(2 / 16)
    assert facts.foreign.tolist() == [0, 0, 0, pytest.approx(9 / 11), 0]
    assert facts.links.tolist() == [0, 0, 1, 0, 0] and facts.mentions[2] == 1 and facts.tags[2] == 1 and facts.markup[2] == 2
    assert facts.first == ("hello,", "", "see", "привет,", "two") and facts.last == ("42!", "", "<br/>", "мир", "words")
    assert facts.script == ("Latin", "", "Latin", "Cyrillic", "Latin")
    assert facts.digest[0] == hashlib.blake2b(b"hello world 42", digest_size=16).digest()


def test_meat_is_counted_the_same_way_in_plain_and_other_texts():
    """Letters and digits, slowly: the accent must not change what is counted of the rest."""
    for text in ("a_b, c-d 42 ...", "x", "", "?!", "a  b"):
        slow = sum(sign.isalnum() for sign in text)
        assert facts_of(text).meat.tolist() == [slow] and facts_of(text + " é").meat.tolist() == [slow + 1]


def test_copies_but_for_case_white_space_and_punctuation_share_a_digest_and_empty_texts_do_not():
    digest = facts_of("It's GREAT!", "it s   great", "its great", "", "", "?", "!").digest
    assert digest[0] == digest[1] != digest[2] and len(set(digest[3:])) == 4
    assert normal("Ｆｕｌｌ_width\tCafe\u0301") == "full width café"
    assert normal("कि") != normal("की")  # vowel signs are no punctuation


def test_part_of_the_facts():
    facts = facts_of(*PLAIN)
    part = facts.take(np.array([3, 1]))
    assert part.path == (facts.path[3], facts.path[1]) and part.words.tolist() == facts.words[[3, 1]].tolist() and len(part) == 2


def test_sound_texts_have_no_findings():
    assert kinds(PLAIN) == {} and findings(facts_of()) == []


def test_empty_and_nearly_empty_texts():
    found = kinds([*PLAIN, "", " ... ", "x", "好", "👍", "ok"])["empty_texts"]
    assert found.level == "warning" and found.files == ("a.csv:22", "a.csv:23", "a.csv:24") and found.numbers == {"nothing": 2}


def test_texts_longer_than_the_model_reads():
    tokens = np.array([10] * 90 + [70] * 9 + [500])
    texts = [f"{one} {i}" for i, one in enumerate(PLAIN * 5)]
    found = kinds(texts, tokens=tokens, length=64, most=512)
    assert set(found) == {"truncated_texts"}
    one = found["truncated_texts"]
    lost = (9 * 6 + 436) / tokens.sum()
    assert (one.count, one.level) == (10, "warning") and one.numbers["lost"] == pytest.approx(lost) and one.numbers["longest"] == 500
    assert one.files[0] == "a.csv:101" and "--set backbone.length=80, which reads all but 1 whole" in one.repair
    assert one.numbers["wanted"] == 80 and one.numbers["wanted"] % 8 == 0
    small = findings(facts_of(*texts), tokens=tokens, length=490, most=512)[0]
    assert small.level == "note" and small.numbers["wanted"] == 504 and "all of them" in small.repair
    full = findings(facts_of(*texts), tokens=tokens, length=64, most=64)[0]
    assert "reads no more" in full.repair
    assert kinds(texts, tokens=tokens, length=500) == {} and kinds(texts, tokens=None, length=5) == {}


@pytest.mark.parametrize("text", ["Ã©tÃ©", "itâ€™s", "it\u00e2\u0080\u0099s", "a\ufffdb", "ï»¿start", "fiancÃ©e", "20Â°", "ÐŸÑ€Ð¸Ð²ÐµÑ‚"])
def test_a_wrong_encoding_is_seen(text):
    broken = text.encode("utf-8").decode("utf-8")
    assert set(kinds([*PLAIN, broken])) >= {"broken_encoding"}


@pytest.mark.parametrize("words", ["café à la carte", "Ärger und Größe", "São Paulo, NÃO", "naïve – “quoted”", "Привет, мир", "20 °C"])
def test_right_accents_are_no_damage_and_their_damage_is_seen(words):
    """The same words as UTF-8 that was read as Latin-1."""
    assert "broken_encoding" not in kinds([words])
    assert "broken_encoding" in kinds([words.encode("utf-8").decode("latin-1")])


def test_markup_that_was_left():
    found = kinds([*PLAIN * 3, "a <br/> b", "<b>x</b> and y &amp; z", "it #39;s", "1 < 2 and 3 > 2; a <3 b"])["markup"]
    assert (found.level, found.count, found.numbers["pieces"]) == ("note", 3, 5) and found.files[0] == "a.csv:63"


def test_other_scripts():
    found = kinds([*PLAIN, "Это русский текст", "日本語のテキスト"])["mixed_scripts"]
    assert found.count == 2 and found.numbers["counts"] == {"Latin": 20, "Cyrillic": 1, "Cjk": 1}


def test_very_long_texts():
    found = kinds([*PLAIN, " ".join(PLAIN * 3)])["long_texts"]
    assert found.count == 1 and found.files == ("a.csv:22",) and found.numbers["median"] == 14
    assert "long_texts" not in kinds([*PLAIN, " ".join(PLAIN[:3])])


def test_examples_are_given_the_beginnings_of_their_texts():
    one = Finding("x", "note", 1, "t", "e", "r", ("a", "b"), ({"files": ["a", "b"], "label": "l"}, {"files": []}))
    texts = quoted([one], {"a": "long " * 100, "b": ["two", "words"]})[0].examples
    assert texts[0]["texts"][1] == "two words" and len(texts[0]["texts"][0]) <= passages.EXCERPT and texts[0]["texts"][0].endswith("long…")
    assert texts[0]["label"] == "l" and texts[1] == {"files": []}
    assert excerpt("a \n b") == "a b" and len(excerpt("x" * 500)) == passages.EXCERPT


def test_odd_signs_break_nothing():
    texts = ["\ud800", "\x00", "a\u200bb", "\u202eabc", "é" * 10, "\n\n", "🏳️‍🌈 ok"]
    assert len(facts_of(*texts)) == len(texts) and isinstance(findings(facts_of(*texts)), list)


@pytest.mark.data
def test_real_texts(data_dir):
    """Movie reviews with Portuguese ones in a wrong encoding; news with half decoded entities."""
    import pyarrow.csv as pc

    def told(name):
        texts = pc.read_csv(data_dir / name / "train.csv")["text"].to_pylist()
        return {one.kind: one for one in findings(gather([str(i) for i in range(len(texts))], texts))}

    assert told("rt_polarity")["broken_encoding"].count > 100
    assert told("ag_news")["markup"].level == "warning"
