"""A training step as torch does it, in graft's faster ways (graft.engine.kernels), and compiled, by turns in one process.

    python benchmarks/training_step.py --bodies mobilenetv2_100,resnet18 --ways plain,quick,compiled --steps 4

Everything learns from random weights, AdamW, batches of 32, 224 pixels. On a CPU seconds are processor time, which other work on the
machine disturbs less than the clock (--clock wall for that; with one thread both are the same on an idle machine); on a GPU they are
the clock's, and `quick` is the same as `plain`. The first step of `compiled` holds the compilation, with what the compiler's own
processes took. --peak adds the share of the measured bfloat16 peak (see roofline.py), a step being three forward passes.
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


def gradients(clock: str) -> None:
    """The gradient of the input of MobileNetV2's depthwise convolutions with a stride, in milliseconds, the faster of three."""
    import torch

    print("| channels | pixels | float32, ms | bfloat16, ms |\n|---|---|---|---|")
    for channels, side in ((96, 112), (144, 56), (192, 28), (576, 14)):
        rows, fastest = [torch.randn(32, channels, n, n) for n in (side // 2, side)], []
        for dtype in (torch.float32, torch.bfloat16):
            given = [value.to(dtype, memory_format=torch.channels_last) for value in rows] + [torch.randn(channels, 1, 3, 3).to(dtype)]
            about, times = ([2, 2], [1, 1], [1, 1], False, [0, 0], channels, [True, False, False]), []
            for _ in range(3):
                began = spent(clock)
                torch.ops.aten.convolution_backward(*given, None, *about)
                times.append(spent(clock) - began)
            fastest.append(f"{1000 * min(times):.0f}")
        print(f"| {channels} | {side} | {' | '.join(fastest)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", default="mobilenetv2_100")
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--ways", default="plain,quick", help="plain, quick, compiled, by comma")
    parser.add_argument("--steps", type=int, default=5, help="of each way, after its first two")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clock", choices=("cpu", "wall"))
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--gradients", action="store_true", help="time only the gradients of strided depthwise convolutions, on the CPU")
    args = parser.parse_args()
    if args.gradients:
        gradients(args.clock or "cpu")
        return
    # Compiled in this process's own children, one after the other, so that their time is seen.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    import timm
    import torch
    from roofline import multiply_adds, peak

    from graft.engine import device

    machine = device.find()
    args.clock = args.clock or ("cpu" if machine.device.type == "cpu" else "wall")
    told, top = device.describe(machine), peak(machine.device) if args.peak else 0.0
    print(f"{told['cpu']}, {told['threads']} threads, device {told['device']}; torch {told['torch']}; seconds by {args.clock}\n")
    print("| body | arithmetic | way | first step | median step | fastest | images/s (median) | losses | of the peak |\n"
          "|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for body in args.bodies.split(","):
        work = 3 * multiply_adds(timm.create_model(body, num_classes=0).eval(), args.size) if top else 0.0
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
                share = f"{args.batch / middle * work / top:.0%}" if top else ""
                print(f"| {body} | {dtype} | {way} | {first[way][0]:.1f} | {middle:.2f} | {min(seconds):.2f} | {args.batch / middle:.1f} | "
                      f"{first[way][1]:.4f} to {rows[-1][1]:.4f} | {share} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
