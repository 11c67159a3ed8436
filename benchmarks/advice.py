"""Whether advice comes true: the order of bodies by `graft advise` against the accuracy they really reach, and the advised way
against each fixed one.

    python benchmarks/advice.py --data ../shared/data --weights MNV2.safetensors --only ranking
    python benchmarks/advice.py --data ../shared/data --weights MNV2.safetensors --only strategies --body graft-mini

ranking     bodies and truncated bodies by their cross-validated probe on the learning rows, against the accuracy on the locked
            rows of a linear head on the same features; Kendall's tau, weighted towards the top (Vigna, 2015), for each set
strategies  `--method auto` and every fixed method, with 5, 20 and 100 % of the learning rows, on the same locked rows; the
            difference in mean accuracy with a 95 % interval over the cells (sets x shares x seeds), by a bootstrap of cells

Sets without a split are drawn 60/20/20 by graft itself.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SETS = ("hymenoptera", "potato_leaf", "pacs/photo", "pacs/cartoon", "pacs/sketch")
SHARES = (0.05, 0.2, 1.0)


def bodies(weights: str) -> list[tuple[str, dict, str, int | None]]:
    """(label, name and options, layer or "" for the last)."""
    trained = {"weights": weights}
    return [
        ("mobilenetv2_100", "mobilenetv2_100", trained, ""), ("mobilenetv2_100 to stage5", "mobilenetv2_100", trained, "stage5"),
        ("mobilenetv2_100 to stage3", "mobilenetv2_100", trained, "stage3"), ("graft-mini", "graft-mini", {}, ""),
        ("graft-mini to its third stage", "graft-mini", {}, 2), ("gabor", "gabor", {}, ""),
        ("mobilenetv2_100 random", "mobilenetv2_100", {"weights": "none"}, ""), ("resnet18 random", "resnet18", {"weights": "none"}, ""),
        ("graft-mini random", "graft-mini", {"weights": "none"}, ""),
    ]  # fmt: skip


def ranking(args: argparse.Namespace) -> list[dict]:
    import torch
    from scipy.stats import weightedtau

    from graft import catalog
    from graft.assembly import choosing, measuring, modality, wiring
    from graft.engine import device
    from graft.engine.journal import Journal
    from graft.engine.passes import Passes
    from graft.engine.store import find
    from graft.heads import logistic
    from graft.spec import Part, Spec, options
    from graft.verbs import advising

    machine, found = device.find(), []
    print("| set | body | advised by (probe, learning rows) | LogME | reached (locked rows) |\n|---|---|---|---|---|")
    for name in args.sets.split(","):
        spec, data = wiring.read(Spec.make(str(args.data / name), folds=0), Journal())
        spec = choosing.name_task(spec, data, Journal())
        task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
        learning, rows, kept = data.learning(), [], {}
        for label, body_name, values, layer in bodies(args.weights):
            key = (body_name, tuple(values.items()))
            if key not in kept:
                body, _ = advising.load(Part(body_name, values), spec)
                measured = measuring.measure(body, data, task, machine, Journal())
                net = machine.place(measuring.every_layer(body))
                with modality.streams(body, task.encode, data.schema, 0) as batches:
                    passes = Passes(batches, machine, "auto", find(), Journal())
                    features = [measuring.features(net, table, passes) for table in (learning, data.test)]
                kept[key] = (measured, features)
            measured, (learn, locked) = kept[key]
            layers = [one["name"] for one in measured.body["layers"]]
            at = layers[layer] if isinstance(layer, int) else layer or layers[-1]
            row = next(one for one in measured.body["layers"] if one["name"] == at)
            head = logistic.solve(learn[at], task.encode(learning).numpy(), 0, "class", len(data.schema.classes)).head.eval()
            with torch.inference_mode():
                guess = head(torch.from_numpy(locked[at])).argmax(1).numpy()
            reached = float((guess == task.encode(data.test).numpy()).mean())
            rows.append({"set": name, "body": label, "probe": row["probe"], "logme": row["logme"], "reached": reached})
            print(f"| {name} | {label} | {row['probe']:.3f} | {row['logme']:.3f} | {reached:.3f} |", flush=True)
        taus = {by: float(weightedtau([r[by] for r in rows], [r["reached"] for r in rows])[0]) for by in ("probe", "logme")}
        found.append({"set": name, "rows": rows, "tau": taus})
        print(f"| {name} | weighted Kendall's tau with what was reached | {taus['probe']:.2f} | {taus['logme']:.2f} | |", flush=True)
    for by in ("probe", "logme"):
        print(f"\nMean weighted Kendall's tau over {len(found)} sets, by {by}: {statistics.mean(one['tau'][by] for one in found):.2f}")
    return found


def subset(data: Path, share: float, seed: int, folder: Path) -> Path:
    """A table of the set's images with a stratified share of the learning rows; the locked rows stay the same for every share."""
    from graft.assembly import wiring
    from graft.engine.journal import Journal
    from graft.evidence.curve import subsets
    from graft.spec import Spec

    _, given = wiring.read(Spec.make(str(data), folds=0), Journal())
    learning = given.learning()
    labels = np.unique(learning["label"].to_pylist(), return_inverse=True)[1]
    rows = subsets(labels, [share], 1, seed)[0][1]
    path = folder / "rows.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for table, split, keep in ((learning, "train", rows), (given.test, "test", range(len(given.test)))):
            paths, names = table["path"].to_pylist(), table["label"].to_pylist()
            writer.writerows([paths[i], names[i], split] for i in keep)
    return path


def strategies(args: argparse.Namespace) -> list[dict]:
    from graft import api
    from graft.spec import Spec

    methods, cells = ["auto", *args.methods.split(",")], []
    weights = args.weights if args.body not in ("graft-mini", "gabor") else None
    print(f"| set | labels | seed | {' | '.join(methods)} | auto was |\n{'|---' * (len(methods) + 4)}|")
    for name in args.sets.split(","):
        for share in SHARES:
            for seed in range(args.seeds):
                with tempfile.TemporaryDirectory(prefix="graft-advice-") as root:
                    table, scores, took, was = subset(args.data / name, share, seed, Path(root)), {}, {}, ""
                    for method in methods:
                        began = time.perf_counter()
                        spec = Spec.make(
                            str(table), backbone=args.body, weights=weights, method=None if method == "auto" else method, seed=seed,
                            evidence="off", out=str(Path(root) / method),
                        )  # fmt: skip
                        run = api.fit(spec)
                        scores[method], took[method] = run.scores["test"]["accuracy"]["value"], time.perf_counter() - began
                        if method == "auto":
                            layer = next((value for what, value, _, _ in run.decisions if what == "layer"), "")
                            was = f"{run.scores['method']} {layer}".strip()
                cells.append({"set": name, "share": share, "seed": seed, "scores": scores, "seconds": took, "auto": was})
                shown = " | ".join(f"{scores[m]:.3f} ({took[m]:.0f} s)" for m in methods)
                print(f"| {name} | {share:.0%} | {seed} | {shown} | {was} |", flush=True)
    table = np.array([[cell["scores"][m] for m in methods] for cell in cells])
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(table), size=(4000, len(table)))
    print()
    for i, method in enumerate(methods):
        gap = table[:, 0] - table[:, i]
        low, high = np.quantile(gap[drawn].mean(1), [0.025, 0.975])
        seconds = statistics.mean(cell["seconds"][method] for cell in cells)
        less = f"auto less {method} {gap.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        print(f"{method}: mean accuracy {table[:, i].mean():.3f}, {seconds:.0f} s a fit; {less}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights", default="../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors")
    parser.add_argument("--sets", default=",".join(SETS), help="folders under --data, by comma")
    parser.add_argument("--only", choices=("ranking", "strategies"), help="both where left out")
    parser.add_argument("--body", default="graft-mini", help="of the strategies")
    parser.add_argument("--methods", default="extract,lp_ft,finetune", help="the fixed strategies")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the raw numbers here too")
    args = parser.parse_args()
    if not args.data.is_dir() or not Path(args.weights).is_file():
        sys.exit("advice: no data or no weights there; give --data FOLDER and --weights FILE")
    found = {}
    if args.only != "strategies":
        found["ranking"] = ranking(args)
    if args.only != "ranking":
        found["strategies"] = strategies(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
