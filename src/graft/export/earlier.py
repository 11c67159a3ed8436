"""The tasks that a model knows besides its last one: heads on the same pooled features, in its weights and its description."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .. import heads
from ..core import Net, Schema, Task
from ..errors import WeightsError

MakeTask = Callable[[str, Schema, dict], Task]
TARGETS = ("class", "labels", "number")
"""Of tasks whose heads outlive their run: others need more than pooled features and a head."""


@dataclass(frozen=True)
class Known:
    """A task that a model knows. name: among the model's. head: filled. temperature: of its probabilities. run: where it was learnt:
    "data" (the name), "fingerprint", "rows" that learnt, "method", "backbone", and "sha256" of the weights that this gave."""

    name: str
    task: Task
    head: nn.Module
    temperature: float = 1.0
    run: Mapping | None = None


def task_name(source: str, taken: Collection[str] = ()) -> str:
    """What a task is called: its data's folder or file, in letters that may name a module, and no name in `taken`."""
    path = Path(source)
    name = _plain(path.name if path.is_dir() else path.stem)
    if hasattr(nn.ModuleDict(), name):  # "train", say, is a method of every module
        name = f"{_plain(path.parent.name)}-{name}"
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^\w-]+", "_", text).strip("_-") or "data"


def describe(net: Net, known: Iterable[Known]) -> list[dict]:
    """The content of "earlier" in graft.json, oldest first; the heads themselves are among the net's weights."""
    return [
        {
            "name": one.name, "head": {"config": net.earlier[one.name].config},
            "task": {"name": one.task.name, "schema": asdict(one.task.schema), "config": one.task.config},
            "temperature": one.temperature, "run": dict(one.run or {}),
        }
        for one in known if one.name in net.earlier
    ]  # fmt: skip


def learnt(net: Net, extra: Mapping) -> dict:
    """The content of "learnt" in graft.json: what the model's own task is called and was learnt from; see `bundle.write` for `extra`."""
    data, scores = extra.get("data") or {}, extra.get("scores") or {}
    source = str(data.get("source") or "data")
    rows = (scores.get("n") or {}).get("train")
    told = {name: scores.get(name, "") for name in ("method", "backbone")}
    name, shown = task_name(source, net.earlier.keys()), os.path.basename(source.rstrip("/\\"))
    return {"name": name, "data": shown, "fingerprint": data.get("fingerprint", ""), "rows": rows, **told}


def rebuild(described: Iterable[Mapping], make_task: MakeTask) -> tuple[Known, ...]:
    """The tasks of "earlier" in graft.json, their heads empty."""
    return tuple(
        Known(one["name"], _task(one, make_task), heads.rebuild(one["head"]["config"]), float(one["temperature"]), one.get("run") or {})
        for one in described
    )


def _task(described: Mapping, make_task: MakeTask) -> Task:
    told = described["task"]
    return make_task(told["name"], Schema(**{**told["schema"], "classes": tuple(told["schema"]["classes"])}), told["config"])


def read(folder: Path, make_task: MakeTask) -> tuple[dict, tuple[Known, ...]]:
    """(the content of graft.json, every task of the model in `folder` whose head may outlive it, filled, oldest first, its own last).

    Reads none of the body's weights. Raises WeightsError where the folder is damaged.
    """
    try:
        described = json.loads((folder / "graft.json").read_text(encoding="utf-8"))
        found = [(f"earlier.{one.name}.", one) for one in rebuild(described.get("earlier") or [], make_task)]
        if described["task"]["schema"]["target"] in TARGETS:
            told = described.get("learnt") or {"name": task_name(_source(folder), [one.name for _, one in found])}
            run = {**told, "sha256": described["weights"]["sha256"]}
            head = heads.rebuild(described["head"]["config"])
            found.append(("head.", Known(run.pop("name"), _task(described, make_task), head, float(described["temperature"]), run)))
        for prefix, one in found:
            one.head.load_state_dict(_tensors(folder / "weights.safetensors", prefix))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"The model in '{folder}' is damaged ({type(error).__name__}: {error}); copy it again, or fit it again."
        ) from error
    return described, tuple(one for _, one in found)


def _tensors(file: Path, prefix: str) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as held:
        return {name.removeprefix(prefix): held.get_tensor(name) for name in held.keys() if name.startswith(prefix)}  # noqa: SIM118


def _source(folder: Path) -> str:
    """Where the data of a model were that an older graft wrote, which did not say so itself."""
    try:
        return str(json.loads((folder.parent / "data.json").read_text(encoding="utf-8"))["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return "former"
