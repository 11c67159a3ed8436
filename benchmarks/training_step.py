"""A training step as torch does it, in graft's faster ways (graft.engine.kernels), and compiled, by turns in one process.

    python benchmarks/training_step.py --bodies mobilenetv2_100,resnet18 --ways plain,quick,compiled --steps 4

Everything learns from random weights, AdamW, batches of 32, 224 pixels. Seconds are processor time of this process by default, which
other work on the machine disturbs less than the clock (--clock wall for the other; with one thread they are the same on an idle machine).
The first step of `compiled` holds the compilation, with what the compiler's own processes took.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable


def spent(clock: str) -> float:
    if clock == "wall":
        return time.perf_counter()
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def stepper(body: str, way: str, args: argparse.Namespace, machine) -> Callable[[], tuple[float, float]]:
    """A function that makes one step; its seconds and its loss."""
    import torch
    from torch import nn

    from graft.backbones import from_timm
    from graft.core import Net
    from graft.engine import device
    from graft.heads.pool import pooling

    torch.manual_seed(0)
    backbone = from_timm.load(body, from_timm.Options(weights="none"))
    net = Net(backbone, pooling("auto", backbone.pool, backbone.prefix_tokens), nn.Identity(), (len(backbone.names) - 1,))
    net.head = nn.Linear(device.pooled_width(net), 2)
    net = machine.place(net).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    images = machine.place(torch.randn(args.batch, 3, args.size, args.size, generator=torch.Generator().manual_seed(0)))
    targets = machine.place(torch.arange(args.batch) % 2)
    around = machine.learning if way == "quick" else machine.autocast
    run = torch.compile(net, dynamic=False) if way == "compiled" else net

    def step() -> tuple[float, float]:
        began = spent(args.clock)
        optimizer.zero_grad()
        with around():
            loss = nn.functional.cross_entropy(run(images).float(), targets)
        loss.backward()
        optimizer.step()
        loss = loss.item()  # Also waits for a GPU.
        return spent(args.clock) - began, loss

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", default="mobilenetv2_100")
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--ways", default="plain,quick", help="plain, quick, compiled, by comma")
    parser.add_argument("--steps", type=int, default=5, help="of each way, after its first two")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    args = parser.parse_args()
    # Compiled in this process's own children, one after the other, so that their time is seen.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    import torch

    from graft.engine import device

    machine = device.find()
    told = device.describe(machine)
    print(f"{told['cpu']}, {told['threads']} threads, device {told['device']}; torch {told['torch']}; seconds by {args.clock}\n")
    print("| body | arithmetic | way | first step | median step | fastest | images/s (median) | losses |\n"
          "|---|---|---|---|---|---|---|---|")  # fmt: skip
    for body in args.bodies.split(","):
        for dtype in args.dtypes.split(","):
            placed = device.Machine(machine.device, getattr(torch, dtype))
            device.keep_freed_memory(placed)
            steps = {way: stepper(body, way, args, placed) for way in args.ways.split(",")}
            first = {way: step() for way, step in steps.items()}
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in steps}
            for number in range(args.steps + 1):
                for way, step in steps.items():
                    took = step()
                    if number:
                        found[way].append(took)
            for way, rows in found.items():
                seconds = [took for took, _ in rows]
                middle = statistics.median(seconds)
                print(f"| {body} | {dtype} | {way} | {first[way][0]:.1f} | {middle:.2f} | {min(seconds):.2f} | {args.batch / middle:.1f} | "
                      f"{first[way][1]:.4f} to {rows[-1][1]:.4f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
