"""Two tasks of drawn photos, each in train/ and test/, and runs on them with the smallest body."""

from pathlib import Path

from graft import api
from graft.spec import Spec

SMALL = ("backbone.image_size=32",)
TASKS = {"shapes": ("circle", "cross"), "marks": ("cross", "stripes"), "lines": ("stripes",)}


def task(photos: Path, root: Path, name: str, classes: tuple[str, ...] = (), other: str = "") -> Path:
    """root/name with the classes' photos, every third in test/; `other` renames the last class."""
    folder = root / name
    for label in classes or TASKS[name]:
        for i, file in enumerate(sorted((photos / label).iterdir())):
            place = folder / ("test" if i % 3 == 0 else "train") / (other if other and label == (classes or TASKS[name])[-1] else label)
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(file.read_bytes())
    return folder


def fit(data: Path, out: Path, start: Path | None = None, method: str = "finetune", **values):
    """A quick run: one epoch, no rivals; from the body of the run `start` where it is given."""
    body = f"run:{start}" if start else "graft-mini"
    sets = [*(() if start else SMALL), *values.pop("sets", ())]
    sets += ["method.epochs=1", "method.batch=8"] if method not in ("extract",) else []
    chosen = {"evidence": "off", "precision": "exact", **values}
    return api.fit(Spec.make(str(data), backbone=body, method=method, out=str(out), sets=sets, **chosen))
