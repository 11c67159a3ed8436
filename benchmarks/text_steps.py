"""What a fine-tuning step on texts costs by what stays frozen and by how batches are padded, in one process by turns.

    OMP_NUM_THREADS=1 python benchmarks/text_steps.py --data ../shared/data/rt_polarity [--steps 16]

Prints seconds of the processor (not of the clock, so that other work on the machine matters less) for 1,000 texts: batches of 32,
MiniLM, AdamW, bfloat16, one thread. "sixteens": sorted by lengths rounded up to 16 and padded to a multiple of 8, as graft did first;
"exact": as its streams do it. Frozen stages are run, not kept.
"""

import argparse
import time
from pathlib import Path

FROZEN = ("none", "embeddings", "layer1", "layer2")
WAYS = (("none", "sixteens"), *((freeze, "exact") for freeze in FROZEN))


def batches(parts, padding: str, count: int) -> list:
    """The first batches of an epoch, drawn and sorted in one of the two ways."""
    from itertools import islice

    import numpy as np
    import torch

    from graft.core import Batch, Stream
    from graft.data import order
    from graft.data.texts import POOL
    from graft.data.tokens import collate

    table, stream = parts.data.train, Stream(parts.data.train, 32)
    if padding == "exact":
        return list(islice(parts.streams.epoch(stream, ("x",)), count))
    tokens, targets, found = parts.streams.tokens(table), parts.task.encode(table), []
    cells = parts.streams.cells(table)
    drawn = order.batches(stream, None, 0, "x")
    for first in range(0, len(drawn), POOL):
        pool = np.concatenate(drawn[first : first + POOL])
        found += np.split(pool[np.argsort(cells[pool], kind="stable")], np.cumsum([len(one) for one in drawn[first : first + POOL]])[:-1])
    out = []
    for number in np.random.default_rng(0).permutation(len(found))[:count]:
        rows = [tokens[row] for row in found[number]]
        index = torch.from_numpy(found[number])
        out.append(Batch(collate(rows, parts.backbone.prepare.pad, -(-max(map(len, rows)) // 8) * 8), targets[index], index))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data/rt_polarity")
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args()
    if not args.data.is_dir():
        print("text_steps: no data there; give --data FOLDER")
        return
    import torch

    from graft.assembly import wiring
    from graft.engine import train
    from graft.engine.device import Machine
    from graft.engine.journal import Journal
    from graft.methods import groups, recipe
    from graft.spec import Spec

    parts = wiring.assemble(Spec.make(str(args.data), backbone="minilm", method="finetune", evidence="off"), Journal())
    machine = Machine(torch.device("cpu"), torch.bfloat16)
    torch.set_num_threads(1)
    given = {padding: batches(parts, padding, args.steps) for padding in ("sixteens", "exact")}
    loops, spent = {}, dict.fromkeys(WAYS, 0.0)
    for way in WAYS:
        net = parts.net("final")
        frozen = groups.depth(net, way[0])
        who = groups.layerwise(net, 1e-4, 0.9, 0.02, frozen) + groups.head(net, 1e-3, 0.02)
        phase = recipe.phase("steps", parts.task, parts.data, recipe.Training(epochs=1), who, frozen=frozen)
        loops[way] = train.Loop(net, phase, machine, train.Progress(began=time.monotonic()), args.steps)
        train.freeze(net, phase)
    for number in (0, *range(args.steps)):  # the first one twice, to warm up
        for way, loop in loops.items():
            began = time.process_time()
            loop._step({"train": given[way[1]][number]}, None)
            spent[way] += time.process_time() - began if number or loop.progress.step > 1 else 0.0
    print("| frozen | batches | tokens a text, padded | real | processor s / 1,000 texts |\n|---|---|---|---|---|")
    for (freeze, padding), seconds in spent.items():
        masks = [batch.inputs["mask"] for batch in given[padding]]
        texts = sum(len(mask) for mask in masks)
        padded, real = sum(mask.numel() for mask in masks) / texts, sum(int(mask.sum()) for mask in masks) / texts
        print(f"| {freeze} | {padding} | {padded:.1f} | {real:.1f} | {1000 * seconds / texts:.1f} |")


if __name__ == "__main__":
    main()
