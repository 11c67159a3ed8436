"""Every row leads somewhere, every Options is what the spec can check, and no file is forgotten."""

import ast
import dataclasses
import inspect
import re
import types
import typing
from pathlib import Path

import pytest

from graft import catalog
from graft.errors import OptionError

SOURCE = Path(__file__).resolve().parents[1] / "src" / "graft"
ROOMS = {
    "readers": ("reader", "read"),
    "backbones": ("backbone", "load"),
    "tasks": ("task", "task"),
    "methods": ("method", "phases"),
    "heads": ("head", "solve|build"),
}
ROWS = [pytest.param(row, id=f"{row.kind}-{row.name}") for row in catalog.rows()]
PLAIN = {str, int, float, bool, types.NoneType, tuple[str, ...], tuple[int, ...], tuple[float, ...], tuple[str | int, ...]}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_resolves_and_has_a_line(row):
    assert callable(catalog.resolve(row.kind, row.name))
    assert row.line and row.line == row.line.strip() and "\n" not in row.line, "one line of text"


@pytest.mark.parametrize("row", [param for param in ROWS if param.values[0].kind != "head"])
def test_options_are_frozen_documented_and_have_defaults_of_plain_types(row):
    options = catalog.options(row.kind, row.name)
    assert dataclasses.is_dataclass(options), f"{options} is not a dataclass"
    chosen = options()  # every option has a default
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.anything = 1
    hints = typing.get_type_hints(options)
    lines = " ".join(inspect.getdoc(one) or "" for one in options.__mro__ if dataclasses.is_dataclass(one))
    for field in dataclasses.fields(options):
        hint = hints[field.name]
        members = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
        assert members <= PLAIN, f"{options.__module__}: {field.name} is annotated {hint}; the spec can check {PLAIN}"
        assert re.search(rf"\b{field.name}\b", lines), f"{options.__module__}: the docstring of Options does not speak of '{field.name}'"


def test_no_file_is_forgotten():
    targets, missing = {row.target for row in catalog.rows()}, []
    for room, (kind, entry) in ROOMS.items():
        for file in sorted((SOURCE / room).glob("*.py")):
            if file.name == "__init__.py":
                continue
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                found = isinstance(node, ast.FunctionDef) and re.fullmatch(rf"({entry})(_\w+)?" if kind == "head" else entry, node.name)
                target = f"graft.{room}.{file.stem}:{getattr(node, 'name', '')}"
                if found and target not in targets:
                    missing.append(
                        f'src/graft/{room}/{file.name}: nobody registered it: add Row("{kind}", NAME, "{target}", LINE) to catalog.py.'
                    )
    if missing:
        pytest.fail("\n".join(missing), pytrace=False)


def test_names_are_unique_within_a_kind():
    names = [(row.kind, row.name) for row in catalog._ROWS]
    assert len(names) == len(set(names))


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(OptionError, match=r"no method called 'finetun'.*'finetune'"):
        catalog.find("method", "finetun")
    with pytest.raises(OptionError, match=r"Known: adabn, .* and \d+ more"):
        catalog.resolve("method", "zzzzzz")


def test_rows_of_a_kind_come_in_the_order_of_the_page():
    methods = [row.name for row in catalog._ROWS if row.kind == "method"]
    assert [row.name for row in catalog.rows("method")][: len(methods)] == methods
