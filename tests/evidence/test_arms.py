"""What a user may write for an arm, and what each mistake is told."""

import pytest

from graft.errors import OptionError
from graft.evidence.arms import LONGEST, Arm, parse

METHODS = {"extract": False, "finetune": True, "lp_ft": True, "scratch": False}


def test_every_arm_on_every_body_body_by_body():
    found = parse("extract, finetune@stage3", "one,two", METHODS)
    assert found == (Arm("extract", "one"), Arm("finetune", "one", "stage3"), Arm("extract", "two"), Arm("finetune", "two", "stage3"))
    assert parse(["extract", "scratch"], ["one"], METHODS) == parse("extract,scratch", "one", METHODS)


def test_options_belong_to_the_method_unless_they_say_otherwise():
    arm, _ = parse("finetune@2:lr=1e-3:task.pool=max,extract", "one", METHODS)
    assert arm.settings == ("method.lr=1e-3", "task.pool=max") and arm.label == "finetune@2:lr=1e-3:task.pool=max"
    assert arm.name == "finetune@2:lr=1e-3:task.pool=max on one"


@pytest.mark.parametrize(
    ("arms", "bodies", "words"),
    [
        ("extrct,scratch", "one", "Did you mean 'extract'"), ("", "one", "--arms"), ("extract,lp_ft", " , ", "--backbones"),
        ("extract@stage3,lp_ft", "one", "leave '@stage3' out.*finetune@stage3"), ("finetune@,lp_ft", "one", "names no stage"),
        ("finetune:lr,lp_ft", "one", "option=value"), ("lp_ft,lp_ft", "one", "named twice"), ("lp_ft", "one", "nothing to compare"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence_with_the_repair(arms, bodies, words):
    with pytest.raises(OptionError, match=words) as caught:
        parse(arms, bodies, METHODS)
    assert "\n" not in str(caught.value)


def test_folders_are_sound_and_never_shared():
    arms = [
        Arm("finetune", "one", "stage3"), Arm("finetune", "run:/a/b"), Arm("finetune", "run:/a_b"), Arm("finetune", "run__a_b"),
        Arm("finetune", "x" * 200), Arm("finetune", "x" * 201), Arm("finetune", "one", settings=("method.lr=1/2",)),
    ]  # fmt: skip
    names = [arm.folder for arm in arms]
    assert len(set(names)) == len(names) and names[0] == "finetune@stage3-one"
    assert all("/" not in name and ":" not in name and len(name) <= LONGEST + 9 for name in names)
