"""The notice that a body may have seen the images, from ImageNet's real class names."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from graft.evidence.overlap import matches, notice


@pytest.fixture(scope="module")
def imagenet():
    """Read without importing timm, which takes seconds."""
    folder = Path(find_spec("timm").origin).parent / "data" / "_info"
    lemmas = dict(line.split("\t") for line in (folder / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines() if line)
    names = [lemmas[synset] for synset in (folder / "imagenet_synsets.txt").read_text("utf-8").split()]
    assert len(names) == 1000 and "ant, emmet, pismire" in names
    return names


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        (["ants", "bees"], {"ants": "ant", "bees": "bee"}),
        (["ANT", "Pismires"], {"ANT": "ant", "Pismires": "pismire"}),
        (["hot_dog", "not_hot_dog"], {"hot_dog": "hot dog"}),
        (["n02206856_bee", "001.Black_footed_Albatross"], {"n02206856_bee": "bee", "001.Black_footed_Albatross": "albatross"}),
        (
            ["strawberries", "red-foxes", "school buses"],
            {"strawberries": "strawberry", "red-foxes": "red fox", "school buses": "school bus"},
        ),
        (["honey bee"], {"honey bee": "bee"}),
        (["early_blight", "healthy", "late_blight"], {}),
        (["RBC", "WBC", "Platelets"], {}),
        (["zero", "one", "two", "0", "7", ""], {}),
        (["normal", "pneumonia", "benign", "malignant", "good", "bad", "other", "background"], {}),
    ],
)
def test_names_are_matched_whatever_their_form(imagenet, classes, wanted):
    assert matches(classes, imagenet) == wanted


def test_a_kind_of_a_class_matches(imagenet):
    found = matches(["cats", "Dogs"], imagenet)
    assert set(found) == {"cats", "Dogs"} and found["cats"].endswith("cat") and found["Dogs"].endswith("dog")


@pytest.mark.parametrize(
    "trained_on",
    ["ImageNet-1k", "ImageNet-21k, then ImageNet-1k", "200 ImageNet classes at 64 pixels", "ImageNet-1k, then ants", "unknown"],
)
def test_ants_and_bees_are_noticed(imagenet, trained_on):
    said = notice(trained_on, ["ants", "bees"], imagenet)
    assert "plausibly" in said and "2 of 2 classes: ants ('ant'), bees ('bee')" in said and "higher than on new images" in said
    assert ("unknown" in said) == (trained_on == "unknown")


@pytest.mark.parametrize("trained_on", ["nothing", "", "SAT-493M"])
def test_bodies_that_cannot_have_seen_them(imagenet, trained_on):
    assert notice(trained_on, ["ants", "bees"], imagenet) is None


def test_other_classes_give_no_notice(imagenet):
    assert notice("ImageNet-1k", ["healthy", "early_blight", "late_blight"], imagenet) is None
    assert notice("unknown", ["healthy", "early_blight"], imagenet) is None
    assert notice("ImageNet-1k", [], imagenet) is None


def test_one_name_in_many_is_chance(imagenet):
    grey = [f"part {letter}" for letter in "qwxyz"]
    assert notice("ImageNet-1k", [*grey[:3], "screw"], imagenet) is not None
    assert notice("ImageNet-1k", [*grey[:4], "screw"], imagenet) is None


def test_many_classes_are_counted_not_listed(imagenet):
    said = notice("ImageNet-1k", ["bee", "ant", "zebra", "orange", "banana", "lemon"], imagenet)
    assert "6 of 6" in said and "and 2 more" in said and "lemon" not in said


def test_images_of_the_web_are_told_apart_by_no_name(imagenet):
    said = notice("LAION-2B image-text pairs", ["healthy", "early_blight"], imagenet)
    assert "gathered from the web" in said and "if these images were public" in said
    both = notice("LAION-2B image-text pairs, then ImageNet-1k", ["ants", "bees"], imagenet)
    assert "2 of 2 classes" in both
