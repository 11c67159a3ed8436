"""What a teacher is worth to a small student: MobileNetV2 teaches graft-mini, with all labels, and with a few and the rest unlabelled.

    python benchmarks/distillation.py --data ../shared/data --weights ../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors

Of each set, `all` learns from every label of the train split. `few` keeps so many labels a class; the others are images without labels,
so the teacher knows no more labels than the student, and what it adds is its pre-training. The teacher is MobileNetV2 with a head on
frozen features (--method extract) or fine-tuned. Every line is one graft.distill: the same locked val rows for all three, 95 %
intervals over rows, p by McNemar's exact test, and one run of each, so other seeds may give other numbers (--seeds).
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

SETS = ("hymenoptera", "potato_leaf")
DRAWN = {"pacs": "all four domains together", "tiny": "20 classes of Tiny ImageNet"}
"""Sets that are laid out here first, as those of benchmarks/self_supervised.py."""
KINDS = (".jpg", ".jpeg", ".png", ".webp")


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
                to.symlink_to(file.resolve())
    if rest.is_dir():
        for number, file in enumerate(sorted(rest.iterdir())):  # Names that would give the class away.
            file.rename(rest / f"{number:05d}{file.suffix}")
    return data, rest


def drawn(name: str, args: argparse.Namespace, root: Path) -> Path:
    """A folder with train/ and val/, laid out at the first call where the set has none."""
    if name not in DRAWN:
        return args.data / name
    from self_supervised import laid, pacs, tiny

    if not (folder := root / name).is_dir():
        images = pacs(args.data) if name == "pacs" else tiny(args.pretrain, root / "written", args.classes)
        laid(images.learn, folder / "train"), laid(images.score, folder / "val")
    return folder


def one(data: Path, more: Path | None, seed: int, root: Path, args: argparse.Namespace) -> dict:
    import graft

    large = {"backbone": args.teacher, "weights": args.weights, "method": args.method}
    teacher = graft.fit(str(data), **large, seed=seed, folds=0, evidence="off", out=str(root / "teacher"))
    sets = [one if "." in one.partition("=")[0] else f"method.{one}" for one in args.set]
    return graft.distill(
        teacher.folder, student=args.student, unlabelled=more, epochs=args.epochs, sets=sets, image_size=args.image_size,
        weights=args.student_weights, augment=args.augment, out=root / "distilled",
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
    parser.add_argument("--student-weights", help="a file, where the student is not the one that ships with graft or its teacher's own")
    parser.add_argument("--image-size", type=int, help="pixels a side of what the student sees")
    parser.add_argument("--augment", help="of the student")
    parser.add_argument("--pretrain", type=Path, default=Path("../shared/pretrain"))
    parser.add_argument("--classes", type=int, default=20, help="of tiny")
    parser.add_argument("--labels", type=int, default=20, help="labels a class of `few`")
    parser.add_argument("--kinds", nargs="*", default=("all", "few"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="options of method distill, or section.key=value")
    parser.add_argument("--json", type=Path, help="write everything here too")
    args = parser.parse_args()
    rows, root = [], Path(tempfile.mkdtemp(prefix="graft-distil-"))
    print("| data | labelled + unlabelled | teacher | student | alone | student - teacher | student - alone | p |")
    print("|---" * 8 + "|")
    for name in args.sets:
        source = drawn(name, args, root)
        for kind in args.kinds:
            for seed in range(args.seeds):
                place = root / f"{name}-{kind}-{seed}"
                place.mkdir()
                data, more = few(source, place, args.labels, seed) if kind == "few" else (source, None)
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
