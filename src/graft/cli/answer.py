"""What a verb answers, how it is printed, and how each way of failing ends."""

import contextlib
import json as _json
import math
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import typer

from ..errors import GraftError, Stopped


@dataclass(frozen=True)
class Answer:
    """data: what --json prints. text: what is printed otherwise. problems: lines for stderr. code: the exit code."""

    data: object
    text: str
    problems: tuple[str, ...] = ()
    code: int = 0


def verb(function: Callable[..., Answer]) -> Callable[..., None]:
    """A command from a function that returns an Answer. Only the answer reaches stdout: what a library prints goes to stderr.

    Exit codes: the answer's own; 2 for a GraftError, as one sentence; 130 after Ctrl-C; 1 for a defect, whose traceback
    is kept in a file; 141 where the reader of the pipe went away.
    """

    @wraps(function)
    def command(**arguments) -> None:
        as_json, code = bool(arguments.get("json")), 0
        try:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    answer = function(**arguments)
            except (Exception, KeyboardInterrupt) as error:
                if isinstance(error, BrokenPipeError | typer.Exit):
                    raise
                answer = _failed(error, _folder(error, arguments))
            for line in answer.problems:
                typer.echo(_sound(line), err=True)
            code = answer.code
            typer.echo(
                _json.dumps(plain(answer.data), ensure_ascii=False, indent=2) if as_json else _sound(answer.text),
                nl=as_json or bool(answer.text),
            )
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more at exit; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
            code = 141
        if code:
            raise typer.Exit(code)

    return command


def _folder(error: BaseException, arguments: dict) -> Path | None:
    """The run's folder, as the progress has seen it or as the user named it; None where no run has begun."""
    folder = getattr(error, "run_folder", None) or arguments.get("run") or arguments.get("out")
    return Path(folder) if folder and (Path(folder) / "spec.toml").is_file() else None


def _failed(error: BaseException, folder: Path | None) -> Answer:
    if isinstance(error, KeyboardInterrupt | Stopped):
        how = f"go on with: graft resume {folder}" if folder else "nothing was written"
        sentence = str(error) if isinstance(error, Stopped) and str(error) else f"stopped; {how}"
        return Answer({"error": sentence}, "", (sentence,), 130)
    if isinstance(error, GraftError):
        return Answer({"error": str(error)}, "", (f"error: {error}",), 2)
    kept = _keep_traceback(error, folder)
    sentence = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}; this is a defect of graft, its traceback is in {kept}"
    return Answer({"error": sentence}, "", (f"error: {sentence}",), 1)


def _keep_traceback(error: BaseException, folder: Path | None) -> str:
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        if folder is not None:
            (folder / "traceback.txt").write_text(text, encoding="utf-8")
            return str(folder / "traceback.txt")
        handle, name = tempfile.mkstemp(prefix="graft-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return name
    sys.stderr.write(text)
    return "the lines above"


def plain(value: object) -> object:
    """The same value in JSON's own types: paths as text, numpy numbers as numbers, NaN and infinities as null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | Path):
        return _sound(str(value))
    return value if isinstance(value, int | float | bool | None) else str(value)


def _sound(text: str) -> str:
    """The text with what UTF-8 cannot hold (the bytes of an odd file name) replaced by a mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
