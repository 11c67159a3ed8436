"""RUN/report.html: one self-contained page, a pure function of a run folder."""

import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from ..metrics.calibration import reliability
from . import charts, check, passages, representation, tables, target
from .evidence import evidence
from .layout import fill, parts, put
from .record import Record, picture

MATRIX = 20
"""Up to this many classes the confusion matrix is drawn; above, a list of the most confused pairs says more."""


def write(folder: Path) -> Path:
    """Write folder/report.html, whole or not at all, and return its path.

    Everything stands in the one file: no script, font, style or picture is loaded from elsewhere. Parts whose data are
    missing are left out; a run that failed or was stopped gets a page that says so and how to go on. Raises OSError
    where the file cannot be written.
    """
    folder = Path(folder)
    return put(folder / "report.html", render(folder))


def render(folder: Path) -> str:
    """The page's HTML."""
    run = Record(Path(folder))
    builders: dict[str, Callable] = {
        "head": _head, "target": target.target, "facts": _facts, "decisions": _decisions, "scores": _scores, "learning": _learning,
        "mistakes": _mistakes, "calibration": _calibration, "images": _images, "passages": passages.texts, "entities": passages.entities,
        "answers": passages.answers, "stages": _stages, "filters": _filters, "data": _data,
        "representation": representation.representation, "evidence": evidence, "check": check.summary, "machine": _machine,
        "origin": _origin, "reproduce": _reproduce,
    }  # fmt: skip
    made = parts(run, builders)
    return fill("template.html", run, run=run.folder.resolve().name, **made)


def _status(run: Record) -> str:
    """ "done", "failed", "stopped" or "open" (killed, or still running)."""
    last = run.last("start", "resumed", "done", "failed", "stopped")
    if last.get("event") in ("failed", "stopped", "done"):
        return last["event"]
    return "done" if run.scores.get("primary") else "open"


def _head(run: Record) -> dict:
    """The verdict, or why there is none and how to go on."""
    status, scores = _status(run), run.scores
    role = scores.get("scored") or ("test" if scores.get("test") else "val")
    primary = scores.get("primary", "")
    value = tables.scored((scores.get(role) or {}).get(primary))
    n = _rows(run, role)
    out = {"status": status, "resume": "", "reason": ""}
    if value:
        out |= {
            "metric": tables.metric(primary), "where": scores.get("scored_as") or role, "n": n, "select": scores.get("select") or role,
            "optimistic": bool(scores.get("optimistic")), "lower": scores.get("higher_is_better") is False, **value,
        }  # fmt: skip
        out["value"] = representation.change(run) or out["value"]
    if status in ("failed", "stopped"):
        out["reason"] = run.last("failed", "stopped").get("reason", "")
    if status != "done":
        out |= {"resume": f"graft resume {shlex.quote(str(run.folder))}", "reached": _reached(run)}
    return out


def _rows(run: Record, split: str) -> int | None:
    """How many rows stand behind the scores of a split: those that were scored, or those that selected."""
    n = run.scores.get("n") or {}
    role = run.scores.get("scored") or ("test" if run.scores.get("test") else "val")
    counted = run.predictions.num_rows if run.predictions is not None and split == role else None
    return n.get("scored" if split == role else "select") or n.get(split) or counted


def _reached(run: Record) -> str:
    phase, parts = run.last("phase"), []
    if phase:
        name = f"phase “{phase.get('phase', '')}”"
        same = [e for e in run.all("epoch") if (e.get("run"), e.get("phase")) == (phase.get("run"), phase.get("phase"))]
        done = len({e.get("epoch") for e in same})
        parts.append(f"{done} of {phase['epochs']} epochs of {name}" if phase.get("epochs") else name)
    if run.journal:
        parts.append(f"{tables.duration(run.journal[-1].get('t'))} of work")
    return ", ".join(parts)


def _facts(run: Record) -> list[tuple[str, str, str]]:
    """(name, value, small print) under the verdict."""
    scores, body = run.scores, run.last("backbone")
    known = scores.get("n") or run.last("data").get("counts") or {}
    counts = {k: int(known[k]) for k in ("train", "select", "val", "scored", "test") if isinstance(known.get(k), int | float)}
    learnt, total = scores.get("trainable_params"), run.last("phase").get("total")
    source = run.data.get("source") or run.last("data").get("source") or ""
    seconds = scores.get("seconds") or run.last("done").get("seconds")
    sizes = " / ".join(map(tables.number, counts.values()))
    named = " / ".join({"train": "learn", "scored": "score", "val": "watch" if run.target() == "none" else "val"}.get(k, k) for k in counts)
    share = f"{tables.count(learnt)} parameters learnt" + (f" of {tables.count(total)}" if total else "") if learnt else ""
    device, model = run.environment.get("device"), scores.get("backbone") or body.get("name") or _name(run.spec.get("backbone"))
    rows = [
        ("Model", model, tables.extent(body.get("size"), run.modality)),
        ("Method", scores.get("method") or _name(run.spec.get("method")), share),
        ("Data", Path(source).name or source, f"{sizes} {tables.noun(run.modality)} ({named})" if sizes else ""),
        ("Classes", tables.number(len(run.classes)) if run.classes else "", ""),
        ("When", _when(run), ""),
        ("Took", tables.duration(seconds) if seconds else "", f"on {device}" if device else ""),
    ]  # fmt: skip
    return [(name, str(value), small) for name, value, small in rows if value]


def _name(entry) -> str:
    return str(entry.get("name", "")) if isinstance(entry, dict) else str(entry or "")


def _when(run: Record) -> str:
    start = run.last("start")
    for key in ("date", "time", "at", "when"):
        if isinstance(start.get(key), str):
            return start[key]
    for name in ("spec.toml", "journal.jsonl", "scores.json"):  # the first that the run wrote
        if (run.folder / name).is_file():
            when = datetime.fromtimestamp((run.folder / name).stat().st_mtime)
            return f"{when.day} {when:%B %Y, %H:%M}"
    return ""


def _decisions(run: Record) -> list[dict]:
    return list({row.get("what"): row for row in run.all("decision") if row.get("what")}.values())


def _scores(run: Record) -> dict | None:
    scores = run.scores
    primary, splits = scores.get("primary", ""), [s for s in ("val", "test") if isinstance(scores.get(s), dict) and scores[s]]
    if not splits or run.target() == "none":
        return None
    names = list(dict.fromkeys([primary, *(m for s in splits for m in scores[s])]))
    role = scores.get("scored") or splits[-1]
    rows = [
        {"name": tables.metric(m), "values": [tables.scored(scores[s].get(m)) for s in splits], "lower": m in tables.LOWER,
         "range": tables.span(scores[role].get(m)) if role in splits and m not in tables.LOWER else None}
        for m in names
    ]  # fmt: skip
    rows = [row for row in rows if any(row["values"])]
    columns = [{"title": s if s == role else f"{s} (selected)", "n": _rows(run, s)} for s in splits]
    return {
        "columns": columns if len(splits) > 1 else [{"title": f"{role}, scored once", "n": _rows(run, role)}], "rows": rows,
        "where": scores.get("scored_as") or role, "select": _selected_on(run), "optimistic": bool(scores.get("optimistic")),
        "selection": _selection(run, primary), "metric": tables.metric(primary), "ranges": any(row["range"] for row in rows),
    }  # fmt: skip


def _selection(run: Record, primary: str) -> str:
    """The selection score of what was kept last in the final run, or its mean over the folds."""
    kept = {}
    for row in run.journal:
        if row["event"] in ("kept", "solved") and isinstance(row.get("select"), dict) and primary in row["select"]:
            kept[row.get("run", "final")] = row["select"][primary]
    values = [kept["final"]] if "final" in kept else list(kept.values())
    values = [float(v) for v in values if tables.number(v) != "–"]
    return tables.number(sum(values) / len(values)) if values else ""


def _selected_on(run: Record) -> str:
    """Where the selection score comes from: the selecting rows, or the search for a head that was solved last."""
    kept, solved = run.last("kept", "solved"), {(e.get("run"), e.get("phase")) for e in run.all("solved")}
    return "the rows that chose the head" if (kept.get("run"), kept.get("phase")) in solved else run.scores.get("select") or ""


def _learning(run: Record) -> dict | None:
    primary, solved = run.scores.get("primary", ""), []
    found = tables.curves(run.journal, primary)
    for row in run.all("solved"):
        where = "" if row.get("run", "final") == "final" else f" ({row['run']})"
        select = row.get("select") or {}
        name = primary if primary in select else next(iter(select), "")
        words = [_pairs(row.get("chosen")), f"selection score: {_pairs({name: select[name]})}" if name else ""]
        solved.append((f"{row.get('phase', '')}{where}", "; ".join(filter(None, words))))
    if found is None:
        return {"charts": [], "solved": solved} if solved else None
    words = tables.metric(found["metric"]) if found["metric"] else ""
    pictures = [("Training loss", charts.curve(found, "loss", "Training loss by epoch"))]
    where = "on the rows set aside" if run.target() == "none" else "on the selecting rows"
    pictures.append((f"{words} {where}", charts.curve(found, "metric", f"{words} {where} by epoch")))
    trained = {phase["name"] for phase in found["phases"]}
    final = [e for e in run.all("kept") if e.get("run", "final") == "final" and e.get("phase") in trained]
    return {
        "charts": [p for p in pictures if p[1]], "solved": solved, "several": len(found["runs"]) > 1, "phases": len(found["phases"]),
        "unmoved": [e["phase"] for e in final if e.get("epoch") == 0],
    }  # fmt: skip


def _pairs(found) -> str:
    if not isinstance(found, dict):
        return ""
    words = {k: tables.number(v) if isinstance(v, float) else v for k, v in found.items() if not isinstance(v, dict | list)}
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in words.items())


def _mistakes(run: Record) -> dict | None:
    """Confusion and scores by class; for several labels scores by label; for numbers scatter and residuals."""
    table, kind = run.predictions, run.target()
    if table is None or kind not in ("class", "labels", "number"):
        return None
    true, said = table["label"].to_pylist(), table["predicted"].to_pylist()
    if kind == "number":
        pairs = np.array([(t, p) for t, p in zip(true, said, strict=True) if t is not None and p is not None], dtype=float).reshape(-1, 2)
        pairs = pairs[np.isfinite(pairs).all(1)]
        if not len(pairs):
            return None
        plots = [("Predicted against true", charts.scatter(pairs[:, 0], pairs[:, 1], "Predicted against true values"))]
        plots.append(("Residuals", charts.histogram(pairs[:, 1] - pairs[:, 0], "Histogram of residuals", "predicted − true")))
        return {"kind": kind, "charts": plots}
    if kind == "labels":
        seen = sorted({str(label) for row in [*true, *said] for label in row or ()})
        classes = run.classes or seen
        probabilities = run.matrix("probabilities")
        if probabilities is not None and probabilities.shape[1] != len(classes):
            probabilities = None
        rows = tables.by_label(tables.membership(true, classes), tables.membership(said, classes), probabilities, classes)
        return {"kind": kind, "classes": rows, "ap": probabilities is not None}
    true, said = [str(t) for t in true], [str(p) for p in said]
    classes = list(dict.fromkeys([*run.classes, *sorted({*true, *said})]))
    counts = tables.confusion(true, said, classes)
    matrix = charts.confusion(counts, classes, "Confusion matrix") if len(classes) <= MATRIX else None
    pairs = tables.confused_pairs(counts, classes, 6 if matrix else 15)
    return {
        "kind": kind, "matrix": matrix, "pairs": pairs, "classes": tables.by_class(counts, classes),
        "wrong": int(counts.sum() - np.trace(counts)), "n": int(counts.sum()), "small": len(classes) <= 12,
    }  # fmt: skip


def _calibration(run: Record) -> dict | None:
    kind, after = run.target(), run.matrix("probabilities")
    if after is None or kind not in ("class", "labels"):
        return None
    if after.shape[1] != len(run.classes):
        return None
    labels, series = run.predictions["label"].to_pylist(), []
    truth = tables.membership(labels, run.classes) if kind == "labels" else np.array([run.classes.index(str(t)) for t in labels])
    degrees = run.scores.get("temperature")
    for name, values in (("before", run.matrix("raw") if degrees != 1 else None), ("after", after)):
        if values is not None and values.shape == after.shape:
            series.append((name, name, reliability(tables.as_probabilities(values, exclusive=kind == "class"), truth)))
    error, both = run.scores.get("calibration") or {}, len(series) > 1
    rows = [("Calibration error before", tables.number(error.get("before"))), ("After temperature", tables.number(error.get("after")))]
    rows = rows if both else [("Calibration error", rows[1][1])]
    if tables.number(degrees) != "–":
        sure = "it was too sure of itself" if degrees > 1.02 else "it was not sure enough" if degrees < 0.98 else "next to no change"
        rows.append(("Temperature", f"{tables.number(float(degrees), 2)} ({run.last('temperature').get('how') or sure})"))
    return {
        "chart": charts.calibration(series, "Stated probability against how often it was right"), "kind": kind, "both": both,
        "rows": [row for row in rows if row[1] != "–"],
    }  # fmt: skip


def _images(run: Record) -> dict | None:
    found = [e for e in run.json("explain/index.json", []) if isinstance(e, dict)]
    groups: dict[str, list[dict]] = {"mistake": [], "uncertain": []}
    for entry in found:
        image = picture(run.folder / "explain", entry.get("image"))
        if image and entry.get("kind") in groups:
            path = str(entry.get("path", ""))
            groups[entry["kind"]].append({
                "image": image, "heat": picture(run.folder / "explain", entry.get("heat")), "name": Path(path).name, "path": path,
                "label": _label(entry.get("label")), "predicted": _label(entry.get("predicted")),
                "probability": tables.number(entry.get("probability"), 2),
                "right": run.target() == "number" or entry.get("label") == entry.get("predicted"),
            })  # fmt: skip
    if not any(groups.values()):
        return None
    return {**groups, "heat": any(e["heat"] for some in groups.values() for e in some), "kind": run.target()}


def _label(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return tables.number(value) if isinstance(value, int | float) else str(value)


def _stages(run: Record) -> dict | None:
    body = run.last("backbone")
    rows = tables.freezing(body, run.journal, headed=run.target() != "none") if body.get("stages") else []
    if not rows:
        return None
    parameters = [(s.get("name", ""), tables.count(s.get("parameters")), s.get("form", ""), s.get("width", "")) for s in body["stages"]]
    states = {cell["state"] for row in rows for cell in row["cells"]}
    return {"rows": rows, "stages": parameters, "many": len(parameters) > 9, "solved": "solved" in states, "constant": "constant" in states}


def _filters(run: Record) -> dict | None:
    found = run.json("explain/filters.json", {})
    image = picture(run.folder / "explain", found.get("picture"), exact=True)
    if not image:
        return None
    fit = np.array([r for r in found.get("r2") or [] if tables.number(r) != "–"], dtype=float)
    words = {"median": tables.number(float(np.median(fit)), 2), "good": int((fit >= 0.5).sum()), "of": len(fit)} if len(fit) else {}
    words |= {"noise": tables.number(found.get("noise_r2"), 2).replace("–", ""), "tiny": (found.get("kernel") or 9) <= 3}
    return {"picture": image, "layer": found.get("layer", ""), "kernel": found.get("kernel"), "count": found.get("count"), **words}


def _data(run: Record) -> dict | None:
    event, notes = run.last("data"), {}
    for note in [*(run.data.get("notes") or []), *run.all("note")]:
        if isinstance(note, dict) and note.get("text"):
            files = [str(f) for f in note.get("files") or []]
            known = notes.setdefault(str(note["text"]), {"text": note["text"], "level": note.get("level", "info"), "files": files})
            known["n"] = max(known.get("n", 0), note.get("count") or 0, len(files))
    counts = run.data.get("counts") or event.get("counts") or {}
    plan, splits = run.data.get("plan") or event.get("plan") or {}, [s for s in counts if counts[s]]
    names = list(dict.fromkeys(str(c) for s in splits if isinstance(counts[s], dict) for c in counts[s]))
    rows = [{"name": c, "n": [counts[s].get(c, 0) if isinstance(counts[s], dict) else None for s in splits]} for c in names]
    rows.sort(key=lambda row: -sum(n or 0 for n in row["n"]))
    # Several labels a sample would make the sum of the classes more than the samples: the run's own totals go first.
    known = event.get("counts") or {}
    totals = [known[s] if isinstance(known.get(s), int) else tables.total(counts[s]) for s in splits]
    val = "watched" if run.target() == "none" else f"selects: {plan.get('select')}"
    roles = {"train": "learns", "val": val, "test": f"is scored: {plan.get('score')}"} if plan else {}
    if not (notes or splits):
        return None
    where = [(k.capitalize(), str(run.data.get(k) or event.get(k) or "")) for k in ("source", "reader", "fingerprint")]
    return {
        "splits": [roles.get(s, s) for s in splits], "rows": rows, "totals": totals, "notes": list(notes.values()),
        "reason": plan.get("reason", ""), "where": [pair for pair in where if pair[1]],
    }  # fmt: skip


def _machine(run: Record) -> list[tuple[str, str]]:
    here, scores = run.environment, run.scores
    epochs = [e["seconds"] for e in run.all("epoch") if tables.number(e.get("seconds")) != "–"]
    inside = f", of which {tables.duration(sum(epochs))} in epochs" if epochs else ""
    rows = [
        ("Time", tables.duration(scores["seconds"]) + inside if scores.get("seconds") else ""),
        ("Peak memory", tables.megabytes(scores["peak_memory_mb"]) if scores.get("peak_memory_mb") else ""),
        ("Machine", ", ".join(str(here[k]) for k in ("cpu", "device") if here.get(k) and here[k] != "cpu")),
        ("Cores, threads", ", ".join(str(here[k]) for k in ("cores", "threads") if here.get(k))),
        ("Memory", f"{here['memory_gb']} GB" if here.get("memory_gb") else ""),
        ("Precision", str(here.get("precision") or "").replace("torch.", "")),
        ("Platform", here.get("platform", "")),
        ("Versions", ", ".join(f"{k} {here[k]}" for k in ("graft", "python", "torch", "torchvision", "timm") if here.get(k))),
        ("Seed", str(scores["seed"]) if "seed" in scores else ""),
    ]  # fmt: skip
    return [(name, value) for name, value in rows if value]


def _origin(run: Record) -> list[tuple[str, str]]:
    body = run.last("backbone")
    rows = [
        ("Network", body.get("architecture")), ("Weights", body.get("weights")), ("Trained on", body.get("trained_on")),
        ("Licence", body.get("licence")), ("SHA-256", body.get("sha256")),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in rows if value]


def _reproduce(run: Record) -> dict | None:
    command = run.environment.get("command") or run.last("start").get("command") or ""
    command = shlex.join(map(str, command)) if isinstance(command, list) else str(command)
    spec = run.text("spec.toml").strip()
    return {"command": command, "spec": spec} if command or spec else None
