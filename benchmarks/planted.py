"""How many planted copies and planted label errors `graft check` finds in real sets, and how many of its findings are planted.

    python benchmarks/planted.py --data ../shared/data --weights mobilenetv2.safetensors

Into each set (its train and val together) copies of randomly drawn images are planted, of every kind in turn, as files in a
temporary folder; the data stay as they are. A pair counts as right where both come from one original. Pairs of originals that
are found before anything is planted are the set's own: they are counted apart. Labels are planted by giving randomly drawn
rows another class at random; every suspect that was not planted counts as wrong, though it may be an error of the set's own,
and the last column leaves out those that are suspected before anything is planted. Sums over the seeds.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from graft.inspect.copies import Pictures

SETS = ("potato_leaf", "hymenoptera", "pacs/photo")
RATES = (0.01, 0.05, 0.1)
REQUIRED = ("resized", "re-encoded", "flipped", "all of them")
KINDS = (*REQUIRED, "cropped", "brightened")


class Body:
    """A frozen network through graft's own passes, in float32: one vector a file or an image in memory."""

    def __init__(self, name: str, weights: str | None, folder: Path):
        from graft import catalog
        from graft.core import Net
        from graft.data.augment import Augment, Options
        from graft.data.streams import Streams
        from graft.engine import device
        from graft.engine.passes import Passes
        from graft.engine.store import Store
        from graft.heads.pool import pooling
        from graft.spec import backbone_row

        row = backbone_row(name).name
        body = catalog.resolve("backbone", row)(name, catalog.options("backbone", row)(**({"weights": weights} if weights else {})), 0)
        self.machine, self.prepare = device.find(), body.prepare
        net = Net(body, pooling("auto", body.pool, body.prefix_tokens), torch.nn.Identity(), (len(body.names) - 1,))
        self.net = self.machine.place(net).eval()
        streams = Streams(body.prepare, len, Augment(Options("none")), 0, threads=torch.get_num_threads())
        self.passes = Passes(streams, self.machine, "exact", Store(folder))

    def files(self, paths: Sequence[str]) -> np.ndarray:
        kept = self.passes.kept(self.net, self.net.pooled, pa.table({"path": list(paths)}), exact=True)
        return kept.take(np.arange(len(paths)))["x"].numpy()

    @torch.inference_mode()
    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        from graft.data.images import load_images, normalise

        batch = self.machine.place(normalise(load_images(list(images), self.prepare), self.prepare))
        return self.net.advance(batch, 0, self.net.pooled)["x"].float().cpu().numpy()

    def mirrored(self, paths: Sequence[str]) -> np.ndarray:
        from graft.data.images import decode

        parts = [self.images([np.ascontiguousarray(decode(p, 2 * self.prepare.resize)[:, ::-1]) for p in paths[i : i + 32]])
                 for i in range(0, len(paths), 32)]  # fmt: skip
        return np.concatenate(parts)


def table(folder: Path) -> tuple[list[str], np.ndarray, list[str], tuple[str, ...]]:
    """(paths, labels int [n], splits, classes) of a folder of class folders, all splits together."""
    from graft.readers import image_folder

    data = image_folder.read(str(folder), image_folder.Options())
    tables = {name: getattr(data, name) for name in ("train", "val", "test") if getattr(data, name) is not None}
    paths = [path for one in tables.values() for path in one["path"].to_pylist()]
    labels = [data.schema.classes.index(label) for one in tables.values() for label in one["label"].to_pylist()]
    return paths, np.array(labels), [name for name, one in tables.items() for _ in range(len(one))], data.schema.classes


def planted_copy(path: str, kind: str, rng: np.random.Generator, to: Path) -> str:
    """Writes a copy of an image file; its path. Made otherwise than the copies the threshold is calibrated on: other filters,
    sizes, formats and qualities."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    if kind in ("resized", "all of them"):
        factor = rng.choice([rng.uniform(0.35, 0.85), rng.uniform(1.2, 1.8)])
        image = image.resize((round(width * factor), round(height * factor)), rng.choice([1, 2, 3, 4, 5]))
    if kind in ("flipped", "all of them"):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if kind == "cropped":
        edge = rng.uniform(0, 0.04, 4) * (width, height, width, height)
        image = image.crop((int(edge[0]), int(edge[1]), width - int(edge[2]), height - int(edge[3])))
    if kind == "brightened":
        gain = rng.choice([0.85, 0.9, 1.1, 1.2])
        image = image.point(lambda level: min(255, level * gain))
    lossy = kind in ("re-encoded", "all of them")
    form = rng.choice(["JPEG", "WEBP"] if lossy else ["JPEG", "PNG", "WEBP"])
    to = to.with_suffix({"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[form])
    image.save(to, str(form), quality=int(rng.integers(40, 91)) if lossy else 93)
    return str(to)


def joined(one: Pictures, other: Pictures) -> Pictures:
    pairs = [(getattr(one, field), getattr(other, field)) for field in ("thumbnails", "embeddings", "mirrored")]
    return type(one)(*(None if a is None else np.concatenate([a, b]) for a, b in pairs))


def copies(name: str, paths: list[str], body: Body, seeds: int, folder: Path, alone: bool) -> list[dict]:
    """One row a rate. alone: thumbnails without embeddings."""
    from graft.inspect import duplicates, photos

    def gather(files: list[str]) -> Pictures:
        small = photos.gather(files).small
        return Pictures(small) if alone else Pictures(small, body.files(files), body.mirrored(files))

    base, embed, rows = gather(paths), None if alone else body.images, []
    own = [duplicates.near(base, paths, embed, seed=seed) for seed in range(seeds)]
    for rate in RATES:
        count, tally, pairs, expected, seconds = max(1, round(rate * len(paths))), {kind: [0, 0] for kind in KINDS}, [0, 0, 0], [], 0.0
        for seed in range(seeds):
            rng = np.random.default_rng((seed, round(1000 * rate)))
            origins, kinds = rng.permutation(len(paths))[:count], [KINDS[(i + seed) % len(KINDS)] for i in range(count)]
            place = folder / name.replace("/", "_") / f"{alone}{rate}" / f"{seed}"
            place.mkdir(parents=True)
            made = [planted_copy(paths[o], kind, rng, place / f"{i:04d}") for i, (o, kind) in enumerate(zip(origins, kinds))]
            both, began = joined(base, gather(made)), time.perf_counter()
            found = duplicates.near(both, [*paths, *made], embed, seed=seed)
            seconds += time.perf_counter() - began
            pairs = np.add(pairs, sorted_out(found.pairs, np.concatenate([np.arange(len(paths)), origins]), own[seed].pairs))
            there = {tuple(pair) for pair in found.pairs.tolist()}
            for i, (origin, kind) in enumerate(zip(origins, kinds)):
                tally[kind] = [tally[kind][0] + ((int(origin), len(paths) + i) in there), tally[kind][1] + 1]
            if found.threshold is not None and found.threshold.precision is not None:
                expected.append(found.threshold.precision)
        hit, planted = (sum(tally[kind][i] for kind in REQUIRED) for i in (0, 1))
        rows.append({
            "set": name, "rate": rate, "measures": "thumbnails" if alone else "and embeddings", "planted": planted,
            "precision": float(pairs[0] / max(1, pairs[0] + pairs[1])), "recall": hit / max(1, planted), "wrong": int(pairs[1]),
            "own": int(pairs[2]), "before": [len(one.pairs) for one in own], "kinds": tally,
            "expected": float(np.mean(expected)) if expected else None, "seconds": seconds / seeds,
        })  # fmt: skip
        r = rows[-1]
        told = ", ".join(f"{kind} {hits}/{of}" for kind, (hits, of) in tally.items())
        print(
            f"| {name} | {r['measures']} | {rate:.0%} | {planted} | {r['precision']:.2f} | {r['recall']:.2f} | {told} | {r['wrong']} | "
            f"{r['own']} ({min(r['before'])} to {max(r['before'])} before) | {r['expected'] or 0:.2f} | {r['seconds']:.1f} |",
            flush=True,
        )
    return rows


def sorted_out(pairs: np.ndarray, origin: np.ndarray, before: np.ndarray) -> tuple[int, int, int]:
    """How many pairs are (of one origin, of different origins, of origins that were found alike before planting)."""
    known, counts = {tuple(pair) for pair in before.tolist()}, [0, 0, 0]
    for pair in np.sort(origin[pairs], 1).tolist():
        counts[0 if pair[0] == pair[1] else 2 if tuple(pair) in known else 1] += 1
    return tuple(counts)


def label_errors(name: str, features: np.ndarray, labels: np.ndarray, seeds: int) -> list[dict]:
    from graft.inspect import confident

    k, rows = int(labels.max()) + 1, []
    began = set(confident.suspects(confident.out_of_fold(features, labels), labels).rows.tolist())
    for rate in RATES:
        planted = found = right = early = 0
        expected, seconds = [], 0.0
        for seed in range(seeds):
            rng = np.random.default_rng((seed, round(1000 * rate)))
            wrong = rng.permutation(len(labels))[: max(1, round(rate * len(labels)))]
            given = labels.copy()
            given[wrong] = (labels[wrong] + rng.integers(1, k, len(wrong))) % k
            start = time.perf_counter()
            told = confident.suspects(confident.out_of_fold(features, given, seed), given)
            seconds += time.perf_counter() - start
            hits = set(told.rows.tolist())
            planted, found, right = planted + len(wrong), found + len(hits), right + len(hits & set(wrong.tolist()))
            early += len(hits & began - set(wrong.tolist()))
            if told.precision is not None:
                expected.append(told.precision)
        rows.append({
            "set": name, "rate": rate, "planted": planted, "precision": right / max(1, found), "recall": right / planted,
            "found": found, "own": early, "apart": right / max(1, found - early), "before": len(began),
            "expected": float(np.mean(expected)) if expected else None, "seconds": seconds / seeds,
        })  # fmt: skip
        r = rows[-1]
        print(f"| {name} | {rate:.0%} | {planted} | {found} | {r['precision']:.2f} | {r['recall']:.2f} | {r['expected'] or 0:.2f} | "
              f"{early} ({len(began)} before) | {r['apart']:.2f} | {r['seconds']:.1f} |", flush=True)  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", help="a network of timm; mobilenetv2_100 where --weights is given, else graft-mini")
    parser.add_argument("--weights", help="its weights file")
    parser.add_argument("--only", choices=("copies", "labels"))
    parser.add_argument("--embeddings", action="store_true", help="find copies with embeddings as well, which takes much longer")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    name, rows = args.backbone or ("mobilenetv2_100" if args.weights else "graft-mini"), []
    with tempfile.TemporaryDirectory(prefix="graft-planted-") as root:
        body, sets = Body(name, args.weights, Path(root) / "store"), {one: table(args.data / one) for one in args.sets}
        if args.only != "labels":
            print(f"Copies ({name}), {args.seeds} seeds; precision is of pairs, and recall of the first four kinds\n\n"
                  "| set | measures | rate | planted | precision | recall | found of each kind | wrong pairs | the set's own | "
                  "precision it expects | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
            for one, (paths, *_) in sets.items():
                for alone in (True, False)[: 1 + args.embeddings]:
                    rows += copies(one, paths, body, args.seeds, Path(root), alone)
        if args.only != "copies":
            print(f"\nLabel errors ({name}), {args.seeds} seeds\n\n| set | rate | planted | suspects | precision | recall | "
                  "precision it expects | suspected before planting | precision without these | seconds |\n"
                  "|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
            for one, (paths, labels, *_) in sets.items():
                rows += label_errors(one, body.files(paths), labels, args.seeds)
    if args.json:
        args.json.write_text(json.dumps({"backbone": name, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
