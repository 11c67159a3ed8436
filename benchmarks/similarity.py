"""How far data sets are from what a body was trained on, by every measure of graft.advisor.similarity.

    python benchmarks/similarity.py --data DATA --weights MNV2 [--body mobilenetv2_100] [--images 200] [--few] [--json FILE]

Without --weights the body is graft-mini. "BatchNorm" is the median over layers, which `judge` looks at; the mean is beside it.
The reference of the last three measures is 400 of the 1,000 ImageNet images in a basis of 400 others; the row "imagenet" is of
the 200 left. --few: the
same distance from fewer images, with and without parts. Some sets are drawn here: pages of text, the digits of scikit-learn, noise.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

PARTS = 4
BATCH = 25
SETS = (
    ("hymenoptera", "photo", "hymenoptera/*/*/*.jpg"),
    ("raccoon", "photo", "raccoon/images/*.jpg"),
    ("pacs/photo", "photo", "pacs/photo/*/*"),
    ("potato_leaf", "photo, one grey cloth", "potato_leaf/*/*/*.[jJ]*"),
    ("pacs/art_painting", "painting", "pacs/art_painting/*/*"),
    ("pacs/cartoon", "drawing", "pacs/cartoon/*/*"),
    ("pacs/sketch", "sketch", "pacs/sketch/*/*"),
    ("bccd", "microscopy", "bccd/images/*.jpg"),
    ("nuclei_dsb2018", "microscopy", "nuclei_dsb2018/images/*.jpg"),
)


def drawn(folder: Path, data: Path) -> list[tuple[str, str, list[Path]]]:
    """Pages of text, digits and noise as PNG files."""
    from PIL import Image, ImageDraw, ImageFont

    from graft.verbs.demonstration import digits

    rng = np.random.default_rng(0)
    words = (data / "rt_polarity" / next(p.name for p in (data / "rt_polarity").glob("*.csv"))).read_text(errors="replace").split()
    pages, noise = [], []
    for i in range(200):
        page = Image.new("L", (620, 877), 250)
        pen, height = ImageDraw.Draw(page), int(rng.integers(12, 20))
        for y in range(60, 820, int(height * 1.5)):
            at = int(rng.integers(len(words) - 12))
            pen.text((60, y), " ".join(words[at : at + 9]), fill=20, font=ImageFont.load_default(height))
        pages.append(folder / f"page{i}.png")
        page.save(pages[-1])
        noise.append(folder / f"noise{i}.png")
        Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(noise[-1])
    figures = sorted(digits(folder / "digits").rglob("*.png"))
    return [("pages of text", "document", pages), ("digits", "document", figures), ("noise", "noise", noise)]


def body(weights: str | None, name: str):
    from graft.backbones import embedded, from_timm, from_torchvision

    if weights is None:
        return embedded.load("graft-mini", embedded.Options())
    if name == "squeezenet1_0":
        return from_torchvision.load(name, from_torchvision.Options(weights=weights))
    return from_timm.load(name, from_timm.Options(weights=weights))


def statistics(backbone, files: list[Path], parts: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """(means, variances: [parts, c] of each BatchNorm2d, last features [n, width])."""
    import torch

    from graft.data import images

    layers = [m for m in backbone.stages.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    sums = [np.zeros((parts, 3, len(m.running_mean))) for m in layers]
    now, features = [0], []

    def hook(number: int):
        def look(_, inputs):
            x = inputs[0].detach()
            count = x.numel() / x.shape[1]
            first = x.sum((0, 2, 3), dtype=torch.float64).numpy()
            second = (x * x).sum((0, 2, 3), dtype=torch.float64).numpy()
            sums[number][now[0]] += np.stack([np.full(len(first), count), first, second])

        return look

    hooks = [m.register_forward_pre_hook(hook(i)) for i, m in enumerate(layers)]
    with torch.no_grad():
        for part in range(parts):
            now[0], mine = part, files[part::parts]
            for start in range(0, len(mine), BATCH):
                batch = images.load_images(mine[start : start + BATCH], backbone.prepare)
                out = backbone.forward(images.normalise(batch, backbone.prepare))
                features.append((out.mean((2, 3)) if out.ndim == 4 else out).numpy())
    for one in hooks:
        one.remove()
    means = [s[:, 1] / s[:, 0] for s in sums]
    return means, [s[:, 2] / s[:, 0] - m**2 for s, m in zip(sums, means, strict=True)], np.concatenate(features)


def draw(files: list[Path], count: int, seed: int = 0) -> list[Path]:
    return [files[i] for i in np.random.default_rng(seed).permutation(len(files))[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights")
    parser.add_argument("--body", default="mobilenetv2_100")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--json", type=Path, help="write the rows here too, with the distance of each layer")
    args = parser.parse_args()
    import torch

    from graft.advisor import similarity
    from graft.advisor.references import Reference

    backbone = body(args.weights, args.body)
    backbone.stages.eval()
    layers = [m for m in backbone.stages.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    running = [m.running_mean.numpy() for m in layers], [m.running_var.numpy() for m in layers]
    known = draw(sorted((args.data / "imagenet_sample" / "images").glob("*.jpg")), 1000)
    reference = Reference.of("imagenet", statistics(backbone, known[200:], 1)[2])
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        sets = [(name, kind, sorted(args.data.glob(pattern))) for name, kind, pattern in SETS] + drawn(Path(scratch), args.data)
        print("| data | kind | images | BatchNorm | mean of layers | first third | last third | proxy A | MMD | Frechet |")
        print("|" + 10 * "---|")
        for name, kind, files in [("imagenet", "photo", known[:200]), *sets]:
            files = draw(files, args.images)
            means, variances, features = statistics(backbone, files, PARTS)
            # A body without BatchNorm (SqueezeNet) has the three measures on features alone.
            found = similarity.batch_norm_frechet(means, variances, *running) if layers else None
            near = [np.nan] * 4
            if found:
                third = len(layers) // 3
                near = [found.median, found.mean, np.mean(found.layers[:third]), np.mean(found.layers[-third:])]
            other = similarity.compare(features, reference)
            rows.append({"data": name, "kind": kind, "n": len(files), "median": near[0], "mean": near[1], **other})
            rows[-1] |= {"layers": found.layers if found else ()}
            print(
                f"| {name} | {kind} | {len(files)} | {' | '.join(f'{value:.3f}' for value in near)} | {other['proxy_a_distance']:.2f} | "
                f"{other['mmd']:.3f} (p {other['mmd_p']:.3f}) | {other['frechet']:.2f} |",
                flush=True,
            )
        if args.few:
            few(backbone, [("imagenet", "", known[:200]), sets[0], sets[6]], running)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def few(backbone, sets: list[tuple[str, str, list[Path]]], running: tuple) -> None:
    """Mean and spread over five draws of the distance from few images, with one part and with four."""
    from graft.advisor import similarity

    print("\n| data | images | one part | four parts |\n|---|---|---|---|")
    for name, _, files in sets:
        for count in (8, 32):
            values = []
            for seed in range(5):
                means, variances, _ = statistics(backbone, draw(files, count, seed), PARTS)
                whole = [m.mean(0) for m in means]
                merged = [(v + m**2).mean(0) - w**2 for m, v, w in zip(means, variances, whole, strict=True)]
                found = ((whole, merged), (means, variances))
                values.append([similarity.batch_norm_frechet(*one, *running).median for one in found])
            both = " | ".join(f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in np.transpose(values))
            print(f"| {name} | {count} | {both} |", flush=True)


if __name__ == "__main__":
    main()
