"""What one body keeps of a task when it learns others: a chain with each remedy, and classes added to a model that knows some.

    python benchmarks/chains.py DATA WEIGHTS --out OUT
    python benchmarks/chains.py DATA WEIGHTS --out OUT --only added --seeds 3

DATA holds hymenoptera, potato_leaf and pacs; WEIGHTS is a file for mobilenetv2_100. The chain: hymenoptera, then potato_leaf, then the
photos of PACS; every step after the first with each remedy in turn. Printed: the first task's accuracy when it had just been learnt and
after the last step, the share kept, and the last task's accuracy (a remedy that only holds everything still would keep all and learn
little), as means over seeds, each seed beside them. Added: five classes of PACS photos are learnt, then two more with method `extend`, on
a frozen body and on one that learns; the accuracy on the locked rows of the old classes, before and after, and on the new ones.
Called again with the same --out, it goes on.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import graft
from graft import api

REMEDIES = ("finetune", "lwf", "rehearsal", "l2_sp", "ewc", "extract")
CHAIN = (("hymenoptera", "hymenoptera"), ("potato_leaf", "potato_leaf"), ("photo", "pacs/photo"))
OLD, NEW = ("dog", "elephant", "giraffe", "guitar", "horse"), ("house", "person")


def steps(data: Path, common: dict, seed: int) -> dict:
    """The chain as graft.chain takes it."""
    return {**common, "seed": seed, "step": [{"name": name, "data": str(data / path)} for name, path in CHAIN]}


def chain(data: Path, common: dict, out: Path, remedy: str, seed: int) -> dict:
    """What a chain with one remedy came to. The first step is the same for all remedies of a seed, and is fitted once."""
    folder, first = out / f"chain-{remedy}-{seed}", out / f"first-{seed}"
    if not (first / "01-hymenoptera" / "scores.json").exists():
        asked = steps(data, common, seed)
        graft.chain({**asked, "step": asked["step"][:1]}, out=first)
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "01-hymenoptera").symlink_to(first / "01-hymenoptera")
        plan = json.loads((first / "plan.json").read_text())
        (folder / "plan.json").write_text(json.dumps(plan))
    return graft.chain(steps(data, common, seed), out=folder, remedy=remedy)


def chains(data: Path, common: dict, out: Path, remedies: list[str], seeds: int) -> None:
    names = ("first, learnt", "first, end", "kept", "last task", "average", "minutes")
    print(f"{'remedy':<12}" + "".join(f"{name:>15}" for name in names) + "   kept, each seed")
    for remedy in remedies:
        found = [chain(data, common, out, remedy, seed) for seed in range(seeds)]
        rows = [told(one) for one in found]
        each = ", ".join(f"{row[2]:.2f}" for row in rows)
        print(f"{remedy:<12}" + "".join(f"{value:>15.3f}" for value in np.mean(rows, 0)) + f"   {each}", flush=True)


def told(found: dict) -> tuple[float, ...]:
    """A chain's numbers, as `chains` names them."""
    matrix, numbers = found["matrix"], found["numbers"]
    first, end, last = matrix[0][0]["value"], matrix[-1][0]["value"], matrix[-1][-1]["value"]
    return first, end, numbers["kept_first"], last, numbers["average"], found["seconds"] / 60


def classes_of(source: Path, names: tuple[str, ...], folder: Path) -> Path:
    """A folder of some of the class folders."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            (folder / name).symlink_to(source / name, target_is_directory=True)
    return folder


def run(data: Path, out: Path, **values):
    """A fit, or the one that is there."""
    if (out / "spec.toml").exists():
        return api.resume(out)
    return api.fit(str(data), out=str(out), evidence="off", folds=0, **values)


def accuracy(folder: Path, names: tuple[str, ...]) -> tuple[float, int]:
    """Of the scored rows of these classes, and how many they are."""
    rows = [row for row in pq.read_table(folder / "predictions.parquet").to_pylist() if row["label"] in names]
    return float(np.mean([row["label"] == row["predicted"] for row in rows])), len(rows)


def added(data: Path, common: dict, out: Path, seeds: int) -> None:
    """Old classes before and after two are added: on a frozen body, as `extend` does by default, and with a body that learns."""
    old, new = (classes_of(data / "pacs" / "photo", names, out / "data" / word) for names, word in ((OLD, "old"), (NEW, "new")))
    names = ("seed", "old, before", "old, after", "new", "all", "rows, old", "rows, new", "seconds")
    print(f"{'extend':<12}" + "".join(f"{name:>13}" for name in names))
    for seed in range(seeds):
        first = run(old, out / f"five-{seed}", **common, seed=seed)
        before, n = accuracy(first.folder, OLD)
        for name, sets in (("frozen", ()), ("learns", ("method.freeze=none", f"method.epochs={common['epochs']}", "method.augment=true"))):
            grown = run(new, out / f"seven-{name}-{seed}", backbone=f"run:{first.folder}", method="extend", sets=sets, seed=seed)
            after, fresh, whole = (accuracy(grown.folder, some) for some in (OLD, NEW, (*OLD, *NEW)))
            assert after[1] == n, "the old classes must be scored on the rows that the first run locked"
            values = (
                f"{seed:>13}{before:>13.3f}{after[0]:>13.3f}{fresh[0]:>13.3f}{whole[0]:>13.3f}{n:>13}{fresh[1]:>13}{grown.seconds:>13.0f}"
            )
            print(f"{name:<12}{values}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("chain", "added"))
    parser.add_argument("--remedies", default=",".join(REMEDIES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=224)
    asked = parser.parse_args()
    data, out = asked.data.resolve(), asked.out.resolve()
    body = {"backbone": "mobilenetv2_100", "weights": str(asked.weights.resolve()), "image_size": asked.image_size}
    common = {**body, "method": "finetune", "epochs": asked.epochs}
    if asked.only != "added":
        chains(data, common, out, asked.remedies.split(","), asked.seeds)
    if asked.only != "chain":
        added(data, common, out, asked.seeds)


if __name__ == "__main__":
    main()
