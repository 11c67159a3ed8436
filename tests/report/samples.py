"""evidence.json, check.json and advice.json as a fit, a check and an advice leave them, made up."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

EVIDENCE = {
    "level": "full",
    "metric": "accuracy",
    "higher_is_better": True,
    "scored_as": "val",
    "n": 153,
    "folds": 0,
    "seeds": 1,
    "arms": [
        {
            "name": "chosen",
            "label": "lp_ft",
            "what": "a linear head first, then everything",
            "value": 0.941,
            "interval": [0.892, 0.969],
            "learning_value": 0.995,
            "seconds": 72.3,
            "peak_memory_mb": 1512.0,
            "trainable": 2_226_434,
            "note": "",
        },
        {
            "name": "probe",
            "label": "linear probe",
            "what": "the body frozen",
            "value": 0.928,
            "interval": [0.876, 0.959],
            "learning_value": 0.984,
            "seconds": 9.8,
            "peak_memory_mb": 840.0,
            "trainable": 2562,
            "note": "",
        },
        {
            "name": "scratch",
            "label": "scratch",
            "what": "the same network, random at first",
            "value": 0.673,
            "interval": [0.595, 0.742],
            "learning_value": 0.98,
            "seconds": 71.0,
            "peak_memory_mb": 1512.0,
            "trainable": 2_226_434,
            "note": "as long as lp_ft",
        },
        {
            "name": "majority",
            "label": "majority class",
            "what": "always bees",
            "value": 0.542,
            "interval": [0.463, 0.619],
            "seconds": 0.0,
            "trainable": 0,
        },
    ],
    "differences": [
        {"of": "chosen", "less": "scratch", "value": 0.268, "interval": [0.191, 0.346], "p": 1.2e-9, "test": "McNemar, exact"},
        {"of": "chosen", "less": "probe", "value": 0.013, "interval": [-0.026, 0.055], "p": 0.687, "test": "McNemar, exact"},
    ],
    "verdict": {
        "kind": "helped",
        "value": 0.268,
        "interval": [0.191, 0.346],
        "advice": "Linear probe was not shown to be worse: take it where time matters.",
        "text": "Transfer helped: accuracy 0.94 against 0.67 from scratch, +0.27 [+0.19, +0.35] on 153 images.",
    },
    "curve": {
        "label": "linear probe",
        "points": [
            {
                "share": share,
                "n": n,
                "value": value,
                "interval": [value - wide, min(1.0, value + wide * 0.7)],
                "values": [round(value + d * wide / 2, 3) for d in (-1, 0.1, 0.9)],
            }
            for share, n, value, wide in (
                (0.05, 12, 0.741, 0.09),
                (0.1, 24, 0.821, 0.07),
                (0.25, 61, 0.884, 0.05),
                (0.5, 122, 0.912, 0.05),
                (1.0, 244, 0.928, 0.045),
            )
        ],
        "fit": {"a": 0.96, "b": 1.1, "c": 0.65},
        "twice": {"n": 488, "value": 0.941, "interval": [0.9, 0.965]},
        "saved": {"share": 0.05, "n": 12, "text": "With 12 labels (5 %) the frozen body is already as good as all 244 are from scratch."},
    },
    "notices": ["The body was trained on ImageNet, which may hold some of these images."],
    "cut": ["the draws of the curve were halved to keep to --budget 5m"],
}


def _row(kind: str, level: str, text: str, effect: str, repair: str, files: list[str], examples: list[dict]) -> dict:
    return {
        "kind": kind, "level": level, "count": len(examples), "text": text, "effect": effect, "repair": repair, "files": files,
        "examples": examples, "numbers": {},
    }  # fmt: skip


def _copies(a: list[str], b: list[str], classes: tuple[str, str]) -> list[dict]:
    pairs = [
        {"files": [a[i], b[i]], "labels": [classes[0], classes[i % 2]], "splits": ["train", "val"], "distance": 0.02 * (i + 1)}
        for i in range(5)
    ]
    few, copied = f"There are only 28 of '{classes[0]}' to learn from.", "The score is too high: what was learnt by heart is scored."
    return [
        _row("small_class", "note", few, "One image more or less moves its own score by points.", "Collect more of them.", a,
             [{"files": a[:3], "label": classes[0], "count": 28}]),
        _row("duplicates_across_splits", "problem", "5 images that learn are in the scored rows too.", copied,
             "Leave the copies out: --set data.duplicates=drop.", [file for row in pairs for file in row["files"]], pairs),
    ]  # fmt: skip


def _labels(a: list[str], b: list[str], classes: tuple[str, str]) -> list[dict]:
    wrong = [{"files": [file], "label": classes[0], "suggested": classes[1], "probability": 0.97} for file in a[5:8]]
    strange = [{"files": [file], "label": classes[1], "what": "far from every other"} for file in b[6:12]]
    return [
        _row("label_errors", "warning", "3 labels are probably wrong.", "Wrong labels in the scored rows make a good model look worse.",
             "Look at them, and move the files.", a[5:8], wrong),
        _row("outliers", "note", "6 images look unlike all others.", "They teach little.",
             "Look at them; leave out what does not belong.", b[6:12], strange),
        _row("missing_class", "warning", "test has no sample of 'wasps'.", "It is not scored.", "Add samples.", [],
             [{"files": [], "label": "wasps", "splits": ["test"]}]),
    ]  # fmt: skip


def check(source: str, classes: tuple[str, str] = ("ants", "bees"), files: tuple[list[str], list[str]] | None = None) -> dict:
    """files: at least 14 paths of each class."""
    a, b = files or tuple(
        [f"{source}/{part}/{name}/{i:03d}.png" for i in range(14)] for part, name in zip(("train", "val"), classes, strict=True)
    )
    return {
        "source": source,
        "counts": {"train": 244, "val": 153},
        "classes": list(classes),
        "backbone": "graft-mini",
        "seconds": 12.3,
        "findings": [*_copies(a, b, classes), *_labels(a, b, classes)],
        "looked_for": ["exact and near duplicates", "labels written alike", "wrong labels", "outliers"],
        "left_out": ["Shortcuts were not looked for: there are too few rows."],
    }


def photos(root: Path, n: int = 14) -> dict:
    """A data folder with n small images in train/ants and in val/bees, and its check.json as a dict."""
    rng = np.random.default_rng(0)
    for place in ("train/ants", "val/bees"):
        (root / place).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(root / place / f"{i:03d}.png")
    return check(str(root))


def _layers(best: float, names: tuple[str, ...]) -> list[dict]:
    made = []
    for i, name in enumerate(names):
        probe = round(best - 0.3 * (1 - (i + 1) / len(names)) ** 1.5 - (0.01 if i == len(names) - 1 else 0), 3)
        made.append(
            {
                "name": name,
                "width": 16 * 2 ** min(i, 5),
                "probe": probe,
                "interval": [round(probe - 0.04, 3), round(min(probe + 0.03, 1), 3)],
                "logme": round(0.1 * i - 0.5, 3),
                "h_score": round(0.12 * (i + 1), 3),
                "knn": round(probe - 0.05, 3),
                "leep": round(-0.6 + 0.05 * i, 3) if i == len(names) - 1 else None,
                "nce": None,
            }
        )
    return made


ADVICE = {
    "source": "/data/photos",
    "rows": 244,
    "classes": 2,
    "metric": "accuracy",
    "left_out": [{"name": "resnet18", "why": "its weights are not in the cache"}],
    "balance": {"ants": 123, "bees": 121},
    "bodies": [
        {
            "name": "mobilenetv2_100",
            "weights": "file:mobilenet.safetensors",
            "licence": "Apache-2.0",
            "trained_on": "ImageNet-1k",
            "size": 224,
            "parameters": 2_223_872,
            "seconds_per_1000": 3.1,
            "similarity": {
                "level": "similar",
                "words": "Its batch-norm statistics hardly differ on these images.",
                "measures": {"batch_norm_frechet": 0.12, "proxy_a_distance": 0.6, "mmd": None},
            },
            "layers": _layers(0.95, ("stem", "blocks0", "blocks1", "blocks2", "blocks3", "blocks4", "blocks5", "blocks6", "top")),
            "best_layer": "blocks6",
        },
        {
            "name": "gabor",
            "weights": "none",
            "licence": "Apache-2.0",
            "trained_on": "nothing",
            "size": 96,
            "parameters": 0,
            "seconds_per_1000": 0.6,
            "similarity": {"level": "unknown", "words": "", "measures": {}},
            "layers": _layers(0.71, ("bank1", "bank2", "pool")),
            "best_layer": "pool",
        },
    ],
    "rule": {
        "cell": "small, similar",
        "strategy": "a linear head on the last layer",
        "why": "few rows overfit what is fine-tuned",
        "source": "CS231n, Transfer learning",
    },
    "agreement": "The measurement agrees: the probe on blocks6 leads, and no earlier layer is better.",
    "strategies": [
        {
            "rank": 2,
            "backbone": "mobilenetv2_100",
            "method": "lp_ft",
            "layers": [],
            "freeze": "none",
            "expected": 0.94,
            "interval": [0.9, 0.97],
            "measured": False,
            "seconds": 190,
            "memory_mb": 1500,
            "licence": "Apache-2.0",
            "reasons": ["not measured: the score of the frozen body"],
        },
        {
            "rank": 1,
            "backbone": "mobilenetv2_100",
            "method": "extract",
            "layers": ["blocks6"],
            "freeze": None,
            "expected": 0.95,
            "interval": [0.91, 0.98],
            "measured": True,
            "seconds": 20,
            "memory_mb": 900,
            "licence": "Apache-2.0",
            "reasons": ["a linear head on blocks6 has 0.950 in cross-validation on 244 rows", "the rule says so too"],
        },
        {
            "rank": 3,
            "backbone": "gabor",
            "method": "extract",
            "layers": ["pool"],
            "freeze": None,
            "expected": 0.7,
            "interval": [0.64, 0.75],
            "measured": True,
            "seconds": 4,
            "memory_mb": 300,
            "licence": "Apache-2.0",
            "reasons": [],
        },
    ],
}


def put(folder: Path, name: str, content: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
