"""graft check on drawn images with planted defects."""

import json
import shutil

import pytest
from PIL import Image, ImageOps
from tests import sets, texts

from graft import api
from graft.errors import DataError


def copy(photos, folder):
    shutil.copytree(photos, folder)
    return folder


def kinds(found):
    return {one["kind"]: one for one in found["findings"]}


def test_sound_data_have_no_problem(photos):
    found = api.check(str(photos))
    assert found["counts"] == {"train": 36} and found["backbone"] == "graft-mini"
    assert not [one for one in found["findings"] if one["level"] == "problem" and one["kind"] != "tiny_classes"], kinds(found)


def test_planted_defects_are_found(photos, tmp_path):
    root = copy(photos, tmp_path / "data")
    first, second = sorted((root / "circle").glob("*.png"))[:2]
    shutil.copy(second, root / "circle" / "z_again.png")
    shutil.copy(first, root / "cross" / "other.png")
    (root / "cross" / "torn.png").write_bytes(first.read_bytes()[:200])
    found = kinds(api.check(str(root)))
    assert any("z_again.png" in path for path in found["exact_duplicates"]["files"])
    assert "duplicates_with_other_labels" in found
    assert any("torn.png" in path for one in found.values() for path in one["files"])


def test_pairs_are_copies_where_both_texts_are_and_are_quoted_so(tmp_path):
    data = sets.paired(tmp_path / "pairs.csv")
    texts.write(tmp_path / "bert", "bert")
    lines = data.read_text().splitlines()
    first, second, label = lines[1].split(",")
    data.write_text("\n".join([*lines, lines[1], f"{first},{second} again and again,{label}"]) + "\n")
    found = kinds(api.check(str(data), backbone=str(tmp_path / "bert")))["exact_duplicates"]
    assert sorted(found["files"])[0] in ("pairs.csv:2", "pairs.csv:62") and found["count"] in (1, 2)
    assert found["examples"][0]["texts"][0] == " ".join([first, "/", second])


@pytest.mark.parametrize(("words", "long"), [(30, False), (60, True)])
def test_of_pairs_read_apart_each_text_may_be_as_long_as_the_body_reads(words, long, tmp_path):
    texts.write(tmp_path / "bert", "bert")
    (tmp_path / "bert" / "1_Pooling").mkdir()
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    data = sets.paired(tmp_path / "pairs.csv", most=words)
    found = kinds(api.check(str(data), backbone=str(tmp_path / "bert"), sets=["backbone.length=40"]))
    assert ("truncated_texts" in found) is long


def test_a_copy_in_the_scored_split_is_a_problem(photos, tmp_path):
    root = tmp_path / "data"
    copy(photos, root / "train")
    for name in ("circle", "cross", "stripes"):
        (root / "test" / name).mkdir(parents=True)
        for path in sorted((root / "train" / name).glob("*.png"))[:3]:
            shutil.move(path, root / "test" / name / path.name)
    shutil.copy(sorted((root / "test" / "circle").glob("*.png"))[0], root / "train" / "circle" / "leak.png")
    found = kinds(api.check(str(root)))
    assert found["duplicates_across_splits"]["level"] == "problem"
    assert any("leak.png" in path for path in found["duplicates_across_splits"]["files"])


def test_what_is_written(photos, tmp_path):
    root = copy(photos, tmp_path / "data")
    shutil.copy(sorted((root / "circle").glob("*.png"))[0], root / "circle" / "z_again.png")
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    api.check(str(root), out=str(tmp_path / "out"))
    assert "z_again.png" in (tmp_path / "out" / "duplicates.txt").read_text()
    assert json.loads((tmp_path / "out" / "check.json").read_text())["findings"]
    assert "<html" in (tmp_path / "out" / "check.html").read_text()
    assert before == {path: path.read_bytes() for path in root.rglob("*.png")}


def test_nothing_readable_is_one_sentence(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="can be read"):
        api.check(str(tmp_path / "data"))


def test_grey_and_large_are_said(photos, tmp_path):
    root = copy(photos, tmp_path / "data")
    for path in sorted((root / "cross").glob("*.png"))[:4]:
        Image.open(path).convert("L").save(path)
    assert "mixed_modes" in kinds(api.check(str(root))) or any("grey" in one["text"] for one in api.check(str(root))["findings"])


def test_the_gap_to_a_target_is_measured_without_its_labels(photos, tmp_path):
    """Against the same data in two halves: the halves are near, inverted images are not."""
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir(), far.mkdir()
    for file in sorted(photos.rglob("*.png")):
        shutil.copy(file, near / file.name)
        ImageOps.invert(Image.open(file)).save(far / file.name)
    same, other = (api.check(str(photos), target=str(folder), out=str(tmp_path / f"out-{folder.name}")) for folder in (near, far))
    assert same["gap"]["reach"] < 0.01 and same["gap"]["proxy_a_distance"] < 1 < other["gap"]["proxy_a_distance"] <= 2
    assert kinds(same)["domain_gap"]["level"] == "note" and other["gap"]["reach"] > same["gap"]["reach"]
    assert len(other["gap"]["source"]) == len(other["gap"]["target"]) == 36 and "the gap to the target" in other["looked_for"]
    assert 'id="gap"' in (tmp_path / "out-far" / "check.html").read_text()
    rest = [one for one in api.check(str(photos))["findings"]]
    assert [one for one in other["findings"] if one["kind"] != "domain_gap"] == rest and "gap" not in api.check(str(photos))


def test_a_target_of_few_samples_has_no_gap(photos, tmp_path):
    (tmp_path / "few").mkdir()
    shutil.copy(next(photos.rglob("*.png")), tmp_path / "few" / "a.png")
    found = api.check(str(photos), target=str(tmp_path / "few"))
    assert "domain_gap" not in kinds(found) and any("10 samples on each side" in text for text in found["left_out"])
