"""Run folders as a fit leaves them, made up, for every kind of target and way to end."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

STAGES = ("stem", "blocks0", "blocks1", "blocks2", "blocks3", "top")
COMMAND = "graft fit photos --backbone 'tiny_net' --method lp_ft"


def journal(folder: Path, rows: list[dict]) -> None:
    lines = [json.dumps({"t": float(i), **row}) for i, row in enumerate(rows)]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def phase(run: str, name: str, number: int, frozen: int, groups: list, **more) -> dict:
    row = {"event": "phase", "run": run, "phase": name, "number": number, "epochs": 6, "frozen": frozen, "groups": groups}
    return (
        row
        | {
            "trainable": 3_845,
            "total": 2_226_434,
            "batch": 32,
            "optimizer": "adamw",
            "constant_prefix": frozen,
            "why": "the next stage learns",
        }
        | more
    )


def decision(what: str, value: str, reason: str, flag: str) -> dict:
    return {"event": "decision", "what": what, "value": value, "reason": reason, "flag": flag}


def events(metric: str, runs: tuple[str, ...] = ("final",), start: float = 0.6, better: float = 0.05) -> list[dict]:
    """start, decisions, backbone, then a head phase and a phase of everything for each run."""
    stages = [
        {"name": n, "width": 16 * 2**i, "stride": 2 ** (i + 1), "form": "map", "parameters": 900 * 4**i} for i, n in enumerate(STAGES)
    ]
    rows = [
        {"event": "start", "version": "0.1.0", "command": COMMAND},
        decision("precision", "float32", "a trial pass took 41 ms in float32 and 52 ms in bfloat16", "--precision exact|fast"),
        decision("roles", "a fifth of train selects; val is scored", "no test folder, so val is kept for it", "--select-on, --folds"),
        decision("augment", "light", "crops and mirror images seldom harm", "--augment"),
        {"event": "backbone", "name": "tiny_net", "architecture": "timm:tiny_net", "weights": "file:tiny.safetensors", "sha256": "ab" * 32,
         "licence": "Apache-2.0", "trained_on": "ImageNet-1k", "stages": stages, "size": 224},
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    groups = [
        {"name": n, "lr": 1e-3 * 0.6 ** (6 - i), "weight_decay": 0.05, "tensors": 4, "parameters": 900}
        for i, n in enumerate((*STAGES, "head"))
        if i > 1
    ]
    for run in runs:
        rows.append(phase(run, "head", 0, 6, [{"name": "head", "lr": 1e-2, "weight_decay": 0.0, "tensors": 2, "parameters": 2562}]))
        for number, name in enumerate(("head", "all")):
            if number:
                rows.append(phase(run, name, 1, 2, groups, constant_prefix=0, why="augmentation comes before the first stage"))
            for epoch in range(1, 7):
                done = number * 6 + epoch
                value = start + better * (1 - 2.0 ** (-done / 2)) * 6 + float(rng.normal(0, abs(better) / 8))
                row = {"event": "epoch", "run": run, "phase": name, "epoch": epoch, "train_loss": 0.9 * 0.8**done + 0.05}
                rows.append(row | {"lr": 1e-3, "seconds": 2.0, "select": {metric: value}, "best": True})
            rows.append({"event": "kept", "run": run, "phase": name, "epoch": 5, "select": {metric: value}})
    return rows


def pictures(folder: Path, rows: list[dict], draw=None) -> None:
    """explain/: six mistakes and four uncertain images with heat maps, and a picture of filters."""
    (folder / "explain").mkdir(exist_ok=True)
    index, rng = [], np.random.default_rng(2)
    for i, row in enumerate(rows[:10]):
        pixels = draw(i) if draw else Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        y, x = np.mgrid[0 : pixels.height, 0 : pixels.width] / pixels.height
        heat = np.zeros((pixels.height, pixels.width, 4), dtype=np.uint8)
        heat[..., :3], heat[..., 3] = (240, 120, 20), 170 * np.exp(-((x - 0.5) ** 2 + (y - 0.45) ** 2) / 0.04)
        names = {"image": f"{i:03d}.png", "heat": f"{i:03d}_heat.png"}
        pixels.save(folder / "explain" / names["image"])
        Image.fromarray(heat).save(folder / "explain" / names["heat"])
        index.append({"kind": "mistake" if i < 6 else "uncertain", **row, **names})
    (folder / "explain" / "index.json").write_text(json.dumps(index))
    Image.fromarray(rng.integers(0, 255, (60, 200), dtype=np.uint8)).save(folder / "explain" / "filters.png")
    told = {"layer": "stem", "kernel": 7, "count": 4, "r2": [0.9, 0.8, 0.4, 0.1], "picture": "filters.png"}
    (folder / "explain" / "filters.json").write_text(json.dumps(told))


def scores(folder: Path, primary: str, values: dict, target: str, classes: list[str], n: int, **more) -> None:
    found = {name: {"value": v, "interval": [lo, hi]} for name, (v, lo, hi) in values.items()}
    told = {
        "primary": primary, "higher_is_better": primary != "mae", "val": found, "test": None, "seconds": 192.4, "backbone": "tiny_net",
        "method": "lp_ft", "trainable_params": 3_845, "peak_memory_mb": 812.0, "scored": "val", "scored_as": "val", "optimistic": False,
        "select": "a fifth of train", "folds": 0, "n": {"train": 195, "select": 49, "scored": n}, "temperature": 1.42,
        "calibration": {"before": 0.061, "after": 0.032} if target != "number" else None, "seed": 0, "task": "classification",
        "target": target, "classes": classes,
    }  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(told | more))


def around(folder: Path, schema: dict, counts: dict) -> None:
    """data.json, environment.json and spec.toml."""
    plan = {
        "select": "a fifth of train",
        "score": "val",
        "score_name": "val",
        "reason": "val is scored once; a fifth of train selects (--select-on val for the usual habit).",
    }
    notes = [
        {
            "level": "warning",
            "text": "2 files could not be decoded and are left out.",
            "files": ["/data/photos/a/broken.jpg", "/data/photos/b/<b>cut.png"],
        },
        {"level": "info", "text": "1 hidden folder was ignored.", "files": []},
    ]
    about = {
        "source": "/data/photos",
        "reader": "image_folder",
        "schema": schema,
        "fingerprint": "f0" * 16,
        "plan": plan,
        "counts": counts,
        "notes": notes,
    }
    (folder / "data.json").write_text(json.dumps(about))
    here = {
        "graft": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux",
        "torch": "2.15.0",
        "timm": "1.0.31",
        "cpu": "A processor",
        "cores": 2,
        "threads": 2,
    }
    (folder / "environment.json").write_text(json.dumps(here | {"memory_gb": 7.7, "device": "cpu", "precision": "torch.float32"}))
    (folder / "spec.toml").write_text('seed = 0\n\n[backbone]\nname = "tiny_net"\n')


def classification(
    folder: Path, classes: list[str], n: int = 153, sharp: float = 3.0, names=None, draw=None, runs=("final",), **more
) -> Path:
    """A whole run of one label each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, k = np.random.default_rng(k := len(classes)), k
    true = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), true] += sharp
    p, raw = (np.exp(logits * s) / np.exp(logits * s).sum(1, keepdims=True) for s in (1.0, 1.42))
    best = p.argmax(1)
    paths = [names(i) if names else f"/data/photos/{classes[t]}/image_{i:03d}.jpg" for i, t in enumerate(true)]
    table = {"path": paths, "label": [classes[t] for t in true], "predicted": [classes[b] for b in best], "probability": p.max(1)}
    pq.write_table(
        pa.table({"split": ["val"] * n, **table, "probabilities": p.tolist(), "raw": raw.tolist()}), folder / "predictions.parquet"
    )
    right = float((best == true).mean())
    near = lambda v: (v, v - 0.041, min(1.0, v + 0.029))  # noqa: E731
    values = {"accuracy": near(right), "balanced_accuracy": near(right - 0.004), "macro_f1": near(right - 0.006)}
    values |= {"log_loss": (0.214, 0.15, 0.29), "ece": (0.032, 0.02, 0.08)}
    scores(folder, "accuracy", values, "class", classes, n, **more)
    tally = {name: int(c) for name, c in zip(classes, np.bincount(true, minlength=k), strict=True)}
    around(folder, {"target": "class", "classes": classes}, {"train": tally, "val": {c: 3 for c in classes}, "test": tally})
    journal(folder, [*events("accuracy", runs), {"event": "done", "seconds": 192.4}])
    order = sorted(range(n), key=lambda i: (best[i] == true[i], -p[i].max()))
    pictures(
        folder,
        [{k: table[k][i] if k != "probability" else float(p[i].max()) for k in table} for i in order],
        draw and (lambda i: draw(order[i])),
    )
    return folder


def several_labels(folder: Path, n: int = 80) -> Path:
    folder.mkdir(parents=True)
    classes, rng = ["sky", "sea", "<i>sand</i>", "never"], np.random.default_rng(0)
    truth = rng.random((n, 4)) < [0.6, 0.3, 0.2, 0.0]
    p = 1 / (1 + np.exp(-(3.0 * truth - 1.5 + rng.normal(0, 1, (n, 4)))))
    lists = lambda m: [[c for c, on in zip(classes, row, strict=True) if on] for row in m]  # noqa: E731
    columns = {
        "path": [f"/d/{i}.png" for i in range(n)],
        "label": pa.array(lists(truth), pa.list_(pa.string())),
        "predicted": pa.array(lists(p > 0.5), pa.list_(pa.string())),
    }
    pq.write_table(
        pa.table({"split": ["val"] * n, **columns, "probability": p.max(1), "probabilities": p.tolist(), "raw": p.tolist()}),
        folder / "predictions.parquet",
    )
    scores(
        folder, "mean_average_precision", {"mean_average_precision": (0.91, 0.85, 0.95), "micro_f1": (0.86, 0.8, 0.9)}, "labels", classes, n
    )
    around(folder, {"target": "labels", "classes": classes}, {"train": {"sky": 9, "sea": 4}})
    journal(folder, [*events("mean_average_precision"), {"event": "done", "seconds": 4.0}])
    pictures(folder, [{"path": f"/d/{i}.png", "label": [], "predicted": ["sky"], "probability": 0.8} for i in range(7)])
    return folder


def regression(folder: Path, n: int = 120) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    true = rng.normal(40, 12, n)
    said = true + rng.normal(0, 4, n)
    columns = {"path": [f"/d/{i}.png" for i in range(n)], "label": true, "predicted": said, "probability": [float("nan")] * n}
    pq.write_table(
        pa.table({"split": ["val"] * n, **columns, "probabilities": [[v] for v in said], "raw": [[v] for v in said]}),
        folder / "predictions.parquet",
    )
    scores(
        folder, "mae", {"mae": (3.214, 2.81, 3.66), "rmse": (4.02, 3.6, 4.5), "r2": (0.89, 0.85, 0.92)}, "number", [], n, temperature=1.0
    )
    around(folder, {"target": "number", "classes": []}, {"train": {"rows": 300}, "test": {"rows": n}})
    journal(folder, [*events("mae", start=9.0, better=-1.0), {"event": "done", "seconds": 4.0}])
    pictures(folder, [{"path": f"/d/{i}.png", "label": float(true[i]), "predicted": float(said[i]), "probability": None} for i in range(6)])
    return folder
