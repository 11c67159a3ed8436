import io
import json

import numpy as np
import pytest
from PIL import Image

from graft.inspect import copies, duplicates
from graft.inspect.copies import Pictures
from graft.inspect.duplicates import Rows


def scene(seed, size=96):
    """Coloured blots of all sizes, uint8 [size, size, 3]."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.array(small, float) + rng.normal(0, 6, (size, size, 1)), 0, 255).astype(np.uint8)


def changed(image, kind):
    """A copy as someone else would make it."""
    picture = Image.fromarray(image)
    if "resized" in kind:
        picture = picture.resize((70, 70), Image.Resampling.BOX)
    if "flipped" in kind:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=60)
    return np.array(Image.open(file).convert("RGB"))


def embed(images):
    """A stand-in for a frozen body: means of colours and of edges in a 5 x 5 grid."""
    out = []
    for image in images:
        grid = np.array(Image.fromarray(image).resize((5, 5), Image.Resampling.BOX), float) / 255
        out.append(np.concatenate([grid.ravel(), np.abs(np.diff(grid, axis=0)).ravel()]))
    return np.array(out, np.float32)


def pictured(images, embedded):
    small = np.stack([copies.thumbnail(image) for image in images])
    return Pictures(small, embed(images), embed([image[:, ::-1] for image in images])) if embedded else Pictures(small)


def rows_of(images, labels=None, splits=None):
    n = len(images)
    return Rows(
        [image.tobytes() for image in images], [f"{i:03d}.jpg" for i in range(n)], labels or ["a"] * n, splits or ["train"] * n
    )  # fmt: skip


def search(images, labels=None, splits=None, embedded=False):
    rows = rows_of(images, labels, splits)
    read = dict(zip(rows.paths, images, strict=True)).__getitem__
    found, left_out = duplicates.find(rows, pictured(images, embedded), embed if embedded else None, read)
    return {one.kind: one for one in found}, left_out


@pytest.fixture(scope="module")
def scenes():
    return [scene(seed) for seed in range(60)]


@pytest.mark.parametrize("embedded", [False, True], ids=["thumbnails", "embeddings too"])
@pytest.mark.parametrize("kind", ["resized", "re-encoded", "flipped", "resized, flipped"])
def test_copies_are_found_and_nothing_else(scenes, kind, embedded):
    found, left_out = search([*scenes, *(changed(image, kind) for image in scenes[:5])], embedded=embedded)
    assert set(found) == {"near_duplicates"} and left_out == []
    near = found["near_duplicates"]
    assert near.level == "warning" and set(near.files) == {f"{i:03d}.jpg" for i in range(60, 65)}
    assert {tuple(row["files"]) for row in near.examples} == {(f"{i:03d}.jpg", f"{60 + i:03d}.jpg") for i in range(5)}
    assert all(row["mirrored"] == ("flipped" in kind) for row in near.examples)
    numbers = near.numbers
    assert numbers["recall"] > 0.9 and numbers["precision"] > 0.9 and numbers["groups"] == 5
    assert (
        numbers["mirrored_pairs"] == (5 if "flipped" in kind else 0) and len(numbers["measures"]) == len(numbers["weights"]) == 1 + embedded
    )
    json.dumps(near.as_dict())


def test_different_images_are_no_copies(scenes):
    assert search(scenes) == ({}, [])


def test_equal_files_are_exact_duplicates_and_take_no_part_in_the_search_for_near_ones(scenes):
    found, _ = search([*scenes, scenes[3], scenes[3], scenes[8]])
    assert set(found) == {"exact_duplicates"}
    assert found["exact_duplicates"].files == ("060.jpg", "061.jpg", "062.jpg") and found["exact_duplicates"].count == 3
    assert found["exact_duplicates"].examples[0]["files"] == ["003.jpg", "060.jpg", "061.jpg"]


def test_across_splits_the_copies_in_train_go_and_one_of_each_group_stays(scenes):
    images = [*scenes, scenes[0], changed(scenes[1], "flipped"), changed(scenes[2], "resized")]
    splits = ["val" if i < 20 else "train" for i in range(60)] + ["train", "train", "val"]
    found, _ = search(images, splits=splits)
    across = found["duplicates_across_splits"]
    assert (across.level, across.count, across.files) == ("problem", 2, ("060.jpg", "061.jpg"))
    assert across.numbers["share"] == pytest.approx(2 / 21) and "2 of 21 images of val" in across.text
    assert across.examples[0]["splits"] == ["val", "train"]
    removed = {file for one in found.values() for file in one.files}
    assert removed == {"060.jpg", "061.jpg", "062.jpg"}
    assert found["exact_duplicates"].files == ("060.jpg",)


def test_unlabelled_images_may_be_copies_of_those_learnt_from_but_not_of_those_scored(scenes):
    images, labels = [*scenes, scenes[0], scenes[1]], ["a"] * 60 + [None, None]
    splits = ["train"] + ["test"] * 59 + ["unlabelled", "unlabelled"]
    found, _ = search(images, labels, splits)
    assert set(found) == {"exact_duplicates", "duplicates_across_splits"}
    assert found["duplicates_across_splits"].files == ("061.jpg",)


def test_copies_with_other_labels_are_told_and_nobody_says_which_to_remove(scenes):
    images = [*scenes, scenes[0], changed(scenes[1], "flipped")]
    found, _ = search(images, ["a"] * 60 + ["b", "b"])
    assert set(found) == {"duplicates_with_other_labels"}
    differing = found["duplicates_with_other_labels"]
    assert (differing.level, differing.count) == ("problem", 2)
    assert differing.files == ("000.jpg", "060.jpg", "001.jpg", "061.jpg") and differing.examples[0]["labels"] == ["a", "b"]
    several = [("b", "a")] * 60 + [["a", "b"]] * 2
    assert "duplicates_with_other_labels" not in search(images, several)[0]


def test_blank_images_are_not_called_copies(scenes):
    blank = [np.full((50 + i, 50, 3), 200 + i, np.uint8) for i in range(5)]
    assert search([*scenes, *blank])[0] == {}


def test_what_cannot_be_told_apart_is_left_out_with_a_reason(scenes):
    frames = [np.clip(scenes[0] + np.random.default_rng(i).normal(0, 2, scenes[0].shape), 0, 255).astype(np.uint8) for i in range(60)]
    found, left_out = search(frames)
    assert found == {} and "cannot be told apart" in left_out[0]
    found, left_out = search(scenes[:6])
    assert found == {} and "too few" in left_out[0]


def test_groups_join_through_others():
    got = duplicates.grouped(9, np.array([[1, 2], [2, 7], [0, 4]]))
    assert [group.tolist() for group in got] == [[0, 4], [1, 2, 7]]
    assert duplicates.grouped(3, np.empty((0, 2), int)) == []
    pairs = duplicates.same([b"a", b"b", b"a", b"a", b"c"])
    assert pairs.tolist() == [[0, 2], [0, 3]]
