"""graft-mini against the same network from random weights, on the same rows, over several seeds.

    python benchmarks/mini_vs_scratch.py --data ../shared/data --seeds 5

Each seed draws other selecting rows, another head, other batches (and for digits other labelled images). graft-mini runs with
the defaults. From scratch gets as many seconds of training as the whole other run took (--budget equal), its schedule
shortened to fit; or its own defaults however long they take (--budget own: twice the steps of fine-tuning). The interval
is a bootstrap over seeds and scored rows together (2.5 to 97.5 %).
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

SETS = ("digits", "hymenoptera", "potato_leaf")


def one(data: str, method: str | None, seed: int, out: Path, seconds: float | None = None) -> tuple[np.ndarray, float, dict]:
    """Right or wrong a scored row in the order of the paths, the seconds, and scores.json."""
    import pyarrow.parquet as pq

    from graft import api
    from graft.spec import Spec

    augment = "none" if "digits" in data else None
    sets = [f"method.seconds={seconds:.2f}"] if seconds else []
    run = api.fit(Spec.make(data, backbone="graft-mini", method=method, seed=seed, out=str(out), augment=augment, sets=sets))
    table = pq.read_table(out / "predictions.parquet", columns=["path", "label", "predicted"]).sort_by("path")
    right = np.asarray(table["label"].to_numpy(zero_copy_only=False) == table["predicted"].to_numpy(zero_copy_only=False), float)
    return right, run.seconds, run.scores


def interval(pairs: list[np.ndarray], repetitions: int = 4000) -> tuple[float, float, float]:
    """Mean paired difference and its bootstrap interval over seeds and rows."""
    rng, means = np.random.default_rng(0), []
    for _ in range(repetitions):
        seeds = rng.integers(len(pairs), size=len(pairs))
        means.append(np.mean([pairs[s][rng.integers(len(pairs[s]), size=len(pairs[s]))].mean() for s in seeds]))
    return float(np.mean([p.mean() for p in pairs])), *(float(v) for v in np.quantile(means, [0.025, 0.975]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--budget", choices=("equal", "own"), default="equal")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    from graft.verbs.demonstration import digits

    rows, root = [], Path(tempfile.mkdtemp(prefix="graft-mini-"))
    print("| data | labels | graft-mini | from scratch | difference [95 %] | seconds | method |\n|---|---|---|---|---|---|---|")
    for name in args.sets:
        pairs, sides, seconds = [], ([], []), ([], [])
        for seed in range(args.seeds):
            data = str(digits(root / f"digits{seed}", seed=seed)) if name == "digits" else str(args.data / name)
            found = [one(data, None, seed, root / f"{name}{seed}mini")]
            limit = found[0][1] if args.budget == "equal" else None
            found.append(one(data, "scratch", seed, root / f"{name}{seed}scratch", limit))
            for side, (right, took, _) in enumerate(found):
                sides[side].append(right.mean()), seconds[side].append(took)
            pairs.append(found[0][0] - found[1][0])
        mean, low, high = interval(pairs)
        scores = found[0][2]
        rows.append({"data": name, "mini": sides[0], "scratch": sides[1], "difference": [mean, low, high], "seconds": seconds})
        print(
            f"| {name} | {scores['n']['train'] + scores['n']['select']} | {np.mean(sides[0]):.3f} | {np.mean(sides[1]):.3f} | "
            f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] | {np.mean(seconds[0]):.0f} / {np.mean(seconds[1]):.0f} | {scores['method']} |",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
