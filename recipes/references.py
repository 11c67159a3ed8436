"""Make the references that come with graft: statistics of three bodies' features on a thousand ImageNet images, one a class.

    python recipes/references.py --images DATA/imagenet_sample/images --mobilenet MNV2 --squeezenet FILE --out src/graft/advisor/references

For each body the mean and main directions of one half, and the reduced rows of the other, of its pooled last features
(graft.advisor.references.Reference), in one file under 1 MB, and a card for all of them. Features are those of graft's own
preprocessing in float32; the halves are drawn from seed 0, so the same images, weights and versions give the same files up to rounding.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

SOURCE = "ImageNet-1k, one image a class"


def features(body, files: list[Path]) -> np.ndarray:
    """float32 [n, d]: what the last stage gives, its maps averaged over pixels."""
    import torch

    from graft.data import images

    body.stages.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(files), 50):
            batch = images.load_images(files[start : start + 50], body.prepare)
            out = body.forward(images.normalise(batch, body.prepare))
            rows.append((out.mean((2, 3)) if out.ndim == 4 else out).numpy())
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--mobilenet", type=Path, required=True, help="of timm's mobilenetv2_100")
    parser.add_argument("--squeezenet", type=Path, required=True, help="of torchvision's squeezenet1_0")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    from graft.advisor.references import Reference
    from graft.backbones import embedded, from_timm, from_torchvision

    bodies = {
        "graft-mini": embedded.load("graft-mini", embedded.Options()),
        "mobilenetv2_100": from_timm.load("mobilenetv2_100", from_timm.Options(weights=str(args.mobilenet))),
        "squeezenet1_0": from_torchvision.load("squeezenet1_0", from_torchvision.Options(weights=str(args.squeezenet))),
    }
    files, cards = sorted(args.images.glob("*.jpg")), []
    for name, body in bodies.items():
        x = features(body, files)
        made = Reference.of(SOURCE, x)
        path = made.save(args.out / f"{name.replace('-', '_')}.safetensors")
        inside, rest = made.rows[:, :-1].astype(np.float64), made.rows[:, -1].astype(np.float64)
        share = float((inside**2).sum() / ((inside**2).sum() + (rest**2).sum()))
        print(f"{name}: {len(made.rows)} rows kept, {x.shape[1]} features, {share:.1%} of what they vary in {inside.shape[1]} directions")
        cards.append({
            "body": name, "weights_sha256": body.origin.sha256, "size": body.prepare.size, "source": SOURCE, "images": len(x),
            "rows": len(made.rows),
            "kept_variance": round(share, 4), "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "licence": "Apache-2.0", "made_by": "recipes/references.py",
        })  # fmt: skip
    (args.out / "references.json").write_text(json.dumps(cards, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
