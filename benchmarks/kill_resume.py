"""Kill fits of every method with SIGKILL at random moments, resume them, and compare every weight and score.

    python benchmarks/kill_resume.py --kills 100

A fit is first run undisturbed. Then the same fit is started again and again, killed after a random time, and resumed
(and killed again, at times) until it ends. Weights must be bit-identical, scores and predictions equal. Prints a line
a method and the count; exits with 1 on any difference. Checkpoints are written every epoch here, to kill inside them too.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

METHODS = {
    "extract": [], "extract in folds": [], "extract with a trained head": ["task.head=linear", "method.epochs=60"],
    "scratch": ["method.epochs=6"], "finetune": ["method.epochs=6", "method.ema=0.9"], "gradual": ["method.epochs=6"],
    "lp_ft": ["method.epochs=6", "augment.mixup=0.2"], "l2_sp": ["method.epochs=6"], "lp_ft with evidence": ["method.epochs=3"],
}  # fmt: skip


def draw(folder: Path) -> None:
    """Two classes of 20 noisy images of 40 pixels, a third of them in val/; and 16 of them once more, without a split."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(40):
        name, pixels = ("bright" if i % 2 else "dark"), np.clip(rng.normal(100 + 50 * (i % 2), 50, (40, 40, 3)), 0, 255)
        places = [folder / "split" / ("val" if i % 6 < 2 else "train") / name] + [folder / "whole" / name] * (i < 16)
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")


def work(data: Path, out: Path, name: str) -> None:
    """Fit, or resume where there is a run; in a child process."""
    from graft import api
    from graft.engine import execute
    from graft.spec import Spec

    execute.SAVE_EVERY = 0.0
    if (out / "spec.toml").exists():
        api.resume(out)
        return
    method = name.split()[0]
    sets = ["backbone.image_size=32", "method.batch=8", *METHODS[name]]
    data = data / ("whole" if "folds" in name else "split")
    evidence = "quick" if "evidence" in name else "off"
    options = {"backbone": "graft-mini", "method": method, "threads": 1, "precision": "exact", "evidence": evidence}
    api.fit(Spec.make(str(data), out=str(out), sets=sets, **options))


def child(data: Path, out: Path, name: str, after: float | None) -> tuple[bool, float]:
    """Run `work` in a fork; kill it after so many seconds. (ended by itself, seconds)."""
    began, pid = time.monotonic(), os.fork()
    if pid == 0:
        code = 1
        try:
            work(data, out, name)
            code = 0
        finally:
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                sys.exit(f"{name}: the fit ended with status {status}, which no kill explains")
            return True, time.monotonic() - began
        if after is not None and time.monotonic() - began >= after:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False, after
        time.sleep(0.002)


def result(out: Path) -> dict:
    import pyarrow.parquet as pq

    scores = json.loads((out / "scores.json").read_text())
    scores = {k: scores[k] for k in ("val", "test", "temperature", "trainable_params", "n", "calibration")}
    predictions = pq.read_table(out / "predictions.parquet").to_pylist()
    weights = hashlib.sha256((out / "model" / "weights.safetensors").read_bytes()).hexdigest()
    return {"weights": weights, "scores": scores, "predictions": predictions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)

    rng, root = random.Random(args.seed), Path(tempfile.mkdtemp(prefix="graft-kill-"))
    draw(root / "data")
    share, differ, total, runs = -(-args.kills // len(METHODS)), 0, 0, 0
    for name in METHODS:
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        _, seconds = child(root / "data", folder / "whole", name, None)
        expected, kills, number = result(folder / "whole"), 0, 0
        while kills < share:
            number += 1
            out, ended = folder / f"run{number}", False
            while not ended:
                after = rng.uniform(0, 1.1 * seconds) if kills < share else None
                ended, _ = child(root / "data", out, name, after)
                kills += not ended
            same = result(out) == expected
            differ += not same
            if not same:
                print(f"{name}, run {number}: differs", flush=True)
            shutil.rmtree(out)
        total, runs = total + kills, runs + number
        print(f"{name}: {kills} kills over {number} runs, undisturbed {seconds:.1f} s", flush=True)
    shutil.rmtree(root)
    print(f"{total} SIGKILLs over {runs} runs of {len(METHODS)} fits: {runs - differ} ended identical, {differ} differ")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
