"""graft compare: several ways to transfer on the same rows, with seeds, intervals and tests."""

from collections.abc import Callable, Mapping
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import clock, count, number, table

Text = str | None
_SHOWN = ("step", "phase", "begun")
"""What a listener is told of each fit; forty fits' worth of the rest would bury the study."""


@verb
def compare(
    data: Annotated[str, Argument(help="A folder of class folders, or a CSV, JSONL or Parquet table.", show_default=False)],
    arms: Annotated[
        str, Option(help="METHOD[@STAGE][:OPTION=VALUE], by comma; finetune@stage3 learns from stage3 on, what is below stays frozen.")
    ] = "extract,lp_ft,scratch",
    backbones: Annotated[str, Option(help="Bodies, by comma; each is tried with every arm. auto: the embedded one.")] = "auto",
    seeds: Annotated[int, Option(help="How many seeds for every arm.")] = 5,
    budget: Annotated[Text, Option(help="Time for all fits together: 90s, 10m, 1h30m.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="The study's folder; new, or that of a study to go on with.")] = None,
    weights: Annotated[Text, Option(help="A file of weights for the bodies that it fits.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option, for all arms; repeatable.")] = None,
    select_on: Annotated[Text, Option(help="val: select and score on the same rows.")] = None,
    folds: Annotated[Text, Option(help="Cross-validate with this many folds; 0: one draw.")] = None,
    image_size: Annotated[Text, Option(help="Pixels a side.")] = None,
    augment: Annotated[Text, Option(help="none, light, medium or strong.")] = None,
    task: Annotated[Text, Option(help="classification, multilabel or regression.")] = None,
    teacher: Annotated[Text, Option(help="The finished run that arms of distill learn from.")] = None,
    unlabelled: Annotated[Text, Option(help="More samples, without labels.")] = None,
    head: Annotated[Text, Option(help="The head; graft list --kind head.")] = None,
    precision: Annotated[Text, Option(help="auto, exact or fast.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    fetch: Annotated[Text, Option(help="May weights be downloaded: yes, no or fit-only.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the study as JSON.")] = False,
) -> Answer:
    """Compare ways to transfer on DATA: the same rows and seeds for all, with intervals and paired tests, within a budget."""
    asked = {name: value for name, value in locals().items() if name not in ("quiet", "json")} | {"sets": sets or ()}
    from .. import api

    with follow(quiet) as progress:
        found = api.compare(asked.pop("data"), **asked, on_event=lambda event: _pass(event, progress))
    return Answer(found, text(found))


def _pass(event: Mapping, progress: Callable[[Mapping], None]) -> None:
    """The study's own events as lines; of each fit's, only those that move."""
    kind = event.get("event")
    if kind in _SHOWN or (kind == "note" and "t" not in event):
        progress(event)
    elif kind in ("fitting", "fitted", "failed", "cut"):
        progress({"event": "note", "level": "warning" if kind in ("failed", "cut") else "info", "text": _line(event)})


def _line(event: Mapping) -> str:
    if event["event"] == "cut":
        return event["text"]
    who = f"{event['arm']}, seed {event['seed']}"
    if event["event"] == "fitting":
        limit = f", at most {clock(event['limit'])} to learn" if event.get("limit") is not None else ""
        return f"fit {event['number']} of {event['of']}: {who}{limit}"
    if event["event"] == "failed":
        return f"{who} failed: {event['reason']}"
    return f"{who}: {event['metric'].replace('_', ' ')} {number(event['value'])} in {clock(event['seconds'])}"


def text(found: dict) -> str:
    """The table of arms, what to take, and what to know, for a terminal."""
    less = {one["of"]: one for one in found["differences"] if one["family"] == "reference"}
    rows = [_row(arm, less.get(arm["name"]), found) for arm in found["arms"]]
    header = ("arm", "body", f"{found['metric'].replace('_', ' ')} [95 %]", "difference [95 %]", "p", "time", "memory", "learnt")
    lines = [table(rows, header), "", f"differences are to {found['reference']}; p is raised for the number of arms (Holm)"]
    lines += ["", found["recommended"]["text"], found["best"]["text"]]
    lines += [*(["", *found["cut"]] if found["cut"] else []), *found["notices"]]
    return "\n".join([*lines, "", table([("study", found["folder"]), ("report", found["report"])])])


def _row(arm: dict, less: dict | None, found: dict) -> tuple[str, ...]:
    mark = "* " if arm["name"] == found["recommended"]["arm"] else "  "
    difference = "reference" if arm["name"] == found["reference"] else number(less["value"], less["interval"]) if less else "-"
    p = "-" if less is None else "<0.001" if less["p_holm"] < 0.001 else f"{less['p_holm']:.3f}"
    memory = "-" if arm["peak_memory_mb"] is None else f"{arm['peak_memory_mb']:,.0f} MB"
    score = number(arm["value"], arm["interval"])
    return mark + arm["label"], arm["backbone"], score, difference, p, clock(arm["seconds"]), memory, count(arm["trainable"])
