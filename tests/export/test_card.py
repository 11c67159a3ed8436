"""The model card, from facts alone."""

import re

import pytest

from graft.export.card import text

DESCRIBED = {
    "graft": "0.1.0",
    "created": "2026-01-01T00:00:00+00:00",
    "versions": {"torch": "2"},
    "temperature": 1.2,
    "classes": ["ant", "bee"],
    "task": {"name": "classification", "schema": {"target": "class", "classes": ["ant", "bee"]}},
    "backbone": {
        "prepare": {"size": 224},
        "origin": {
            "name": "net",
            "weights": "file:a.safetensors",
            "sha256": "ab" * 32,
            "licence": "apache-2.0",
            "trained_on": "ImageNet-1k",
            "parents": [{"name": "teacher", "weights": "hub:t", "sha256": "", "licence": "unknown", "trained_on": "web | photos"}],
        },
    },
}
SCORES = {
    "primary": "accuracy",
    "scored": "val",
    "scored_as": "val, never used to choose",
    "method": "lp_ft",
    "seconds": 61.5,
    "optimistic": False,
    "trainable_params": 1026,
    "n": {"train": 80, "select": 20, "scored": 50},
    "calibration": {"before": 0.08, "after": 0.03},
    "val": {"macro_f1": {"value": 0.9, "interval": [0.8, 0.95]}, "accuracy": {"value": 0.92, "interval": [0.85, 0.97]}},
    "test": None,
}
DATA = {
    "source": "/somewhere/ants_and_bees/",
    "fingerprint": "f00d",
    "counts": {"train": {"ant": 40, "bee": 40}, "val": {"ant": 25, "bee": 25}},
    "notes": [
        {"level": "warning", "text": "One file could not be read.", "files": ["x"]},
        {"level": "info", "text": "Quiet.", "files": []},
    ],
}


def described(**schema) -> dict:
    return {**DESCRIBED, "task": {"name": "t", "schema": {**DESCRIBED["task"]["schema"], **schema}}}


def test_it_says_what_how_good_from_what_and_how_to_use_it():
    card = text(DESCRIBED, {"scores": SCORES, "data": DATA, "command": "graft fit ants"})
    for fact in (
        "# ants_and_bees: one label",
        "`ant`, `bee`",
        "224 x 224",
        "method `lp_ft`",
        "(50 samples)",
        "graft.load(",
        "graft fit ants",
    ):
        assert fact in card, fact
    assert re.search(r"\| accuracy \(primary\) \| 0\.92 \| 0\.85 to 0\.97 \|\n\| macro_f1 \|", card)
    assert "| learnt | 80 | ant: 40, bee: 40 |" in card and "One file could not be read." in card and "Quiet." not in card
    assert "/somewhere" not in card, "a card is passed on and must not tell where the data stood"


def test_the_chain_of_weights_has_every_licence_oldest_first():
    card = text(DESCRIBED, {})
    assert card.index("| 1 | teacher | hub:t | web \\| photos | unknown | none |") < card.index(
        "| 2 | net | file:a.safetensors | ImageNet-1k"
    )
    assert "licence of at least one step is unknown" in card and "ab" * 32 in card


def test_few_data_and_optimistic_scores_are_called_so():
    card = text(DESCRIBED, {"scores": {**SCORES, "optimistic": True}, "data": DATA})
    assert "**Optimistic:**" in card and "150 samples in all, which is few" in card
    assert "Optimistic" not in text(DESCRIBED, {"scores": SCORES})


def test_the_front_matter_names_the_kind_of_task():
    assert text(DESCRIBED, {}).startswith("---\nlibrary_name: graft\ntags: [image-classification")
    assert "tags: [image-regression" in text(described(target="number", classes=[]), {})


@pytest.mark.parametrize(("target", "limit"), [("class", "always answers"), ("labels", "never given"), ("number", "extrapolated")])
def test_limits_fit_the_target(target, limit):
    assert limit in text(described(target=target), {})


def test_without_scores_it_says_so_and_without_counts_it_is_silent():
    card = text(DESCRIBED, {})
    assert "This model was not scored." in card and "## Data" not in card
    assert "| learnt | 80 | |" in text(DESCRIBED, {"data": {**DATA, "counts": {"train": 80, "val": None}}})


TEXTS = {"class": "one label for a text", "labels": "any number of labels for a text", "number": "a number for a text",
         "tags": "names in a text", "spans": "answers from a text", "language": "how a text goes on"}  # fmt: skip


@pytest.mark.parametrize("target", TEXTS)
def test_a_model_of_texts_says_nothing_of_images(target):
    made = described(target=target, modality="text")
    made["backbone"] = {**DESCRIBED["backbone"], "prepare": {"length": 128, "kind": "tokens"}}
    card = text(made, {"scores": {**SCORES, "optimistic": True}, "data": DATA})
    assert "image" not in card and "pixels" not in card and "photo.jpg" not in card
    assert TEXTS[target] in card and "It reads 128 tokens at most" in card and "new texts" in card and "For texts like those" in card
    assert ("--context" in card) == (target == "spans") and card.count("## Intended use") == 1
    kinds = {"tags": "token-classification", "spans": "question-answering", "language": "text-generation", "number": "text-regression"}
    assert f"tags: [{kinds.get(target, 'text-classification')}" in card


def test_a_body_that_reads_letters_counts_words():
    made = described(modality="text")
    made["backbone"] = {**DESCRIBED["backbone"], "prepare": {"length": 64, "kind": "characters"}}
    assert "It reads 64 words, each letter by letter," in text(made, {})


def test_a_student_names_its_teacher():
    card = text({**DESCRIBED, "teacher": {"name": "large|one", "body": "resnet50", "sha256": "cd" * 32}}, {})
    assert "## Its teacher" in card and "`large\\|one` (the body `resnet50`" in card and "cd" * 32 in card
    assert "## Its teacher" not in text({**DESCRIBED, "teacher": None}, {})
