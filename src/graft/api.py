"""The public verbs. Wires the packages together."""

import contextlib
import errno
import json
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from . import folders
from .core import Run
from .engine import journal as diary
from .errors import DataError, OptionError, OutputError, Stopped, nearest
from .spec import Spec, key

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)

Listener = Callable[[dict], None] | None


def fit(spec: Spec | str | os.PathLike, *, on_event: Listener = None, **choices) -> Run:
    """From data to an evaluated model, a report and a file to ship.

    spec: a Spec, or the path of the data; `choices` are then the arguments of Spec.make. on_event is told every line of
    the journal, and progress. Raises GraftError with one sentence where something must be mended first; nothing is
    written before the data, the options and the weights have been found sound. Ctrl-C raises Stopped.
    """
    from .assembly import wiring
    from .fits import fitting

    spec = spec if isinstance(spec, Spec) else Spec.make(str(spec), **choices)
    if spec.out is not None:
        _check_free(Path(spec.out))
    journal = diary.Journal(on_event)
    journal.write("start", version=_version(), command=_command(), date=time.strftime("%Y-%m-%d %H:%M"))
    parts = wiring.assemble(spec, journal)
    folder = _claim(parts.spec)
    journal.open(folder)
    journal.tell("begun", folder=str(folder))
    return _guarded(lambda: fitting.carry_out(parts, folder, journal), folder, journal)


def advise(
    data: Spec | str | os.PathLike,
    *,
    backbones: Sequence[str] = (),
    out: str | os.PathLike | None = None,
    on_event: Listener = None,
    **choices,
) -> dict:
    """Measure bodies, layers and strategies on the learning rows, before anything is trained; see docs/advice.md.

    data: a Spec, or the path of the data; `choices` are then the arguments of Spec.make. backbones: names, or "NAME=FILE of
    weights"; else the one of the spec, those that ship with graft, and those in the hub's cache. out: a new or empty folder
    for advice.json, advice.toml and advice.html. Raises GraftError with one sentence where something must be mended first.
    """
    from .verbs import advising

    spec = data if isinstance(data, Spec) else Spec.make(str(data), **choices)
    if out is not None:
        _check_free(Path(out))
    found = advising.advise(spec, diary.Journal(on_event), backbones)
    if out is not None:
        _written(Path(out), {"advice.json": json.dumps(found, indent=1, ensure_ascii=False), "advice.toml": advising.toml(found)})
        from .report import advice as advice_page

        advice_page.write(Path(out))
    return found


def compare(
    data, *, arms: str = "extract,lp_ft,scratch", backbones: str = "auto", seeds: int = 5, budget=None, out: str | None = None,
    weights: str | None = None, sets: Sequence[str] = (), on_event: Listener = None, **choices,
) -> dict:  # fmt: skip
    """Several methods, bodies and seeds on the same scored rows, as a study that can be stopped and gone on with; see docs/compare.md."""
    from .verbs import studies

    return studies.compare(
        data, arms=arms, backbones=backbones, seeds=seeds, budget=budget, out=out, weights=weights, sets=sets, fit=fit, resume=resume,
        on_event=on_event, **choices,
    )  # fmt: skip


def distill(
    teacher: str | os.PathLike, data: str | os.PathLike | None = None, *, student: str | None = None, out: str | os.PathLike | None = None,
    sets: Sequence[str] = (), on_event: Listener = None, **choices,
) -> dict:  # fmt: skip
    """A small body that the finished run `teacher` teaches, beside the same body alone and the teacher; see graft.verbs.distilling."""
    from .verbs import distilling

    return distilling.distill(
        teacher, data, student=student, out=out, sets=sets, fit=fit, resume=resume, on_event=on_event, **choices
    )  # fmt: skip


def chain(steps, *, out: str | os.PathLike | None = None, remedy: str | None = None, on_event: Listener = None) -> dict:
    """Tasks learnt one after another by one body, and what is kept of each; see graft.verbs.chains.chain and docs/chains.md."""
    from .verbs import chains

    return chains.chain(steps, out=out, remedy=remedy, fit=fit, resume=resume, on_event=on_event)


def tune(spec: Spec | str | os.PathLike, *, trials: int | None = None, on_event: Listener = None, **choices) -> dict:
    """Better settings than the defaults, found on the selecting rows, and what they gained; see graft.verbs.tuning.tune."""
    from .verbs import tuning

    spec = spec if isinstance(spec, Spec) else Spec.make(str(spec), **choices)
    return tuning.tune(spec, trials=trials, on_event=on_event)


def check(data: Spec | str | os.PathLike, *, out: str | None = None, on_event: Listener = None, **choices) -> dict:
    """What is wrong with the data, and what it can do to the score: the content of check.json.

    data: a Spec, or the path of the data; `choices` are then the arguments of Spec.make (backbone: whose features look for
    copies, label errors and outliers). out: a new or empty folder for check.json, check.html, label_errors.csv and
    duplicates.txt. Nothing is changed in the data. Raises GraftError where they cannot be read at all.
    """
    from .verbs import checking

    spec = data if isinstance(data, Spec) else Spec.make(str(data), **choices)
    if out is not None:
        _check_free(Path(out))
    found, suspects = checking.check(spec, diary.Journal(on_event))
    if out is not None:
        _written(Path(out), {"check.json": json.dumps(found, indent=1, ensure_ascii=False, default=str)})
        checking.write(found, suspects, Path(out))
        from .report import check as check_page

        check_page.write(Path(out))
    return found


def embed(
    data: Spec | str | os.PathLike, *, out: str | os.PathLike, layers: str | Sequence[str | int] | None = None, form: str = "parquet",
    cluster: str | None = None, map: str = "pca", on_event: Listener = None, **choices,
) -> dict:  # fmt: skip
    """Write the features [n, width] of every sample, with labels or without, into the new or empty folder `out`; see graft.verbs.embedding.

    data: a Spec, or the path of the data; `choices` are then the arguments of Spec.make. layers: stages whose pooled features are
    joined, "stage3,stage4"; the last if None. form: "parquet" or "npy". cluster: "auto", a number or "hdbscan". map: "pca", "umap" or
    "none". Returns the content of embedding.json. Raises GraftError where something must be mended first.
    """
    from .report import embedding as page
    from .verbs import embedding

    for name, given, known in (("--format", form, embedding.FORMATS), ("--map", map, embedding.MAPS)):
        if given not in known:
            raise OptionError(f"{name} is one of {', '.join(known)}, not '{given}'.")
    spec = data if isinstance(data, Spec) else Spec.make(str(data), **choices)
    _check_free(Path(out))
    named = [part.strip() for part in layers.split(",") if part.strip()] if isinstance(layers, str) else layers or ()
    found = embedding.embed(spec, diary.Journal(on_event), named)
    table, about = embedding.explore(found, None if cluster is None else str(cluster), map, spec.seed)
    about["file"] = "features.npy" if form == "npy" else "features.parquet"
    try:
        embedding.write(Path(out), table, found.features, about, form)
        page.write(Path(out))
    except OSError as error:
        raise OutputError(f"Cannot write to '{out}': {error.strerror or error}; give another folder with --out.") from error
    return about


def _written(folder: Path, files: dict[str, str]) -> None:
    """All files, or a folder without any of them. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            beside = folder / f"{name}.new"
            beside.write_text(text + "\n", encoding="utf-8")
            beside.replace(folder / name)
    except OSError as error:
        raise OutputError(f"Cannot write to '{folder}': {error.strerror or error}; give another folder with --out.") from error


def resume(folder: str | os.PathLike, *, on_event: Listener = None) -> Run:
    """Go on with a run that was stopped or killed; the result is bit-identical to that of a run that was not (on a CPU).

    Raises OutputError where there is no run, DataError where the data have changed since.
    """
    from .assembly import wiring
    from .fits import fitting

    folder = Path(folder)
    if not (folder / "spec.toml").is_file():
        raise OutputError(f"There is no run in '{folder}'; give the folder that fit named, or begin anew with: graft fit DATA")
    rows = diary.read(folder)
    if any(row["event"] == "done" for row in rows):
        return _finished(folder, rows)
    spec = Spec.load(folder / "spec.toml")
    # What the first start chose is in the spec, so the choices are not announced again.
    parts = wiring.assemble(spec, diary.Journal())
    before = next((row["fingerprint"] for row in rows if row["event"] == "data"), parts.data.fingerprint)
    if before != parts.data.fingerprint:
        raise DataError(f"The data in '{parts.data.source}' have changed since this run began; begin anew with: graft fit DATA")
    journal = diary.Journal(on_event)
    journal.open(folder)
    journal.write("resumed", version=_version())
    journal.tell("begun", folder=str(folder))
    return _guarded(lambda: fitting.carry_out(parts, folder, journal), folder, journal)


def load(path: str | os.PathLike):
    """The model of a run (RUN, RUN/model or a copy of that folder), ready to predict; see graft.export.model.Model."""
    from . import catalog
    from .export.model import read
    from .verbs import adapting

    return read(path, catalog.make_task, adapting.adapt)


def report(folder: str | os.PathLike) -> Path:
    """Write RUN/report.html again from what is in the run's folder."""
    from .report import page

    _existing(folder)
    return page.write(Path(folder))


def runs(folder: str | os.PathLike = "runs") -> list[dict]:
    """The runs below a folder, newest last: folder, state ("done", "stopped" or "failed"), data, backbone, method, score."""
    root = Path(folder)
    found = sorted(root.glob("*/spec.toml"), key=lambda path: path.stat().st_mtime) if root.is_dir() else []
    return [_summary(path.parent) for path in found]


def show(folder: str | os.PathLike) -> dict:
    """What a run is, decided and scored."""
    _existing(folder)
    rows = diary.read(Path(folder))
    kept = ("decision", "note", "phase", "kept", "scored", "exported")
    return _summary(Path(folder)) | {
        "scores": folders.read_json(Path(folder) / "scores.json"),
        **{f"{name}s" if name != "kept" else name: [r for r in rows if r["event"] == name] for name in kept},
        "spec": (Path(folder) / "spec.toml").read_text(encoding="utf-8"),
    }


def cache(limit: str | None = None, clear: str | None = None) -> dict:
    """The store of activations and compiled networks: its folder (None where there is none, and then `why`), limit and bytes,
    what it has held, newest first, and how many bytes were freed.

    limit: a new limit, "20GB", which holds at once. clear: "all", "activations", "compiled" or a body's name. Raises
    OptionError where one of them makes no sense, or where there is no store to which it could apply.
    """
    from .engine import store

    nbytes, found = None if limit is None else store.size(limit), store.find()
    if found is None:
        if limit is not None or clear is not None:
            raise OptionError(store.why_not())
        return {"folder": None, "why": store.why_not(), "limit": 0, "bytes": 0, "freed": 0, "held": []}
    known = {"all", "activations", "compiled", *(one["about"].get("body") for one in found.held())} - {None}
    if clear is not None and clear not in known:
        raise OptionError(f"The store holds nothing of '{clear}'.{nearest(clear, sorted(known))}")
    freed = 0 if clear is None else found.clear(clear)
    if nbytes is not None:
        found.set_limit(nbytes)
        freed += found.trim()
    held = found.held()
    total = sum(one["bytes"] for one in held)
    return {"folder": str(found.folder), "why": "", "limit": found.limit, "bytes": total, "freed": freed, "held": held}


def demo(out: str | os.PathLike = "demo-run", *, on_event: Listener = None) -> dict:
    """scikit-learn's handwritten digits with ten labels a class: the embedded body against the same network from scratch."""
    from .verbs import demonstration

    _check_free(Path(out))
    return demonstration.demo(Path(out), fit, on_event)


def _guarded(work: Callable[[], Run], folder: Path, journal: diary.Journal) -> Run:
    """Whatever happens, the journal says how it ended and the sentence says how to go on."""
    try:
        return work()
    except KeyboardInterrupt as stop:
        journal.write("stopped", reason="stopped by the user")
        raise Stopped(f"Stopped; everything up to the last checkpoint is kept. Go on with: graft resume {folder}") from stop
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise diary.full_disk(error, folder) from error
    except Exception as error:
        with contextlib.suppress(OutputError):
            journal.write("failed", reason=str(error) or type(error).__name__)
        raise
    finally:
        journal.close()


def _check_free(folder: Path) -> None:
    """Raises OutputError unless the folder is empty or can be made."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"'{folder}' is a file; give a folder that is new or empty with --out.")
    if folder.is_dir() and any(folder.iterdir()):
        hint = f" (to go on with the run in it: graft resume {folder})" if (folder / "spec.toml").exists() else ""
        raise OutputError(f"'{folder}' is not empty; give another folder with --out, or empty it{hint}.")
    above = folder
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK | os.X_OK) or not above.is_dir():
        raise OutputError(f"Cannot write to '{folder}': no permission in '{above}'; give another folder with --out.")


def _claim(spec: Spec) -> Path:
    """The run's folder, made in one step with spec.toml inside, so that a kill leaves a run that can be resumed or nothing."""
    folder = Path(spec.out or key(spec)).absolute()
    _check_free(folder)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        beside.mkdir(parents=True)
        (beside / "spec.toml").write_text(spec.to_toml(), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OutputError(f"Cannot write to '{folder}': {error.strerror or error}; give another folder with --out.") from error
    return folder


def _finished(folder: Path, rows: list[dict]) -> Run:
    scores = folders.read_json(folder / "scores.json")
    return Run(folder, scores, scores.get("seconds", 0.0), diary.decisions(rows))


def _existing(folder: str | os.PathLike) -> None:
    if not (Path(folder) / "spec.toml").is_file():
        raise OptionError(f"There is no run in '{folder}'; 'graft list' names the runs there are.")


def _summary(folder: Path) -> dict:
    rows, scores = diary.read(folder), folders.read_json(folder / "scores.json")
    events = [row["event"] for row in rows]
    state = "done" if "done" in events else "failed" if events[-1:] == ["failed"] else "stopped"
    data = next((row for row in rows if row["event"] == "data"), {})
    spec = _names(folder)
    scored = (scores.get(scores.get("scored", "")) or {}).get(scores.get("primary"), {})
    return {
        "folder": str(folder), "state": state, "data": data.get("source", ""),
        "backbone": spec.get("backbone"), "method": spec.get("method"),
        "primary": scores.get("primary"), "value": scored.get("value"), "interval": scored.get("interval"),
        "seconds": scores.get("seconds"),
    }  # fmt: skip


def _names(folder: Path) -> dict[str, str]:
    """The names of a run's parts, read without checking, so that a run of another version can be listed too."""
    try:
        found = tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return {name: str(part["name"]) for name, part in found.items() if isinstance(part, dict) and "name" in part}


def _version() -> str:
    from . import __version__

    return __version__


def _command() -> str:
    import shlex

    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return shlex.join(["graft", *sys.argv[1:]]) if name in ("graft", "__main__.py") else f"python {name}".strip()
