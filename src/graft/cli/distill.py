"""graft distill: a small model learns from a large one, beside the same small one alone."""

from collections.abc import Callable, Mapping
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import count, noun, number, table

Text = str | None
NAMES = {"teacher": "teacher", "student": "student", "alone": "student alone"}
_SHOWN = ("step", "phase", "begun")


@verb
def distill(
    teacher: Annotated[str, Argument(help="The folder of a finished run.", show_default=False)],
    data: Annotated[Text, Argument(help="What to learn from; the teacher's own data if not given.", show_default=False)] = None,
    student: Annotated[Text, Option("--student", "-s", help="The small body, or teacher@STAGE; graft-mini or minilm if not given.")] = None,
    unlabelled: Annotated[Text, Option(help="More images or texts, without labels, that the teacher labels softly.")] = None,
    weights: Annotated[Text, Option(help="A file of weights for the student.")] = None,
    epochs: Annotated[Text, Option(help="Epochs of the student.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option of the student; repeatable.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="Where both runs go; new, or one to go on with.")] = None,
    image_size: Annotated[Text, Option(help="Pixels a side of what the student sees.")] = None,
    augment: Annotated[Text, Option(help="none, light or medium.")] = None,
    precision: Annotated[Text, Option(help="auto, exact or fast.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    fetch: Annotated[Text, Option(help="May weights be downloaded: yes, no or fit-only.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> Answer:
    """Teach a small body what the run TEACHER knows, and say what that was worth: teacher, student, and the student alone."""
    asked = {name: value for name, value in locals().items() if name not in ("quiet", "json")} | {"sets": sets or ()}
    from .. import api

    with follow(quiet) as progress:
        found = api.distill(asked.pop("teacher"), asked.pop("data"), **asked, on_event=lambda event: _pass(event, progress))
    return Answer(found, text(found))


def _pass(event: Mapping, progress: Callable[[Mapping], None]) -> None:
    """Of each fit what moves and what it warns of."""
    kind = event.get("event")
    if kind in _SHOWN or (kind == "note" and event.get("level") != "info"):
        progress(event)
    elif kind == "fitting":
        progress({"event": "note", "level": "info", "text": f"fit {event['number']} of {event['of']}: {event['arm']}"})


def text(found: dict) -> str:
    """The table, what each difference is, and what they mean, for a terminal."""
    rows = [_row(arm) for arm in found["arms"]]
    metric = found["metric"].replace("_", " ")
    header = ("", "body", f"{metric} [95 %]", "parameters", "on disk", f"{noun(found['modality'])}s/s", "memory")
    gaps = [
        (f"{NAMES[one['of']]} less {NAMES[one['less']]}", number(one["value"], one["interval"]), _p(one["p"]))
        for one in found["differences"]
    ]
    lines = [table(rows, header), "", table(gaps, ("on the same rows", "difference [95 %]", "p")), "", found["verdict"]["text"]]
    return "\n".join([*lines, *found["notices"], "", table([("result", found["folder"]), ("report", found["report"])])])


def _row(arm: dict) -> tuple[str, ...]:
    memory = "-" if arm["memory_mb"] is None else f"{arm['memory_mb']:,.0f} MB"
    score = number(arm["value"], arm["interval"])
    return NAMES[arm["name"]], arm["backbone"], score, count(arm["parameters"]), f"{arm['megabytes']:.1f} MB", f"{arm['rate']:,.0f}", memory


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
