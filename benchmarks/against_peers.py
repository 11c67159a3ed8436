"""graft beside PyTorch's tutorial, transformers' Trainer and fastai: whole processes on the same data, body and weights.

    python benchmarks/against_peers.py --data ../shared/data/hymenoptera --weights MNV2.safetensors --repeat 3

frozen   a new head on a frozen body: graft with an empty cache, again, and with its activations cleared; the peers' epochs
views    graft once more with four augmented views of each image, drawn once; the peers draw them anew in every epoch
partial  the last stage learns too; and graft with everything learning, for the memory
full     training images a second with everything learning, for two bodies; graft also in float32

Seconds are those of the whole process, from its start to its end; the tools take turns, so noise meets all of them. Memory
is the largest resident size that a process says of itself, workers apart (on a GPU, its largest allocation where that is
more). Every tool scores val/. The tutorial keeps the epoch that is best on val, which flatters it; graft takes the rows it
selects on from train (--select-on val does as the tutorial does); the other two score their last epoch. Intervals are
Wilson's, those of differences a bootstrap over images, both 95 %; they are about these images, not about other seeds.
`make bench-peers` makes the peers' environments.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE, SCENES = Path(__file__).resolve().parent, ("frozen", "views", "partial", "full")
# This process stays small (no torch in it): a child's peak memory counts from what its parent had.
GRAFT = (sys.executable, "-c", "from graft.cli import main; main()")
DESCRIBE = "import json; from graft.engine import device; print(json.dumps(device.describe(device.find())))"


@dataclass
class Bench:
    """Runs tools one after the other and keeps what they say: found[scene, tool] is a list, one entry a repetition."""

    args: argparse.Namespace
    root: Path
    found: dict[tuple[str, str], list[dict]] = field(default_factory=dict)
    number: int = 0

    def environment(self, cache: Path | None) -> dict[str, str]:
        more = {"HF_HUB_OFFLINE": "1", "GRAFT_CACHE": str(cache) if cache else "off"}
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.args.device == "cpu" else {}
        return {**os.environ, **more, **hidden}

    def launch(self, command: list[str], cache: Path | None = None) -> tuple[float, str, str]:
        """Seconds, what it printed, and the last line of what it complained of where it failed ("" where not)."""
        began = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment(cache))
        seconds = time.perf_counter() - began
        said = (ran.stderr.strip() or ran.stdout.strip() or f"exit code {ran.returncode}").splitlines()[-1]
        return seconds, ran.stdout, said if ran.returncode else ""

    def graft(self, scene: str, tool: str, options: list[str], cache: Path | None = None, seed: int = 0, body: str = "") -> None:
        """One `graft fit` in the cache that is named; in none without."""
        self.number += 1
        out, args = self.root / f"run{self.number}", self.args
        weights = args.weights if body in ("", args.body) else "none"
        command = ["fit", str(args.data), "-b", body or args.body, "--weights", weights, "-o", str(out), "--seed", str(seed), "-q"]
        command += ["--select-on", args.select_on] if args.select_on else []
        seconds, _, trouble = self.launch([*GRAFT, *command, *options], cache)
        self.keep(scene, tool, {"seconds": seconds, "command": " ".join(["graft", *command, *options])}, lambda: of_run(out), trouble)
        shutil.rmtree(out, ignore_errors=True)

    def clear(self, what: str, cache: Path) -> None:
        _, _, trouble = self.launch([*GRAFT, "cache", "--clear", what], cache)
        if trouble:
            print(f"graft cache --clear {what}: {trouble}", file=sys.stderr)

    def peer(self, scene: str, tool: str, options: list[str], seed: int = 0, body: str = "") -> None:
        """One peer's script with its own Python; left out where there is none."""
        script, python = self.peers[tool.split(",")[0]]
        if not Path(python).exists():
            return
        weights = self.args.weights if body in ("", self.args.body) else "none"
        command = [str(python), str(HERE / "peers" / script), "--data", str(self.args.data), "--weights", weights]
        command += ["--body", body or self.args.body, "--seed", str(seed), "--workers", str(self.args.workers), *options]
        seconds, out, trouble = self.launch(command)
        told = {"seconds": seconds, "command": " ".join([script, *command[2:]])}
        self.keep(scene, tool, told, lambda: of_peer(out), trouble)

    @property
    def peers(self) -> dict[str, tuple[str, str]]:
        """Tool -> its script and its Python. The tutorial needs torch, torchvision and timm alone, which graft's has."""
        hf, fastai = ("hf_trainer.py", self.args.python_hf), ("fastai_learner.py", self.args.python_fastai)
        return {"tutorial": ("tutorial.py", sys.executable), "Trainer": hf, "fastai": fastai}

    def keep(self, scene: str, tool: str, told: dict, read: Callable[[], dict], trouble: str) -> None:
        entry = told | ({"failed": trouble} if trouble else read())
        self.found.setdefault((scene, tool), []).append(entry)
        said = f"failed: {trouble}" if trouble else f"{told['seconds']:.1f} s"
        print(f"{scene}: {tool}: {said}", file=sys.stderr, flush=True)


def of_peer(out: str) -> dict:
    """The JSON line, with the files that were found right by their names."""
    line = json.loads(out.strip().splitlines()[-1])
    return line | {"right": dict(zip(line.pop("files"), line.pop("predictions"), strict=True))}


def of_run(folder: Path) -> dict:
    """The same of a run folder of graft. images_per_s is of the second epoch (of the first where there is one)."""
    import pyarrow.parquet as pq

    scores = json.loads((folder / "scores.json").read_text())
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    table = pq.read_table(folder / "predictions.parquet", columns=["path", "label", "predicted"]).to_pylist()
    epochs = [row["seconds"] for row in rows if row["event"] == "epoch"][:2]
    groups = [
        group for row in rows if row["event"] == "phase" and row["run"] == "final" for group in row["groups"] if group["name"] != "head"
    ]
    return {
        "right": {"/".join(Path(row["path"]).parts[-2:]): int(row["label"] == row["predicted"]) for row in table},
        "peak_memory_mb": scores["peak_memory_mb"], "images_per_s": scores["n"]["train"] / epochs[-1] if epochs else None,
        "learning": sum(group["parameters"] for group in groups), "rows": scores["n"],
        "decisions": {row["what"]: f"{row['value']}: {row['reason']}" for row in rows if row["event"] == "decision"},
    }  # fmt: skip


def frozen(bench: Bench, seed: int) -> None:
    cache, passes = bench.root / f"frozen{seed}", bench.args.epochs_frozen
    for tool in ("graft, first run", "graft, again", "graft, compiled forms kept"):
        if tool.endswith("kept"):
            bench.clear("activations", cache)
        bench.graft("frozen", tool, ["-m", "extract"], cache, seed)
    _peers(bench, "frozen", ["--mode", "frozen", "--epochs", str(passes)], seed)


def views(bench: Bench, seed: int) -> None:
    cache = bench.root / f"views{seed}"
    for tool in ("graft, 4 views, first run", "graft, 4 views, again"):
        bench.graft("frozen", tool, ["-m", "extract", "--views", "4"], cache, seed)


def partial(bench: Bench, seed: int) -> None:
    args, cache = bench.args, bench.root / f"partial{seed}"
    options = ["-m", "finetune", "--freeze", args.freeze, "--epochs", str(args.epochs_partial), *batch_of(args)]
    bench.graft("partial", "graft, 4 views, first run", [*options, "--views", "4"], cache, seed)
    bench.graft("partial", "graft, 4 views, again", [*options, "--views", "4"], cache, seed)
    bench.graft("partial", "graft, new images each epoch", options, None, seed)
    _peers(bench, "partial", ["--mode", "partial", "--learn", args.learn, "--epochs", str(args.epochs_partial)], seed)
    bench.graft("partial", "graft, all learns, 1 epoch", ["-m", "finetune", "--epochs", "1", *batch_of(args)], None, seed)


def full(bench: Bench, seed: int) -> None:
    """The same batch for all. `seed` draws the random weights where there are no others."""
    for body in dict.fromkeys((bench.args.body, *filter(None, bench.args.bodies.split(",")))):
        scene = f"full, {body}"
        options = ["-m", "finetune", "--epochs", "2", "--augment", "light", *batch_of(bench.args)]
        bench.graft(scene, "graft", options, None, seed, body)
        bench.graft(scene, "graft, float32", [*options, "--precision", "exact"], None, seed, body)
        for tool in bench.peers:
            bench.peer(scene, tool, ["--mode", "full", "--steps", str(bench.args.full_steps), "--batch", str(bench.args.batch)], seed, body)


def _peers(bench: Bench, scene: str, options: list[str], seed: int) -> None:
    args = bench.args
    for batch in dict.fromkeys((4, args.batch)):
        bench.peer(scene, f"tutorial, batch {batch}", [*options, "--batch", str(batch)], seed)
    # Its default of 5e-5 is for whole networks over many steps: a new head would hardly move.
    bench.peer(scene, "Trainer", [*options, "--lr", str(args.hf_lr), "--batch", str(args.batch)], seed)
    bench.peer(scene, "fastai", [*options, "--batch", str(args.batch)], seed)


def batch_of(args: argparse.Namespace) -> list[str]:
    return ["--set", f"method.batch={args.batch}"]


def wanted(entries: list[dict], name: str) -> list[float]:
    return [entry[name] for entry in entries if entry.get(name) is not None]


def right(entries: list[dict]) -> dict[str, float]:
    """File -> the share of the repetitions that found it right."""
    vectors = [entry["right"] for entry in entries if entry.get("right")]
    return {file: statistics.mean(v[file] for v in vectors) for file in sorted(vectors[0])} if vectors else {}


def table(found: dict[tuple[str, str], list[dict]]) -> None:
    """A row a tool; ratios are to the first tool of the scene: of seconds, or of images a second where everything learns."""
    from graft.metrics import bootstrap

    print("| what | tool | seconds | ratio | images/s | accuracy [95 %] | peak MB |\n|---|---|---|---|---|---|---|")
    first: dict[str, tuple[str, float]] = {}
    for (scene, tool), entries in found.items():
        good = [entry for entry in entries if "failed" not in entry]
        if not good:
            print(f"| {scene} | {tool} | failed: {entries[-1]['failed']} | | | | |")
            continue
        seconds, rates = statistics.median(wanted(good, "seconds")), wanted(good, "images_per_s")
        rate, vector = statistics.median(rates) if rates else None, right(good)
        measure = rate if scene.startswith("full") else seconds
        start = first.setdefault(scene, (tool, measure or 1.0))[1]
        ratio = (start / measure if scene.startswith("full") else measure / start) if measure else 1.0
        score = "" if not vector or scene.startswith("full") else _score(vector, bootstrap)
        spread = f" ({min(wanted(good, 'seconds')):.1f} to {max(wanted(good, 'seconds')):.1f})" if len(good) > 1 else ""
        memory = statistics.median(wanted(good, "peak_memory_mb"))
        print(f"| {scene} | {tool} | {seconds:.1f}{spread} | {ratio:.2f} | {f'{rate:.0f}' if rate else ''} | {score} | {memory:.0f} |")


def _score(vector: dict[str, float], bootstrap) -> str:
    value, n = statistics.mean(vector.values()), len(vector)
    low, high = bootstrap.wilson(value * n, n)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def differences(found: dict[tuple[str, str], list[dict]]) -> list[dict]:
    """Each first run of graft less the other tools of its scene, and less graft's later first runs, image by image."""
    from graft.metrics import bootstrap

    rows, bases = [], {}
    if any(not scene.startswith("full") for scene, _ in found):
        print("\nDifference in accuracy on the same images [95 %]:")
    for (scene, tool), entries in found.items():
        vector = right(entries)
        if scene.startswith("full") or not vector or (tool.startswith("graft") and "first run" not in tool):
            continue
        for name, base in bases.get(scene, {}).items():
            files = sorted(base.keys() & vector.keys())
            value, low, high = bootstrap.paired_difference([base[f] for f in files], [vector[f] for f in files])
            rows.append({"scene": scene, "of": name, "less": tool, "n": len(files), "difference": [value, low, high]})
            print(f"- {scene}: {name}, less {tool}: {value:+.3f} [{low:+.3f}, {high:+.3f}] on {len(files)} images")
        if tool.startswith("graft"):
            bases.setdefault(scene, {})[tool] = vector
    return rows


def check(found: dict[tuple[str, str], list[dict]]) -> None:
    """Says what would make it another comparison: another part of the body learnt, or a kept activation changed a decision."""
    for scene in dict.fromkeys(scene for scene, _ in found):
        tools = {tool: entries for (one, tool), entries in found.items() if one == scene and "all learns" not in tool}
        counts = {tool: entries[-1]["learning"] for tool, entries in tools.items() if "learning" in entries[-1]}
        if len(set(counts.values())) > 1:
            print(f"\nNot the same part of the body learnt in '{scene}': {counts}")
        for tool in (tool for tool in tools if tool.endswith("first run")):
            again = tools.get(tool.replace("first run", "again"), [])
            differ = [i for i, (a, b) in enumerate(zip(tools[tool], again)) if a.get("right") != b.get("right")]
            if differ:
                print(f"\n{scene}: {tool}: the second run decided otherwise in repetitions {differ}")
    from_cache, all_learns = found.get(("partial", "graft, 4 views, again"), []), found.get(("partial", "graft, all learns, 1 epoch"), [])
    small, large = wanted(from_cache, "peak_memory_mb"), wanted(all_learns, "peak_memory_mb")
    if small and large:
        part = statistics.median(small) / statistics.median(large)
        print(f"\nPeak memory of the partial fit from kept activations: {part:.0%} of that of a fit in which everything learns.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    venvs = HERE / "peers" / ".venvs"
    parser.add_argument("--data", type=Path, default=Path("../shared/data/hymenoptera"), help="train/ and val/, each of class folders")
    parser.add_argument("--weights", default="../shared/weights/mobilenet_v2_imagenet.timm.bncal.safetensors", help="of --body")
    parser.add_argument("--body", default="mobilenetv2_100")
    parser.add_argument("--bodies", default="resnet50", help="more bodies, with random weights, for the throughput")
    parser.add_argument("--python-hf", type=Path, default=venvs / "hf" / "bin" / "python")
    parser.add_argument("--python-fastai", type=Path, default=venvs / "fastai" / "bin" / "python")
    parser.add_argument("--only", default=",".join(SCENES), help="by comma")
    parser.add_argument("--epochs-frozen", type=int, default=25, help="of the peers")
    parser.add_argument("--epochs-partial", type=int, default=10, help="of all")
    parser.add_argument("--full-steps", type=int, default=12, help="of the peers; graft runs two epochs")
    parser.add_argument("--freeze", default="stage6", help="the last stage that graft keeps frozen in the partial fit")
    parser.add_argument("--learn", default="blocks.6,conv_head,bn2", help="the same for the peers: prefixes of what learns")
    parser.add_argument("--batch", type=int, default=32, help="of all; the tutorial runs with its own 4 too")
    parser.add_argument("--hf-lr", type=float, default=1e-3, help="of the Trainer where the body is frozen or mostly so")
    parser.add_argument("--select-on", choices=("val",), help="let graft learn from all of train and select on val")
    parser.add_argument("--workers", type=int, default=2, help="of the peers' loaders")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="cpu hides a GPU from all tools")
    parser.add_argument("--repeat", type=int, default=1, help="repetitions, each with another seed and an empty cache")
    parser.add_argument("--json", type=Path, help="write the raw numbers here too")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.data, scenes = args.data.resolve(), args.only.split(",")
    if set(scenes) - set(SCENES):
        sys.exit(f"--only takes {', '.join(SCENES)}, by comma")
    if not args.data.is_dir() or not (args.weights == "none" or Path(args.weights).is_file()):
        print("against_peers: no data or no weights there; give --data FOLDER and --weights FILE")
        return
    args.weights = args.weights if args.weights == "none" else str(Path(args.weights).resolve())
    root = Path(tempfile.mkdtemp(prefix="graft-peers-"))
    bench = Bench(args, root)
    machine = json.loads(bench.launch([sys.executable, "-c", DESCRIBE])[1])
    if args.device == "cuda" and machine["device"] == "cpu":
        sys.exit("--device cuda: torch finds no GPU here")
    for tool, (_, python) in bench.peers.items():
        if not Path(python).exists():
            print(f"{tool} is left out: there is no {python} (make bench-peers makes it)")
    for seed in range(args.repeat):
        for scene in (scene for scene in SCENES if scene in scenes):
            {"frozen": frozen, "views": views, "partial": partial, "full": full}[scene](bench, seed)
    shutil.rmtree(root, ignore_errors=True)
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, device {machine['device']}; torch {machine['torch']}, "
          f"timm {machine['timm']}, graft {machine['graft']}; {args.data.name}, {args.body}, {args.repeat} repetition(s)\n")  # fmt: skip
    table(bench.found)
    rows = differences(bench.found)
    check(bench.found)
    if args.json:
        found = [{"scene": scene, "tool": tool, "runs": entries} for (scene, tool), entries in bench.found.items()]
        told = {name: str(value) for name, value in vars(args).items()}
        args.json.write_text(json.dumps({"machine": machine, "arguments": told, "found": found, "differences": rows}, indent=1))


if __name__ == "__main__":
    main()
