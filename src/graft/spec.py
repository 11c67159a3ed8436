"""What a run is asked to do: five named parts with their options and a few settings, as a value, as TOML, as --set a.b=c."""

import os
import re
import tomllib
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path

from . import catalog
from .catalog import Row
from .errors import OptionError, nearest
from .parsing import parse, seconds, takes_text

AUTO = "auto"
SECTIONS = {"data": "reader", "backbone": "backbone", "task": "task", "method": "method", "augment": "augment"}
"""Section of a spec -> kind of the catalogue ("augment" is not in the catalogue; its options are graft.data.augment.Options)."""

FLAGS = {
    "data": "data.path", "reader": "data.name", "backbone": "backbone.name", "weights": "backbone.weights", "lr": "method.lr",
    "image_size": "backbone.image_size", "task": "task.name", "head": "task.head", "layers": "task.layers", "pool": "task.pool",
    "method": "method.name", "epochs": "method.epochs", "freeze": "method.freeze", "augment": "augment.name", "views": "augment.views",
}  # fmt: skip
"""Flag of the command line and argument of `Spec.make` -> the setting it is short for."""

PLACES = ("target", "target_labels", "unlabelled", "teacher")
"""Settings at the top that are paths."""
_CHOICES = {"select_on": ("auto", "val"), "fetch": ("yes", "no", "fit-only"), "precision": ("auto", "exact", "fast"),
            "evidence": ("off", "quick", "full")}  # fmt: skip
_LEAST = {"seed": 0, "folds": 0, "threads": 1}


@dataclass(frozen=True)
class Part:
    """A name of the catalogue, or "auto", and the options the user gave; `options(section, part)` fills in the rest."""

    name: str = AUTO
    values: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """All that decides a run. `data.values["path"]` is where the data are.

    augment: the name is a preset. seed: >= 0. out: the run's folder, None for the next free one under runs/. budget:
    seconds. select_on: "val" selects and scores on the same rows, and the report says so. folds: of the outer cross-
    validation, 0 for one draw, None to decide by size. fetch: may weights be downloaded ("yes", "no", "fit-only").
    precision: "exact" is float32 throughout, "fast" the fastest the machine has. threads: None for all cores. evidence: which
    alternatives are run beside ("off", "quick", "full"). target: unlabelled samples of the domain that counts; target_labels: their
    labels, which are opened once, at the end. unlabelled: more samples of the data's own domain. teacher: a finished run to learn from.
    """

    data: Part
    backbone: Part = Part()
    task: Part = Part()
    method: Part = Part()
    augment: Part = Part()
    seed: int = 0
    out: str | None = None
    budget: float | None = None
    select_on: str = AUTO
    folds: int | None = None
    fetch: str = "yes"
    precision: str = AUTO
    threads: int | None = None
    evidence: str = "quick"
    target: str | None = None
    target_labels: str | None = None
    unlabelled: str | None = None
    teacher: str | None = None

    @classmethod
    def make(
        cls, data: str | None = None, *, backbone=None, weights=None, method=None, task=None, head=None, epochs=None, lr=None,
        image_size=None, freeze=None, layers=None, pool=None, augment=None, views=None, reader=None, sets: Sequence[str] = (),
        base: "Spec | None" = None, **top_level,
    ) -> "Spec":  # fmt: skip
        """A checked spec. Arguments that are None are not asked for; texts are parsed by the type of the option.

        sets: "section.key=value" each. base: a spec to start from; a part that gets another name starts afresh.
        Raises OptionError: unknown section, key or choice, a value of the wrong type, or one key with two values.
        """
        flags = {name: value for name, value in locals().items() if name in FLAGS and value is not None}
        asked = [(FLAGS[name], value, f"{_flag(name)} {_shown(value)}") for name, value in flags.items()]
        for name, value in top_level.items():
            if value is not None or name not in _TOP:
                asked.append((name, value, f"{_flag(name)} {_shown(value)}"))
        for text in sets:
            key, equals, value = text.partition("=")
            if not equals or not key.strip():
                raise OptionError(f"'--set {text}' needs the form section.key=value, for example --set method.epochs=10.")
            asked.append((key.strip(), value.strip(), f"--set {text}"))
        spec = _build(base, asked)
        if "path" not in spec.data.values:
            raise OptionError("No data are named; give a folder or a table of images or texts, for example: graft fit PHOTOS/.")
        return _absolute(spec)

    def to_toml(self) -> str:
        """The spec as a TOML document. None is left out at the top; in a part it is "none", or left out where texts are taken."""
        import tomlkit

        document = tomlkit.document()
        document.add(tomlkit.comment("What graft was asked to do; run it again with: graft fit --spec FILE"))
        for name in _TOP:
            if getattr(self, name) is not None:
                document.add(name, getattr(self, name))
        for section in SECTIONS:
            part, table = getattr(self, section), tomlkit.table()
            table.add("name", part.name)
            for key, value in part.values.items():
                if value is not None or not takes_text(_hint(section, part.name, key)):
                    table.add(key, "none" if value is None else list(value) if isinstance(value, tuple) else value)
            document.add(section, table)
        return tomlkit.dumps(document)

    @classmethod
    def from_toml(cls, text: str, source: str = "the spec") -> "Spec":
        """The spec of a TOML document. Raises OptionError with the key's path; `source` names the document in it."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise OptionError(f"{source} is not valid TOML: {error}; correct that line.") from None
        asked = []
        for name, value in document.items():
            if isinstance(value, dict) and name in SECTIONS:
                asked += [(f"{name}.{key}", inner, f"{name}.{key} in {source}") for key, inner in value.items()]
            else:
                asked.append((name, value, f"{name} in {source}"))
        return _build(None, asked)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Spec":
        """The spec in a file. Raises OptionError where the file cannot be read or a key is unknown."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise OptionError(f"The spec '{path}' cannot be read ({reason}); give a TOML file such as RUN/spec.toml.") from None
        return cls.from_toml(text, os.path.basename(path))

    def filled(self) -> "Spec":
        """The same spec with every default written out, but for those that are None, for the parts whose names are known."""
        parts = {}
        for section in SECTIONS:
            part = getattr(self, section)
            if part.name == AUTO:
                continue
            chosen = options(section, part)
            values = {one.name: getattr(chosen, one.name) for one in fields(chosen) if (section, one.name) != ("augment", "preset")}
            values = {name: value for name, value in values.items() if value is not None or name in part.values}
            kept = {"path": part.values["path"]} if section == "data" and "path" in part.values else {}
            parts[section] = Part(part.name, {**kept, **values, **kept})
        return replace(self, **parts)


_TOP = tuple(one.name for one in fields(Spec) if one.name not in SECTIONS)


def key(spec: Spec) -> str:
    """The default folder of a run: runs/DATA-BACKBONE-METHOD-N, N after the highest that is there."""
    data = Path(spec.data.values.get("path", "data")).resolve()
    words = (data.name if data.is_dir() else data.stem, spec.backbone.name.partition(":")[0], spec.method.name)
    stem = "-".join(re.sub(r"[^\w.-]+", "_", word).strip("_.-") or "data" for word in words)
    taken = [name[len(stem) + 1 :] for name in (os.listdir("runs") if os.path.isdir("runs") else ()) if name.startswith(f"{stem}-")]
    number = max((int(end) for end in taken if end.isascii() and end.isdigit()), default=0) + 1
    return f"runs/{stem}-{number}"


def backbone_row(name: str) -> Row:
    """The catalogue's row for a backbone's name: its own row, "run" for run:PATH, "transformers" for the names and folders of text
    bodies, "torchvision" for torchvision:NAME and what timm has not, else "timm", whose names are not listed."""
    kind = "run" if name.startswith("run:") else "transformers" if catalog.is_text_body(name) else "timm"
    kind = "torchvision" if kind == "timm" and catalog.is_torchvision_body(name) else kind
    return next((row for row in catalog.rows("backbone") if row.name == name), None) or catalog.find("backbone", kind)


def options(section: str, part: Part) -> object:
    """The Options instance of a part whose name is known, checked against the class that stands beside its function.

    section: of SECTIONS, or the catalogue's kind. Raises OptionError: unknown key or wrong value, with the key's path.
    """
    section, flag = ("data", "reader") if section in ("data", "reader") else (section, section)
    if part.name == AUTO and section != "augment":
        raise OptionError(f"The {section} is still 'auto'; name it with --{flag}.")
    values = _checked(section, part.name, [(name, value, f"{section}.{name}") for name, value in part.values.items()])
    if section == "data":
        values.pop("path", None)
    if section == "augment":
        return _augment(part.name, values)
    try:
        return next(_classes(section, part.name))(**values)
    except ValueError as error:
        raise OptionError(f"The options of {section} do not fit: {error}") from None


def _augment(preset: str, values: dict) -> object:
    """The augmentation options of a preset (that of graft.data.augment for "auto") with the given knobs, found sound."""
    module = import_module("graft.data.augment")
    chosen = module.Options(**({} if preset == AUTO else {"preset": preset}), **values)
    module.resolve(chosen)
    return chosen


def _build(base: Spec | None, asked: list[tuple[str, object, str]]) -> Spec:
    """asked: (key, value, the user's own words). Names first, because they decide which keys exist."""
    top: dict[str, object] = {}
    parts: dict[str, list[tuple[str, object, str]]] = {section: [] for section in SECTIONS}
    names: dict[str, str] = {}
    for where, value, said in asked:
        section, dot, inner = where.partition(".")
        if not dot and where in _TOP:
            top[where] = _agree(where, _top_value(where, value, said), said, top, asked)
        elif dot and section in SECTIONS and inner in ("name", "preset" if section == "augment" else "name"):
            names[section] = _agree(where, _name(section, value, said), said, names, asked, section)
        elif dot and section in SECTIONS:
            parts[section].append((inner, value, said))
        else:
            raise OptionError(_unknown(where, section if dot else None))
    made = {}
    for section, given in parts.items():
        old = getattr(base, section) if base else Part()
        name = names.get(section, old.name)
        kept = old.values if name == old.name or old.name == AUTO else {k: v for k, v in old.values.items() if k == "path"}
        values = _checked(section, name, given)
        made[section] = Part(name, {**_checked(section, name, [(k, v, f"{section}.{k}") for k, v in kept.items()]), **values})
    return replace(base, **made, **top) if base else Spec(**made, **top)


def _agree(where: str, value: object, said: str, found: dict, asked: list, slot: str | None = None) -> object:
    """The value, unless the same key was given before with another one."""
    slot = slot or where
    if slot in found and found[slot] != value:
        first = next(words for name, _, words in asked if name == where)
        raise OptionError(f"'{first}' and '{said}' contradict each other; give one of them.")
    return value


def _name(section: str, value: object, said: str) -> str:
    name = parse(value, str, f"{section}.name", said)
    if name != AUTO and section == "augment":
        _augment(name, {})
    elif name != AUTO and section != "backbone":
        catalog.find(SECTIONS[section], name)
    return name


def _unknown(where: str, section: str | None) -> str:
    if section is None:
        short = FLAGS.get(where.replace("-", "_"))
        if short:
            return f"There is no setting '{where}'. Did you mean '{short}'?"
        return f"There is no setting '{where}'.{nearest(where, [*_TOP, *(f'{name}.name' for name in SECTIONS)])}"
    return f"There is no section '{section}' (in '{where}').{nearest(section, list(SECTIONS))}"


def _classes(section: str, name: str) -> Iterator[type]:
    """The Options classes that a key of this section may belong to; imported one by one, as they are asked for."""
    if section == "augment":
        yield import_module("graft.data.augment").Options
    elif name == AUTO:
        for row in catalog.rows(SECTIONS[section]):
            try:
                yield catalog.options(row.kind, row.name)
            except ImportError:
                if not row.needs:
                    raise
    else:
        kind = SECTIONS[section]
        yield catalog.options(kind, backbone_row(name).name if section == "backbone" else name)


def _checked(section: str, name: str, given: list[tuple[str, object, str]]) -> dict[str, object]:
    """The given values, each parsed by its option's type; raises OptionError for unknown keys, values and contradictions."""
    values: dict[str, object] = {}
    asked = [(f"{section}.{key}", value, said) for key, value, said in given]
    for inner, value, said in given:
        hint = str if (section, inner) == ("data", "path") else _hint(section, name, inner)
        if value is None and takes_text(hint):
            continue  # "as if not given": the text "none" has its own meaning there (weights: random; freeze: nothing)
        where = f"{section}.{inner}"
        values[inner] = _agree(where, parse(value, hint, where, said), said, values, asked, inner)
    return values


def _hint(section: str, name: str, inner: str) -> object:
    known: list[str] = []
    for cls in _classes(section, name):
        hints = typing.get_type_hints(cls)
        if inner in hints:
            return hints[inner]
        known += hints
    whose = "" if name == AUTO or section == "augment" else f" for the {SECTIONS[section]} '{name}'"
    near = nearest(inner, [*dict.fromkeys(known)]).replace("mean '", f"mean '{section}.")
    raise OptionError(f"There is no option '{section}.{inner}'{whose}.{near}")


def _top_value(name: str, value: object, said: str) -> object:
    if name == "budget" and isinstance(value, str):
        return seconds(value, said)
    if name == "fetch" and isinstance(value, bool):
        value = "yes" if value else "no"
    value = parse(value, typing.get_type_hints(Spec)[name], name, said)
    if name in _CHOICES and value not in _CHOICES[name]:
        raise OptionError(f"'{said}': {name} is one of {', '.join(_CHOICES[name])}.")
    if name in _LEAST and value is not None and value < _LEAST[name]:
        raise OptionError(f"'{said}': {name} is a whole number of at least {_LEAST[name]}.")
    if name == "budget" and value is not None and value <= 0:
        raise OptionError(f"'{said}': the budget is a time above zero, for example --budget 5m.")
    return value


def _flag(name: str) -> str:
    return "DATA" if name == "data" else f"--{name.replace('_', '-')}"


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _absolute(spec: Spec) -> Spec:
    """Paths made absolute, so that a run can be resumed from any folder; "~" is the home folder."""
    path = os.path.abspath(os.path.expanduser(spec.data.values["path"]))
    if "\0" in path or path != path.encode("utf-8", "replace").decode():
        raise OptionError(f"The path {path!a} is not valid text (UTF-8); rename that folder or file.")
    name, values = spec.backbone.name, dict(spec.backbone.values)
    name = f"run:{os.path.abspath(os.path.expanduser(name[4:]))}" if name.startswith("run:") else name
    weights = values.get("weights")
    if isinstance(weights, str) and os.path.isfile(os.path.expanduser(weights)):
        values["weights"] = os.path.abspath(os.path.expanduser(weights))
    paths = {one: getattr(spec, one) for one in PLACES}
    paths = {one: os.path.abspath(os.path.expanduser(given)) for one, given in paths.items() if given is not None}
    return replace(spec, data=Part(spec.data.name, {**spec.data.values, "path": path}), backbone=Part(name, values), **paths)
