import io

import pytest

from graft.cli.progress import Live, Plain, Silent, follow


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _events(epochs: int) -> list[dict]:
    events = [{"event": "start", "version": "1", "folder": "runs/a"}]
    events += [{"event": "phase", "run": "final", "phase": "all", "number": 0, "epochs": epochs, "groups": [], "optimizer": "adamw"}]
    for epoch in range(1, epochs + 1):
        events += [{"event": "step", "run": "final", "phase": "all", "epoch": epoch, "step": epoch, "steps": epochs, "loss": 0.5,
                    "rate": 30.0, "remaining_s": 5.0}]  # fmt: skip
        events += [
            {
                "event": "epoch",
                "run": "final",
                "phase": "all",
                "epoch": epoch,
                "train_loss": 0.5,
                "seconds": 0.1,
                "select": {"accuracy": 0.9},
            }
        ]
    return [*events, {"event": "kept", "run": "final", "phase": "all", "epoch": 1, "select": {"accuracy": 0.9}}]


def test_the_pace_of_texts_is_in_texts():
    clock, stream = [0.0], io.StringIO()
    sink = Plain(stream, now=lambda: clock[0])
    for event in [{"event": "data", "modality": "text"}, *_events(2)]:
        clock[0] += 10.0
        sink(event)
    assert "30 texts/s" in stream.getvalue() and "images/s" not in stream.getvalue()


def test_plain_lines_are_few_when_epochs_are_short():
    clock, stream = [0.0], io.StringIO()
    sink = Plain(stream, now=lambda: clock[0])
    for event in _events(1000):
        clock[0] += 0.01  # 20 s in all
        sink(event)
    lines = stream.getvalue().splitlines()
    told = [line for line in lines if line.startswith(("epoch", "step"))]
    assert 15 <= len(told) <= 26 and "1000/1000" in told[-1] and lines[-1].startswith("kept")


def test_plain_lines_tell_of_steps_in_long_epochs():
    clock, stream = [0.0], io.StringIO()
    sink = Plain(stream, now=lambda: clock[0])
    for n in range(60):
        clock[0] += 1
        sink({"event": "step", "phase": "all", "step": n, "steps": 60})
    assert 10 <= len(stream.getvalue().splitlines()) <= 12


def test_live_has_a_bar_and_keeps_what_a_phase_came_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with follow(stream=stream) as sink:
        assert isinstance(sink, Live)
        for event in _events(3):
            sink(event)
    text = stream.getvalue()
    assert "30 images/s" in text and "5.0 s left" in text and "loss 0.500" in text and "all  3/3" in text
    assert "epoch 1, accuracy 0.900 on the selecting samples" in text


def test_live_takes_brackets_in_names_literally(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with follow(stream=stream) as sink:
        sink({"event": "note", "level": "warning", "text": "[red]odd[/nothing]", "files": ["[bold].jpg"]})
        sink({"event": "step", "phase": "[head]", "step": 1, "steps": 2})
    assert "[red]odd[/nothing]" in stream.getvalue() and "[bold].jpg" in stream.getvalue() and "[head]" in stream.getvalue()


def test_the_sink_suits_the_stream(monkeypatch: pytest.MonkeyPatch):
    with follow(stream=io.StringIO()) as sink:
        assert isinstance(sink, Plain)
    monkeypatch.setenv("TERM", "dumb")
    with follow(stream=Terminal()) as sink:
        assert isinstance(sink, Plain)


def test_quiet_says_nothing_but_knows_the_folder():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt) as caught, follow(quiet=True, stream=stream) as sink:
        assert type(sink) is Silent
        for event in _events(3):
            sink(event)
        raise KeyboardInterrupt
    assert stream.getvalue() == "" and caught.value.run_folder == "runs/a"
