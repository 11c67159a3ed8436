"""What self-supervision on unlabelled images is worth to a linear probe with few labels, against the body before it and against scratch.

    python benchmarks/self_supervised.py --data ../shared/data --pretrain ../shared/pretrain
    python benchmarks/self_supervised.py --sets pacs --bodies graft-mini:none --methods simclr --draws 3

Each set is parted into images to learn from and scored ones, by class. A method of graft learns a body from all of the former, without
labels (graft.fit(FOLDER, reader="images", method=...)); then `--shots` labels a class are drawn several times, and a linear head is
solved on the features of the body before ("before") and after ("after"), and the whole net is trained on these labels from random
weights ("scratch"). Intervals are bootstraps over draws and scored rows together (2.5 to 97.5 %); "gain" means that the interval lies
above zero. Seeds of the self-supervision itself are not among what is drawn unless --seeds asks for several.

graft-mini with its weights is left out on tiny: it learnt these very images with their labels. "BODY:none" starts from random weights,
"BODY=FILE" from a file's. pacs: 7 classes in 4 domains, 40 images of each class and domain learn and 20 are scored. tiny: of Tiny
ImageNet, `--classes` classes of which 200 images each learn and 40 are scored.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGES, SCORED = 240, 40
"""Of a class of tiny."""


@dataclass(frozen=True)
class Images:
    """name; learn and score: [(file, class)]."""

    name: str
    learn: list[tuple[Path, str]]
    score: list[tuple[Path, str]]


def pacs(data: Path) -> Images:
    learn, score = [], []
    for folder in sorted(path for path in (data / "pacs").glob("*/*") if path.is_dir()):
        files = sorted(folder.iterdir())
        np.random.default_rng(0).shuffle(files)
        learn += [(file, folder.name) for file in files[:40]]
        score += [(file, folder.name) for file in files[40:]]
    return Images("pacs", learn, score)


def tiny(pretrain: Path, root: Path, classes: int) -> Images:
    """The first classes by name, written out as the WebP files that they are."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.read_table(file) for file in sorted(pretrain.glob("tiny_imagenet-*.parquet"))])
    learn, score = [], []
    for name in sorted(pc.unique(table["wnid"]).to_pylist())[:classes]:
        of_class = table.filter(pc.equal(table["wnid"], name))["image"].to_pylist()[:IMAGES]
        (root / name).mkdir(parents=True)
        files = [root / name / f"{i:03d}.webp" for i in range(len(of_class))]
        for file, content in zip(files, of_class, strict=True):
            file.write_bytes(content)
        learn += [(file, name) for file in files[SCORED:]]
        score += [(file, name) for file in files[:SCORED]]
    return Images("tiny", learn, score)


def laid(rows: Sequence[tuple[Path, str]], folder: Path) -> Path:
    """Links to the files, in class folders; the numbers keep files of one name apart."""
    for number, (file, name) in enumerate(rows):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{number:05d}{file.suffix}").symlink_to(file.resolve())
    return folder


def labelled(images: Images, shots: int, seed: int, folder: Path) -> Path:
    """train/ with so many drawn labels a class, and test/ with the scored images."""
    rng = np.random.default_rng(seed)
    for name in sorted({name for _, name in images.learn}):
        files = [row for row in images.learn if row[1] == name]
        laid([files[i] for i in rng.choice(len(files), shots, replace=False)], folder / "train")
    laid(images.score, folder / "test")
    return folder


def body_of(text: str) -> dict[str, str]:
    """Arguments of graft.fit for "NAME", "NAME:none" or "NAME=FILE"."""
    name, _, file = text.partition("=")
    name, _, weights = name.partition(":")
    return {"backbone": name, **({"weights": file or weights} if file or weights else {})}


def right(data: Path, out: Path, seed: int, **choices) -> np.ndarray:
    """1 or 0 for each scored row, in the order of the paths."""
    import pyarrow.parquet as pq

    import graft

    graft.fit(str(data), seed=seed, evidence="off", out=str(out), **choices)
    table = pq.read_table(out / "predictions.parquet", columns=["path", "label", "predicted"]).sort_by("path")
    return np.asarray(table["label"].to_numpy(zero_copy_only=False) == table["predicted"].to_numpy(zero_copy_only=False), float)


def learnt(folder: Path, out: Path, body: dict, method: str, epochs: int | None, seed: int) -> tuple[str, float, dict]:
    """The body of a run without labels, as graft.fit names it, the seconds it took, and the scores of its features."""
    import graft

    # What the run chooses for simclr and byol by itself; the others do with less.
    augment = "strong" if method in ("simclr", "byol") else None
    run = graft.fit(
        str(folder), reader="images", method=method, epochs=epochs, augment=augment, seed=seed, evidence="off", out=str(out), **body
    )
    scores = run.scores.get(run.scores.get("scored", ""), {})
    return f"run:{out}", run.seconds, {name: one["value"] for name, one in scores.items() if isinstance(one, dict) and "value" in one}


def interval(pairs: Sequence[np.ndarray], repetitions: int = 4000) -> tuple[float, float, float]:
    """Mean paired difference and its bootstrap interval over draws and rows."""
    rng, means = np.random.default_rng(0), []
    for _ in range(repetitions):
        drawn = rng.integers(len(pairs), size=len(pairs))
        means.append(np.mean([pairs[d][rng.integers(len(pairs[d]), size=len(pairs[d]))].mean() for d in drawn]))
    return float(np.mean([pair.mean() for pair in pairs])), *(float(value) for value in np.quantile(means, [0.025, 0.975]))


def told(found: tuple[float, float, float]) -> str:
    mean, low, high = found
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] {'gain' if low > 0 else 'loss' if high < 0 else 'no gain'}"


def rows_of(images: Images, body: str, args: argparse.Namespace, root: Path) -> list[dict]:
    """A row of results for each method: the accuracies of all draws and seeds, and both differences."""
    size = {"image_size": args.image_size} if args.image_size else {}
    at, unlabelled = body_of(body) | size, laid([(file, "images") for file, _ in images.learn], root / "unlabelled")
    folders = [labelled(images, args.shots, draw, root / f"labels{draw}") for draw in range(args.draws)]
    before = [right(folder, root / f"before{i}", i, method="extract", **at) for i, folder in enumerate(folders)]
    plain = {"backbone": at["backbone"], "method": "scratch", **size}
    scratch = [right(folder, root / f"scratch{i}", i, **plain) for i, folder in enumerate(folders)] if args.scratch else []
    found = []
    for method in args.methods:
        after, seconds, scores = [], 0.0, {}
        for seed in range(args.seeds):
            out = root / f"{method}{seed}"
            run, took, scores = learnt(unlabelled, out, at, method, args.epochs, seed)
            seconds += took / args.seeds
            after += [
                right(folder, root / f"{method}{seed}after{i}", i, backbone=run, method="extract") for i, folder in enumerate(folders)
            ]
        accuracy = lambda all_rows: [float(one.mean()) for one in all_rows]  # noqa: E731
        found.append({
            "data": images.name, "body": body, "method": method, "seconds": seconds, "features": scores, "before": accuracy(before),
            "after": accuracy(after), "scratch": accuracy(scratch),
            "against before": interval([a - before[i % len(before)] for i, a in enumerate(after)]),
            "against scratch": interval([a - scratch[i % len(scratch)] for i, a in enumerate(after)]) if scratch else None,
        })  # fmt: skip
    return found


def shown(row: dict) -> str:
    scratch = f"{np.mean(row['scratch']):.3f}" if row["scratch"] else "-"
    versus = told(row["against scratch"]) if row["against scratch"] else "-"
    rank = row["features"].get("effective_rank", float("nan"))
    return (
        f"| {row['data']} | {row['body']} | {row['method']} | {np.mean(row['before']):.3f} | {np.mean(row['after']):.3f} | {scratch} | "
        f"{told(row['against before'])} | {versus} | {rank:.0f} | {row['seconds']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pretrain", type=Path, default=Path("../shared/pretrain"))
    parser.add_argument("--sets", nargs="*", default=["pacs", "tiny"], choices=["pacs", "tiny"])
    parser.add_argument("--bodies", nargs="*", default=["graft-mini:none", "graft-mini"], help="NAME, NAME:none or NAME=FILE")
    parser.add_argument("--methods", nargs="*", default=["simclr", "byol", "rotation", "inpaint"])
    parser.add_argument("--shots", type=int, default=10, help="labels a class")
    parser.add_argument("--draws", type=int, default=5, help="draws of these labels")
    parser.add_argument("--seeds", type=int, default=1, help="of the self-supervision")
    parser.add_argument("--epochs", type=int, help="of the self-supervision; by default the method's own")
    parser.add_argument("--classes", type=int, default=20, help="of tiny")
    parser.add_argument("--image-size", type=int, help="pixels of the square input; by default the body's own")
    parser.add_argument("--no-scratch", dest="scratch", action="store_false", help="leave the supervised net from random weights out")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    every, root = [], Path(tempfile.mkdtemp(prefix="graft-unlabelled-"))
    try:
        print("| data | body | method | before | after | scratch | after - before | after - scratch | effective rank | seconds |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in args.sets:
            images = pacs(args.data) if name == "pacs" else tiny(args.pretrain, root / "tiny", args.classes)
            for number, body in enumerate(args.bodies):
                if name == "tiny" and body == "graft-mini":
                    continue
                for row in rows_of(images, body, args, root / f"{name}{number}"):
                    every.append(row)
                    print(shown(row), flush=True)
        if args.json:
            args.json.write_text(json.dumps(every, indent=1))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
