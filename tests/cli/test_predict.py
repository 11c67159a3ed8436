import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from graft.export.model import Prediction


@pytest.fixture
def model(api):
    """A model that names every image "ant", and cannot read those called bad."""
    seen = []

    def predict(images, top=5, batch=32):
        seen.append((images, top, batch))
        ranks = (("ant", 0.75), ("bee", 0.2), ("fly", 0.05))
        return [
            Prediction(path, None, None, error=f"'{path}' is no image.") if "bad" in path else Prediction(path, "ant", 0.75, ranks[:top])
            for path in images
        ]

    api.load = lambda path: SimpleNamespace(predict=predict, modality="image")
    return seen


def test_a_table_by_default(model, invoke):
    result = invoke("predict", "run", "a.jpg", "long name.jpg")
    assert result.stdout == "a.jpg          ant  0.750\nlong name.jpg  ant  0.750\n" and result.exit_code == 0
    assert model == [(["a.jpg", "long name.jpg"], 1, 32)]
    assert invoke("predict", "run", "a.jpg", "--top", "2", "--batch", "8").stdout == "a.jpg  ant  0.750  bee  0.200\n"
    assert model[-1] == (["a.jpg"], 2, 8)


def test_json(model, invoke):
    assert invoke("predict", "run", "a.jpg", "--json").json() == [
        {"path": "a.jpg", "label": "ant", "probability": 0.75, "top": [["ant", 0.75], ["bee", 0.2], ["fly", 0.05]]}
    ]


def test_csv(model, invoke):
    rows = list(csv.DictReader(invoke("predict", "run", "a,b.jpg", "bad.jpg", "--csv", "--top", "2").stdout.splitlines()))
    assert rows[0] == {"path": "a,b.jpg", "label": "ant", "probability": "0.75", "label_2": "bee", "probability_2": "0.2", "error": ""}
    assert rows[1]["path"] == "bad.jpg" and rows[1]["label"] == "" and rows[1]["error"] == "'bad.jpg' is no image."


def test_bad_images_are_named_and_the_others_predicted(model, invoke):
    result = invoke("predict", "run", "a.jpg", "bad.jpg", "c.jpg")
    assert result.exit_code == 2 and "error: 'bad.jpg' is no image.\n" in result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["a.jpg", "c.jpg"]
    found = invoke("predict", "run", "bad.jpg", "--json").json()
    assert found == [{"path": "bad.jpg", "label": None, "probability": None, "top": [], "error": "'bad.jpg' is no image."}]


def test_a_list_on_stdin(model, invoke):
    assert invoke("predict", "run", "-", input="x.jpg\ny.jpg\n").exit_code == 0
    assert model[-1][0] == ["x.jpg", "y.jpg"]


def test_an_empty_folder(model, invoke, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert invoke("predict", "run", "empty").exit_code == 2


@pytest.mark.parametrize("kept", [True, False])
def test_what_came_of_adapting_is_said_beside_the_answer(kept, model, invoke, api):
    plain = api.load("run")
    asked = []

    def adapted(items, how):
        asked.append((items, how))
        return plain, {"how": how, "kept": kept, "why": "it fell", "changed": 0.25}

    api.load = lambda path: SimpleNamespace(predict=plain.predict, modality="image", adapted=adapted)
    result = invoke("predict", "run", "a.jpg", "b.jpg", "--adapt", "tent")
    assert result.exit_code == 0 and result.stdout.startswith("a.jpg  ant  0.750\n") and asked == [(["a.jpg", "b.jpg"], "tent")]
    said = {True: "adapted (tent): 25% of the predictions changed; it fell\n", False: "not adapted (tent): it fell; predicted with"}
    assert result.stderr.startswith(said[kept])
    assert len(invoke("predict", "run", "a.jpg", "--adapt", "tent", "--json").json()) == 1


@pytest.fixture
def reader(api):
    """A model of texts that answers with the length of each."""
    seen = []

    def predict(items, top=5, batch=32):
        seen.append(list(items))
        return [Prediction(f"text {i}", "long" if len(item) > 9 else "short", 0.5) for i, item in enumerate(items)]

    api.load = lambda path: SimpleNamespace(predict=predict, modality="text", pair=False)
    return seen


def test_texts_keep_the_names_of_where_they_stand(reader, invoke, tmp_path: Path):
    assert invoke("predict", "run", "a text", "another one").stdout == "a text       short  0.500\nanother one  long   0.500\n"
    (tmp_path / "t.csv").write_text("id,review\n1,so so\n2,a long review\n", encoding="utf-8")
    found = invoke("predict", "run", str(tmp_path / "t.csv"), "--text", "review", "--json").json()
    assert [(one["path"], one["label"]) for one in found] == [("t.csv:2", "short"), ("t.csv:3", "long")]
    assert reader[-1] == ["so so", "a long review"]


def test_a_question_goes_with_its_context_and_a_missing_column_is_named(reader, invoke, tmp_path: Path):
    assert invoke("predict", "run", "Where?", "--context", "Here it is.").exit_code == 0
    assert reader[-1] == [("Where?", "Here it is.")]
    (tmp_path / "t.csv").write_text("id,review\n1,so so\n", encoding="utf-8")
    result = invoke("predict", "run", str(tmp_path / "t.csv"), "--text", "body")
    assert result.exit_code == 2 and "has no column 'body'" in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_an_earlier_task_is_asked_for_by_name(model, invoke, api):
    plain, asked = api.load("run"), []
    api.load = lambda path: SimpleNamespace(modality="image", on=lambda task: asked.append(task) or plain)
    assert invoke("predict", "run", "a.jpg", "--task", "insects").stdout == "a.jpg  ant  0.750\n" and asked == ["insects"]


def test_a_model_of_pairs_is_given_both_texts(api, invoke, tmp_path: Path):
    seen = []

    def predict(items, top=5, batch=32):
        seen.extend(items)
        return [Prediction(f"text {i}", "same", 0.5) for i, _ in enumerate(items)]

    api.load = lambda path: SimpleNamespace(predict=predict, modality="text", pair=True)
    assert invoke("predict", "run", "a text", "--context", "another").stdout == "a text  same  0.500\n"
    (tmp_path / "t.csv").write_text("question1,question2\nwho?,what?\n", encoding="utf-8")
    assert invoke("predict", "run", str(tmp_path / "t.csv")).exit_code == 0 and seen == [("a text", "another"), ("who?", "what?")]
    alone = invoke("predict", "run", "a text")
    assert alone.exit_code == 2 and "--context" in alone.stderr
