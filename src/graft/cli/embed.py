"""graft embed: what a body makes of every sample, groups among them, and a map."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import amount, table

Text = str | None


@verb
def embed(
    data: Annotated[str, Argument(help="As for graft fit, with labels or without.", show_default=False)],
    out: Annotated[Path, Option("--out", "-o", help="A new or empty folder for the features and the page.", show_default=False)],
    backbone: Annotated[Text, Option("--backbone", "-b", help="graft-mini, minilm, run:PATH, timm's names, text bodies' folders.")] = None,
    weights: Annotated[Text, Option(help="A file of its weights.")] = None,
    layers: Annotated[Text, Option(help="Stages whose features are joined, by comma; the last if not given.")] = None,
    form: Annotated[str, Option("--format", help="parquet (with paths and labels), or npy (rows.parquet beside it).")] = "parquet",
    cluster: Annotated[Text, Option(help="Look for groups: auto (the number by stability), a number, or hdbscan.")] = None,
    map_: Annotated[str, Option("--map", help="Two dimensions to look at: pca, umap or none.")] = "pca",
    image_size: Annotated[Text, Option(help="Pixels a side.")] = None,
    reader: Annotated[Text, Option(help="How the data are read; graft list --kind reader.")] = None,
    precision: Annotated[Text, Option(help="auto, exact or fast.")] = None,
    seed: Annotated[Text, Option(help="0 if not given.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option; repeatable.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print what was found as JSON.")] = False,
) -> Answer:
    """Write the features of every sample in DATA; with --cluster, groups among them. No labels are needed."""
    asked = {"backbone": backbone, "weights": weights, "image_size": image_size, "reader": reader, "seed": seed, "threads": threads}
    asked |= {"precision": precision or "auto", "sets": sets or ()}
    from .. import api

    with follow(quiet) as progress:
        found = api.embed(data, out=out, layers=layers, form=form, cluster=cluster, map=map_, on_event=progress, **asked)
    return Answer(found, summary(found, out))


def summary(found: dict, out: Path) -> str:
    """What was written and, where groups were looked for, how many there are and why."""
    lines = [f"{amount(found['rows'], 'sample')}, {found['width']:,} numbers each: {', '.join(found['layers'])} of {found['body']}"]
    if groups := found.get("clusters"):
        left = f", {amount(groups['left_out'], 'sample')} in none" if groups["left_out"] else ""
        lines += ["", f"{amount(groups['number'], 'group')} of {', '.join(map(str, groups['sizes']))}{left}", groups["why"]]
        if agree := groups.get("agreement"):
            lines.append(f"agreement with the labels: NMI {agree['nmi']:.3f}, adjusted Rand index {agree['ari']:.3f}")
    return "\n".join([*lines, "", table([("features", str(out / found["file"])), ("page", str(out / "embedding.html"))])])
