"""Adaptation to a domain without labels: every ordered pair of PACS's four domains, through graft's own fit.

    python benchmarks/domains.py --data ../shared/data/pacs --weights MNV2.safetensors [--methods extract,uda] [--seeds 1]

--target-classes 4 leaves four drawn classes in each target, and --tail 10 makes its largest class ten times as large as its smallest.

The source's labels are known, the target's are opened at the end of each fit and score it. A table: each method's mean accuracy on the
target with a 95 % interval by a bootstrap of the pairs, the pair on which it fares worst against source-only, and the seconds between
the first phase's start and the last one's end, without those of frozen passes. "best candidate" is the one of uda's candidates that the
target's labels would have chosen, which nobody can; "most information" is the one that another label-free score would have. The rows
named skada and DANN come from benchmarks/peers (domain_baselines.py, skada_features.py), on the same features.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

METHODS = "extract,coral,pseudo_label,uda"


def uneven(target: Path, pair: int, args: argparse.Namespace, root: Path) -> Path:
    """The target as it is, or links to some of its classes or rows; which, is drawn for each pair of domains."""
    if args.target_classes is None and args.tail is None:
        return target
    rng = np.random.default_rng(pair)
    names = [folder.name for folder in sorted(target.iterdir()) if folder.is_dir()]
    kept = rng.permutation(len(names))[: args.target_classes]
    for place, number in enumerate(kept):
        files = sorted((target / names[number]).iterdir())
        share = 1.0 if args.tail is None else args.tail ** (-place / max(len(kept) - 1, 1))
        folder = root / target.name / names[number]
        folder.mkdir(parents=True)
        for file in (files[i] for i in rng.permutation(len(files))[: max(1, round(share * len(files)))]):
            (folder / file.name).symlink_to(file.resolve())
    return root / target.name


def fitted(source: Path, target: Path, method: str, seed: int, args: argparse.Namespace, pair: int) -> dict:
    """Accuracy of the shipped model and of every candidate on the target, the choice, and seconds of adaptation."""
    import graft

    steps: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="graft-domains-") as root:
        of = uneven(target, pair, args, Path(root))
        run = graft.fit(
            str(source), target=str(of), target_labels=str(of), method=method, backbone=args.body, weights=args.weights, seed=seed,
            views=args.views, augment=args.augment, sets=args.set, evidence="off", out=str(Path(root) / "run"), on_event=steps.append,
        )  # fmt: skip
        found = json.loads((run.folder / "target.json").read_text(encoding="utf-8"))
    scores = {row["name"]: row["value"] for row in found["models"]}
    told = {row["name"]: row["told"]["information"] for row in found["models"] if "information" in (row.get("told") or {})}
    return {
        "source": source.name, "target": target.name, "method": method, "seed": seed, "candidates": scores, "seconds": adapting(steps),
        "chosen": found.get("chosen"), "why": found.get("why"), "fit": run.seconds,
        "by_information": scores[max(told, key=told.get)] if told else None,
        "accuracy": run.scores["target_domain"]["accuracy"]["value"],
    }  # fmt: skip


def adapting(steps: list[dict]) -> float:
    """Seconds from each phase's start to its end, less those up to the last tick of its frozen passes."""
    total, began = 0.0, None
    for row in steps:
        if row["event"] == "phase" or (row["event"] == "step" and str(row.get("phase", "")).endswith(": features") and began is not None):
            began = row["t"]
        elif row["event"] == "kept" and began is not None:
            total, began = total + row["t"] - began, None
    return total


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % of the mean, by a bootstrap of the pairs."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(4000, len(values)))].mean(1)
    return tuple(np.quantile(means, [0.025, 0.975]))


def table(rows: list[dict], methods: list[str]) -> None:
    pairs = sorted({(row["source"], row["target"]) for row in rows})

    def by_pair(pick) -> np.ndarray:
        return np.array(
            [np.mean([pick(row) for row in rows if (row["source"], row["target"]) == pair and pick(row) is not None]) for pair in pairs]
        )

    shown: dict[str, np.ndarray] = {}
    for method in methods:
        shown[method] = by_pair(lambda row, method=method: row["accuracy"] if row["method"] == method else None)
    names = {name for row in rows if row["method"] == "uda" for name in row["candidates"]}
    shown |= {f"uda: {name}": by_pair(lambda row, name=name: row["candidates"].get(name) if row["method"] == "uda" else None)
              for name in sorted(names - {"shipped"}) if not name.startswith("chosen")}  # fmt: skip
    if "uda" in methods:
        best = lambda row: max(row["candidates"].values()) if row["method"] == "uda" else None  # noqa: E731
        shown["uda: best candidate"] = by_pair(best)
        shown["uda: most information"] = by_pair(lambda row: row["by_information"])
    base = shown.get("uda: source_only", next(iter(shown.values())))
    print("\n| method | mean accuracy [95 %] | worst pair against source-only | seconds of adaptation, all pairs |\n|---|---|---|---|")
    for name, values in shown.items():
        low, high = interval(values)
        gap, took = values - base, [row["seconds"] for row in rows if row["method"] == name]
        at = " to ".join(pairs[int(gap.argmin())])
        seconds = f"{sum(took) / len({row['seed'] for row in rows}):.0f}" if took else ""
        print(f"| {name} | {values.mean():.3f} [{low:.3f}, {high:.3f}] | {gap.min():+.3f} ({at}) | {seconds} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pacs"))
    parser.add_argument("--weights", default="../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors")
    parser.add_argument("--body", default="mobilenetv2_100")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--pairs", nargs="*", metavar="SOURCE:TARGET", help="only these")
    parser.add_argument("--set", nargs="*", default=[], metavar="section.key=value", help="of every fit, as method.freeze=stage6")
    parser.add_argument("--views", type=int, help="kept augmented views of each image, for stages that learn above frozen ones")
    parser.add_argument("--augment", help="of them")
    parser.add_argument("--target-classes", type=int, help="so many drawn classes are left in the target")
    parser.add_argument("--tail", type=float, help="how many times as large as the smallest class of the target its largest is")
    parser.add_argument("--json", type=Path, help="write the raw numbers here too, after every fit")
    args = parser.parse_args()
    domains = sorted(path for path in args.data.iterdir() if path.is_dir()) if args.data.is_dir() else []
    if len(domains) < 2 or not Path(args.weights).is_file():
        sys.exit("domains: no domains or no weights there; give --data FOLDER and --weights FILE")
    methods, rows, began = args.methods.split(","), [], time.monotonic()
    for seed in range(args.seeds):
        for pair, (source, target) in enumerate(itertools.permutations(domains, 2)):
            if args.pairs and f"{source.name}:{target.name}" not in args.pairs:
                continue
            for method in methods:
                rows.append(fitted(source, target, method, seed, args, pair))
                row = rows[-1]
                words = f"{source.name} to {target.name}, {method}, seed {seed}: {row['accuracy']:.3f} {row['chosen'] or ''}"
                print(f"{words} in {row['seconds']:.1f} s, {time.monotonic() - began:.0f} s so far", flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    table(rows, methods)


if __name__ == "__main__":
    main()
