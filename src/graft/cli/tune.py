"""graft tune: better settings than the defaults, and what they are worth."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .words import amount, clock, number, table

Text = str | None
_SHOWN = 5


@verb
def tune(
    data: Annotated[Text, Argument(help="What graft fit reads: class folders, or a table.", show_default=False)] = None,
    trials: Annotated[int | None, Option(min=1, help="Settings to try; 20, or as many as --budget allows.", show_default=False)] = None,
    budget: Annotated[Text, Option(help="Time to spend: 90s, 10m, 1h30m.")] = None,
    backbone: Annotated[Text, Option("--backbone", "-b", help="graft-mini, gabor, run:PATH or any timm name.")] = None,
    weights: Annotated[Text, Option(help="A file of weights (.safetensors, or .pth without pickled code).")] = None,
    method: Annotated[Text, Option("--method", "-m", help="How to transfer; graft list --kind method.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option; it is not tuned then.")] = None,
    spec: Annotated[Path | None, Option(help="A TOML file to start from, such as RUN/spec.toml.")] = None,
    seed: Annotated[Text, Option(help="0 if not given.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="New, empty, or that of a search to go on with.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> Answer:
    """Search for better settings than the defaults, on the selecting samples alone; say on the locked ones what was gained."""
    from dataclasses import replace

    from .. import api
    from ..spec import Spec

    base = replace(Spec.load(spec), out=None) if spec else None
    given = {"backbone": backbone, "weights": weights, "method": method, "seed": seed, "out": out, "budget": budget}
    asked = Spec.make(data, sets=sets or (), base=base, **given)
    with follow(quiet) as progress:
        result = api.tune(asked, trials=trials, on_event=told(progress))
    return Answer(result, text(result))


def told(progress: Callable[[Mapping], None]) -> Callable[[Mapping], None]:
    """A finished trial as a line of the progress; everything else as it is."""

    def tell(event: Mapping) -> None:
        if event.get("event") == "trial":
            event = {"event": "note", "level": "info", "text": _trial(event), "count": 0, "files": []}
        progress(event)

    return tell


def _trial(event: Mapping) -> str:
    ended = {"done": "", "same": f" ({event['reason']})", "pruned": " (stopped early)", "failed": f" (failed: {event['reason']})"}
    score = "no score" if event["value"] is None else f"{event['primary'].replace('_', ' ')} {number(event['value'])} selecting"
    best = ", the best so far" if event["best"] == event["number"] else ""
    return f"trial {event['number'] + 1} of at most {event['trials']}: {score}{best}{ended[event['state']]}; {setting(event['setting'])}"


def setting(values: Mapping) -> str:
    """ "lr 0.0003, batch 16, layers the last"."""
    shown = ((name.rpartition(".")[2] if name != "augment.name" else "augment", value) for name, value in values.items())
    return ", ".join(f"{name} {f'{value:.2g}' if isinstance(value, float) else value or 'the last'}" for name, value in shown)


def text(result: Mapping) -> str:
    """What came of it, the best trials, and where things are."""
    primary, verdict, trials, folder = result["primary"], result["verdict"], result["trials"], Path(result["folder"])
    words = {"defaults": "with the defaults", "tuned": "tuned"}
    scored = [
        (words[name], f"{primary} {number(one[primary]['value'], one[primary]['interval'])}") for name, one in result["scored"].items()
    ]
    states = [row["state"] for row in trials]
    tried = f"{amount(len(trials), 'trial')} in {clock(result['seconds'])}, {states.count('pruned')} of them stopped early"
    lines = [f"{verdict['text']} {verdict['advice']}", "", table(scored)]
    lines.append(f"measured on {result['scored_as']}, {result['n']['score']:,} samples; chosen on {result['n']['select']:,}")
    lines += ["", "; ".join([tried, *result["cut"]])]
    best = sorted((row for row in trials if row["state"] == "done"), key=lambda row: (-row["key"], row["number"]))[:_SHOWN]
    rows = [(f"trial {row['number'] + 1}", row["value"], setting(row["setting"]) if row["number"] else "the defaults") for row in best]
    places = [("spec", folder / "tuned.toml"), ("trials", folder / "trials.csv"), ("next", f"graft fit --spec {folder / 'tuned.toml'}")]
    return "\n".join([*lines, table(rows, ("", "selecting", "")), "", table([(name, str(place)) for name, place in places])])
