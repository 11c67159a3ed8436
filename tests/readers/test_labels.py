import hashlib
import json
import os
import re

import pyarrow as pa
import pytest
from tests.readers.folders import image

from graft.errors import DataError
from graft.readers import labels


def test_classes_are_sorted():
    assert labels.check_classes({"train": ["b", "a", "b"], "val": ["a"]}, "add one") == ("a", "b")


def test_a_class_that_only_val_has_is_named():
    with pytest.raises(DataError, match=r"'c' in val is not in train.*remove 'c' from val"):
        labels.check_classes({"train": ["a", "b"], "val": ["a", "c"]}, "add one")


def test_one_class_is_named_with_the_repair():
    with pytest.raises(DataError, match=r"Only one class, 'a'.*: add one"):
        labels.check_classes({"train": ["a"]}, "add one")


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("cat ", "cat"), ("caf\u00e9", "cafe\u0301"), (" DOG", "dog")])
def test_labels_written_alike_are_both_named(one, other):
    with pytest.raises(DataError, match=r"rename one of them") as caught:
        labels.check_classes({"train": [one, "x"], "val": [other]}, "")
    assert repr(one) in str(caught.value) and repr(other) in str(caught.value)


def test_missing_labels_are_counted_and_the_first_named():
    labels.check_given([], 9, "column 'y'")
    with pytest.raises(DataError, match=r"4 of 9 rows have no label .* column 'y', the first at line 2, 3, 5: "):
        labels.check_given([2, 3, 5, 8], 9, "column 'y'", "line")


def test_listed_stops():
    assert labels.listed(["a", "b"]) == "'a', 'b'"
    assert labels.listed(["a", "b", "c", "d", "e"]) == "'a', 'b', 'c' and 2 more"


def test_names_that_are_not_utf8_can_be_shown():
    name = os.fsdecode(b"a\xff.png")
    assert not labels.is_text(name)
    assert labels.printable(name) == "a\\xff.png"
    assert labels.printable("a\nb \u00e4.png") == "a\\nb \u00e4.png"


def _table(paths, names):
    return pa.table({"path": [str(p) for p in paths], "label": names})


def test_fingerprint_is_the_sha256_of_the_sorted_rows(tmp_path):
    a, b = image(tmp_path / "x" / "a.png", 1), image(tmp_path / "y" / "b.png", 2)
    lines = []
    for path, label in ((a, "cat"), (b, "dog")):
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        lines.append("\x1f".join((str(path.relative_to(tmp_path)), label, digest)) + "\x1e")
    expected = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert labels.fingerprint([_table([b], ["dog"]), None, _table([a], ["cat"])]) == expected


def test_fingerprint_follows_content_and_label_but_not_place_or_order(tmp_path):
    def take(root, names=("cat", "dog"), turn=1):
        paths = [root / "x" / "a.png", root / "y" / "b.png"]
        return labels.fingerprint([_table(paths[::turn], list(names)[::turn])])

    for root in ("one", "two"):
        image(tmp_path / root / "x" / "a.png", 1), image(tmp_path / root / "y" / "b.png", 2)
    first = take(tmp_path / "one")
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first == take(tmp_path / "two") == take(tmp_path / "one", turn=-1)
    assert first != take(tmp_path / "one", names=("cat", "cow"))
    raw = bytearray((tmp_path / "two" / "x" / "a.png").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "two" / "x" / "a.png").write_bytes(raw)
    assert first != take(tmp_path / "two")


def test_fingerprint_takes_lists_numbers_and_files_that_are_gone(tmp_path):
    gone = pa.table({"path": [str(tmp_path / "gone.png")], "label": pa.array([["b", "a"]], pa.list_(pa.string()))})
    turned = pa.table({"path": [str(tmp_path / "gone.png")], "label": pa.array([["a", "b"]], pa.list_(pa.string()))})
    number = pa.table({"path": [str(tmp_path / "gone.png")], "label": pa.array([1.5])})
    assert labels.fingerprint([gone]) == labels.fingerprint([turned]) != labels.fingerprint([number])
    assert labels.fingerprint([None]) == hashlib.sha256(b"").hexdigest()


def test_text_fingerprint_is_the_sha256_of_the_sorted_rows_but_for_their_places():
    table = pa.table({"path": ["a:2", "a:1"], "text": ["\u00e9", "b"], "label": [["x"], []], "group": ["1", "2"]})
    lines = sorted(json.dumps({"label": label, "text": text}) + "\n" for text, label in (("\u00e9", ["x"]), ("b", [])))
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert labels.text_fingerprint([table, None]) == expected == labels.text_fingerprint([table.slice(1), table.slice(0, 1)])
    moved = table.set_column(0, "path", pa.array(["b:7", "c:9"]))
    assert labels.text_fingerprint([moved]) == expected
    assert labels.text_fingerprint([table.set_column(1, "text", pa.array(["e", "b"]))]) != expected
    assert labels.text_fingerprint([table.append_column("context", pa.array(["u", "v"]))]) != expected
