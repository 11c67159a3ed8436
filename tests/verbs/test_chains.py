"""Chains of tiny real fits: the matrix is what the models say, a kill costs nothing, and mistakes are found before the first fit."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.chained import task

import graft
from graft import api
from graft.errors import DataError, OptionError, OutputError, Stopped
from graft.verbs import chains

TOP = 'epochs = 1\nprecision = "exact"\nimage_size = 32\nset = ["method.batch=8"]\n'


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    """A file of two steps beside their data, and the chain that it gives."""
    root = tmp_path_factory.mktemp("chains")
    for name in ("shapes", "marks"):
        task(photos, root, name)
    task(photos, root, "third", ("circle", "stripes"))
    steps = write(root / "steps.toml", TOP + 'method = "finetune"\n[[step]]\ndata = "shapes"\n[[step]]\ndata = "marks"\n')
    events = []
    return SimpleNamespace(root=root, steps=steps, events=events, out=root / "out", found=run(steps, root / "out", on_event=events.append))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def run(steps, out, fit=api.fit, resume=api.resume, **values):
    return chains.chain(steps, out=out, fit=fit, resume=resume, **values)


def refuse(*_, **__):
    raise AssertionError("a finished step was begun again")


def test_a_chain_leaves_a_run_for_every_step_a_page_and_a_file(made):
    assert sorted(path.name for path in made.out.iterdir()) == ["01-shapes", "02-marks", "chain.html", "chain.json", "plan.json"]
    told = json.loads((made.out / "chain.json").read_text())
    assert [one["task"] for one in told["steps"]] == ["shapes", "marks"] and [len(row) for row in told["matrix"]] == [1, 2]
    spec = (made.out / "02-marks" / "spec.toml").read_text()
    assert f'name = "run:{made.out / "01-shapes"}"' in spec and 'evidence = "off"' in spec
    assert made.found["report"] == str(made.out / "chain.html")
    assert any(event.get("text", "").startswith("after step 2: shapes 0.") for event in made.events)


def test_the_matrix_is_what_the_models_say_of_locked_rows(made):
    """Accuracy counted by hand from what the second run's model says of the first one's scored images."""
    model = graft.load(made.out / "02-marks")
    for number, name in enumerate(("shapes", "marks")):
        rows = pq.read_table(made.out / f"0{number + 1}-{name}" / "splits.parquet").to_pylist()
        rows = [row for row in rows if row["role"] == "score"]
        said = model.predict([row["path"] for row in rows], task=name)
        right = [one.label == row["label"] for one, row in zip(said, rows, strict=True)]
        cell = made.found["matrix"][1][number]
        assert cell["value"] == pytest.approx(np.mean(right)) and cell["n"] == len(rows) == 8 and cell["metric"] == "accuracy"
        assert cell["interval"][0] <= cell["value"] <= cell["interval"][1]
    for number, name in enumerate(("01-shapes", "02-marks")):
        scores = json.loads((made.out / name / "scores.json").read_text())
        assert made.found["matrix"][number][number]["value"] == pytest.approx(scores["test"]["accuracy"]["value"])


def test_the_numbers_are_those_of_the_matrix(made):
    (first,), (last, second) = [[cell["value"] for cell in row] for row in made.found["matrix"]]
    found = made.found["numbers"]
    assert found["average"] == pytest.approx((last + second) / 2) and found["backward_transfer"] == pytest.approx(last - first)
    assert found["forgetting"] == pytest.approx(first - last) and found["kept_first"] == pytest.approx(last / first)


def test_lineage_is_an_unbroken_line_of_hashes(made):
    one, two = made.found["steps"]
    assert two["started_from"] == one["sha256"] and one["started_from"]
    assert [parent["sha256"] for parent in two["parents"]][-1] == one["started_from"]


def test_called_again_it_fits_and_scores_nothing(made, monkeypatch):
    monkeypatch.setattr(chains, "score", refuse)
    again = run(made.steps, made.out, refuse, refuse)
    assert {k: v for k, v in again.items() if k != "took"} == {k: v for k, v in made.found.items() if k != "took"}


def test_a_killed_chain_goes_on_where_it_was(made, tmp_path):
    def stop(event):
        if event["event"] == "kept" and (tmp_path / "out" / "02-marks").is_dir():
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="same command and --out"):
        run(made.steps, tmp_path / "out", on_event=stop)
    assert len(json.loads((tmp_path / "out" / "chain.json").read_text())["matrix"]) == 1
    resumed = []

    def resume(folder, **values):
        resumed.append(folder.name)
        return api.resume(folder, **values)

    found = run(made.steps, tmp_path / "out", refuse, resume)
    assert resumed == ["02-marks"] and found["matrix"] == made.found["matrix"]


def test_a_chain_may_grow_but_not_change(made, tmp_path):
    import shutil

    shutil.copytree(made.out, made.root / "grown")
    longer = write(made.root / "longer.toml", made.steps.read_text() + '[[step]]\ndata = "third"\nmethod = "extract"\nset = []\n')
    with pytest.raises(OutputError, match="other steps"):
        run(longer, made.root / "grown", remedy="lwf")
    other = write(made.root / "other.toml", made.steps.read_text().replace("epochs = 1", "epochs = 2"))
    with pytest.raises(OutputError, match="other steps"):
        run(other, made.root / "grown")
    with pytest.raises(OutputError, match="holds no chain"):
        run(made.steps, made.root)


def test_three_steps_and_a_body_that_stays(made):
    """`extract` changes nothing of the body, so nothing is forgotten: each column is constant below its diagonal."""
    text = 'image_size = 32\nprecision = "exact"\nmethod = "extract"\n'
    text += "".join(f'[[step]]\ndata = "{name}"\nname = "{i}"\n' for i, name in enumerate(("shapes", "marks", "third")))
    found = run(write(made.root / "still.toml", text), made.root / "still")
    assert [path.name for path in sorted((made.root / "still").glob("0*"))] == ["01-0", "02-1", "03-2"]
    for task_ in range(3):
        assert len({found["matrix"][row][task_]["value"] for row in range(task_, 3)}) == 1
    assert found["numbers"]["forgetting"] == 0 and found["numbers"]["kept_first"] == 1


def test_a_remedy_is_the_method_of_later_steps(made):
    plan, name = chains.read(made.steps, "lwf")
    assert [one.asked["method.name"] for one in plan] == ["finetune", "lwf"] and name == "steps.toml"
    assert [one.asked["method.name"] for one in chains.read(made.steps)[0]] == ["finetune", "finetune"]
    with pytest.raises(OptionError, match="Did you mean 'lwf'"):
        chains.read(made.steps, "lwff")


def test_what_holds_for_all_is_filled_in_and_the_step_wins(made):
    text = 'backbone = "graft-mini"\nlr = 0.1\nseed = 3\nset = ["backbone.image_size=32", "method.batch=4"]\n'
    text += '[[step]]\ndata = "shapes"\n[[step]]\ndata = "marks"\nlr = 0.2\nset = ["method.batch=6"]\nevidence = "quick"\n'
    one, two = (step.asked for step in chains.read(write(made.root / "own.toml", text))[0])
    assert one["backbone.name"] == "graft-mini" and one["backbone.image_size"] == "32" and one["method.lr"] == 0.1
    assert not any(key.startswith("backbone.") for key in two) and two["method.lr"] == 0.2 and two["method.batch"] == "6"
    assert (one["seed"], two["seed"], one["evidence"], two["evidence"], two["folds"]) == (3, 3, "off", "quick", 0)
    assert two["data.path"] == str(made.root / "marks")


def test_steps_may_be_given_as_they_are(made):
    plan, _ = chains.read([{"data": str(made.root / "shapes"), "name": "a b"}])
    assert plan[0].name == "01-a_b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 1\n", r"no \[\[step\]\]"),
        ("step = 3\n", r"no \[\[step\]\]"),
        ("[[step]]\nepochs = 1\n", "no data in step 1"),
        ('[[step]]\ndata = "shapes"\nepoch = 1\n', "'epoch' in step 1.*Did you mean 'epochs'"),
        ('wheights = "x"\n[[step]]\ndata = "shapes"\n', "Did you mean 'weights'"),
        ('data = "shapes"\n[[step]]\nepochs = 1\n', "'data' in .* belongs to a"),
        ('[[step]]\ndata = "shapes"\n[[step]]\ndata = "marks"\nbackbone = "gabor"\n', "step 2 of .* names the body 'gabor'"),
        ('[[step]]\ndata = "shapes"\n[[step]]\ndata = "marks"\nweights = "w"\n', "name weights once"),
        ('[[step]]\ndata = "shapes"\nfolds = 5\n', "leave folds out"),
        ('[[step]]\ndata = "shapes"\nset = ["method.lr"]\n', "section.key=value|says nothing"),
        ('[[step]]\ndata = "shapes"\nlr = 0.1\nset = ["method.lr=0.2"]\n', "method.lr twice"),
        ('[[step]]\ndata = "shapes"\nepochs = "many"\n', "method.epochs is a whole number"),
        ('[[step]]\ndata = "shapes"\nset = ["method.lrr=1"]\n', r"no option 'method.lrr'"),
        ("[[step]\n", "not valid TOML"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_is_written(made, tmp_path, text, said):
    steps = write(made.root / "wrong.toml", text)
    with pytest.raises(OptionError, match=said) as raised:
        run(steps, tmp_path / "out", refuse, refuse)
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_what_is_not_there_is_named(made, tmp_path):
    with pytest.raises(OptionError, match="cannot be read"):
        run(tmp_path / "none.toml", tmp_path / "out", refuse, refuse)
    steps = write(made.root / "gone.toml", '[[step]]\ndata = "shapes"\n[[step]]\ndata = "nowhere"\n')
    with pytest.raises(DataError, match=r"data of step 2 .* are not there"):
        run(steps, tmp_path / "out", refuse, refuse)
    assert not (tmp_path / "out").exists()


def cells(*rows):
    return [[None if value is None else {"value": value} for value in row] for row in rows]


def test_numbers_leave_out_what_was_not_scored():
    """By hand: tasks 0 and 2 of three, whose middle one has no score."""
    found = chains.numbers(cells([0.9], [0.8, None], [0.6, None, 0.7]))
    assert found["average"] == pytest.approx(0.65) and found["kept_first"] == pytest.approx(0.6 / 0.9)
    assert found["backward_transfer"] == pytest.approx(-0.3)
    assert chains.numbers(cells([None])) == {}
    late = chains.numbers(cells([0.9], [0.5, None]))
    assert late["average"] == 0.5
