"""Contract suites: the tables of readers, of files and of texts, and tasks whose nets give a row a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core import Data, Net, Task


def check_path_tables(data: Data) -> None:
    """The tables of a reader of files. Raises AssertionError with one clear sentence."""
    import os

    import pyarrow as pa

    schema, tables = data.schema, [table for table in (data.train, data.val, data.test) if table is not None]
    kinds = {"class": pa.types.is_string, "labels": pa.types.is_list, "number": pa.types.is_float64, "none": pa.types.is_string}
    assert schema.target in kinds, f"the target '{schema.target}' is none of {', '.join(kinds)}"
    assert list(schema.classes) == sorted(set(schema.classes)), "the classes are not sorted and unique"
    for table in tables:
        assert {schema.input, schema.label} <= set(table.column_names), f"a table lacks '{schema.input}' or '{schema.label}'"
        assert pa.types.is_string(table[schema.input].type), "the input column is not text"
        assert kinds[schema.target](table[schema.label].type), f"labels of type {table[schema.label].type} are no '{schema.target}'"
        assert not table[schema.label].null_count, "a label is missing"
        assert all(os.path.isabs(one) for one in table[schema.input].to_pylist()), "a path is not absolute"
        cells = table[schema.label].to_pylist()
        named = {name for cell in cells for name in (cell if isinstance(cell, list) else [cell])}
        assert schema.target != "none" or named == {""}, "a row without a label has one"
        assert schema.target in ("number", "none") or named <= set(schema.classes), "a label is not among the classes"


def check_text_tables(data: Data) -> None:
    """The tables of a reader of texts. Raises AssertionError with one clear sentence."""
    import pyarrow as pa

    schema, tables = data.schema, [table for table in (data.train, data.val, data.test) if table is not None]
    words, text, many = pa.list_(pa.string()), pa.string(), schema.target in ("tags", "spans", "labels")
    kinds = {"path": text, schema.input: words if schema.target == "tags" else text}
    kinds[schema.label] = words if many else pa.float64() if schema.target == "number" else text
    kinds |= {"context": text, "starts": pa.list_(pa.int64())} if schema.target == "spans" else {"context": text} if schema.pair else {}
    paths: list[str] = []
    for table in tables:
        for name, kind in kinds.items():
            assert name in table.column_names, f"a table lacks '{name}'"
            assert table[name].type == kind, f"'{name}' is of type {table[name].type}, not {kind}"
            assert not table[name].null_count, f"a cell of '{name}' is missing"
        paths += table["path"].to_pylist()
        for row in table.to_pylist():
            _check_row(row, schema)
    assert len(set(paths)) == len(paths), "two rows have one name"
    if schema.target == "tags":
        longest = max(len(row) for table in tables for row in table[schema.input].to_pylist())
        assert schema.longest == longest, f"schema.longest is {schema.longest}, and the longest row has {longest} words"
        assert schema.classes[0] == "O" and len(set(schema.classes)) == len(schema.classes), "the tags do not begin with 'O', or repeat"
    else:
        assert list(schema.classes) == sorted(set(schema.classes)), "the classes are not sorted and unique"


def _check_row(row: dict, schema) -> None:
    text, label, where = row[schema.input], row[schema.label], row["path"]
    assert text, f"{where} has no text"
    if schema.target in ("class", "labels", "tags"):
        named = set(label) if isinstance(label, list) else {label}
        assert named <= set(schema.classes), f"a label of {where} is not among the classes"
    if schema.target == "tags":
        assert len(text) == len(label), f"{where} has {len(text)} words and {len(label)} tags"
    if schema.target in ("language", "none"):
        assert label == "", f"{where} has a label, and its target is '{schema.target}'"
    if schema.target == "spans":
        assert len(label) == len(row["starts"]), f"{where} has {len(label)} answers and {len(row['starts'])} places"
        for answer, start in zip(label, row["starts"], strict=True):
            assert row["context"][start : start + len(answer)] == answer, f"an answer to {where} does not stand where it is said to"


def check_text_task(task: Task, data: Data, net: Net) -> None:
    """The contract of a task whose net gives a row a token. Raises AssertionError with one clear sentence.

    data: with roles, some rows to learn from, of several lengths. net: with the pooling and the head of the task, in any mode.
    """
    import json

    import torch

    from .data.texts import Texts
    from .engine import forward
    from .engine.device import Machine

    assert json.loads(json.dumps(task.config)) == task.config, "task.config is not JSON that reads back as itself"
    assert task.summarise is not None, "a task whose net gives a row a token has to summarise"
    expanded = data if task.expand is None else task.expand(data, net.prepare)
    table = expanded.train
    for name in ("val", "test"):
        held = getattr(expanded, name)
        assert held is None or held.column_names == table.column_names, f"expand gives {name} other columns than train"
    assert len(set(table["path"].to_pylist())) == len(table), "expand gives two rows one name"
    targets = task.encode(table)
    assert len(targets) == len(table) and targets.ndim == 2 and targets.dtype == torch.int64, "encode gives int64 [n, m]"
    machine, modes = Machine(torch.device("cpu")), [(module, module.training) for module in net.modules()]
    with torch.random.fork_rng(devices=[]), Texts(net.prepare, task.encode, 0) as streams:
        torch.manual_seed(0)
        _check_token_loss(task, net, next(streams.plain(table, 4)))
        found, alone = (forward.outputs(net, streams.plain(table, size), machine, task.summarise) for size in (4, 1))
    for module, mode in modes:
        module.training = mode
    assert found.ndim == 2 and len(found) == len(table) and found.dtype == torch.float32, "summarise gives float32 [n, m]"
    assert torch.allclose(found, alone, rtol=1e-3, atol=1e-3), "what a row's outputs are depends on the other rows of its batch"
    scores = task.metrics(task.decode(found).numpy(), targets.numpy())
    assert task.primary in scores, f"metrics has the primary one, '{task.primary}'"
    assert all(type(value) is float for value in scores.values()), "metrics are floats"


def _check_token_loss(task: Task, net: Net, batch) -> None:
    import torch

    whole = getattr(task.loss, "of_net", None)
    value = whole(net, batch) if whole is not None else task.loss(net(batch.inputs), batch.targets)
    assert value.ndim == 0 and torch.isfinite(value), "the loss is one finite number"
    assert value.requires_grad, "the loss is cut off from the net: it cannot be learnt from"
