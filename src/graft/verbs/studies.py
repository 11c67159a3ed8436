"""`graft compare`: the fits of a study in one folder, each a run of its own, read back and judged. Called again, it goes on."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from .. import catalog, folders
from ..assembly import modality
from ..core import Backbone, Run
from ..engine import journal as diary
from ..engine.device import forget_peak
from ..errors import OptionError, OutputError, Stopped, WeightsError, nearest
from ..evidence.arms import Arm, parse
from ..evidence.compare import Study
from ..evidence.compare import compare as judge
from ..evidence.ranking import Fitted
from ..methods import distill
from ..spec import Part, Spec, backbone_row, options

Listener = Callable[[dict], None] | None


def compare(
    data: str | os.PathLike, *, arms: str | Sequence[str] = "extract,lp_ft,scratch", backbones: str | Sequence[str] = "auto",
    seeds: int = 5, budget: str | float | None = None, out: str | os.PathLike | None = None, weights: str | os.PathLike | None = None,
    sets: Sequence[str] = (), fit: Callable[..., Run], resume: Callable[..., Run], on_event: Listener = None, **choices,
) -> dict:  # fmt: skip
    """Fit every arm on every body with every seed, judge them on the same rows, and write OUT/study.json and OUT/study.html.

    arms: METHOD[@STAGE][:OPTION=VALUE...] each; finetune@stage3 learns from stage3 on. backbones: by comma; "auto" is the
    body that needs no download. seeds: how many. budget: of the whole
    study. weights: a file for the bodies that it fits; the others keep their own. choices: further arguments of Spec.make
    for all arms (select_on, folds, image_size, augment, task, head, ...). fit and resume: those of graft.api. A study that
    was stopped goes on when it is called with the same folder and settings; arms, bodies, seeds and budget may then be more.
    Raises GraftError where something must be mended first, before anything is written, and Stopped after Ctrl-C.
    """
    began = time.monotonic()
    if seeds < 1:
        raise OptionError(f"--seeds {seeds} leaves nothing to fit; give 1 or more.")
    methods = {row.name: "freeze" in catalog.options("method", row.name).__dataclass_fields__ for row in catalog.rows("method")}
    base = _base(data, budget, sets, choices)
    study = Study(parse(arms, modality.embedded(base.data) if backbones == "auto" else backbones, methods), seeds, base.budget)
    base = replace(base, budget=None)
    settings = {
        "data": base.data.values["path"],
        "weights": weights,
        "sets": list(sets),
        **{k: v for k, v in choices.items() if v is not None},
    }
    folder = Path(out).absolute() if out else _free(Path(base.data.values["path"]))
    _check_folder(folder, settings)
    bodies = _bodies(study.arms, base, weights)
    if weights is not None and on_event:
        on_event(_told(weights, bodies))
    work = Work(folder, base, bodies, settings, fit, resume, on_event)
    for arm in study.arms:
        work.spec(arm, 0, None)  # an option that fits no arm is found before the first fit
    if (base.teacher is None) == any(arm.method == distill.NAME for arm in study.arms):
        wrong = "is given, and no arm" if base.teacher else "is not given, and an arm"
        raise OptionError(f"--teacher {wrong} is {distill.NAME}, which alone learns from one; give both or neither.")
    try:
        found = judge(study, work.fitted, on_event, ready=work.is_done, spent=time.monotonic() - began)
    except (KeyboardInterrupt, Stopped) as stop:
        raise Stopped(f"Stopped; what was fitted is kept. Go on with the same command and --out {folder}") from stop
    return _write_down(work, found)


@dataclass
class Work:
    """A study's folder, what its fits share, and the functions that fit. bodies: name -> (names of its stages, its file of weights)."""

    folder: Path
    base: Spec
    bodies: dict[str, tuple[tuple[str, ...], str | None]]
    settings: dict
    fit: Callable[..., Run]
    resume: Callable[..., Run]
    on_event: Listener = None
    groups: dict[str, str] | None = field(default=None, init=False)

    def place(self, arm: Arm, seed: int) -> Path:
        return self.folder / "runs" / f"{arm.folder}-{seed}"

    def is_done(self, arm: Arm, seed: int) -> bool:
        return any(row["event"] == "done" for row in diary.read(self.place(arm, seed)))

    def spec(self, arm: Arm, seed: int, seconds: float | None) -> Spec:
        """What one fit is asked to do. Raises OptionError where a setting does not fit the arm."""
        stages, weights = self.bodies[arm.backbone]
        # The study is the evidence; a fit of it needs none of its own.
        extra = {"evidence": "off"} if "evidence" in {one.name for one in fields(Spec)} else {}
        made = Spec.make(
            base=self.base, backbone=arm.backbone, method=arm.method, weights=None if arm.method == "scratch" else weights,
            freeze=_frozen(arm, stages), sets=arm.settings, seed=seed, out=str(self.place(arm, seed)), budget=seconds, **extra,
        )  # fmt: skip
        # A teacher is for the arms that listen; the others are what it is compared with.
        return made if arm.method == distill.NAME else replace(made, teacher=None)

    def fitted(self, arm: Arm, seed: int, seconds: float | None) -> Fitted:
        """One fit: read back where it was done before, gone on with where it was killed, else begun."""
        place = self.place(arm, seed)
        if not self.is_done(arm, seed):
            forget_peak()
            begun = (place / "spec.toml").is_file()
            run = self.resume(place, on_event=self._tell) if begun else self.fit(self.spec(arm, seed, seconds), on_event=self._tell)
            place = run.folder
        if self.groups is None:
            self.groups = _groups(place)
        return read(place, self.groups)

    def _tell(self, event: dict) -> None:
        # A fit claims its folder when everything has been found sound; until then a study leaves nothing behind either.
        if event.get("event") == "begun" and not (self.folder / "plan.json").exists():
            folders.write_json(self.folder / "plan.json", self.settings)
        if self.on_event:
            self.on_event(event)


def read(folder: Path, groups: dict[str, str] | None = None) -> Fitted:
    """What a study keeps of a finished run. groups: the group of each scored path. Raises OutputError where the run is damaged."""
    import pyarrow.parquet as pq

    try:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        table = pq.read_table(folder / "predictions.parquet").sort_by("path")
        spec = Spec.load(folder / "spec.toml")
    except (OSError, ValueError) as error:
        raise OutputError(f"The run in '{folder}' is damaged; remove that folder and call the study again.") from error
    journal, paths = diary.read(folder), table["path"].to_pylist()
    metric, values = row_values(table, scores)
    data = next((row for row in journal if row["event"] == "data"), {})
    about = {
        "metric": metric, "primary": scores["primary"], "higher_is_better": metric != "absolute_error", "scored_as": scores["scored_as"],
        "select_as": (data.get("plan") or {}).get("select", ""), "n_select": (scores.get("n") or {}).get("select"),
        "folds": scores["folds"], "optimistic": scores["optimistic"], "source": data.get("source", ""),
        "fingerprint": data.get("fingerprint"),
    }  # fmt: skip
    known = tuple(groups[path] for path in paths) if groups and all(path in groups for path in paths) else None
    return Fitted(
        tuple(paths), values, _select(journal, scores["primary"]), float(scores["seconds"]), scores.get("peak_memory_mb"),
        int(scores.get("trainable_params") or 0), known, spec.budget, str(folder), about,
    )  # fmt: skip


def row_values(table, scores: dict) -> tuple[str, np.ndarray]:
    """(metric, values [n]): what each row adds to a metric that is a mean over rows, which a paired difference needs.

    Classes: accuracy, 1 or 0. Numbers: the absolute error. Several labels: label ranking average precision, the mean over a
    row's labels of the share of true ones among those ranked no lower (Schapire & Singer, 2000); 1 for a row with none.
    """
    label, predicted = table["label"].to_pylist(), table["predicted"].to_pylist()
    if scores.get("target") == "number":
        return "absolute_error", np.abs(np.asarray(predicted, float) - np.asarray(label, float))
    if scores.get("target") != "labels":
        return "accuracy", np.asarray([a == b for a, b in zip(label, predicted, strict=True)], float)
    place = {name: i for i, name in enumerate(scores["classes"])}
    p, values = np.asarray(table["probabilities"].to_pylist(), float), np.ones(len(label))
    for i, names in enumerate(label):
        true = [place[name] for name in names if name in place]
        if 0 < len(true) < len(place):
            ahead = p[i][None] >= p[i][true][:, None]
            values[i] = float((ahead[:, true].sum(1) / ahead.sum(1)).mean())
    return "label_ranking_average_precision", values


def _select(journal: list[dict], primary: str) -> float | None:
    """The selecting score of what was kept last: the mean over the folds where there are folds, else that of the final fit."""
    kept: dict[str, float] = {}
    for row in journal:
        if row["event"] == "kept" and primary in (row.get("select") or {}):
            kept[row.get("run", "final")] = float(row["select"][primary])
    values = [value for run, value in kept.items() if run != "final"] or list(kept.values())
    return float(np.mean(values)) if values else None


def _groups(folder: Path) -> dict[str, str]:
    """path -> group where the data have groups, read again by the run's own reader; {} where they have none."""
    part = Spec.load(folder / "spec.toml").data
    if "group" not in catalog.options("reader", part.name).__dataclass_fields__:
        return {}
    data = catalog.resolve("reader", part.name)(part.values["path"], options("data", part))
    tables = [table for table in (data.train, data.val, data.test) if table is not None and "group" in table.column_names]
    return {path: group for table in tables for path, group in zip(table["path"].to_pylist(), table["group"].to_pylist(), strict=True)}


def _base(data: str | os.PathLike, budget: str | float | None, sets: Sequence[str], choices: dict) -> Spec:
    """What all fits share. Raises OptionError where a setting is not one that arms can share."""
    base = Spec.make(str(data), budget=budget, sets=sets, **choices)
    for given, flag, there in ((base.method.name, "--arms", "method"), (base.backbone.name, "--backbones", "backbone")):
        if given != "auto":
            raise OptionError(f"A study names its {there}s with {flag}; leave '{there}.name={given}' out.")
    if base.seed or base.out:
        raise OptionError("A study gives each fit its seed and its folder; use --seeds and --out, and leave 'seed' and 'out' out of --set.")
    return base


def _bodies(arms: Sequence[Arm], base: Spec, weights: str | os.PathLike | None) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Each body's stages and, where the file of weights fits it, that file. Every body is loaded once, so that what is wrong
    with one is found before the first fit. Raises OptionError and WeightsError."""
    found, why = {}, None
    if weights is not None:
        from ..backbones.weights import read as read_weights

        read_weights(weights)
    for name in dict.fromkeys(arm.backbone for arm in arms):
        known = catalog.options("backbone", backbone_row(name).name).__dataclass_fields__
        if any(arm.method == "scratch" for arm in arms) and (name.startswith("run:") or "weights" not in known):
            raise OptionError(f"Method 'scratch' cannot start '{name}' from random weights; leave scratch out of --arms, or that body out.")
        file = os.path.abspath(os.path.expanduser(weights)) if weights is not None and "weights" in known and name[:4] != "run:" else None
        try:
            found[name] = (_body(name, base, file).names, file)
        except WeightsError as error:
            if file is None:
                raise
            why = error
            found[name] = (_body(name, base, None).names, None)
    if weights is not None and not any(file for _, file in found.values()):
        raise WeightsError(str(why)) if why else OptionError("None of these bodies takes a file of weights; leave --weights out.")
    return found


def _body(name: str, base: Spec, weights: str | None) -> Backbone:
    row = backbone_row(name)
    values = dict(base.backbone.values) | ({"weights": weights} if weights else {})
    if "fetch" in catalog.options("backbone", row.name).__dataclass_fields__:
        values.setdefault("fetch", base.fetch)
    return modality.load(Part(name, values), 0)


def _frozen(arm: Arm, stages: tuple[str, ...]) -> int | None:
    """How many stages lie below the one that the arm learns from. Raises OptionError where the body has no such stage."""
    if arm.stage is None:
        return None
    if arm.stage in stages:
        return stages.index(arm.stage)
    if arm.stage.isdigit() and 1 <= int(arm.stage) <= len(stages):
        return int(arm.stage) - 1
    raise OptionError(
        f"There is no stage '{arm.stage}' in {arm.backbone} for '{arm.label}' to learn from.{nearest(arm.stage, stages)}"
        if not arm.stage.isdigit()
        else f"'{arm.label}': {arm.backbone} has {len(stages)} stages ({', '.join(stages)}); give a name, or a number from 1."
    )


def _told(weights: str | os.PathLike, bodies: dict) -> dict:
    """The note on which bodies the file of weights went into."""
    with_it, without = ([name for name, (_, file) in bodies.items() if bool(file) is on] for on in (True, False))
    rest = f"; {', '.join(without)} it does not fit, so these keep their own weights" if without else ""
    text = f"The weights {Path(weights).name} go into {', '.join(with_it)}{rest}."
    return {"event": "note", "level": "warning" if without else "info", "text": text, "count": 0, "files": []}


def _check_folder(folder: Path, settings: dict) -> None:
    """Raises OutputError unless the folder is new, empty, or holds a study with the same settings."""
    differ = folders.differing(folders.begun(folder, "study"), settings)
    if differ:
        raise OutputError(f"'{folder}' holds a study with other settings ({', '.join(differ)}); give another folder with --out.")


def _free(data: Path) -> Path:
    return folders.free("compare", folders.plain(data.name if data.is_dir() else data.stem))


def _write_down(work: Work, found: dict) -> dict:
    """study.json and study.html; the content of study.json with the folder and the page."""
    from .. import __version__
    from ..report import study

    first = Path(found["arms"][0]["runs"][0])
    start = next((row for row in diary.read(first) if row["event"] == "start"), {})
    for arm in found["arms"]:
        arm["runs"] = [Path(run).relative_to(work.folder).as_posix() for run in arm["runs"]]
    if len({arm["fit_budget"] for arm in found["arms"]}) > 1:
        found["notices"].append("Not every arm had the same time to learn, so a difference may be one of time.")
    found |= {"version": __version__, "date": start.get("date", ""), "command": start.get("command", ""), "settings": work.settings}
    found["bodies"] = [{"name": name, "stages": list(stages), "weights": file} for name, (stages, file) in work.bodies.items()]
    return folders.publish(work.folder, "study.json", found, study.write)
