"""What the journal's events say to a person: each becomes a few lines of a label and a text."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .words import amount, clock, count, noun, number, some, table


@dataclass(frozen=True)
class Line:
    """label: a word for the left column, empty to go on under the last one. tone: "", "good", "warning" or "faint"."""

    label: str
    text: str
    tone: str = ""


def describe(event: Mapping, phase: Mapping | None = None) -> list[Line]:
    """The lines of an event, [] for one that is not worth a line. phase: the last "phase" event, for the number of epochs."""
    handler = _HANDLERS.get(event.get("event", ""))
    return handler(event, phase or {}) if handler else []


def step(event: Mapping) -> str:
    """A "step" event on one line. Its "modality" says what the rate counts."""
    parts = [where(event), f"{event.get('step', 0):,}/{event.get('steps', 0):,}"]
    if event.get("loss") is not None:
        parts.append(f"loss {number(event['loss'])}")
    if event.get("rate") is not None:
        parts.append(pace(event["rate"], event.get("modality")))
    if event.get("remaining_s") is not None:
        parts.append(f"{clock(event['remaining_s'])} left")
    return "  ".join(parts)


def pace(rate: float, modality: object = None) -> str:
    return f"{rate:,.0f} {noun(modality)}s/s" if rate >= 10 else f"{rate:.1f} {noun(modality)}s/s"


def where(event: Mapping) -> str:
    """ "head", or "fold2 head" in cross-validation."""
    run = event.get("run", "final")
    return str(event.get("phase", "")) if run == "final" else f"{run} {event.get('phase', '')}"


def _select(select: Mapping | None, most: int = 1) -> str:
    """The first scores (the primary one leads)."""
    return "  ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in list((select or {}).items())[:most])


def _start(event: Mapping, _) -> list[Line]:
    return [Line("graft", str(event.get("version", "")), "faint")]


def _decision(event: Mapping, _) -> list[Line]:
    reason, flag = str(event.get("reason") or "").rstrip("."), str(event.get("flag") or "")
    known = not flag or all(one.strip() in reason for one in flag.split(","))
    why = "; ".join(filter(None, (reason, "" if known else f"change it with {flag}")))
    return [Line("chosen", f"{event.get('what')}: {event.get('value')}"), *([Line("", why, "faint")] if why else [])]


def _note(event: Mapping, _) -> list[Line]:
    level, files, total = event.get("level", "info"), event.get("files") or (), event.get("count") or 0
    warning = level != "info"
    lines = [Line("warning" if warning else "note", str(event.get("text", "")), "warning" if warning else "")]
    if files:
        names = some([os.path.basename(str(one)) or str(one) for one in files], total)
        lines.append(Line("", f"{amount(max(total, len(files)), 'file')}: {names}", "faint"))
    return lines


def _data(event: Mapping, _) -> list[Line]:
    classes = event.get("classes") or ()
    parts = [str(event.get("source", ""))]
    if isinstance(classes, int):
        parts.append(amount(classes, "class"))
    elif classes:
        parts.append(f"{amount(len(classes), 'class')} ({some(classes)})")
    plan = event.get("plan") or {}
    counts = {role: _total(value) for role, value in (event.get("counts") or {}).items()}
    verbs = {"train": "learn", "val": "watch" if event.get("target") == "none" else "select", "test": "score"}
    rows = [f"{value:,} {verbs.get(role, role)}" for role, value in counts.items() if value]
    lines = [Line("data", ", ".join(parts)), Line("", ", ".join(rows))] if rows else [Line("data", ", ".join(parts))]
    if plan.get("optimistic"):
        lines.append(Line("warning", "the samples that select also score, so the score will be optimistic", "warning"))
    return lines


def _total(value: object) -> int:
    return sum(value.values()) if isinstance(value, Mapping) else int(value or 0)


def _backbone(event: Mapping, _) -> list[Line]:
    stages = event.get("stages") or ()
    size = sum(one.get("parameters") or 0 for one in stages)
    parts = [str(event.get("name", ""))]
    parts += [amount(len(stages), "stage"), f"{count(size)} parameters"] if stages else []
    unit = "tokens" if event.get("modality") == "text" else "px"
    parts += [f"{event['size']} {unit}"] if event.get("size") else []
    origin = [f"weights {event['weights']}"] if event.get("weights") else []
    origin += [f"trained on {event['trained_on']}"] if event.get("trained_on") not in (None, "", "unknown") else []
    origin += [f"licence {event['licence']}"] if event.get("licence") else []
    return [Line("body", ", ".join(parts)), *([Line("", ", ".join(origin), "faint")] if origin else [])]


def _phase(event: Mapping, _) -> list[Line]:
    """What learns at what rate, and what does not."""
    solved = event.get("optimizer") == "solver"
    how = (
        "solved in one go"
        if solved
        else f"{amount(event.get('epochs') or 0, 'epoch')}, batch {event.get('batch')}, {event.get('optimizer')}"
    )
    lines = [Line(f"phase {(event.get('number') or 0) + 1}", f"{where(event)}: {how}")]
    if event.get("run", "final") not in ("final", "fold1"):
        return lines  # the other folds do as the first
    groups = event.get("groups") or ()
    rows = [
        (
            f"  {one['name']}",
            f"learns at {one['lr']:.3g}",
            f"decay {one.get('weight_decay') or 0:.3g}",
            f"{count(one['parameters'])} parameters" if one["parameters"] else "beside the net",
        )
        for one in groups
    ]
    lines += [Line("", text) for text in (table(rows).splitlines() if rows else ())]
    frozen, stages = event.get("frozen") or 0, event.get("stages")
    share = f"{count(event.get('trainable') or 0)} of {count(event['total'])} parameters learn" if event.get("total") and not solved else ""
    those = f"all {frozen} stages" if frozen == stages else f"the first {amount(frozen, 'stage')}{f' of {stages}' if stages else ''}"
    still = f"frozen: {those}" if frozen else "" if solved else "frozen: nothing"
    cached = f"computed once: {event['constant_prefix']} of {(stages or 0) + 1} steps" if event.get("constant_prefix") and stages else ""
    facts = [text for text in (share, still, cached) if text]
    return [*lines, *([Line("", "  " + "; ".join(facts), "faint")] if facts else []), *_why(event)]


def _why(event: Mapping) -> list[Line]:
    return [Line("", f"  {event['why']}", "faint")] if event.get("why") else []


def _epoch(event: Mapping, phase: Mapping) -> list[Line]:
    epochs = f"/{phase['epochs']}" if phase.get("epochs") and phase.get("phase") == event.get("phase") else ""
    parts = [f"{where(event)} {event.get('epoch')}{epochs}", f"loss {number(event.get('train_loss'))}", _select(event.get("select"), 2)]
    parts.append(clock(event.get("seconds") or 0))
    return [Line("epoch", "  ".join(part for part in parts if part) + ("  best so far" if event.get("best") else ""))]


def _solved(event: Mapping, _) -> list[Line]:
    chosen = ", ".join(
        f"{name} {number(value)}" for name, value in (event.get("chosen") or {}).items() if not isinstance(value, dict | list)
    )
    return [Line("solved", where(event) + (f": {chosen}" if chosen else ""))]


def _kept(event: Mapping, phase: Mapping) -> list[Line]:
    if phase.get("optimizer") == "solver":
        what = "the head"
    else:
        what = f"epoch {event['epoch']}" if event.get("epoch") else "the state before the first epoch"
    scores, unlabelled = _select(event.get("select"), 2), "effective_rank" in (event.get("select") or {})
    seen = "samples set aside" if unlabelled else "selecting samples"
    return [Line("kept", f"{where(event)}: {what}" + (f", {scores} on the {seen}" if scores else ""), "good")]


def _resumed(event: Mapping, _) -> list[Line]:
    said = ", ".join(
        f"{name} {value}" for name, value in event.items() if name not in ("t", "event", "folder") and isinstance(value, str | int)
    )
    return [Line("resumed", said or "from the last checkpoint")]


def _scored(event: Mapping, _) -> list[Line]:
    metrics = {name: one.get("value") if isinstance(one, Mapping) else one for name, one in (event.get("metrics") or {}).items()}
    return [Line("scored", f"{event.get('split')}: {_select(metrics)}", "good")]


def _temperature(event: Mapping, _) -> list[Line]:
    return [Line("calibrate", f"temperature {number(event.get('value'))}" + (f", {event['how']}" if event.get("how") else ""), "faint")]


def _opened(event: Mapping, _) -> list[Line]:
    return [Line("scoring", f"{event.get('split')}: {amount(event.get('rows') or 0, 'sample')}, opened for the only time")]


def _exported(event: Mapping, _) -> list[Line]:
    parity = event.get("parity")
    told = f", reloaded and compared: largest difference {parity:.2g}" if isinstance(parity, int | float) else ""
    return [Line("model", f"saved in {event.get('path')}{told}")]


def _done(event: Mapping, _) -> list[Line]:
    return [Line("done", f"in {clock(event.get('seconds') or event.get('t') or 0)}", "good")]


def _ended(event: Mapping, _) -> list[Line]:
    return [Line(str(event["event"]), str(event.get("reason") or ""), "warning")]


def _evidence(event: Mapping, _) -> list[Line]:
    tone = {"helped": "good", "negative": "warning"}.get(str(event.get("kind")), "")
    advice = [Line("", str(event["advice"]), "faint")] if event.get("advice") else []
    return [Line("evidence", str(event.get("text") or ""), tone), *advice]


def _teacher(event: Mapping, _) -> list[Line]:
    more = f", {amount(event['unlabelled'], 'unlabelled sample')} too" if event.get("unlabelled") else ""
    lines = [Line("teacher", f"{event.get('body')}, {count(event.get('parameters', 0))} parameters, from {event.get('folder')}")]
    return [*lines, Line("", f"asked about {amount(event.get('rows', 0), 'labelled sample')}{more}", "faint")]


def _target(event: Mapping, _) -> list[Line]:
    tone = {"helped": "good", "negative": "warning"}.get(str(event.get("kind")), "")
    advice = [Line("", str(event["advice"]), "faint")] if event.get("advice") else []
    return [Line("target", str(event.get("text") or ""), tone), *advice]


def _cut(event: Mapping, _) -> list[Line]:
    return [Line("cut", str(event.get("text") or ""), "warning")]


def _measured(event: Mapping, _) -> list[Line]:
    near = (event.get("similarity") or {}).get("level")
    parts = [f"{event.get('name')}: {number(event.get('probe'))} on {event.get('best_layer')}", f"source {near}" if near else ""]
    return [Line("measured", ", ".join(part for part in parts if part))]


_HANDLERS: dict[str, Callable[[Mapping, Mapping], list[Line]]] = {
    "start": _start, "decision": _decision, "note": _note, "data": _data, "backbone": _backbone, "phase": _phase, "epoch": _epoch,
    "solved": _solved, "kept": _kept, "resumed": _resumed,
    "temperature": _temperature, "opened": _opened, "scored": _scored, "exported": _exported, "done": _done, "stopped": _ended,
    "evidence": _evidence, "target": _target, "teacher": _teacher, "cut": _cut, "measured": _measured,
}  # fmt: skip
