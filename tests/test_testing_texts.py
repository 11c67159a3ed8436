"""The contract suites of texts hold for every reader and task of texts, and refuse what breaks one promise."""

from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from tests import sets
from tests.tasks import toys

from graft import catalog
from graft.readers import conll, plain_text, split, squad, text_table
from graft.testing_texts import check_text_tables, check_text_task


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return {
        "class": text_table.read(str(sets.table(folder / "class.csv")), text_table.Options()),
        "labels": text_table.read(str(sets.table(folder / "labels.csv", "labels")), text_table.Options()),
        "number": text_table.read(str(sets.table(folder / "number.csv", "number")), text_table.Options()),
        "tags": conll.read(str(sets.tagged(folder / "tags.conll")), conll.Options()),
        "spans": squad.read(str(sets.asked(folder / "spans.json", 12)), squad.Options()),
        "language": plain_text.read(str(sets.running(folder / "language", 4)), plain_text.Options()),
    }


def column(data, name, cells, kind=None):
    table = data.train
    return replace(data, train=table.set_column(table.column_names.index(name), name, pa.array(cells, kind or table[name].type)))


def cells(data, name):
    return data.train[name].to_pylist()


@pytest.mark.parametrize("target", ["class", "labels", "number", "tags", "spans", "language"])
def test_every_reader_keeps_the_contract(target, read):
    check_text_tables(read[target])


BROKEN = {
    "lacks 'path'": ("class", lambda d: replace(d, train=d.train.drop_columns(["path"]))),
    "one name": ("class", lambda d: column(d, "path", ["a"] * len(d.train))),
    "has no text": ("class", lambda d: column(d, "text", ["", *cells(d, "text")[1:]])),
    "is missing": ("number", lambda d: column(d, "label", [None, *cells(d, "label")[1:]])),
    "of type int64": ("number", lambda d: column(d, "label", [1] * len(d.train), pa.int64())),
    "not among": ("labels", lambda d: column(d, "label", [["new"], *cells(d, "label")[1:]])),
    "sorted": ("class", lambda d: replace(d, schema=replace(d.schema, classes=d.schema.classes[::-1]))),
    "begin with 'O'": ("tags", lambda d: replace(d, schema=replace(d.schema, classes=d.schema.classes[::-1]))),
    "words and": ("tags", lambda d: column(d, "label", [["O"], *cells(d, "label")[1:]])),
    "schema.longest": ("tags", lambda d: replace(d, schema=replace(d.schema, longest=3))),
    "does not stand": ("spans", lambda d: column(d, "starts", [[0]] * len(d.train))),
    "places": ("spans", lambda d: column(d, "starts", [[]] * len(d.train))),
    "has a label": ("language", lambda d: column(d, "label", ["x"] * len(d.train))),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_a_tables_broken_promise_is_named(promise, read):
    target, change = BROKEN[promise]
    with pytest.raises(AssertionError, match=promise):
        check_text_tables(change(read[target]))


def made(target, read):
    """(task, data with roles, a net for it)."""
    data = split.assign(read[target], folds=0)
    values = {"block": 16, "kind": "causal"} if target == "language" else {}
    task = catalog.resolve("task", target)(data.schema, catalog.options("task", target)(**values))
    prepare = toys.bytewise(64) if target == "language" else toys.pieces(64)
    net = toys.net(prepare, task.pool, None if target == "language" else task.head, causal=target == "language")
    return task, data, net


@pytest.mark.parametrize("target", ["tags", "spans", "language"])
def test_every_task_that_gives_a_row_a_token_keeps_the_contract(target, read):
    task, data, net = made(target, read)
    net.train()
    check_text_task(task, data, net)
    assert net.training


def company(task):
    return lambda outputs, batch: task.summarise(outputs, batch) + len(batch.rows)


BROKEN_TASKS = {
    "JSON": lambda task: {"config": {"hidden": (3,)}},
    "has to summarise": lambda task: {"summarise": None},
    "int64": lambda task: {"encode": lambda table: task.encode(table).float()},
    "one finite number": lambda task: {"loss": lambda *given: task.loss(*given) * float("nan")},
    "cut off": lambda task: {"loss": lambda *given: task.loss(*given).detach()},
    "other rows": lambda task: {"summarise": company(task)},
    "has the primary": lambda task: {"primary": "profit"},
    "are floats": lambda task: {"metrics": lambda *given: {"f1": torch.tensor(1.0)}},
    "other columns": lambda task: {"expand": lambda data, prepare: replace(data, val=data.val.drop_columns(["path"]))},
}


@pytest.mark.parametrize("promise", BROKEN_TASKS)
def test_a_tasks_broken_promise_is_named(promise, read):
    task, data, net = made("tags", read)
    with pytest.raises(AssertionError, match=promise):
        check_text_task(replace(task, **BROKEN_TASKS[promise](task)), data, net)
