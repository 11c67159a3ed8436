import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report import samples

from graft.cli.findings import evidence_lines, lines


def test_a_check_in_words():
    found = lines(samples.check("/photos"))
    assert found[0] == "1 problem, 2 warnings and 2 notes in 397 images of /photos, in 12 s"
    text = "\n".join(found)
    assert text.index("problem") < text.index("5 images that learn") < text.index("3 labels") < text.index("There are only 28")
    assert "  repair   Leave the copies out: --set data.duplicates=drop." in found
    assert "  files    10 files: train/ants/000.png, val/bees/000.png, train/ants/001.png, and 7 more" in found
    assert "  such as  train/ants/005.png: ants, suggested bees" in found
    assert found[-2:] == [
        "looked for  exact and near duplicates, labels written alike, wrong labels, outliers",
        "left out    Shortcuts were not looked for: there are too few rows",
    ]


def test_texts_are_called_texts():
    found = lines(samples.check("/photos") | {"modality": "text"})
    assert found[0] == "1 problem, 2 warnings and 2 notes in 397 texts of /photos, in 12 s"
    assert "  texts    10 texts: train/ants/000.png, val/bees/000.png, train/ants/001.png, and 7 more" in found


def test_nothing_found_is_said():
    assert lines({"counts": {"train": 3}, "findings": []}) == ["nothing was found in 3 images"]
    assert lines({}) == ["nothing was found"]


def test_a_files_name_cannot_command_the_terminal():
    evil = "a\x1b[2J\nb\u202e"
    found = lines(
        {
            "source": "/d" + evil,
            "findings": [{"level": "problem", "text": evil, "files": [evil], "examples": [{"files": [evil], "suggested": evil}]}],
        }
    )
    found += evidence_lines({"verdict": {"text": evil, "advice": evil}, "arms": [{"label": evil, "value": 1.0}], "notices": [evil]})
    assert all(line.isprintable() for line in found) and sum("a?[2J b?" in line for line in found) >= 6


def test_evidence_in_words():
    found = evidence_lines(samples.EVIDENCE)
    assert found[0] == samples.EVIDENCE["verdict"]["text"] and found[1] == ""
    assert found[2].split() == ["accuracy", "on", "its", "own", "rows", "training", "memory", "learnt"]
    assert found[3].split() == ["lp_ft", "0.941", "[0.892,", "0.969]", "0.995", "1", "min", "12", "s", "1,512", "MB", "2.23", "M"]
    text = "\n".join(found)
    assert "lp_ft less scratch       +0.268 [+0.191, +0.346]" in text and "p 0.687" in text and "p < 0.001" in text
    assert found[-4:] == [
        "labels    With 12 labels (5 %) the frozen body is already as good as all 244 are from scratch.",
        "notice    The body was trained on ImageNet, which may hold some of these images.",
        "left out  the draws of the curve were halved to keep to --budget 5m",
        "advice    Linear probe was not shown to be worse: take it where time matters.",
    ]


def test_evidence_with_little_in_it():
    assert evidence_lines({}) == [] and evidence_lines({"arms": [], "curve": None, "verdict": None}) == []
    assert evidence_lines({"verdict": {"kind": "none"}}) == ["No difference shown"]
    open_end = {"of": "a", "less": "b", "value": -0.5, "interval": [None, -0.25]}
    assert evidence_lines({"differences": [open_end]}) == ["a less b  -0.500 [-inf, -0.250]"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_content_gives_lines(data):
    value = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    )
    for content, inner, say in ((samples.check("/d"), "findings", lines), (samples.EVIDENCE, "arms", evidence_lines)):
        content = copy.deepcopy(content)
        for row in content[inner]:
            for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
                row[key] = data.draw(value)
        for key in data.draw(st.lists(st.sampled_from(sorted(content)), max_size=3)):
            content[key] = data.draw(value)
        assert all(isinstance(line, str) and "\n" not in line for line in say(content))
