"""Texts become what an option's annotation wants, or one sentence says what it is."""

import pytest

from graft import parsing
from graft.errors import OptionError


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [("3", int, 3), ("0.5", float, 0.5), ("yes", bool, True), ("256,128", tuple[int, ...], (256, 128)), ("none", int | None, None)],
)
def test_a_text_is_parsed_by_the_annotation(text, hint, value):
    assert parsing.parse(text, hint, "a.b", "--x") == value


@pytest.mark.parametrize(
    ("text", "hint", "word"), [("three", int, "a whole number"), ("nan", float, "a number"), ("maybe", bool, "yes or no")]
)
def test_what_does_not_fit_is_said_with_an_example(text, hint, word):
    with pytest.raises(OptionError, match=f"a.b is {word}, for example --set a.b="):
        parsing.parse(text, hint, "a.b", f"--x {text}")


def test_a_time_is_read_in_every_spelling():
    assert [parsing.seconds(text, "--budget") for text in ("90s", "5m", "1h30m", "45", "none")] == [90, 300, 5400, 45, None]
    with pytest.raises(OptionError, match="above zero"):
        parsing.seconds("0", "--budget 0")


def test_an_option_of_text_or_nothing_takes_the_word_none():
    assert parsing.takes_text(str | None) and not parsing.takes_text(int | None) and not parsing.takes_text(str)
