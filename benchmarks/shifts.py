"""What a change of light or camera costs a fitted model, and what adapting to the changed images without labels wins back.

    python benchmarks/shifts.py --data ../shared/data --weights MNV2 [--sets hymenoptera potato_leaf] [--shifts dark blur] [--json FILE]

A model is fitted on the clean training images (the default method, or --method). Its test images are copied with a shift, seeded, into a
temporary folder: those copies are the target. Ways: the model as it is; `graft predict --adapt adabn|tent` on the copies; `graft fit
--target COPIES` with the methods of --fits (each learns from the clean labels and the unlabelled copies, then predicts these). Labels
of the copies are used once, for the numbers printed here. Intervals: Wilson's of an accuracy, Tango's of a paired difference
from the model as it is (both at 95 %). Without --weights the body is graft-mini.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SETS = ("hymenoptera", "potato_leaf")
SIDE = 256
"""Pixels of the shorter side of a copy, so that a shift is as strong in each."""


def dark(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fifth of the light, with the noise of a sensor."""
    return 0.2 * image + rng.normal(0, 4, image.shape)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus by four pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(4)), float)


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fifth of full scale."""
    return image + rng.normal(0, 51, image.shape)


def night(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Day to night: little light, most of it blue."""
    return image * np.array([0.2, 0.28, 0.55]) + np.array([0.0, 4.0, 18.0]) + rng.normal(0, 6, image.shape)


SHIFTS = {"none": None, "dark": dark, "blur": blur, "noise": noise, "night": night}


def copies(files: list[Path], name: str, folder: Path) -> list[str]:
    """The files with a shift, all in one folder, under numbers: names and folders tell no label."""
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        factor = SIDE / min(image.size)
        pixels = np.asarray(image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC))
        shift = SHIFTS[name]
        changed = pixels if shift is None else shift(pixels, np.random.default_rng([number, list(SHIFTS).index(name)]))
        Image.fromarray(np.clip(np.rint(changed), 0, 255).astype(np.uint8)).save(folder / f"{number:04d}.png")
    return [str(file) for file in sorted(folder.glob("*.png"))]


def right(predictions, labels: list[str]) -> np.ndarray:
    return np.array([one.label == label for one, label in zip(predictions, labels, strict=True)])


def fitted(data: Path, args, out: Path, method: str | None, target: Path | None = None):
    """A model by graft fit, without the alternatives that it would run beside."""
    from graft import api
    from graft.spec import Spec

    body = {"backbone": "mobilenetv2_100", "weights": args.weights} if args.weights else {"backbone": "graft-mini"}
    where = {} if target is None else {"target": str(target)}
    run = api.fit(Spec.make(str(data), **body, method=method, evidence="off", out=str(out), seed=args.seed, **where))
    return api.load(run.model)


def ways(model, paths: list[str], data: Path, args, folder: Path):
    """(way, predictions, what is to be said of it) on the copies."""
    yield "as it is", model.predict(paths), ""
    for how in ("adabn", "tent"):
        adapted, told = model.adapted(paths, how)
        yield f"predict --adapt {how}", adapted.predict(paths), "kept" if told["kept"] else f"not kept: {told['why']}"
    for method in args.fits:
        yield f"fit --target, {method}", fitted(data, args, folder / method, method, Path(paths[0]).parent).predict(paths), ""


def line(row: dict) -> str:
    low, high = row["interval"]
    less = row.get("difference")
    against = "" if less is None else f"{less[0]:+.3f} [{less[1]:+.3f}, {less[2]:+.3f}]"
    return f"| {row['data']} | {row['shift']} | {row['way']} | {row['accuracy']:.3f} [{low:.3f}, {high:.3f}] | {against} | {row['said']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--shifts", nargs="*", default=tuple(SHIFTS), choices=tuple(SHIFTS))
    parser.add_argument("--fits", nargs="*", default=("adabn", "coral", "uda"))
    parser.add_argument("--method", default="extract", help="of the model that is adapted when it predicts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    from graft.evidence.stats import proportions
    from graft.metrics.bootstrap import wilson

    rows, began = [], time.monotonic()
    print("| data | shift | way | accuracy [95 %] | difference [95 %] | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="graft-shifts-") as scratch:
        for name in args.sets:
            data, root = args.data / name, Path(scratch) / name
            files = sorted(file for file in (data / "val").glob("*/*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
            labels = [file.parent.name for file in files]
            model = fitted(data, args, root / "model", args.method)
            for shift in args.shifts:
                paths, first = copies(files, shift, root / shift / "images"), None
                for way, predictions, said in ways(model, paths, data, args, root / shift):
                    hits = right(predictions, labels)
                    row = {"data": name, "shift": shift, "way": way, "accuracy": float(hits.mean()), "said": said, "n": len(hits)}
                    row["interval"] = wilson(int(hits.sum()), len(hits))
                    if first is not None:
                        less = proportions(int((hits & ~first).sum()), int((first & ~hits).sum()), len(hits))
                        row["difference"] = (less.value, less.low, less.high)
                    first = hits if first is None else first
                    rows.append(row)
                    print(line(row), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
