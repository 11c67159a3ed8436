"""How much of the processor's bfloat16 peak a frozen pass uses: by torch, by OpenVINO by hand, and by graft from JPEG files.

    python benchmarks/roofline.py --bodies resnet50,mobilenetv2_100 --images ../shared/data/hymenoptera ../shared/data/potato_leaf

The peak is that of large square matrix products in bfloat16, the best of several; a body's multiply-adds are counted, and
the two give the images a second that the peak would allow. No network reaches it: depthwise convolutions, for one, are
limited by memory. torch and OpenVINO run on tensors that are there, in batches that suit them; graft's own pass also
digests, decodes and resizes the files (more of them, --files, since its start is timed too), and keeps what comes out.
Peak and passes take turns, and each share is of the peak of its own round, so noise meets both. Weights are random: they do
not change the arithmetic.

Last come graft's passes against the best by hand in float32 (for `exact`) and of all (for `fast`): how many times as long graft
takes as that engine alone on tensors, and as that engine and the decoding of the same files one after the other, for
both want the same cores (on a GPU they run side by side). Ratios are of one round each; the median is printed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

Timed = Callable[[], tuple[int, float]]
"""Runs once; how many images that were, and the seconds."""

SIZES = (2048, 3072, 4096)
GRAFT, DECODING = "graft from files, --precision ", "decoding of the files alone"

# OpenVINO reports each import and conversion to its maker through this package; without it, it does not.
sys.modules["openvino_telemetry"] = None


def settled(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak(device: torch.device, tries: int = 4) -> float:
    """Multiply-adds a second of the best of several bfloat16 matrix products."""
    best = 0.0
    for size in SIZES:
        a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
        for _ in range(tries):
            began = settled(device)
            a @ b
            best = max(best, size**3 / (settled(device) - began))
    return best


def multiply_adds(network: nn.Module, pixels: int) -> float:
    """Of one image, as PyTorch counts them: convolutions and matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 3, pixels, pixels))
    return counter.get_total_flops() / 2


def by_torch(network: nn.Module, images: Tensor, batch: int, dtype: torch.dtype, layout: torch.memory_format) -> Timed:
    from copy import deepcopy

    device = images.device
    network = deepcopy(network).to(device, dtype, memory_format=layout)
    parts = [part.to(dtype, memory_format=layout) for part in images.split(batch)]

    @torch.inference_mode()
    def run() -> tuple[int, float]:
        began = settled(device)
        for part in parts:
            network(part)
        return len(images), settled(device) - began

    return run


def by_openvino(network: nn.Module, images: Tensor, batch: int, precision: str) -> Timed:
    """A queue of asynchronous requests, a stream a thread."""
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(network, example_input=images[:1], input=[batch, *images.shape[1:]])
    threads = torch.get_num_threads()
    settings = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings))
    parts = [part.numpy() for part in images.split(batch) if len(part) == batch]

    def run() -> tuple[int, float]:
        began = time.perf_counter()
        for part in parts:
            queue.start_async({0: part}, share_inputs=True)
        queue.wait_all()
        return batch * len(parts), time.perf_counter() - began

    return run


def graft_pass(body: str, files: list[str], precision: str, folder: Path) -> tuple[Timed, str]:
    """graft's own pass over files, from an empty store but for the compiled form; and the way it takes.

    The first pass, which makes the compiled form, is not timed.
    """
    import pyarrow as pa

    from graft.backbones import from_timm
    from graft.core import Net
    from graft.data.augment import Augment, Options
    from graft.data.streams import Streams
    from graft.engine import device
    from graft.engine.passes import Passes
    from graft.engine.store import Store
    from graft.heads.pool import pooling

    backbone = from_timm.load(body, from_timm.Options(weights="none"))
    net = Net(backbone, pooling("auto", backbone.pool, backbone.prefix_tokens), nn.Identity(), (len(backbone.names) - 1,))
    machine, store, table = device.find(), Store(folder), pa.table({"path": files})
    net, decided = machine.place(net), {}

    def run() -> tuple[int, float]:
        store.clear("activations")
        began = time.perf_counter()
        # Fresh streams, so that no decoded image is left from before.
        with Streams(backbone.prepare, len, Augment(Options("none")), 0, threads=torch.get_num_threads()) as streams:
            kept = Passes(streams, machine, precision, store, decided=decided).kept(net, net.pooled, table)
            if len(kept) != len(files):
                raise AssertionError(f"{len(kept)} of {len(files)} files came out")
        return len(files), time.perf_counter() - began

    run()
    ways = {one["about"].get("way") or one["about"].get("dtype") for one in store.held() if one["kind"] == "activations"}
    return run, ", ".join(sorted(filter(None, ways)))


def decoding(body: str, files: list[str]) -> Timed:
    """The files to the pixels of the body, with graft's threads, and nothing else."""
    import pyarrow as pa

    from graft.backbones import from_timm
    from graft.data.augment import Augment, Options
    from graft.data.streams import PLAIN, Streams

    prepare, table = from_timm.load(body, from_timm.Options(weights="none")).prepare, pa.table({"path": files})

    def run() -> tuple[int, float]:
        with Streams(prepare, len, Augment(Options("none")), 0, threads=torch.get_num_threads()) as streams:
            streams.digests(table)
            began = time.perf_counter()
            count = sum(len(part) for part in streams.inputs(table, [(row, PLAIN) for row in range(len(files))], 32))
            return count, time.perf_counter() - began

    return run


def beside_best(rates: dict[str, list[float]], precision: str) -> tuple[str, list[float], list[float]]:
    """The engine that is best by hand (by its median) for a precision of graft's, and in each round how many times as long graft takes
    as it does: alone, and after decoding."""
    graft = next(values for name, values in rates.items() if name.startswith(GRAFT + precision))
    by_hand = {name: values for name, values in rates.items() if not name.startswith(GRAFT) and name != DECODING}
    if precision == "exact":
        by_hand = {name: values for name, values in by_hand.items() if "float32" in name}
    best = max(by_hand, key=lambda name: statistics.median(by_hand[name]))
    alone = [hand / own for hand, own in zip(by_hand[best], graft, strict=True)]
    after = [1 / own / (1 / hand + 1 / files) for hand, own, files in zip(by_hand[best], graft, rates[DECODING], strict=True)]
    return best, alone, after


def passes(body: str, args: argparse.Namespace, files: list[str], folder: Path) -> tuple[dict[str, Timed], float]:
    """Every pass by its name, warm; and the multiply-adds of one image."""
    import timm

    from graft.engine import device

    machine = device.find()
    network = timm.create_model(body, pretrained=False, num_classes=0).eval().requires_grad_(False)
    images = torch.randn(args.count, 3, args.size, args.size, generator=torch.Generator().manual_seed(0))
    work, placed, last = multiply_adds(network, args.size), images.to(machine.device), torch.channels_last
    made = {
        "torch float32": by_torch(network, placed, args.batch, torch.float32, torch.contiguous_format),
        "torch float32, channels last": by_torch(network, placed, args.batch, torch.float32, last),
        "torch bfloat16, channels last": by_torch(network, placed, args.batch, torch.bfloat16, last),
    }
    if machine.device.type == "cpu":
        for name, hint in (("float32", "f32"), ("bfloat16", "bf16")):
            made[f"OpenVINO {name} by hand"] = by_openvino(network, images, args.openvino_batch, hint)
    for precision in ("exact", "fast"):
        run, way = graft_pass(body, files, precision, folder / body / precision)
        made[f"{GRAFT}{precision} ({way})"] = run
    made[DECODING] = decoding(body, files)
    for run in made.values():
        run()
    return made, work


def _share(name: str, shares: list[float]) -> str:
    return "" if name == DECODING else f"{statistics.median(shares):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", default="resnet50,mobilenetv2_100")
    default = [Path("../shared/data/hymenoptera"), Path("../shared/data/potato_leaf")]
    parser.add_argument("--images", type=Path, nargs="+", default=default, help="folders with JPEG files, in subfolders or not")
    parser.add_argument("--count", type=int, default=128, help="tensors a pass")
    parser.add_argument("--files", type=int, default=1000, help="files a pass, at most")
    parser.add_argument("--size", type=int, default=224, help="pixels a side of the tensors")
    parser.add_argument("--batch", type=int, default=32, help="of torch")
    parser.add_argument("--openvino-batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the raw numbers here too")
    args = parser.parse_args()
    found = [str(path) for root in args.images for path in sorted(root.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    if not found:
        print(f"roofline: no JPEG files under {', '.join(map(str, args.images))}; give folders with --images")
        return
    from graft.engine import device

    machine, rows, against = device.find(), [], []
    told, files = device.describe(machine), found[: args.files]
    print(f"{told['cpu']}, {told['cores']} cores, {told['threads']} threads, device {told['device']}; torch {told['torch']}; "
          f"{len(files)} files\n\n| body | pass | images/s | share of the peak |\n|---|---|---|---|")  # fmt: skip
    peaks: list[float] = []
    with tempfile.TemporaryDirectory(prefix="graft-roofline-") as folder:
        for body in args.bodies.split(","):
            made, work = passes(body, args, files, Path(folder))
            rates, shares = {name: [] for name in made}, {name: [] for name in made}
            for _ in range(args.rounds):
                for name, run in made.items():
                    top, (count, seconds) = peak(machine.device), run()
                    peaks.append(top)
                    rates[name].append(count / seconds)
                    shares[name].append(count / seconds * work / top)
            best = max(peaks)
            print(f"| {body} | the peak would allow ({work / 1e9:.2f} thousand million multiply-adds) | {best / work:.0f} | 100% |")
            for name in made:
                low, high, middle = min(rates[name]), max(rates[name]), statistics.median(rates[name])
                print(f"| {body} | {name} | {middle:.0f} ({low:.0f} to {high:.0f}) | {_share(name, shares[name])} |", flush=True)
            for precision in ("exact", "fast"):
                best, alone, after = beside_best(rates, precision)
                against.append(f"- {body}, --precision {precision}: {statistics.median(alone):.2f} times as long as {best} on tensors, "
                               f"{statistics.median(after):.2f} times as long as that after decoding")  # fmt: skip
            rows.append({"body": body, "multiply_adds": work, "images_per_s": rates, "shares": shares})
    print(f"\nPeak in bfloat16: {max(peaks) / 1e12:.2f} million million multiply-adds a second, median of the rounds "
          f"{statistics.median(peaks) / 1e12:.2f}.")  # fmt: skip
    print("\ngraft against the best by hand:\n" + "\n".join(against))
    if args.json:
        args.json.write_text(json.dumps({"machine": told, "peaks": peaks, "bodies": rows}, indent=1))


if __name__ == "__main__":
    main()
