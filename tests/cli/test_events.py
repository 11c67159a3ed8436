import json
import re
from pathlib import Path

import pytest

import graft
from graft.cli import events
from graft.cli.events import describe, step


def _text(event: dict, phase: dict | None = None) -> str:
    return "\n".join(f"{line.label}|{line.text}" for line in describe(event, phase))


def test_a_decision_has_its_reason_and_its_flag_once():
    decision = {"event": "decision", "what": "reader", "value": "image_folder", "reason": "the data are a folder", "flag": "--reader"}
    assert _text(decision) == "chosen|reader: image_folder\n|the data are a folder; change it with --reader"
    assert _text({**decision, "reason": "A folder; see --reader."}).endswith("|A folder; see --reader")


def test_a_note_has_its_count_and_three_files():
    note = {"event": "note", "level": "warning", "text": "Unreadable.", "count": 25, "files": [f"/x/{i}.jpg" for i in range(20)]}
    assert _text(note) == "warning|Unreadable.\n|25 files: 0.jpg, 1.jpg, 2.jpg, and 22 more"
    assert _text({"event": "note", "level": "info", "text": "Fine."}) == "note|Fine."


def test_data_and_body():
    data = {"event": "data", "source": "photos", "counts": {"train": 1950, "val": 49, "test": 0}, "classes": ["a", "b", "c", "d"]}
    assert _text(data) == "data|photos, 4 classes (a, b, c, and 1 more)\n|1,950 learn, 49 select"
    assert "optimistic" in _text({**data, "plan": {"optimistic": True}})
    body = {"event": "backbone", "name": "gabor", "stages": [{"parameters": 100}, {"parameters": 28}], "size": 64, "weights": "random"}
    assert _text(body) == "body|gabor, 2 stages, 128 parameters, 64 px\n|weights random"


PHASE = {
    "event": "phase", "run": "final", "phase": "all", "number": 1, "epochs": 3, "frozen": 2, "trainable": 1_230_562, "total": 2_226_434,
    "groups": [{"name": "stage3", "lr": 5e-5, "weight_decay": 0.02, "parameters": 14_000},
               {"name": "head", "lr": 1e-3, "parameters": 2562}],
    "batch": 32, "optimizer": "adamw", "constant_prefix": 2, "stages": 9, "why": "augmented",
}  # fmt: skip


def test_a_phase_tells_what_learns_at_what_rate():
    lines = _text(PHASE).splitlines()
    assert lines[0] == "phase 2|all: 3 epochs, batch 32, adamw"
    assert re.fullmatch(r"\|  stage3 +learns at 5e-05 +decay 0.02 +14 k parameters", lines[1])
    assert re.fullmatch(r"\|  head +learns at 0.001 +decay 0 +2,562 parameters", lines[2])
    assert lines[3] == "|  1.23 M of 2.23 M parameters learn; frozen: the first 2 stages of 9; computed once: 2 of 10 steps"
    assert "frozen: all 9 stages" in _text({**PHASE, "frozen": 9}) and "frozen: nothing" in _text({**PHASE, "frozen": 0})
    assert _text({**PHASE, "run": "fold2"}) == "phase 2|fold2 all: 3 epochs, batch 32, adamw"
    assert _text({**PHASE, "optimizer": "solver", "groups": []}).startswith("phase 2|all: solved in one go")


def test_epochs_and_what_was_kept():
    epoch = {
        "event": "epoch",
        "run": "fold2",
        "phase": "all",
        "epoch": 1,
        "train_loss": 0.5,
        "seconds": 6.2,
        "select": {"accuracy": 0.9},
        "best": True,
    }
    assert _text(epoch, PHASE) == "epoch|fold2 all 1/3  loss 0.500  accuracy 0.900  6.2 s  best so far"
    kept = {"event": "kept", "run": "final", "phase": "all", "epoch": 2, "select": {"accuracy": 0.95, "log_loss": 0.1, "f1": 0.3}}
    assert _text(kept, PHASE) == "kept|all: epoch 2, accuracy 0.950  log loss 0.100 on the selecting samples"
    assert "the state before the first epoch" in _text({**kept, "epoch": 0}, PHASE)


def test_a_step_is_one_line():
    event = {"event": "step", "run": "final", "phase": "all", "step": 1200, "steps": 4000, "loss": 0.25, "rate": 38.4, "remaining_s": 73}
    assert step(event) == "all  1,200/4,000  loss 0.250  38 images/s  1 min 13 s left"
    assert step({**event, "modality": "text", "rate": 3.21}).split("  ")[3] == "3.2 texts/s"
    assert step({"phase": "head: features", "step": 1, "steps": 2}) == "head: features  1/2"


def test_other_events():
    assert _text({"event": "scored", "split": "val", "metrics": {"accuracy": {"value": 0.9}}}) == "scored|val: accuracy 0.900"
    assert (
        _text({"event": "exported", "path": "r/model", "parity": 2e-7})
        == "model|saved in r/model, reloaded and compared: largest difference 2e-07"
    )
    assert _text({"event": "opened", "split": "val", "rows": 153}) == "scoring|val: 153 samples, opened for the only time"
    assert _text({"event": "temperature", "value": 1.5, "how": "found on val"}) == "calibrate|temperature 1.500, found on val"
    assert _text({"event": "done", "seconds": 72}) == "done|in 1 min 12 s"
    assert _text({"event": "solved", "phase": "head", "chosen": {"C": 0.1}}) == "solved|head: C 0.100"
    assert _text({"event": "resumed", "version": "1"}) == "resumed|version 1"
    assert _text({"event": "stopped", "reason": "by the user"}) == "stopped|by the user"
    assert _text({"event": "saved"}) == _text({"event": "of a later version"}) == _text({}) == ""


@pytest.mark.parametrize("name", sorted(events._HANDLERS))
def test_an_event_with_nothing_in_it_breaks_nothing(name: str):
    assert all(isinstance(line.text, str) for line in describe({"event": name}))
    assert json.dumps(name)


def test_every_event_that_is_written_is_known_here():
    """The names in journal.write(...) over the whole source are those that become lines, or known not to."""
    silent = {"saved", "failed", "trial"}  # a trial is told by its own verb
    root = Path(graft.__file__).parent
    written = {
        name for file in root.rglob("*.py") for name in re.findall(r"journal\.write\(\s*\"(\w+)\"", file.read_text(encoding="utf-8"))
    }
    assert written - silent <= set(events._HANDLERS)
