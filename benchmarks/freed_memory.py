"""Training steps with and without keeping freed memory for the next one, each in a process of its own, by turns.

    python benchmarks/freed_memory.py [--body mobilenetv2_100] [--steps 5] [--rounds 2]

Prints images a second of the fastest step (batch 32, 224 pixels, everything learns) and page faults, in float32 and bfloat16.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

WAYS = (("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True))


def steps(body: str, count: int, dtype: str, keep: bool) -> dict:
    import timm
    import torch

    from graft.engine import device

    machine = device.Machine(torch.device("cpu"), getattr(torch, dtype))
    if keep:
        device.keep_freed_memory(machine)
    torch.manual_seed(0)
    net, best = machine.place(timm.create_model(body, num_classes=2)), float("inf")
    images, targets = machine.place(torch.randn(32, 3, 224, 224)), torch.arange(32) % 2
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    for _ in range(count):
        began = time.perf_counter()
        optimizer.zero_grad()
        with machine.autocast():
            loss = torch.nn.functional.cross_entropy(net(images), targets)
        loss.backward()
        optimizer.step()
        best = min(best, time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"rate": 32 / best, "faults": used.ru_minflt, "peak": used.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--body", default="mobilenetv2_100")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(steps(args.body, args.steps, args.child[0], args.child[1] == "True")))
        return
    found: dict[tuple[str, bool], list[dict]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for dtype, keep in WAYS:
            command = [sys.executable, __file__, "--body", args.body, "--steps", str(args.steps), "--child", dtype, str(keep)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[dtype, keep].append(json.loads(out.splitlines()[-1]))
    print("| arithmetic | freed memory | images/s | page faults | peak MB |\n|---|---|---|---|---|")
    for (dtype, keep), runs in found.items():
        best = max(runs, key=lambda run: run["rate"])
        said = "kept" if keep else "given back"
        print(f"| {dtype} | {said} | {best['rate']:.1f} | {best['faults']:,} | {best['peak']:.0f} |")


if __name__ == "__main__":
    main()
