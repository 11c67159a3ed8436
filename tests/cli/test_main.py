"""The command as a whole: its help is quick and complete, and what it imports."""

import subprocess
import sys

import graft


def _python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_help_imports_nothing_heavy():
    code = """
import sys
sys.argv = ["graft", "--help"]
from graft.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"torch", "pyarrow", "numpy", "rich", "PIL", "sklearn", "timm", "tomlkit", "graft.api", "graft.core"} & set(sys.modules)
assert not heavy, heavy
"""
    done = _python(code)
    assert done.returncode == 0, done.stderr
    for verb in ("fit", "resume", "predict", "report", "list", "show", "cache", "demo"):
        assert f"\n  {verb} " in done.stdout


def test_version(invoke):
    assert invoke("--version").stdout == f"graft {graft.__version__}\n"


def test_an_unknown_flag_is_named_with_a_near_one(invoke):
    result = invoke("fit", "photos", "--epoch", "3")
    assert result.exit_code == 2 and "--epochs" in result.stderr


def test_every_verb_has_json(invoke):
    for verb in ("fit", "resume", "predict", "report", "list", "show", "cache", "demo"):
        assert "--json" in invoke(verb, "--help").stdout
