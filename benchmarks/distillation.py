"""What a teacher is worth to a small student: MobileNetV2 teaches graft-mini, with all labels, and with a few and the rest unlabelled.

    python benchmarks/distillation.py --data ../shared/data --weights ../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors

Of each set, `all` learns from every label of the train split. `few` keeps so many labels a class; the others are images without labels,
so the teacher knows no more labels than the student, and what it adds is its pre-training. The teacher is MobileNetV2 with a head on
frozen features (--method extract) or fine-tuned. Every line is one graft.distill: the same locked val rows for all three, 95 %
intervals over rows, p by McNemar's exact test, and one run of each, so other seeds may give other numbers (--seeds).
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

SETS = ("hymenoptera", "potato_leaf")
KINDS = (".jpg", ".jpeg", ".png")


def few(source: Path, place: Path, labels: int, seed: int) -> tuple[Path, Path]:
    """(data, unlabelled): val as it is, `labels` of each class of train, and the rest of train in one folder without labels."""
    rng = np.random.default_rng(seed)
    data, rest = place / "data", place / "unlabelled"
    for split in ("train", "val"):
        for folder in sorted(one for one in (source / split).iterdir() if one.is_dir()):
            files = sorted(file for file in folder.iterdir() if file.suffix.lower() in KINDS)
            kept = set(rng.permutation(len(files))[:labels]) if split == "train" else set(range(len(files)))
            for number, file in enumerate(files):
                to = data / split / folder.name / file.name if number in kept else rest / f"{folder.name}_{file.name}"
                to.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, to) if os.stat(file).st_dev == os.stat(place).st_dev else shutil.copyfile(file, to)
    if rest.is_dir():
        for number, file in enumerate(sorted(rest.iterdir())):  # Names that would give the class away.
            file.rename(rest / f"{number:05d}{file.suffix}")
    return data, rest


def one(data: Path, more: Path | None, seed: int, root: Path, args: argparse.Namespace) -> dict:
    import graft

    large = {"backbone": args.teacher, "weights": args.weights, "method": args.method}
    teacher = graft.fit(str(data), **large, seed=seed, folds=0, evidence="off", out=str(root / "teacher"))
    sets = [f"method.{one}" for one in args.set]
    return graft.distill(
        teacher.folder, student=args.student, unlabelled=more, epochs=args.epochs, sets=sets, out=root / "distilled"
    )  # fmt: skip


def line(name: str, found: dict) -> str:
    teacher, student, alone = found["arms"]
    score = lambda arm: f"{arm['value']:.3f} [{arm['interval'][0]:.3f}, {arm['interval'][1]:.3f}]"  # noqa: E731
    gap = lambda i: "{value:+.3f} [{0:+.3f}, {1:+.3f}]".format(*found["differences"][i]["interval"], **found["differences"][i])  # noqa: E731
    cells = [name, f"{found['learnt']} + {found['unlabelled']}", *map(score, (teacher, student, alone)), gap(0), gap(1)]
    return f"| {' | '.join(cells)} | {found['differences'][1]['p']:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights", default="../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--teacher", default="mobilenetv2_100")
    parser.add_argument("--method", default="extract", help="how the teacher is fitted")
    parser.add_argument("--student", default="graft-mini")
    parser.add_argument("--labels", type=int, default=20, help="labels a class of `few`")
    parser.add_argument("--kinds", nargs="*", default=("all", "few"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="options of method distill")
    parser.add_argument("--json", type=Path, help="write everything here too")
    args = parser.parse_args()
    rows, root = [], Path(tempfile.mkdtemp(prefix="graft-distil-"))
    print("| data | labelled + unlabelled | teacher | student | alone | student - teacher | student - alone | p |")
    print("|---" * 8 + "|")
    for name in args.sets:
        for kind in args.kinds:
            for seed in range(args.seeds):
                place = root / f"{name}-{kind}-{seed}"
                place.mkdir()
                data, more = few(args.data / name, place, args.labels, seed) if kind == "few" else (args.data / name, None)
                found = one(data.resolve(), more, seed, place, args)
                rows.append({"data": name, "kind": kind, "seed": seed, **found})
                print(line(f"{name}, {kind}", found), flush=True)
    print("\n| | parameters | on disk | images/s | memory |\n|---|---|---|---|---|")
    for arm in rows[-1]["arms"][:2]:
        memory = "–" if arm["memory_mb"] is None else f"{arm['memory_mb']:.0f} MB"
        print(f"| {arm['backbone']}, {arm['size']} px | {arm['parameters']:,} | {arm['megabytes']:.1f} MB | {arm['rate']:.0f} | {memory} |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, default=str))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
