"""graft check: what is wrong with the data, before anything is trained."""

from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .findings import lines
from .progress import follow

Text = str | None


@verb
def check(
    data: Annotated[str, Argument(help="As for graft fit.", show_default=False)],
    backbone: Annotated[Text, Option("--backbone", "-b", help="Whose features look for copies, label errors and outliers.")] = None,
    weights: Annotated[Text, Option(help="A file of its weights.")] = None,
    target: Annotated[Text, Option(help="Samples of another domain, without labels: how far they are from DATA.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="A new or empty folder for check.html, check.json and lists of files.")] = None,
    reader: Annotated[Text, Option(help="How the data are read; graft list --kind reader.")] = None,
    seed: Annotated[Text, Option(help="0 if not given.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option; repeatable.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the findings as JSON.")] = False,
) -> Answer:
    """Look for broken files, copies across splits, wrong labels, shortcuts and more in DATA. Nothing is changed."""
    from .. import api

    asked = {"backbone": backbone, "weights": weights, "reader": reader, "seed": seed, "threads": threads, "target": target}
    with follow(quiet) as progress:
        found = api.check(data, out=out, on_event=progress, sets=sets or (), **asked)
    return Answer(found, "\n".join([*lines(found), *(["", f"page   {out}/check.html"] if out else [])]))
