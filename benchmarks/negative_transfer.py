"""How often a fit says "negative transfer" where a body truly does harm: real fits of a small network on drawn images.

    OMP_NUM_THREADS=1 python benchmarks/negative_transfer.py [--repetitions 50] [--work FOLDER]

The task is the direction of stripes (4 classes) on images of 32 pixels with a coloured cast; 240 learn, 160 are scored. Bodies (timm's
test_resnet, random at first) have learnt, on other images of that kind, (a) which cast an image has, for which stripes are a nuisance,
or (b) the direction with shuffled labels. Each repetition draws new images and runs `graft fit -b run:BODY -m finetune` with its
evidence; counted is the kind of the verdict. Half of the repetitions has each body. A killed benchmark goes on where it was.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

SIZE, CLASSES = 32, 4
CASTS = np.array([[70, -50, -50], [-50, 70, -50], [-50, -50, 70], [60, 60, -60]])
ARMS = ("chosen", "probe", "scratch")


def image(rng: np.random.Generator, direction: int, cast: int) -> np.ndarray:
    """Stripes of uint8 [32, 32, 3] in one of four directions, of any width, under one of four casts, with noise."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    angle = direction * np.pi / CLASSES + rng.uniform(-0.25, 0.25)
    wave = np.sin(2 * np.pi * rng.uniform(0.12, 0.3) * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 7))
    grey = 128 + rng.uniform(20, 40) * wave + rng.normal(0, 50, (SIZE, SIZE))
    return np.clip(grey[..., None] + CASTS[cast] * rng.uniform(0.6, 1), 0, 255).astype(np.uint8)


def draw(folder: Path, seed: int, counts: dict[str, int], what: str) -> Path:
    """Class folders of directions, of casts, or of directions with shuffled labels."""
    rng = np.random.default_rng(seed)
    for part, count in counts.items():
        directions, casts = np.arange(count) % CLASSES, rng.integers(CLASSES, size=count)
        labels = {"direction": directions, "cast": casts, "shuffled": rng.permutation(directions)}[what]
        for number, label in enumerate(labels):
            path = folder / part / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image(rng, int(directions[number]), int(casts[number]))).save(path)
    return folder


def body(work: Path, what: str) -> Path:
    """The run of the body that has learnt something else."""
    import graft

    run = work / f"body-{what}"
    if not (run / "model").is_dir():
        data = draw(work / f"source-{what}", 1, {"train": 400, "val": 100}, what)
        sets = ("backbone.image_size=32",)
        graft.fit(graft.Spec.make(str(data), backbone="test_resnet", method="scratch", epochs=30, evidence="off", out=str(run), sets=sets))
    return run


def repetition(work: Path, run: Path, number: int) -> dict:
    import graft

    out = work / f"fit{number}"
    if not (out / "evidence.json").is_file():
        data = draw(work / f"data{number}", 1000 + number, {"train": 240, "test": 160}, "direction")
        graft.fit(graft.Spec.make(str(data), backbone=f"run:{run}", method="finetune", epochs=12, seed=number, out=str(out)))
    return json.loads((out / "evidence.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--work", type=Path, help="a folder that is kept; else a new one, which is not")
    args = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        total = Counter()
        print("| body has learnt | negative | of | other verdicts | chosen | probe | from scratch |\n|" + 7 * "---|", flush=True)
        for half, what in enumerate(("cast", "shuffled")):
            run, kinds, scores = body(work, what), Counter(), []
            for number in range(half, args.repetitions, 2):
                found = repetition(work, run, number)
                kinds[found["verdict"]["kind"]] += 1
                values = {arm["name"]: arm["value"] for arm in found["arms"]}
                scores.append([values[name] for name in ARMS])
            total += kinds
            others = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if kind != "negative") or "none"
            means = " | ".join(f"{value:.3f}" for value in np.mean(scores, 0))
            print(f"| {what} | {kinds['negative']} | {kinds.total()} | {others} | {means} |", flush=True)
    print(f"\nnegative: {total['negative']} of {total.total()}; {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
