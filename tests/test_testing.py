"""The contract suites hold over the whole catalogue, and refuse what breaks one promise."""

from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
import torch
from tests import nets, sets
from tests.methods import tasks, taught, words
from torch import nn

from graft import catalog, testing
from graft.core import Backbone, Origin, Prepare, Schema, Stage
from graft.tasks import classification
from graft.testing import check_backbone, check_task


@dataclass(frozen=True)
class Options:
    width: int = 4


def load(name, options, seed=0):
    torch.manual_seed(seed)
    stages = nn.ModuleList([Stage(nn.Conv2d(3, options.width, 2, 2)), Stage(nn.Sequential(nn.BatchNorm2d(options.width), nn.Dropout(0.3)))])
    origin = Origin("toy", "toy:net", "random")
    return Backbone(stages, ("one", "two"), (4, 4), (2, 2), ("map", "map"), Prepare(size=16), origin)


def test_a_sound_body_passes():
    check_backbone(load)


class InPlace(nn.Module):
    def forward(self, x):
        return x.relu_()


class BatchMean(nn.Module):
    def forward(self, x):
        return x - x.mean(0, keepdim=True)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Plain(nn.Module):
    def forward(self, state):
        return {"x": state["x"]}


def _with(stage):
    return lambda b: replace(b, stages=nn.ModuleList([b.stages[0], stage]))


BROKEN = {
    "unique": lambda b: replace(b, names=("one", "one")),
    "width 9": lambda b: replace(b, widths=(9, 4)),
    "stride 3": lambda b: replace(b, strides=(2, 3)),
    "form 'tokens'": lambda b: replace(b, forms=("map", "tokens")),
    "forms are": lambda b: replace(b, forms=("map", "grid")),
    "pool is": lambda b: replace(b, pool="median"),
    "in place": _with(Stage(InPlace())),
    "other images": _with(Stage(BatchMean())),
    "second time": _with(Stage(Noisy())),
    "drops": _with(Plain()),
    "share": lambda b: replace(b, stages=nn.ModuleList([b.stages[0], Stage(nn.Sequential(nn.ReLU(), _Shared(b)))])),
    "float32": lambda b: replace(b, stages=b.stages.double()),
}


class _Shared(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.weight = body.stages[0].body.weight

    def forward(self, x):
        return x


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_named(promise):
    def broken(name, options, seed=0):
        return BROKEN[promise](load(name, options, seed))

    with pytest.raises(AssertionError, match=promise):
        check_backbone(broken, options=Options())


def test_loading_has_to_follow_the_seed():
    def unseeded(name, options, seed=0):
        return load(name, options, seed=int(torch.randint(10**6, ())))

    with pytest.raises(AssertionError, match="other weights"):
        check_backbone(unseeded, options=Options())


TASK = classification.task(Schema("image", "class", ("a", "b")), classification.Options())
BROKEN_TASKS = {
    "encode gives": {"encode": lambda table: TASK.encode(table).float()},
    r"maps \[5, 3\]": {"head": lambda width: nn.Linear(width, 3)},
    "one finite number": {"loss": lambda *a, **k: TASK.loss(*a, **k) * float("nan")},
    "cut off": {"loss": lambda *a, **k: TASK.loss(*a, **k).detach()},
    "other outputs": {"loss": lambda o, *a, **k: 0 * o.sum() + 1},
    "equal soft targets": {"loss": lambda o, t, *a, **k: TASK.loss(o, t, *a, **k) * (2 if t.ndim == 2 else 1)},
    "within 0 and 1": {"decode": lambda o, t=1.0: o / t},
    "add up to 1": {"decode": lambda o, t=1.0: (o / t).sigmoid()},
    "has the primary": {"primary": "profit"},
    "right outputs score": {"primary": "log_loss"},
    "JSON": {"config": {"hidden": (3,)}},
    "one head": {"solve": lambda x, y, seed: replace(TASK.solve(x, y, seed), head=nn.Linear(x.shape[1], 2))},
}


@pytest.mark.parametrize("promise", BROKEN_TASKS)
def test_a_tasks_broken_promise_is_named(promise):
    table = pa.table({"path": [str(i) for i in range(12)], "label": ["a", "b"] * 6})
    check_task(TASK, table)
    with pytest.raises(AssertionError, match=promise):
        check_task(replace(TASK, **BROKEN_TASKS[promise]), table)


ON_TEXTS = ("adapt", "ulmfit")
AFTER_ANOTHER = dict.fromkeys(("lwf", "ewc", "rehearsal"), ("cold", "warm")) | {"extend": ("dark", "light", "warm")}
"""Methods that need a body with an earlier task, and the classes that they learn here."""


@pytest.mark.parametrize("row", catalog.rows("method"), ids=lambda row: row.name)
def test_every_method_of_the_catalogue_keeps_the_contract(row, tmp_path):
    known = catalog.options("method", row.name).__dataclass_fields__
    values = {"epochs": 2, "batch": 4, "steps_down": 2, "language_epochs": 2}
    options = catalog.options("method", row.name)(**{name: value for name, value in values.items() if name in known})
    if row.name in ON_TEXTS:
        rows, task, make = words.data(unlabelled=6), words.task(), words.net
    elif row.name == "distill":
        rows, task, make = taught.data(tmp_path / "photos"), nets.task(), nets.net
    elif row.name in AFTER_ANOTHER:
        task, make = tasks.task(AFTER_ANOTHER[row.name]), tasks.net
        rows = (tasks.grown if row.name == "extend" else tasks.data)(tmp_path / "photos", make(task))
    else:
        rows, task, make = nets.data(tmp_path / "photos"), nets.task(), nets.net
        rows = replace(rows, target=rows.test.drop_columns(["label"]))
    testing.check_method(catalog.resolve("method", row.name), options, lambda: make(task), task, rows, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frozen": 2}, "frozen stage learn"),
        ({"frozen": 9}, "freezes 9 of 3"),
        ({"streams": {}}, "no stream"),
        ({"solve": lambda *_: None}, "objective or solve"),
    ],
)
def test_a_methods_broken_promise_is_named(change, words, tmp_path):
    rows, task = nets.data(tmp_path / "photos"), nets.task()

    def phases(net, task, data, options):
        inner = catalog.resolve("method", "finetune")(net, task, data, options)
        yield replace(next(inner), **change)

    options = catalog.options("method", "finetune")(epochs=1, batch=4)
    with pytest.raises(AssertionError, match=words):
        testing.check_method(phases, options, lambda: nets.net(task), task, rows, tmp_path)


def test_a_method_that_draws_from_outside_is_noticed(tmp_path):
    """A method whose phases depend on something that a second start does not see again."""
    rows, task, calls = nets.data(tmp_path / "photos"), nets.task(), []

    def phases(net, task, data, options):
        calls.append(1)
        net.head.final.weight.data.add_(0.01 * len(calls))
        yield from catalog.resolve("method", "finetune")(net, task, data, options)

    options = catalog.options("method", "finetune")(epochs=2, batch=4)
    with pytest.raises(AssertionError, match="other weights"):
        testing.check_method(phases, options, lambda: nets.net(task), task, rows, tmp_path)


def test_every_reader_of_the_catalogue_keeps_the_contract(photos, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{file},{file.parent.name}\n" for file in sorted(photos.rglob("*.png"))))
    paths = {"image_folder": str(photos), "csv_table": str(table), "text_folder": str(tmp_path / "classes")}
    for name in ("good/1", "good/2", "bad/1"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / f"{name}.txt").write_text(f"the cat was {name}")
    paths |= {"text_table": sets.table(tmp_path / "texts.csv"), "conll": sets.tagged(tmp_path / "words.conll")}
    paths |= {"squad": sets.asked(tmp_path / "asked.json"), "plain_text": sets.running(tmp_path / "running")}
    paths |= {"images": photos, "texts": tmp_path / "classes"}
    assert paths.keys() == {row.name for row in catalog.rows("reader")}, "give the new reader some data here"
    for name, path in paths.items():
        testing.check_reader(catalog.resolve("reader", name), str(path))


def test_a_readers_broken_promise_is_named(photos):
    from graft.readers import image_folder

    def reader(path, options):
        data = image_folder.read(path, options)
        return replace(data, schema=replace(data.schema, classes=("circle", "cross")))

    with pytest.raises(AssertionError, match="not among the classes"):
        testing.check_reader(reader, str(photos), image_folder.Options())
