"""Domain adaptation by skada on frozen features that domain_baselines.py has kept; every method with skada's own defaults.

    python benchmarks/peers/skada_features.py --features pacs.npz

Shallow: CORAL, subspace alignment, entropic optimal transport and transfer components, each before a standardised logistic regression
(C = 0.01). Deep: DANN, CDAN and MCC with one hidden layer of 256 on features that are standardised over both domains ("joint") or each by
itself ("own"): 100 epochs of batches of 64 by Adam at 1e-3, the last of which is scored, for nothing may be chosen on the target's labels.
"""

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np

C, EPOCHS, BATCH, RATE, HIDDEN = 0.01, 100, 64, 1e-3, 256


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)


def shallow(adapter, x, y, domain) -> np.ndarray:
    from skada import make_da_pipeline
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    model = make_da_pipeline(StandardScaler(), adapter, LogisticRegression(C=C, max_iter=1000))
    model.fit(x, y, sample_domain=domain)
    return model.predict(x[domain < 0], sample_domain=domain[domain < 0])


def deep(name: str, x, y, domain) -> np.ndarray:
    import torch
    from skada import deep as methods
    from torch import nn

    torch.manual_seed(0)
    classes = int(y.max()) + 1

    class Plain(nn.Sequential):
        """Without weights of rows, which skada hands to every module."""

        def forward(self, X, sample_weight=None, **_):
            return super().forward(X)

    module = Plain()
    module.add_module("hidden", nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU()))
    module.add_module("classes", nn.Linear(HIDDEN, classes))
    more = {"DANN": {"num_features": HIDDEN}, "CDAN": {"num_features": HIDDEN, "n_classes": classes}, "MCC": {}}[name]
    net = getattr(methods, name)(
        module, layer_name="hidden", reg=1, batch_size=BATCH, max_epochs=EPOCHS, train_split=None, optimizer=torch.optim.Adam, lr=RATE,
        verbose=0, **more,
    )  # fmt: skip
    net.fit(x.astype(np.float32), y, domain)
    return net.predict(x[domain < 0].astype(np.float32), domain[domain < 0])


def methods(x: np.ndarray, y: np.ndarray, domain: np.ndarray) -> dict:
    import skada

    own = np.where((domain > 0)[:, None], standard(x), 0)
    own[domain > 0], own[domain < 0] = standard(x[domain > 0]), standard(x[domain < 0])
    both = standard(x)
    found = {
        "skada CORAL": lambda: shallow(skada.CORALAdapter(reg=0.1), own, y, domain),
        "skada subspace alignment": lambda: shallow(skada.SubspaceAlignmentAdapter(n_components=50), own, y, domain),
        "skada optimal transport": lambda: shallow(skada.EntropicOTMappingAdapter(), own, y, domain),
        "skada transfer components": lambda: shallow(skada.TransferComponentAnalysisAdapter(n_components=50), own, y, domain),
    }
    for name in ("DANN", "CDAN", "MCC"):
        found[f"skada {name}, joint"] = lambda name=name: deep(name, both, y, domain)
        found[f"skada {name}, own"] = lambda name=name: deep(name, own, y, domain)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--only", default="", help="names that begin so, by comma")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    with np.load(args.features) as kept:
        x, d, y = kept["features"].astype(np.float64), kept["domain"], kept["label"]
    found: dict[str, list] = {}
    for a, b in itertools.permutations(range(int(d.max()) + 1), 2):
        rows = np.concatenate([np.flatnonzero(d == a), np.flatnonzero(d == b)])
        domain = np.where(d[rows] == a, 1, -2)
        hidden = np.where(domain > 0, y[rows], -1)  # skada's mark of a label that is not known
        for name, guess in methods(x[rows], hidden, domain).items():
            if args.only and not name.removeprefix("skada ").startswith(tuple(args.only.split(","))):
                continue
            began = time.perf_counter()
            try:
                score = float((np.asarray(guess()) == y[d == b]).mean())
            except Exception as error:
                print(json.dumps({"method": name, "pair": [a, b], "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)
                continue
            found.setdefault(name, []).append({"pair": [a, b], "accuracy": score, "seconds": time.perf_counter() - began})
    for name, rows in found.items():
        scores = [row["accuracy"] for row in rows]
        line = {"method": name, "mean": float(np.mean(scores)), "seconds": sum(row["seconds"] for row in rows), "pairs": rows}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
