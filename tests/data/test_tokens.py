from dataclasses import replace

import pytest
import torch
from tests import texts

from graft.core import TextPrepare
from graft.data.characters import encode_words
from graft.data.tokens import Tokenizer, collate
from graft.errors import OptionError

PREPARE = TextPrepare(texts.tokenizer().to_str(), length=6, pad=0)
IDS = texts.tokenizer().get_vocab()


def ids(*words):
    return [IDS[word] for word in words]


def test_a_text_is_cut_at_the_length_with_its_special_tokens_and_what_is_lost_is_counted():
    short, long = Tokenizer(PREPARE).texts(["the cat", "the cat sat on the mat and ran"])
    assert short.ids.tolist() == ids("[CLS]", "the", "cat", "[SEP]") and short.cut == 0
    assert short.offsets.tolist() == [[0, 0], [0, 3], [4, 7], [0, 0]]
    assert long.ids.tolist() == ids("[CLS]", "the", "cat", "sat", "on", "[SEP]") and long.cut == 4


def test_words_know_their_first_token_and_those_that_were_cut_have_none():
    (row,) = Tokenizer(PREPARE).words([["the", "cat", "good-bad", "sat", "mat"]])
    # "good-bad" is three tokens, of which the length leaves two.
    assert row.first.tolist() == [1, 2, 3, -1, -1] and len(row) == 6


def test_of_a_pair_the_longer_is_cut_and_all_that_is_lost_is_counted():
    (row,) = Tokenizer(PREPARE).pairs(["the cat sat on the mat"], ["a dog"])
    assert row.types.tolist() == [0, 0, 0, 1, 1, 1] or row.types.tolist() == [0, 0, 0, 0, 1, 1]
    assert row.cut == 8 - (len(row) - 3)


def test_of_a_pair_whose_first_is_to_stay_the_second_is_cut_and_types_tell_them_apart():
    (row,) = Tokenizer(PREPARE).pairs(["the cat"], ["sat on the mat"], whole=True)
    assert row.ids.tolist() == ids("[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]")
    assert row.types.tolist() == [0, 0, 0, 0, 1, 1] and row.cut == 3
    assert row.offsets[4].tolist() == [0, 3], "offsets are those in the second text"


def test_a_new_line_parts_two_texts_where_the_tokenizer_puts_nothing_between_them():
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    made = Library(models.BPE({"Ċ": 0, "a": 1, "b": 2}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    (row,) = Tokenizer(TextPrepare(made.to_str(), length=8)).pairs(["a"], ["b"])
    assert row.ids.tolist() == [1, 0, 2]


def test_bytes_are_joined_with_the_space_before_a_word():
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    made = Library(models.BPE({"Ġ": 0, "a": 1, "Ġa": 2, "b": 3}, [("Ġ", "a")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    (row,) = Tokenizer(TextPrepare(made.to_str(), length=8)).words([["b", "a"]])
    assert row.ids.tolist() == [0, 3, 2] and row.first.tolist() == [0, 2]


def test_characters_of_words_and_of_texts():
    made = Tokenizer(TextPrepare("", length=3, kind="characters"))
    (text,), (words,) = made.texts(["the cat sat on"]), made.words([["the", "cat", "sat", "on"]])
    assert (text.ids == encode_words(["the", "cat", "sat"])).all() and (words.ids == text.ids).all()
    assert text.offsets.tolist() == [[0, 3], [4, 7], [8, 11]] and text.cut == 1
    assert words.first.tolist() == [0, 1, 2, -1]
    with pytest.raises(OptionError, match="reads one text at a time"):
        made.pairs(["a"], ["b"])


def test_collating_pads_on_the_right_and_hides_the_padding():
    rows = Tokenizer(PREPARE).texts(["the cat", "the"])
    state = collate(rows, pad=7)
    assert state["ids"].tolist() == [ids("[CLS]", "the", "cat", "[SEP]"), [*ids("[CLS]", "the", "[SEP]"), 7]]
    assert state["mask"].tolist() == [[True] * 4, [True] * 3 + [False]] and set(state) == {"ids", "mask"}
    words = collate(Tokenizer(PREPARE).words([["the", "cat"], ["mat"]]), cells=8)
    assert words["words"].tolist() == [[1, 2], [1, -1]] and words["ids"].shape == (2, 8)
    pairs = collate(Tokenizer(PREPARE).pairs(["the"], ["cat"]))
    assert pairs["types"].tolist() == [[0, 0, 0, 1, 1]]


def test_two_texts_that_are_read_apart_stand_by_turns_and_each_is_cut_for_itself():
    made = Tokenizer(replace(PREPARE, apart=True))
    (row,) = made.pairs(["the cat"], ["the dog sat on the mat"])
    first, second = Tokenizer(PREPARE).texts(["the cat", "the dog sat on the mat"])
    assert row.ids[1::2].tolist() == second.ids.tolist() and row.ids[::2].tolist() == [*first.ids.tolist(), -1, -1]
    assert row.offsets[2].tolist() == [0, 3] and row.cut == second.cut == 2 and row.types is None
    state = collate([row], pad=9, cells=14)
    assert state["ids"][0, ::2].tolist() == [*first.ids.tolist(), 9, 9, 9] and set(state) == {"ids", "mask"}
    assert state["mask"][0, ::2].tolist() == [True] * 4 + [False] * 3 and state["mask"][0, 1::2].tolist() == [True] * 6 + [False]
    characters = Tokenizer(TextPrepare("", length=3, kind="characters", apart=True)).pairs(["a"], ["b cat"])
    assert (characters[0].ids[1::2] == encode_words(["b", "cat"])).all() and (characters[0].ids[2] == -1).all()
    # Of questions that are answered from a window the two stay one text.
    assert made.pairs(["the"], ["cat"], whole=True)[0].types.tolist() == [0, 0, 0, 1, 1]


def test_of_two_texts_apart_one_without_any_token_has_a_place():
    bare = TextPrepare(texts.tokenizer(["[PAD]", "[UNK]"]).to_str(), pad=1, apart=True)
    state = collate(Tokenizer(bare).pairs(["", "the cat", ""], ["the cat", "", ""]), pad=1)
    assert state["mask"].tolist() == [[True, True, False, True], [True, True, True, False], [True, True, False, False]]
    assert state["ids"][0, 0] == state["ids"][1, 1] == 1 and state["ids"][2].tolist() == [1, 1, 1, 1]


def test_a_text_without_a_token_still_has_one_that_counts():
    bare = TextPrepare(texts.tokenizer(["[PAD]", "[UNK]"]).to_str())
    state = collate(Tokenizer(bare).texts(["", "the"]))
    assert state["mask"].tolist() == [[True], [True]]
    assert torch.equal(state["ids"][1], torch.tensor([texts.tokenizer(["[PAD]", "[UNK]"]).get_vocab()["the"]]))


def test_text_of_ids():
    assert Tokenizer(PREPARE).text_of(ids("[CLS]", "the", "cat", "[SEP]")) == "the cat"
