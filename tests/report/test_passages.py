import json
import re

import pytest
from tests.report import folders, samples
from tests.report.pages import Page, outside

from graft.report import advice, check, passages, study
from graft.report.page import render
from graft.report.record import Record

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
MISTAKE = {
    "kind": "mistake", "path": "test.csv:7", "label": "bad", "predicted": "good", "probability": 0.97, "of": "good",
    "text": "not a good film", "words": [["not", -1.5], ["a", 0.01], ["good", 3.0], ["film", None]],
}  # fmt: skip


def of_texts(folder, target="class"):
    """A run of texts: as of images, but for what data.json says, and without pictures."""
    run = folders.classification(folder, ["bad", "good"], n=60)
    about = json.loads((run / "data.json").read_text())
    about["schema"] |= {"modality": "text", "target": target}
    (run / "data.json").write_text(json.dumps(about))
    for file in (run / "explain").iterdir():
        file.unlink()
    return run


def put(run, name, content):
    (run / "explain" / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    return of_texts(tmp_path / "run")


def test_a_run_of_texts_says_nothing_of_images(run):
    put(run, "texts.json", [MISTAKE])
    samples.put(run, "evidence.json", samples.EVIDENCE | {"notices": [], "verdict": {"kind": "helped", "text": "It did."}})
    samples.put(run, "check.json", samples.check("/data") | {"findings": []})
    (run / "journal.jsonl").write_text((run / "journal.jsonl").read_text().replace("mirror images", "mirrors"))
    page = Page(render(run))
    assert re.findall(r"[^ ]*images?\b[^ ]*", page.text, re.IGNORECASE) == []
    assert "60 texts" in page.text and "the same 153 texts" in page.text
    assert "labelled texts (logarithmic)" in render(run) and "The network from the text (left)" in page.text
    assert "224 tokens" in page.text and "Could not be read" not in page.text
    assert "images" in Page(render(folders.classification(run.parent / "other", ["a", "b"], n=60))).text


def test_words_are_shaded_by_their_weight(run):
    put(run, "texts.json", [MISTAKE, {**MISTAKE, "kind": "uncertain", "label": "good", "path": "test.csv:9"}])
    html = render(run)
    page = Page(html)
    assert page.ids[page.ids.index("passages") - 1] == "calibration" and outside(html) == []
    assert "bad → good 0.97 test.csv:7" in page.text and "Worst mistakes" in page.text and "Least certain" in page.text
    marks = re.findall(r'<mark class="(\w+)" style="--t:([\d.]+)" title="([^"]+)">([^<]+)</mark>', html)
    assert [mark for mark in marks if mark[3] in ("not", "good")][:2] == [
        ("against", "0.5", "−1.50", "not"),
        ("for", "1.0", "+3.00", "good"),
    ]
    assert not any(mark[3] in ("a", "film") for mark in marks)
    assert 'class="ok">good' in html and 'class="bad">good' in html


def test_a_pair_is_shown_as_two_texts(run):
    put(run, "texts.json", [{**MISTAKE, "context": "good film", "first": 2}])
    html = render(run)
    first, second = re.search(r'<p class="passage">(.*?)</p><p class="passage second">(.*?)</p>', html).groups()
    assert ">not</mark> a" in first and ">good</mark> film" in second


def test_long_texts_are_cut_where_nothing_happens():
    quiet = [["one two three four five six seven", 0.001]] * 60
    parts = passages._parts([*quiet, ["the words that decide it all here", 2.0]])
    assert (
        parts[0]["words"] == "one two three …" and parts[-1]["words"] == "the words that decide it all here" and parts[-1]["side"] == "for"
    )
    assert passages._parts(quiet[:2])[0]["words"] == quiet[0][0]


def test_numbers_and_several_labels(tmp_path):
    run = folders.several_labels(tmp_path / "labels")
    put(run, "texts.json", [{**MISTAKE, "label": ["a"], "predicted": ["a", "b"], "of": "b"}])
    assert "a → a, b 0.97 words for and against b" in Page(render(run)).text
    run = folders.regression(tmp_path / "number")
    put(run, "texts.json", [{**MISTAKE, "label": 1.5, "predicted": 4.25, "probability": None, "of": ""}])
    assert "1.500 → 4.250 test.csv:7" in Page(render(run)).text


SENTENCE = {
    "path": "a:3", "words": ["Ann", "saw", "New", "York"], "truth": [[0, 1, "PER"], [2, 4, "LOC"]], "predicted": [[2, 3, "ORG"]],
    "errors": [{"kind": "missed", "type": "PER", "truth": [0, 1, "PER"], "predicted": None},
               {"kind": "wrong type", "type": "LOC", "truth": [2, 4, "LOC"], "predicted": [2, 3, "ORG"]}],
}  # fmt: skip
COUNTS = {
    "PER": {"true": 9, "right": 8, "missed": 1, "wrong type": 0, "wrong border": 0, "invented": 0},
    "LOC": {"true": 5, "right": 1, "missed": 2, "wrong type": 1, "wrong border": 1, "invented": 4},
}


def test_names_that_were_mistaken(tmp_path):
    run = of_texts(tmp_path / "run", "tags")
    put(run, "entities.json", {"counts": COUNTS, "of": 30, "wrong": 12, "sentences": [SENTENCE]})
    html = render(run)
    page = Page(html)
    assert "entities" in page.ids and "mistakes" not in page.ids and outside(html) == []
    assert "12 of 30 sentences have an error" in page.text and "missed: PER “Ann”" in page.text
    assert "wrong type: LOC “New York” → ORG" in page.text and "NewLOC → ORG YorkLOC → –" in page.text and "AnnPER → –" in page.text
    table = html[html.index("<th>Type</th>") :]
    assert table.index(">LOC<") < table.index(">PER<")
    assert re.findall(r'<td class="n">(\d+)</td>', table)[:6] == ["5", "1", "2", "1", "1", "4"]


def test_answers_in_their_place(tmp_path):
    run = of_texts(tmp_path / "run", "spans")
    row = {"path": "q1", "question": "When?", "truth": ["in 1999"], "predicted": "1999, not", "f1": 0.4, "exact": 0.0,
           "excerpt": "It was in 1999, not later.", "cut": [True, False], "right": [7, 14], "said": [10, 19]}  # fmt: skip
    put(run, "answers.json", [row, {**row, "predicted": "", "truth": [], "right": None, "said": None}])
    page = Page(render(run))
    assert (
        "answers" in page.ids
        and "When? F1 0.40q1" in page.text
        and "in 1999 → 1999, not" in page.text
        and "no answer → no answer" in page.text
    )
    assert re.findall(r'<mark class="(right|both|said)">([^<]+)</mark>', render(run))[-3:] == [
        ("right", "in "),
        ("both", "1999"),
        ("said", ", not"),
    ]
    assert "… It was in 1999, not later." in page.text and outside(render(run)) == []


def test_the_pieces_make_the_excerpt():
    text = "0123456789"
    for right in ((2, 5), None, (0, 10)):
        for said in ((4, 8), (2, 5), (6, 7), None):
            pieces = passages._pieces(text, right, said)
            assert "".join(piece["text"] for piece in pieces) == text
            for one, name in ((right, "right"), (said, "said")):
                marked = "".join(piece["text"] for piece in pieces if piece["mark"] in (name, "both"))
                assert marked == (text[slice(*one)] if one else "")


def test_everything_is_escaped(run):
    put(run, "texts.json", [{**MISTAKE, "path": EVIL, "predicted": EVIL, "label": EVIL, "of": EVIL, "words": [[EVIL, 1.0], [EVIL, None]]}])
    sentence = {
        **SENTENCE,
        "path": EVIL,
        "words": [EVIL] * 4,
        "truth": [[0, 1, EVIL]],
        "errors": [{"kind": EVIL, "type": EVIL, "truth": [0, 1, EVIL]}],
    }
    put(run, "entities.json", {"counts": {EVIL: COUNTS["PER"]}, "of": 1, "wrong": 1, "sentences": [sentence]})
    put(
        run,
        "answers.json",
        [{"path": EVIL, "question": EVIL, "truth": [EVIL], "predicted": EVIL, "excerpt": EVIL, "right": [0, 5], "said": [2, 9]}],
    )
    html = render(run)
    assert outside(html) == [] and Page(html).tags.count("script") == 1 and Page(html).text.count("alert(1)") > 10


@pytest.mark.parametrize("name", ["texts.json", "entities.json", "answers.json"])
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "null", "[1, {}]", '{"counts": {"a": 1, "b": {"true": "x"}}}',
     '{"sentences": [{"words": 3}, {"words": [1], "truth": [[0, null, 2], 4]}]}',
     '[{"kind": "mistake", "words": [["a", "b"], 3, [1, 2, 3], ["x", 1e400]]}]',
     '[{"excerpt": 5, "right": ["a", "b"], "said": [4, 2], "cut": 7, "truth": 3}]'],
)  # fmt: skip
def test_any_content_still_gives_a_page(run, name, content):
    (run / "explain" / name).write_text(content)
    page = Page(render(run))
    assert "decided" in page.ids


def test_findings_of_texts_quote_them(tmp_path):
    rows = [{"files": ["a.csv:2", "a.csv:9"], "texts": ["first words", EVIL], "labels": ["x", "y"], "splits": ["train", "test"]}]
    found = {"kind": "near_duplicates", "level": "warning", "count": 2, "text": "2 texts are.", "effect": "E.", "repair": "R.",
             "files": ["a.csv:2", "a.csv:9"], "examples": rows}  # fmt: skip
    folder = samples.put(
        tmp_path / "out", "check.json", {"modality": "text", "source": "a.csv", "counts": {"train": 8}, "findings": [found]}
    )
    html = check.render(folder)
    page = Page(html)
    assert "first words" in page.text and "alert(1)" in page.text and outside(html) == []
    assert "no picture" not in page.text and "Texts8" in page.text.replace(" ", "") and "2 texts" in page.text and "file" not in page.text
    assert re.findall(r'class="under">([^<]+)<', html) == ["x", "train", "y", "test"]


def test_the_modality_is_read_wherever_it_stands(tmp_path):
    assert Record(tmp_path).modality == "image"
    for name in ("check.json", "advice.json", "study.json"):
        (tmp_path / name).write_text('{"modality": "text"}')
        assert Record(tmp_path).modality == "text"
        (tmp_path / name).unlink()
    for broken in ('{"schema": 3}', '{"schema": {"modality": []}}', "[]", "{"):
        (tmp_path / "data.json").write_text(broken)
        assert Record(tmp_path).modality == "image"
    (tmp_path / "journal.jsonl").write_text('{"event": "data", "modality": "text"}\n')
    assert Record(tmp_path).modality == "text"


def test_advice_and_studies_of_texts(tmp_path):
    samples.put(tmp_path, "advice.json", samples.ADVICE | {"modality": "text"})
    page = Page(advice.render(tmp_path))
    assert (
        "Time for 1,000 texts" in page.text
        and "224 tokens" in page.text
        and "layer, from the text to the answer" in advice.render(tmp_path)
    )
    (tmp_path / "advice.json").unlink()
    (tmp_path / "study.json").write_text('{"modality": "text", "differences": []}')
    assert "images" not in Page(study.render(tmp_path)).text
