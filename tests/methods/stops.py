"""A run that is stopped at each of its checkpoints in turn and resumed ends as one that was not."""

import pytest
import torch

from graft.engine import checkpoint, execute


def check(monkeypatch, folder, start):
    """start(folder) runs from the beginning and gives its net."""
    monkeypatch.setattr(execute, "SAVE_EVERY", 0.0)
    real, saves = checkpoint.save, []
    monkeypatch.setattr(checkpoint, "save", lambda *given: (saves.append(1), real(*given)))
    whole = start(folder / "whole").state_dict()
    assert len(saves) > 1
    for limit in range(len(saves)):
        calls = iter(range(99))

        def save(*given, calls=calls, limit=limit):
            if next(calls) == limit:
                raise KeyboardInterrupt
            real(*given)

        monkeypatch.setattr(checkpoint, "save", save)
        with pytest.raises(KeyboardInterrupt):
            start(folder / str(limit))
        monkeypatch.setattr(checkpoint, "save", real)
        torch.manual_seed(777)
        again = start(folder / str(limit)).state_dict()
        assert all(torch.equal(whole[name], value) for name, value in again.items()), limit
