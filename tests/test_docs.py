"""The walk-throughs run as they stand, as plug-ins; links lead somewhere; commands exist."""

import importlib
import os
import re
import sys
import types
from pathlib import Path

import pytest
from PIL import Image

from graft import catalog

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDE = ROOT / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {"backbone": "load", "task": "task", "method": "phases"}


def sections() -> dict[str, list[tuple[str, str]]]:
    """{heading: [(mark, code), ...]} of the guide's Python blocks; the mark "fragment" says that a block cannot run alone."""
    parts = re.split(r"^## (.+)$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {head: [(m["mark"].strip(), m["code"]) for m in BLOCK.finditer(body)] for head, body in zip(parts[1::2], parts[2::2])}
    return {head: blocks for head, blocks in found.items() if blocks}


def place(code: str) -> str:
    """The file that a block's first line names."""
    named = re.match(r"# ((?:src/graft|tests)/\w+/\w+\.py)\n", code)
    assert named, f"CONTRIBUTING.md: a block does not begin with the file it belongs in; mark it 'fragment' or name it:\n{code[:80]}"
    return named[1]


@pytest.fixture
def plugin(tmp_path, monkeypatch, photos):
    """install(kind, name, code): the code as a plug-in with a real entry point, and as the module of the tree it stands for."""
    monkeypatch.chdir(tmp_path)
    os.symlink(photos, tmp_path / "PHOTOS", target_is_directory=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(kind: str, name: str, code: str) -> None:
        (tmp_path / f"plugged_{name}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"plugged_{name}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugged-{name}\nVersion: 0.1\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[graft]\n{kind}.{name} = plugged_{name}:{KINDS[kind]}\n", encoding="utf-8")
        importlib.invalidate_caches()
        catalog._table.cache_clear()
        module = importlib.import_module(f"plugged_{name}")
        monkeypatch.setitem(sys.modules, f"graft.{kind}s.{name}", module)

    yield install
    catalog._table.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("plugged_"):
            del sys.modules[name]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_walk_through_runs_as_it_stands(kind, plugin):
    """The file becomes a plug-in, the row is the one that would be registered, and the test of the guide passes."""
    blocks = sections()[f"Add a {kind}"]
    code, test = [code for mark, code in blocks if mark != "fragment"]
    (row,) = [code for mark, code in blocks if mark == "fragment"]
    name = Path(place(code)).stem
    assert place(code) == f"src/graft/{kind}s/{name}.py" and place(test) == f"tests/{kind}s/test_{name}.py"
    (wanted,) = eval(f"({row})", {"Row": catalog.Row})
    assert (wanted.kind, wanted.name, wanted.target) == (kind, name, f"graft.{kind}s.{name}:{KINDS[kind]}")
    plugin(kind, name, code)
    assert catalog.find(kind, name).target == f"plugged_{name}:{KINDS[kind]}"
    assert catalog.options(kind, name)() is not None
    module = types.ModuleType("walk_through")
    exec(compile(test, place(test), "exec"), module.__dict__)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests, "the walk-through has no test"
    for one in tests:
        one()


def test_the_python_of_the_readme_runs(plugin, tmp_path, photos):
    """In a folder with PHOTOS/ and one.jpg in it."""
    Image.open(photos / "cross" / "cross_00.png").save(tmp_path / "one.jpg")
    blocks = [m["code"] for m in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert blocks
    for code in blocks:
        exec(compile(code, "README.md", "exec"), {})


def test_every_block_is_run_or_marked():
    assert set(sections()) == {f"Add a {kind}" for kind in KINDS}
    assert {mark for blocks in sections().values() for mark, _ in blocks} == {"", "fragment"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text):
        assert (page.parent / target).exists(), f"{page.name}: the link to {target} leads nowhere."


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_make_targets_exist(page):
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    said = set(re.findall(r"(?:`|^ *\$? ?)make ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert said <= known, f"{page.name}: there is no make {', '.join(said - known)}."
