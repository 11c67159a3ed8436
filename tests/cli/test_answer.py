import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from graft.cli.answer import Answer, plain, verb
from graft.errors import DataError, Stopped


def _run(function, *words: str):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @verb
    def only(run: Path = Path("nowhere"), json: bool = False) -> Answer:
        return function()

    return CliRunner().invoke(app, list(words))


def _raise(error: BaseException):
    def function():
        raise error

    return function


def test_text_and_json_go_to_stdout_and_what_a_library_prints_to_stderr():
    def function():
        print("chatter")
        return Answer({"a": float("nan"), "b": Path("x")}, "the text", ("a problem",), 2)

    result = _run(function)
    assert (result.stdout, result.exit_code) == ("the text\n", 2)
    assert "chatter" in result.stderr and "a problem" in result.stderr
    assert json.loads(_run(function, "--json").stdout) == {"a": None, "b": "x"}


def test_what_the_user_can_mend_is_one_sentence_and_2():
    result = _run(_raise(DataError("The folder 'x' is empty; give another.")))
    assert (result.stdout, result.stderr, result.exit_code) == ("", "error: The folder 'x' is empty; give another.\n", 2)
    result = _run(_raise(DataError("No.")), "--json")
    assert json.loads(result.stdout) == {"error": "No."} and result.exit_code == 2 and result.stderr == "error: No.\n"


def test_ctrl_c_says_how_to_go_on(tmp_path: Path):
    (tmp_path / "spec.toml").touch()
    result = _run(_raise(KeyboardInterrupt()), "--run", str(tmp_path))
    assert result.exit_code == 130 and result.stderr == f"stopped; go on with: graft resume {tmp_path}\n"
    result = _run(_raise(KeyboardInterrupt()))
    assert result.exit_code == 130 and "resume" not in result.stderr
    result = _run(_raise(Stopped("Stopped; go on so.")))
    assert result.exit_code == 130 and result.stderr == "Stopped; go on so.\n"


def test_the_progress_names_the_run_of_an_error(tmp_path: Path):
    (tmp_path / "spec.toml").touch()
    error = KeyboardInterrupt()
    error.run_folder = str(tmp_path)
    assert f"graft resume {tmp_path}" in _run(_raise(error)).stderr


def test_a_defect_keeps_its_traceback_in_the_run(tmp_path: Path):
    (tmp_path / "spec.toml").touch()
    result = _run(_raise(RuntimeError("two\nlines")), "--run", str(tmp_path))
    assert result.exit_code == 1 and "Traceback" not in result.stderr and result.stderr.count("\n") == 1
    assert "this is a defect" in result.stderr and str(tmp_path / "traceback.txt") in result.stderr
    assert "RuntimeError: two" in (tmp_path / "traceback.txt").read_text()


def test_a_defect_without_a_run_keeps_its_traceback_in_a_temporary_file(tmp_path: Path):
    result = _run(_raise(RuntimeError("odd")), "--run", str(tmp_path), "--json")
    assert not any(tmp_path.iterdir())
    kept = Path(json.loads(result.stdout)["error"].split("traceback is in ")[1])
    assert "RuntimeError: odd" in kept.read_text()
    kept.unlink()


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
def test_a_reader_that_goes_away_ends_it_quietly():
    code = "import sys; from graft.cli import app; app()"
    done = subprocess.run(
        f"{sys.executable} -c '{code}' list --kind all | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == "" and done.returncode in (0, 141)


def test_plain_turns_everything_into_json():
    value = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": (Path("x"), None, True), 3: np.int64(7), "d": float("inf"), "e": "\udce9"}
    made = plain(value)
    assert made == {"a": 0.5, "b": [1, 2], "c": ["x", None, True], "3": 7, "d": None, "e": "?"}
    json.dumps(made, allow_nan=False).encode()
