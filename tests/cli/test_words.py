from graft.cli.words import amount, clock, count, label_text, noun, number, some, table, tree


def test_numbers():
    assert [number(x) for x in (0.5, 0.0, 12345.6, 1e-5, None, 3, "a")] == ["0.500", "0.000", "1.23e+04", "1e-05", "-", "3", "a"]
    assert number(0.5, [0.4, 0.6]) == "0.500 [0.400, 0.600]" and number(0.5, [None, None]) == "0.500"
    assert [count(x) for x in (0, 4098, 25_600, 2_236_682, 3_000_000_000)] == ["0", "4,098", "25.6 k", "2.24 M", "3 G"]
    assert [clock(x) for x in (0.44, 9.96, 59.4, 185, 3720)] == ["0.4 s", "10 s", "59 s", "3 min 05 s", "1 h 02 min"]
    assert [clock(59.7), clock(3599.8)] == ["1 min 00 s", "1 h 00 min"]


def test_words():
    assert [amount(1, "file"), amount(3, "file"), amount(2, "class"), amount(0, "epoch")] == ["1 file", "3 files", "2 classes", "0 epochs"]
    assert [noun(x) for x in ("text", "image", "", None)] == ["text", "image", "image", "image"]
    assert some(["a", "b"]) == "a, b" and some(["a", "b", "c", "d"]) == "a, b, c, and 1 more" and some(["a"], 5) == "a, and 4 more"
    assert [label_text(x) for x in ("a", ("a", "b"), (), 1.5)] == ["a", "a, b", "-", "1.500"]


def test_table_aligns_text_left_and_numbers_right():
    assert table([("a", 1.0), ("bcd", 10.0)], ("name", "n")) == "name       n\na      1.000\nbcd   10.000"
    assert table([]) == "" and table([], ("a", "b")) == "a  b"


def test_tree():
    assert tree({"a": 1, "b": {"c": [1, 2], "d": None}, "e": [], "f": "x\ny", "g": [{"h": 1, "i": 0.5}]}) == [
        "a: 1", "b:", "  c: 1, 2", "  d: -", "e: -", "f:", "  x", "  y", "g: h 1, i 0.500",
    ]  # fmt: skip
