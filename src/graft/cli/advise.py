"""graft advise: which body, which layer and which way, measured before anything is trained."""

from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import clock, number, table

Text = str | None


@verb
def advise(
    data: Annotated[str, Argument(help="As for graft fit.", show_default=False)],
    backbones: Annotated[Text, Option("--backbones", "-b", help="By comma, each NAME or NAME=FILE of weights.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="A new or empty folder for advice.toml, advice.json and advice.html.")] = None,
    task: Annotated[Text, Option(help="classification, multilabel or regression.")] = None,
    reader: Annotated[Text, Option(help="How the data are read; graft list --kind reader.")] = None,
    seed: Annotated[Text, Option(help="0 if not given.")] = None,
    folds: Annotated[Text, Option(help="As for graft fit.")] = None,
    select_on: Annotated[Text, Option(help="As for graft fit.")] = None,
    fetch: Annotated[Text, Option(help="May weights be downloaded: yes or no.")] = None,
    budget: Annotated[Text, Option(help="Time that the fit may take: 90s, 5m, 1h30m.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option; repeatable.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the advice as JSON.")] = False,
) -> Answer:
    """Say which body, layer and method suit DATA, measured on the learning samples; nothing is trained and no test sample is looked at."""
    asked = {"task": task, "reader": reader, "seed": seed, "folds": folds, "select_on": select_on, "fetch": fetch, "budget": budget}
    from .. import api

    names = [one.strip() for one in (backbones or "").split(",") if one.strip()]
    with follow(quiet) as progress:
        found = api.advise(data, backbones=names, out=out, on_event=progress, sets=sets or (), threads=threads, **asked)
    return Answer(found, "\n".join(lines(found, out)))


def lines(found: dict, out: str | None) -> list[str]:
    """The shortlist, the rule and what to run."""
    rows = [
        (str(one["rank"]), one["backbone"], " on ".join([one["method"], *one["layers"]]), number(one["expected"], one["interval"]),
         "" if one["measured"] else "at the frozen body's score", clock(one["seconds"]) if one["seconds"] else "", one["licence"])
        for one in found["strategies"][:8]
    ]  # fmt: skip
    said = [table(rows, ("", "body", "way", f"{found['metric']} [95 %]", "", "about", "licence")), ""]
    said += [f"{one['name']}: {one['similarity']['words']} {one['similarity'].get('beside', '')}".rstrip() for one in found["bodies"]]
    first = found["strategies"][0]
    said += ["", found["agreement"], "", f"first because {'; '.join(first['reasons'])}"]
    said += [f"left out: {one['name']}: {one['why']}" for one in found["left_out"]]
    run = (
        f"graft fit {found['source']} --advice {out}/advice.toml"
        if out
        else "keep it with --out FOLDER, then: graft fit DATA --advice FOLDER/advice.toml"
    )
    return [*said, "", f"next  {run}"]
