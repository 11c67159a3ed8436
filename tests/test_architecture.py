"""The rules of the tree. Each message names the file, what is wrong and the repair."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "graft"

LAYERS = (
    ("core", "errors"),
    ("data", "losses", "metrics"),
    ("readers", "backbones", "heads", "tasks", "methods"),
    ("engine",),
    ("advisor", "inspect", "evidence", "report", "export"),
    ("spec", "catalog", "parsing", "folders"),
    ("assembly",),
    ("fits",),
    ("verbs",),
    ("api", "estimator"),
    ("cli", "serve", "testing", "testing_texts"),
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
SIDEWAYS = {("tasks", "heads"), ("spec", "catalog"), ("spec", "parsing"), ("testing", "testing_texts")}
NEVER = {
    ("engine", room): "it runs phases and knows nothing by name: pass what it needs as an argument"
    for room in ("methods", "tasks", "backbones")
}
NEVER |= {
    ("report", room): "a report is a pure function of a run's folder and imports no torch"
    for room in ("core", "engine", "heads", "backbones")
}

LINES_OF_FILE, LINES_OF_FUNCTION, PUBLIC_METHODS, MEGABYTES = 400, 60, 10, 10
DRAWERS = ("utils", "util", "helpers", "helper", "common", "misc", "tools")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git has or would take; without git, all files outside of folders that begin with a dot."""
    answer = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode == 0 and answer.stdout:
        files = [ROOT / name for name in answer.stdout.split("\0") if name]
    else:
        files = [
            Path(top, name) for top, _, names in os.walk(ROOT) for name in names if "/." not in Path(top, name).relative_to(ROOT).as_posix()
        ]
    return tuple(sorted(file for file in files if file.is_file()))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def shown(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(file: Path) -> str:
    """The room, or the name of a module that stands alone; "" for the package's own __init__."""
    first = file.relative_to(SOURCE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import, also inside functions; `from a import b` gives "a.b"."""
    package = ("graft", *file.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def fail(lines: list[str]) -> None:
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def why_not(room: str, other: str) -> str | None:
    """Why `room` may not import `other`, or None where it may."""
    if other not in LAYER:
        return f"'{other}' has no layer: add it to LAYERS in tests/test_architecture.py and to the design"
    if (room, other) in NEVER:
        return NEVER[room, other]
    if LAYER[other] == LAYER[room] and (room, other) not in SIDEWAYS:
        return f"they stand side by side in layer {LAYER[room]}: move what both need down, or pass it as an argument from above"
    if LAYER[other] > LAYER[room]:
        return f"'{other}' is in layer {LAYER[other]}, above layer {LAYER[room]}: let the caller pass it down"
    return None


def test_imports_go_downward_only():
    wrong = []
    for file in sources():
        room = room_of(file)
        if not room:
            continue
        if room not in LAYER:
            wrong.append(f"{shown(file)}: '{room}' has no layer: add it to LAYERS in tests/test_architecture.py and to the design.")
            continue
        for line, name in imports(file):
            parts = name.split(".")
            if parts[0] != "graft" or parts[1:] == ["__version__"]:
                continue
            other = parts[1] if len(parts) > 1 else ""
            reason = (
                why_not(room, other) if other and other != room else None if other else "import the module that has it, not the package"
            )
            if reason:
                wrong.append(f"{shown(file)}:{line}: imports {name}; {reason}.")
    fail(wrong)


def test_the_rules_refuse_what_the_design_refuses():
    """The test above would also pass with a broken `why_not`; these pairs are the design's own sentences."""
    refused = [
        ("methods", "engine"),
        ("engine", "methods"),
        ("engine", "tasks"),
        ("engine", "backbones"),
        ("export", "report"),
        ("core", "data"),
    ]
    refused += [
        ("methods", "heads"),
        ("tasks", "methods"),
        ("readers", "backbones"),
        ("advisor", "catalog"),
        ("engine", "spec"),
        ("report", "core"),
    ]
    allowed = [
        ("tasks", "heads"),
        ("tasks", "metrics"),
        ("methods", "losses"),
        ("engine", "heads"),
        ("export", "engine"),
        ("api", "catalog"),
    ]
    allowed += [("cli", "api"), ("testing", "catalog"), ("report", "errors")]
    assert [pair for pair in refused if why_not(*pair) is None] == []
    assert [pair for pair in allowed if why_not(*pair) is not None] == []


def _loaded_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after `code` ran in a fresh interpreter."""
    code += "\nimport sys; print('\\nMODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.rpartition("MODULES")[2].split())


def test_report_imports_no_torch_in_a_fresh_interpreter():
    modules = [".".join(["graft", "report", file.stem]) for file in sorted((SOURCE / "report").glob("*.py")) if file.stem != "__init__"]
    loaded = _loaded_by("\n".join(f"import {name}" for name in ["graft.report", *modules]))
    assert "torch" not in loaded, "graft.report imports torch, directly or through something it imports: read the run's files instead."


def test_import_graft_and_help_do_not_wait_for_torch():
    assert "torch" not in _loaded_by("import graft"), "import graft imports torch: keep graft/__init__.py lazy."
    if not hasattr(__import__("graft.cli", fromlist=["main"]), "main"):
        pytest.fail("src/graft/cli/__init__.py: there is no main(), which pyproject.toml names.", pytrace=False)
    call = (
        "import sys",
        "from graft.cli import main",
        "sys.argv = ['graft', '--help']",
        "try: main()",
        "except SystemExit as end: assert not end.code",
    )
    helped = "\n".join(call)
    assert "torch" not in _loaded_by(helped), "graft --help imports torch: import api inside the verbs, not on top of their files."


def test_files_functions_and_classes_stay_small():
    wrong = []
    for file in [file for file in tracked() if file.suffix == ".py"]:
        count = len(file.read_text(encoding="utf-8").splitlines())
        if count > LINES_OF_FILE:
            wrong.append(f"{shown(file)}: {count} lines, at most {LINES_OF_FILE}: split it by idea, one idea a file.")
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= LINES_OF_FUNCTION:
                wrong.append(f"{shown(file)}:{node.lineno}: {node.name} has more than {LINES_OF_FUNCTION} lines: take a step out of it.")
            if isinstance(node, ast.ClassDef):
                functions = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
                public = [one for one in functions if one.name[0] != "_" and not any("property" in _dotted(d) for d in one.decorator_list)]
                if len(public) > PUBLIC_METHODS:
                    wrong.append(
                        f"{shown(file)}:{node.lineno}: {node.name} has {len(public)} public methods, at most {PUBLIC_METHODS}: part it."
                    )
    fail(wrong)


def test_no_drawers():
    fail([
        f"{shown(file)}: a drawer, not a room: put each function where what it does belongs."
        for file in tracked() if file.suffix == ".py" and (file.stem in DRAWERS or file.parent.name in DRAWERS)
    ])  # fmt: skip


def test_tests_mirror_the_tree():
    wrong = []
    for file in sources():
        if file.name.startswith("__"):
            continue
        inside = file.relative_to(SOURCE)
        mirror = ROOT / "tests" / inside.parent / f"test_{inside.name}"
        if not mirror.exists():
            wrong.append(f"{shown(file)}: has no test: write {shown(mirror)}.")
    fail(wrong)


def _dotted(node: ast.AST) -> str:
    """ "a.b.c" of an attribute chain; what is not a plain name stands as "?"."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _keyword(call: ast.Call, name: str) -> object:
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def test_nothing_is_unpickled():
    wrong, picklers = [], {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve"}
    for file in [file for file in tracked() if file.suffix == ".py"]:
        for node in ast.walk(tree_of(file)):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if file.is_relative_to(SOURCE) and picklers & {name.partition(".")[0] for name in names}:
                wrong.append(f"{shown(file)}:{node.lineno}: imports {', '.join(names)}: keep things as safetensors, JSON or Parquet.")
            if isinstance(node, ast.Call):
                if _dotted(node.func) == "torch.load" and _keyword(node, "weights_only") is not True:
                    wrong.append(f"{shown(file)}:{node.lineno}: torch.load may run code from the file: pass weights_only=True.")
                if _keyword(node, "allow_pickle") is True:
                    wrong.append(f"{shown(file)}:{node.lineno}: allow_pickle=True may run code from the file: leave it out.")
    fail(wrong)


def test_only_the_loop_has_a_backward_pass():
    wrong = []
    for file in sources():
        place = file.relative_to(SOURCE).as_posix()
        for node in ast.walk(tree_of(file)):
            name = _dotted(node) if isinstance(node, ast.Attribute) else ""
            if name.endswith(".backward") and place != "engine/train.py":
                wrong.append(f"{shown(file)}:{node.lineno}: a backward pass outside of engine/train.py: yield a Phase instead.")
            if name.endswith("autograd.grad") and place not in ("engine/train.py", "engine/explain.py"):
                wrong.append(
                    f"{shown(file)}:{node.lineno}: a gradient outside of engine/train.py and engine/explain.py: ask the engine for it."
                )
    fail(wrong)


def test_files_are_small_enough_to_clone():
    fail([
        f"{shown(file)}: {file.stat().st_size / 2**20:.1f} MB, at most {MEGABYTES}: fetch it, or make it from a recipe."
        for file in tracked() if file.stat().st_size > MEGABYTES * 2**20
    ])  # fmt: skip


def test_no_paths_of_one_machine():
    # Put together here, so that this file does not hold what it looks for.
    pattern = re.compile(r"(?<![\w.~/$}])/(?:" + "|".join(("work", "root", r"home/\w+", r"Users/\w+", "farm")) + r")/\w")
    wrong = []
    for file in tracked():
        data = file.read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            if found := pattern.search(line):
                wrong.append(f"{shown(file)}:{number}: a path of one machine ({found.group()}...): make it relative, or an argument.")
    fail(wrong)
