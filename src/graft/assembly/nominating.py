"""Which bodies are at hand on this machine without any download, and which of them a fit takes that names none."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import catalog
from ..advisor import rank
from ..core import Backbone, Data
from ..engine import device
from ..engine.journal import Journal
from ..errors import GraftError
from ..spec import Part, Spec, backbone_row, options
from . import measuring, modality

SECONDS = 30.0
"""After so long (or a tenth of the budget, where that is less) no further body is begun: a fit on small data takes about as long."""
ROWS = 300
"""Learning rows that the probe of each body sees."""
MOST = 3
LARGEST = 120.0
"""Kept bodies that are measured, the largest first, and MB of their files: ResNet-50 has 102; more would take a laptop minutes."""


@dataclass(frozen=True)
class Kept:
    """A body whose weights lie on this machine: its name, and the MB of its file."""

    name: str
    megabytes: float


def candidates(spec: Spec, named: Sequence[str], kind: str = "image") -> list[Part]:
    """The bodies to measure: those the user named ("resnet50" or "resnet50=FILE"), else the spec's, those that ship with graft and
    those whose weights are kept here. kind: what the data are, "image" or "text"."""
    if named:
        found = []
        for text in named:
            name, equals, file = text.partition("=")
            found.append(Part(name.strip(), {"weights": str(Path(file.strip()).expanduser().absolute())} if equals else {}))
        return found
    own = [] if spec.backbone.name == "auto" else [spec.backbone]
    rest = [Part("minilm")] if kind == "text" else [Part("graft-mini"), Part("gabor"), *(Part(one.name) for one in cached())]
    return own + [part for part in rest if part.name not in {one.name for one in own}]


def cached() -> list[Kept]:
    """Bodies of images with weights in the hub's cache (timm's) or in torch's (torchvision's), by name; nothing is asked of a network."""
    from huggingface_hub import constants

    found = []
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--timm--*")):
        files = sorted(folder.glob("snapshots/*/model.safetensors"))
        if files:
            found.append(Kept(folder.name.removeprefix("models--timm--"), files[-1].stat().st_size / 1e6))
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if any(folder.glob("*.pth")):
        from ..backbones.from_torchvision import in_cache

        for name, file in in_cache(folder).items():
            found.append(Kept(name if catalog.is_torchvision_body(name) else f"torchvision:{name}", file.stat().st_size / 1e6))
    return found


def load(part: Part, spec: Spec) -> tuple[Backbone, object]:
    """The body and its options, with the spec's word on downloads."""
    if "fetch" in catalog.options("backbone", backbone_row(part.name).name).__dataclass_fields__:
        part = replace(part, values={"fetch": spec.fetch, **part.values})
    return modality.load(part, spec.seed), options("backbone", part)


def best(spec: Spec, data: Data, journal: Journal) -> tuple[str, str]:
    """(name, why) of the body for a spec that names none: the embedded one, or one that is kept here and is better on the learning rows.

    A linear head on the last layer's features is cross-validated on at most ROWS learning rows for each; the order is that of
    `graft advise` (graft.advisor.rank). No scored row is looked at, and nothing is fetched. Where every row is scored in its fold nothing
    can be measured so, and the largest of the kept ones is taken by rule.
    """
    usual = modality.EMBEDDED[data.schema.modality]
    name = f"no body was named; {usual} ships with graft and needs no download"
    if data.schema.modality != "image":
        return usual, f"{name} (a larger one is usually better)"
    found = cached()
    if not found:
        return usual, f"{name}, and no other is kept here (a larger one is usually better: mobilenetv2_100, say, which is fetched once)"
    fit = sorted((one for one in found if one.megabytes <= LARGEST), key=lambda one: (-one.megabytes, one.name))[:MOST]
    if data.plan.folds and fit:
        why = "of those kept here it is the largest that is quick enough; every row is scored in its fold, so none is free to measure on"
        return fit[0].name, f"no body was named; {why}"
    allowed = SECONDS if spec.budget is None else min(SECONDS, 0.1 * spec.budget)
    began, rows = time.monotonic(), []
    left = [one.name for one in found if one not in fit]
    for part in (Part(usual), *(Part(one.name) for one in fit)):
        if rows and time.monotonic() - began >= allowed:
            left.append(part.name)
            continue
        try:
            rows.append(_probed(replace(part, values=_taken(spec.backbone, part)), spec, data, journal))
        except GraftError:
            left.append(part.name)
    seconds = time.monotonic() - began
    if len(rows) < 2:
        return usual, f"{name}, and of {', '.join(one.name for one in found)}, which are kept here, none could be measured"
    first = rank.order(rows)[0]
    scores = ", ".join(f"{row['name']} {row['layers'][0]['probe']:.3f}" for row in sorted(rows, key=lambda row: row["name"] != first))
    why = f"no body was named; of those kept here it does best under a linear head, cross-validated on {rows[0]['rows']} learning rows: "
    why += f"{scores} (which took {seconds:.0f} s"
    why += f"; not measured: {', '.join(left[:5])}{', ...' if len(left) > 5 else ''})" if left else ")"
    return first, why


def _taken(given: Part, part: Part) -> dict:
    """The options that the user gave, as far as this body has them."""
    known = catalog.options("backbone", backbone_row(part.name).name).__dataclass_fields__
    return {name: value for name, value in given.values.items() if name in known}


def _probed(part: Part, spec: Spec, data: Data, journal: Journal) -> dict:
    """A row as graft.advisor.rank takes it. Raises GraftError where the body cannot be loaded or has nothing to hold out."""
    body, _ = load(replace(part, values={**part.values, **({"fetch": "no"} if part.name != "graft-mini" else {})}), spec)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    layers, rows = measuring.last_probe(body, data, task, device.find(spec.threads), journal, spec.seed, ROWS)
    return {"name": part.name, "rows": rows, "layers": [layers]}
