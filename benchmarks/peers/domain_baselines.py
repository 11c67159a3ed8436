"""Published domain adaptation on frozen features, without selection, on torch, timm and scikit-learn alone.

    python benchmarks/peers/domain_baselines.py --data DATA/pacs --weights FILE --features pacs.npz

--data: a folder of domains, each of class folders. Every ordered pair of domains: all rows of the source are labelled, those of the target
have no labels and are what is scored. --features: where the features are kept for the next time (and for skada_features.py).

    source only            L2 logistic regression, C = 0.01 on standardised features
    per-domain statistics  each domain standardised by itself
    CORAL                  Sun, Feng & Saenko, 2016, then the same regression
    self-training          from CORAL, six rounds with rising shares of each predicted class (Lee, 2013; Zou et al., 2018)
    DANN                   Ganin et al., 2016, on the features: one hidden layer, 500 steps, no selection, last step
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np

C = 0.01
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def extract(data: Path, body: str, weights: str) -> dict[str, np.ndarray]:
    """features float32 [n, width] (resize 256, crop 224, average of the last layer), domain [n], label [n] and path [n]."""
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from torchvision import transforms

    model = timm.create_model(body, pretrained=False).eval()
    model.load_state_dict(load_file(weights))
    prepare = transforms.Compose([
        transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    files = sorted(path for path in data.glob("*/*/*") if path.is_file())
    features = []
    with torch.inference_mode():
        for start in range(0, len(files), 32):
            batch = torch.stack([prepare(Image.open(file).convert("RGB")) for file in files[start : start + 32]])
            features.append(model.forward_head(model.forward_features(batch), pre_logits=True).numpy())
    domain, label = (np.unique([file.parts[at] for file in files], return_inverse=True)[1] for at in (-3, -2))
    return {
        "features": np.concatenate(features),
        "domain": domain,
        "label": label,
        "path": np.array([str(f.relative_to(data)) for f in files]),
    }


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)


def regression(x: np.ndarray, y: np.ndarray):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)).fit(x, y)


def root(x: np.ndarray, power: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.cov(x.T) + np.eye(x.shape[1]))
    return (vectors * values**power) @ vectors.T


def coloured(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return source @ root(source, -0.5) @ root(target, 0.5)


def self_training(source: np.ndarray, y: np.ndarray, target: np.ndarray, rounds: int = 6) -> np.ndarray:
    model = regression(source, y)
    for one in range(1, rounds + 1):
        p = model.predict_proba(target)
        guess, sure = p.argmax(1), p.max(1)
        kept = []
        for c in range(p.shape[1]):
            rows = np.flatnonzero(guess == c)
            kept += list(rows[np.argsort(-sure[rows])][: round(len(rows) * one / rounds)])
        model = regression(np.concatenate([source, target[kept]]), np.concatenate([y, guess[kept]]))
    return model.predict(target)


def dann(source: np.ndarray, y: np.ndarray, target: np.ndarray, steps: int = 500, batch: int = 64) -> np.ndarray:
    """A hidden layer of 256, a linear classifier and a discriminator of 256 behind a gradient reversal of rising strength; SGD."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x

        @staticmethod
        def backward(ctx, gradient):
            return -ctx.strength * gradient, None

    torch.manual_seed(0)
    xs, xt, ys = (torch.from_numpy(np.asarray(v)) for v in (source.astype(np.float32), target.astype(np.float32), y))
    hidden, classes = nn.Sequential(nn.Linear(xs.shape[1], 256), nn.ReLU()), nn.Linear(256, int(ys.max()) + 1)
    judge = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
    everything = [*hidden.parameters(), *classes.parameters(), *judge.parameters()]
    optimizer = torch.optim.SGD(everything, lr=0.01, momentum=0.9, weight_decay=1e-3)
    for step in range(steps):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + 10 * done) ** 0.75
        a, b = torch.randint(len(xs), (batch,)), torch.randint(len(xt), (batch,))
        both = hidden(torch.cat([xs[a], xt[b]]))
        domain = judge(Reverse.apply(both, 2 / (1 + np.exp(-10 * done)) - 1))[:, 0]
        truth = torch.cat([torch.ones(batch), torch.zeros(batch)])
        loss = F.cross_entropy(classes(both[:batch]), ys[a]) + F.binary_cross_entropy_with_logits(domain, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        return classes(hidden(xt)).argmax(1).numpy()


def methods(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> dict:
    s, t = standard(source), standard(target)
    both = standard(np.concatenate([source, target]))
    return {
        "source only": lambda: regression(source, y).predict(target),
        "per-domain statistics": lambda: regression(s, y).predict(t),
        "CORAL": lambda: regression(coloured(s, t), y).predict(t),
        "self-training": lambda: self_training(coloured(s, t), y, t),
        "DANN": lambda: dann(both[: len(source)], y, both[len(source) :]),
        "DANN, per-domain statistics": lambda: dann(s, y, t),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--body", default="mobilenetv2_100")
    parser.add_argument("--features", type=Path, help=".npz where features are kept")
    args = parser.parse_args()
    if args.features and args.features.is_file():
        with np.load(args.features) as kept:
            given = dict(kept)
    else:
        given = extract(args.data, args.body, args.weights)
        if args.features:
            np.savez(args.features, **given)
    x, d, y = given["features"].astype(np.float64), given["domain"], given["label"]
    found: dict[str, list] = {}
    for a, b in itertools.permutations(range(int(d.max()) + 1), 2):
        for name, guess in methods(x[d == a], y[d == a], x[d == b]).items():
            began = time.perf_counter()
            score = float((guess() == y[d == b]).mean())
            found.setdefault(name, []).append({"pair": [a, b], "accuracy": score, "seconds": time.perf_counter() - began})
    for name, rows in found.items():
        scores = [row["accuracy"] for row in rows]
        worst = min(score - row["accuracy"] for score, row in zip(scores, found["source only"], strict=True))
        line = {"method": name, "mean": np.mean(scores), "worst": worst, "seconds": sum(row["seconds"] for row in rows), "pairs": rows}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
