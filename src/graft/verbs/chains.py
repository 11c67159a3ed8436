"""`graft chain`: fits in a row, each from the body that the one before left, and what is kept of every earlier task."""

import os
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa

from .. import catalog, folders
from ..assembly import lineage, modality
from ..core import Run, Schema
from ..engine import device, forward, store
from ..engine import journal as diary
from ..engine.passes import Passes
from ..errors import DataError, OptionError, OutputError, Stopped, nearest
from ..evidence import scores as evidence
from ..export import earlier
from ..export.model import Model
from ..export.model import read as read_model
from ..metrics import forgetting
from ..spec import FLAGS, PLACES, SECTIONS, Spec

Listener = Callable[[dict], None] | None
KEYS = (*FLAGS, *(one.name for one in fields(Spec) if one.name not in (*SECTIONS, "out")), "set")
"""What a step, or the table above all steps, may hold; a step also has a `name`."""
PATHS = ("data.path", "backbone.weights", *PLACES)


@dataclass(frozen=True)
class Step:
    """name: of its folder. asked: setting -> value, as `Spec.make` knows them."""

    name: str
    asked: dict


def chain(
    steps: str | os.PathLike | Mapping | Sequence[Mapping], *, out: str | os.PathLike | None = None, remedy: str | None = None,
    fit: Callable[..., Run], resume: Callable[..., Run], on_event: Listener = None,
) -> dict:  # fmt: skip
    """Fit every step from the body of the one before, score all tasks so far after each, and write OUT/chain.json and OUT/chain.html.

    steps: a TOML file with [[step]] tables and, above them, what holds for all; or its content; or the steps alone. remedy: the method
    of all steps but the first. fit and resume: those of graft.api. A chain that was stopped goes on when it is called with the same
    folder and steps; there may then be more steps. Raises GraftError where something must be mended first, before anything is written,
    and Stopped after Ctrl-C.
    """
    began = time.monotonic()
    plan, name = read(steps, remedy)
    folder = Path(out).absolute() if out else folders.free("chain", folders.plain(Path(name).stem))
    work = Work(folder, plan, {"steps": [{"name": one.name, **one.asked} for one in plan], "remedy": remedy}, fit, resume, on_event)
    _check_folder(folder, work.settings)
    for number in range(len(plan)):
        work.spec(number)  # an option that does not fit is found before the first fit
    try:
        for number in range(len(plan)):
            if not work.carry_out(number) or number == len(plan) - 1:
                found = write_down(work, time.monotonic() - began)
    except (KeyboardInterrupt, Stopped) as stop:
        raise Stopped(f"Stopped; what was fitted is kept. Go on with the same command and --out {folder}") from stop
    return found


def read(steps: str | os.PathLike | Mapping | Sequence[Mapping], remedy: str | None = None) -> tuple[list[Step], str]:
    """The steps with what holds for all of them filled in, and a name for the chain. Raises OptionError and DataError."""
    document, name, root = _document(steps)
    where = name if isinstance(steps, str | os.PathLike) else "the chain"
    common, tables = {key: value for key, value in document.items() if key != "step"}, document.get("step")
    if not isinstance(tables, list) or not tables or not all(isinstance(one, Mapping) for one in tables):
        raise OptionError(f"There is no [[step]] in {where}; give one for each fit, with at least: data = 'PHOTOS/'.")
    if remedy is not None:
        catalog.find("method", remedy)
    shared, made = _asked(common, where, ("data", "name")), []
    for number, table in enumerate(tables, start=1):
        said = f"step {number} of {where}"
        own = _asked({key: value for key, value in table.items() if key != "name"}, said)
        if "data.path" not in own:
            raise OptionError(f"There are no data in {said}; add, for example: data = 'PHOTOS/'.")
        if number > 1:
            _check_body(own, said)
            own = {key: value for key, value in shared.items() if not key.startswith("backbone.")} | own
        else:
            own = shared | own
        own |= {"method.name": remedy} if remedy is not None and number > 1 else {}
        own = {"evidence": "off", "folds": 0} | own
        if str(own["folds"]) not in ("0", "1"):
            raise OptionError(f"A chain scores locked rows after every step, and with folds in {said} none are; leave folds out.")
        called = folders.plain(str(table.get("name") or Path(str(own["data.path"])).stem))
        made.append(Step(f"{number:02d}-{called}", _placed(own, root, said)))
    return made, name


def _document(steps: str | os.PathLike | Mapping | Sequence[Mapping]) -> tuple[Mapping, str, Path]:
    """(the content, the chain's name, where its relative paths begin)."""
    if not isinstance(steps, str | os.PathLike):
        return (steps if isinstance(steps, Mapping) else {"step": list(steps)}), "steps", Path.cwd()
    path = Path(steps).expanduser()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name, path.absolute().parent
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path.name} is not valid TOML: {error}; correct that line.") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionError(f"The steps '{path}' cannot be read ({why}); give a TOML file with a [[step]] for each fit.") from None


def _asked(table: Mapping, where: str, never: Sequence[str] = ()) -> dict:
    """setting -> value of one table. Raises OptionError for a key that is unknown, or given twice with two values."""
    found: dict = {}
    for name, value in table.items():
        if name not in KEYS or name in never:
            hint = " belongs to a [[step]]." if name in never else f" is no key.{nearest(name, [*KEYS, 'name'])}"
            raise OptionError(f"'{name}' in {where}{hint}")
        pairs = [(FLAGS.get(name, name), value)]
        if name == "set":
            texts = value if isinstance(value, list) else [value]
            pairs = [tuple(part.strip() for part in str(text).partition("=")[::2]) for text in texts]
        for key, given in pairs:
            if not key or given == "":
                raise OptionError(f"'{name}' in {where} says nothing; give it a value, for example set = ['method.lr=1e-4'].")
            if key in found and str(found[key]) != str(given):
                raise OptionError(f"{where} gives {key} twice, as {found[key]} and as {given}; give one of them.")
            found[key] = given
    return found


def _check_body(asked: Mapping, where: str) -> None:
    given = next((key for key in ("backbone.name", "backbone.weights") if key in asked), None)
    if given is not None:
        what = "the body" if given == "backbone.name" else "weights"
        raise OptionError(
            f"{where} names {what} '{asked[given]}', but it starts from what the step before leaves; name {what} once, at the top or in "
            "the first step."
        )


def _placed(asked: dict, root: Path, where: str) -> dict:
    """Paths made absolute; they begin where the file of steps is. Raises DataError for data that are not there."""
    made = dict(asked)
    for key in PATHS:
        if isinstance(made.get(key), str):
            path = os.path.normpath(root / os.path.expanduser(made[key]))
            if key == "data.path" and not os.path.exists(path):
                raise DataError(f"The data of {where} are not there: '{path}'; correct the path, which begins where the file of steps is.")
            made[key] = path if key != "backbone.weights" or os.path.isfile(path) else made[key]
    body = made.get("backbone.name")
    if isinstance(body, str) and body.startswith("run:"):
        made["backbone.name"] = "run:" + os.path.normpath(root / os.path.expanduser(body[4:]))
    return made


@dataclass
class Work:
    """A chain's folder, its steps, and the functions that fit. matrix: row i holds the cells of tasks 0 to i after step i."""

    folder: Path
    steps: list[Step]
    settings: dict
    fit: Callable[..., Run]
    resume: Callable[..., Run]
    on_event: Listener = None
    matrix: list[list[dict | None]] = field(default_factory=list, init=False)
    told: list[dict] = field(default_factory=list, init=False)

    def place(self, number: int) -> Path:
        return self.folder / self.steps[number].name

    def spec(self, number: int) -> Spec:
        """What one step is asked to do. Raises OptionError where a setting does not fit."""
        import tomlkit

        document: dict = {}
        asked = self.steps[number].asked | {"out": str(self.place(number))}
        asked |= {"backbone.name": f"run:{self.place(number - 1)}"} if number else {}
        for key, value in asked.items():
            section, dot, inner = key.partition(".")
            if dot and section in SECTIONS:
                document.setdefault(section, {})[inner] = value
            else:
                document[key] = value
        return Spec.make(base=Spec.from_toml(tomlkit.dumps(document), f"step {number + 1}"))

    def carry_out(self, number: int) -> bool:
        """One fit: kept where it was done before, gone on with where it was killed, else begun; then every task so far is scored. Says
        whether all of that was there already."""
        place, said = self.place(number), f"step {number + 1} of {len(self.steps)}: {self.steps[number].name}"
        if not any(row["event"] == "done" for row in diary.read(place)):
            self._say(said)
            device.forget_peak()
            begun = (place / "spec.toml").is_file()
            self.resume(place, on_event=self._tell) if begun else self.fit(self.spec(number), on_event=self._tell)
        before = folders.read_json(self.folder / "chain.json")  # what is kept of it is not written again, so that a kill loses none of it
        self.told.append(about(place, self.steps[number].name))
        rows, known = before.get("matrix") or [], [one.get("sha256") for one in before.get("steps") or []]
        kept = len(rows) > number and known[: number + 1] == [one["sha256"] for one in self.told]
        self.matrix.append(rows[number] if kept else self.row(number))
        cells = zip(self.told, self.matrix[-1], strict=True)
        scores = ", ".join(f"{one['task']} {cell['value']:.3f}" for one, cell in cells if cell)
        self._say(f"after step {number + 1}: {scores}")
        return kept

    def row(self, number: int) -> list[dict | None]:
        """The cells of all tasks so far, each on its own locked rows with the body of this step and the head of that task; None for a
        task whose head did not outlive its step."""
        model = read_model(self.place(number), catalog.make_task)
        names = {one.run.get("sha256"): one.name for one in model.known}
        names[self.told[number]["sha256"]] = model.tasks[-1]
        return [self.cell(model, names.get(one["sha256"]), task, number) for task, one in enumerate(self.told)]

    def cell(self, model: Model, name: str | None, task: int, number: int) -> dict | None:
        if name is None:
            return None
        if self.told[task]["target"] not in earlier.TARGETS:
            return _own(self.place(task)) if task == number else None
        model = model.on(name)
        table = lineage.rows(self.place(task), model.task.schema, "score")
        return None if table is None or not len(table) else score(model, table)

    def _tell(self, event: dict) -> None:
        # A fit claims its folder when everything has been found sound; until then a chain leaves nothing behind either.
        if event.get("event") == "begun":
            folders.write_json(self.folder / "plan.json", self.settings)
        if self.on_event:
            self.on_event(event)

    def _say(self, text: str) -> None:
        if self.on_event:
            self.on_event({"event": "note", "level": "info", "text": text, "count": 0, "files": []})


def score(model: Model, table: pa.Table) -> dict:
    """{"metric", "value", "interval", "n"}: higher is better (R² of numbers), with a 95 % interval over the rows."""
    task, machine = model.task, device.find()
    with modality.streams(model.net, task.encode, task.schema, 0) as streams:
        passes = Passes(streams, machine, "exact", store.find())
        outputs = forward.scored(passes, machine.place(model.net), table, model.net.pooled, task.summarise)
        found = evidence.with_intervals(task, outputs, task.encode(table), model.temperature, evidence.groups_of(table))
    metric = task.primary if task.higher else "r2"
    return {"metric": metric, **found[metric], "n": len(table)}


def _own(folder: Path) -> dict | None:
    """The score that a run gave itself."""
    scores = folders.read_json(folder / "scores.json")
    metric = scores.get("primary")
    found = (scores.get(scores.get("scored", "")) or {}).get(metric)
    return None if not found or not scores.get("higher_is_better") else {"metric": metric, **found, "n": scores["n"][scores["scored"]]}


def about(folder: Path, name: str) -> dict:
    """What the chain tells of a finished step. Raises OutputError where its run is damaged."""
    described, scores, data = (folders.read_json(folder / file) for file in ("model/graft.json", "scores.json", "data.json"))
    try:
        schema = Schema(**described["task"]["schema"])
        origin = described["backbone"]["origin"]
        return {
            "name": name, "folder": folder.name, "task": described["learnt"]["name"], "data": data["source"], "target": schema.target,
            "modality": schema.modality, "classes": list(schema.classes), "fingerprint": data["fingerprint"], "method": scores["method"],
            "sha256": described["weights"]["sha256"], "started_from": origin["sha256"], "body": origin["name"],
            "rows": scores["n"]["train"], "seconds": scores["seconds"], "scored_as": scores["scored_as"], "seed": scores["seed"],
            "optimistic": scores["optimistic"], "trained_on": origin["trained_on"], "parents": origin["parents"],
        }  # fmt: skip
    except (KeyError, TypeError) as error:
        raise OutputError(f"The run in '{folder}' is damaged; remove that folder and call the chain again.") from error


def numbers(matrix: Sequence[Sequence[dict | None]]) -> dict[str, float]:
    """graft.metrics.forgetting of the tasks that were scored after every step since their own."""
    measured = [task for task in range(len(matrix)) if all(row[task] for row in matrix[task:])]
    if not measured:
        return {}
    # The last row is what is left in the end, whatever the last step was for.
    rows = [*(matrix[task] for task in measured[:-1]), matrix[-1]]
    square = [[row[task]["value"] if len(row) > task and row[task] else float("nan") for task in measured] for row in rows]
    return forgetting.scores(square)


def write_down(work: Work, seconds: float) -> dict:
    """chain.json and chain.html; the content of chain.json with the folder and the page."""
    from .. import __version__
    from ..report import chain as page

    start = next((row for row in diary.read(work.place(0)) if row["event"] == "start"), {})
    notices = ["The locked rows of a task are scored after every step from its own on; nothing was selected on them."]
    for step in (one for one in work.told if one["optimistic"]):
        notices.append(f"The rows that {step['name']} is scored on also selected there (--select-on val), so its scores are optimistic.")
    for number, step in enumerate(work.told):
        if not all(row[number] for row in work.matrix[number:]):
            notices.append(f"{step['name']} was not scored after every step: its head, or its locked rows, did not outlive its own.")
    found = {
        "version": __version__, "date": start.get("date", ""), "command": start.get("command", ""), "remedy": work.settings["remedy"],
        "of": len(work.steps), "steps": work.told, "matrix": work.matrix, "numbers": numbers(work.matrix), "notices": notices,
        "seconds": round(sum(one["seconds"] for one in work.told), 2), "settings": work.settings,
    }  # fmt: skip
    return folders.publish(work.folder, "chain.json", found, page.write) | {"took": round(seconds, 2)}


def _check_folder(folder: Path, settings: dict) -> None:
    """Raises OutputError unless the folder is new, empty, or holds a chain whose steps are the first of these."""
    before, now = folders.begun(folder, "chain"), folders.as_kept(settings)
    if not before:
        return
    same = before.get("remedy") == now["remedy"] or len(before.get("steps") or ()) == 1
    if not same or before.get("steps") != now["steps"][: len(before.get("steps") or ())]:
        raise OutputError(f"'{folder}' holds a chain with other steps or another remedy; give another folder with --out.")
