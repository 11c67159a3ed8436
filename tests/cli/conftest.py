"""A stand-in for graft.api that remembers how it was called, and a way to run the command line against it."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

import graft
from graft.cli import app
from graft.core.run import Run

SCORES = {
    "primary": "accuracy", "scored": "val", "scored_as": "val, which chose nothing", "select": "a fifth of train", "optimistic": False,
    "higher_is_better": True, "n": {"train": 195, "val": 153}, "test": None, "seconds": 72.3, "method": "lp_ft", "backbone": "graft-mini",
    "val": {"accuracy": {"value": 0.941, "interval": [0.902, 0.974]}, "log_loss": {"value": float("nan"), "interval": None}},
    "trainable_params": 4098, "peak_memory_mb": 512.0,
}  # fmt: skip


CHECK = {
    "source": "photos", "counts": {"train": 36}, "classes": ["a", "b"], "backbone": "graft-mini", "seconds": 3.0,
    "findings": [{"kind": "exact_duplicates", "level": "problem", "count": 1, "text": "One file is there twice.",
                  "effect": "It counts twice.", "repair": "Remove it.", "files": ["photos/a/1.png"], "examples": [], "numbers": {}}],
    "looked_for": ["unreadable files"], "left_out": [],
}  # fmt: skip
ADVICE = {
    "source": "photos", "metric": "accuracy", "agreement": "The rule says: a linear head.", "left_out": [],
    "bodies": [{"name": "graft-mini", "similarity": {"level": "similar", "words": "similar to its source", "measures": {}}}],
    "strategies": [{"rank": 1, "backbone": "graft-mini", "method": "extract", "layers": ["stage3"], "freeze": None, "expected": 0.91,
                    "interval": [0.85, 0.95], "measured": True, "seconds": 20.0, "memory_mb": None, "licence": "Apache-2.0",
                    "reasons": ["it has the best probe"]}],
}  # fmt: skip


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The verbs of graft.api as far as the command line calls them; `calls` lists (name, arguments)."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("graft.api")
    module.calls = []
    run = Run(Path("runs/photos-1"), SCORES, 72.3)

    def verb(name, result):
        def called(*arguments, on_event=None, **named):
            module.calls.append((name, arguments, named))
            if on_event is not None:
                on_event({"t": 0.0, "event": "start", "version": "9.9", "folder": str(tmp_path / "runs" / "photos-1")})
            print("a library that prints on stdout")
            return result(*arguments) if callable(result) else result

        setattr(module, name, called)

    verb("fit", run)
    verb("resume", run)
    verb("report", Path("runs/photos-1/report.html"))
    verb("runs", [])
    verb("show", {})
    verb("demo", {"transfer": run, "scratch": run, "difference": {"value": 0.25, "interval": [0.2, 0.3]}, "rows": 1697})
    verb("load", SimpleNamespace())
    verb("check", CHECK)
    verb("advise", ADVICE)
    monkeypatch.setitem(sys.modules, "graft.api", module)
    monkeypatch.setattr(graft, "api", module, raising=False)
    return module


@pytest.fixture
def invoke():
    """invoke("fit", "photos") -> Result with .stdout, .stderr, .exit_code and .json()."""

    def call(*words: str, input: str | None = None):
        result = CliRunner().invoke(app, list(words), input=input, prog_name="graft")
        result.json = lambda: json.loads(result.stdout)
        return result

    return call
