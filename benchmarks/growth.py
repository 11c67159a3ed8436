"""How a head's time and memory grow with its rows, read from the store: 1,000 to 1,000,000 rows of synthetic activations.

    python benchmarks/growth.py --sizes 1000,10000,100000 --width 1280 --classes 10

For each size one child process writes the rows into a store in a temporary folder, and another, which has nothing in
memory, trains a logistic head from there. "resident" is that child's largest resident memory, pages of mapped files
included. The last line is the time per row of the largest size over that of the one before: about 1 where growth is linear.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BLOCK, FRESH, KEY = 4096, 10_000, "67726f777468"
COLUMNS = ("rows", "write s", "train s", "s / 1000 rows", "passes", "start MB", "resident MB", "accuracy", "C")


def draw(block: int, count: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [count, width], class numbers) of one block; the class means are alike in all of them. As pooled activations are,
    features are correlated, above zero and of uneven size."""
    shared, own = np.random.default_rng(0), np.random.default_rng([1, block])
    means, size = 0.09 * shared.standard_normal((classes, width)), shared.uniform(0.2, 2, width)
    mix = shared.standard_normal((64, width)) / 8
    y = own.integers(0, classes, count)
    x = own.standard_normal((count, width), np.float32) + own.standard_normal((count, 64), np.float32) @ mix.astype(np.float32)
    x += means[y].astype(np.float32)
    return np.maximum(x + 0.5, 0) * size.astype(np.float32), y


def blocks(rows: int) -> list[tuple[int, int, int]]:
    """(number, first row, rows) of each block."""
    return [(i, first, min(BLOCK, rows - first)) for i, first in enumerate(range(0, rows, BLOCK))]


def keys(first: int, count: int) -> list[bytes]:
    return [row.to_bytes(16, "little") for row in range(first, first + count)]


def shelf(width: int):
    from graft.engine import store

    found = store.find()
    if found is None:
        sys.exit(store.why_not())
    return found, found.shelf(KEY, {"body": "growth", "width": width})


class Rows:
    """Features [n, width] on a shelf, in blocks or by number."""

    def __init__(self, shelf, rows: int, width: int):
        self.shelf, self.shape = shelf, (rows, width)
        self.positions = np.concatenate([shelf.find(keys(first, count)) for _, first, count in blocks(rows)])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        return self.shelf.take(self.positions[which])["x"].numpy()


def write(rows: int, width: int, classes: int) -> dict:
    """Draw and write; only what writing takes is counted."""
    import torch

    store, target = shelf(width)
    # Above what the rows take, so that nothing is evicted.
    store.set_limit(int(1.1 * rows * (4 * width + 16)) + 10**9)
    seconds, y = 0.0, []
    for block, first, count in blocks(rows):
        x, labels = draw(block, count, width, classes)
        y.append(labels)
        began = time.perf_counter()
        if not target.add(keys(first, count), {"x": torch.from_numpy(x)}):
            sys.exit(target.trouble)
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    if not target.flush():
        sys.exit(target.trouble)
    np.save(store.folder / "y.npy", np.concatenate(y))
    return {"write s": seconds + time.perf_counter() - began}


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def train(rows: int, width: int, classes: int) -> dict:
    import torch

    from graft.heads import streamed

    store, source = shelf(width)
    y, features, before = np.load(store.folder / "y.npy"), Rows(source, rows, width), resident()
    began = time.perf_counter()
    told = (lambda text: print(f"  {time.perf_counter() - began:7.1f} s  {text}", file=sys.stderr)) if "GROWTH_TOLD" in os.environ else None
    found = streamed.regress(features, y, 0, "class", classes, told=told)
    seconds, most = time.perf_counter() - began, resident()
    # Numbers of blocks that no row was drawn from.
    fresh = [draw(10**6 + block, count, width, classes) for block, _, count in blocks(FRESH)]
    with torch.inference_mode():
        right = sum(int((found.head(torch.from_numpy(x)).argmax(1).numpy() == labels).sum()) for x, labels in fresh)
    return {
        "train s": seconds, "s / 1000 rows": 1000 * seconds / rows, "passes": found.chosen["passes"], "start MB": before,
        "resident MB": most, "accuracy": right / FRESH, "C": found.chosen["C"],
    }  # fmt: skip


def child(what: str, rows: int, args: argparse.Namespace, folder: str) -> dict:
    command = [sys.executable, __file__, "--child", what, "--sizes", str(rows), "--width", str(args.width), "--classes", str(args.classes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"GRAFT_CACHE": folder}, check=False)
    if done.returncode:
        sys.exit(f"{what} of {rows} rows ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def shown(row: dict) -> str:
    cells = [f"{row[name]:,.3g}" if isinstance(row[name], float) and row[name] < 100 else f"{row[name]:,.0f}" for name in COLUMNS]
    return " | ".join(cell.rjust(len(name)) for cell, name in zip(cells, COLUMNS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="rows, separated by commas")
    parser.add_argument("--width", type=int, default=1280, help="features a row")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--child", choices=["write", "train"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.child:
        print(json.dumps((write if args.child == "write" else train)(sizes[0], args.width, args.classes)))
        return
    table = []
    print(" | ".join(COLUMNS))
    for rows in sizes:
        folder = tempfile.mkdtemp(prefix="graft-growth-")
        try:
            table.append({"rows": rows} | child("write", rows, args, folder) | child("train", rows, args, folder))
        finally:
            shutil.rmtree(Path(folder), ignore_errors=True)
        print(shown(table[-1]), flush=True)
    if len(table) > 1:
        last, before = table[-1], table[-2]
        ratio, passes = (last[name] / before[name] for name in ("s / 1000 rows", "passes"))
        print(f"time per row, {last['rows']:,} over {before['rows']:,} rows: {ratio:.2f} (passes: {passes:.2f})")


if __name__ == "__main__":
    main()
