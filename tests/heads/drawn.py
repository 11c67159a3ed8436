"""Features with classes, labels or a number in them, and what every solved head has to keep."""

import json

import numpy as np
import torch

from graft.core import Solution
from graft.heads import rebuild


def features(n: int = 90, width: int = 12, k: int = 3, seed: int = 0, apart: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [n, width] of uneven means and scales, class numbers int64 [n])."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    x = rng.normal(size=(n, width)) + apart * rng.normal(size=(k, width))[y]
    return (x * rng.uniform(0.2, 5, width) + rng.normal(0, 3, width)).astype(np.float32), y


def labels(x: np.ndarray, k: int = 3, seed: int = 0) -> np.ndarray:
    """0 and 1 float32 [n, k] that follow from x, with noise."""
    rng = np.random.default_rng(seed)
    z = (x - x.mean(0)) / x.std(0)
    return (z @ rng.normal(size=(x.shape[1], k)) + rng.normal(size=(len(x), k)) > 1).astype(np.float32)


def numbers(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Standardised float32 [n, 1] that follow from x, with noise."""
    rng = np.random.default_rng(seed)
    z = (x - x.mean(0)) / x.std(0)
    y = z @ rng.normal(size=x.shape[1]) + 0.5 * rng.normal(size=len(x))
    return ((y - y.mean()) / y.std()).astype(np.float32)[:, None]


def outputs(head: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(torch.from_numpy(x)).numpy()


def keeps_its_word(solve, x: np.ndarray, y: np.ndarray, target: str, k: int) -> Solution:
    """Solves twice and rebuilds: all three heads are bit-identical, sizes are right, nothing but JSON and tensors is needed."""
    state = torch.get_rng_state()
    first, second = (solve(x, y, 0, target=target, outputs=k) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state), "solving leaves the random state alone"
    again = rebuild(json.loads(json.dumps(first.head.config)))
    again.load_state_dict(first.head.state_dict())
    out = outputs(first.head, x)
    assert out.shape == (len(x), k) and np.isfinite(out).all()
    assert (out == outputs(second.head, x)).all() and (out == outputs(again.eval(), x)).all()
    assert first.outputs.shape == (len(x), k) and first.outputs.dtype == np.float32 and (first.outputs == second.outputs).all()
    json.dumps(first.chosen)
    return first
