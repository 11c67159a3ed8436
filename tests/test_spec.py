"""Spec: parsing by type, did-you-mean, contradictions, and the round trip through TOML for everything the catalogue offers."""

import math
import typing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graft import catalog
from graft.data import augment
from graft.errors import OptionError, WeightsError
from graft.spec import FLAGS, SECTIONS, Part, Spec, backbone_row, key, options


def _fails(match: str, *arguments, **named) -> str:
    with pytest.raises(OptionError, match=match) as caught:
        Spec.make(*arguments, **named)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_flags_are_short_for_sets():
    flags = Spec.make("x", backbone="resnet18", weights="w", image_size=96, task="classification", head="linear", layers="a,-1", pool="max",
                      method="finetune", epochs=3, lr=1e-3, freeze="layer2", augment="medium", reader="image_folder")  # fmt: skip
    sets = Spec.make("x", sets=[
        "backbone.name=resnet18", "backbone.weights=w", "backbone.image_size=96", "task.name=classification", "task.head=linear",
        "task.layers=a,-1", "task.pool=max", "method.name=finetune", "method.epochs=3", "method.lr=1e-3", "method.freeze=layer2",
        "augment.name=medium", "data.name=image_folder",
    ])  # fmt: skip
    assert flags == sets and flags.task.values["layers"] == ("a", -1)
    assert Spec.make("x", sets=["augment.preset=medium"]).augment == Part("medium")
    assert Spec.make("x", sets=["seed=3", "select_on=val"]) == Spec.make("x", seed=3, select_on="val")


def test_every_flag_names_a_setting_that_exists():
    for target in FLAGS.values():
        section, _, name = target.partition(".")
        known = {field.name for row in catalog.rows(SECTIONS[section]) for field in fields(catalog.options(row.kind, row.name))}
        known |= {field.name for field in fields(augment.Options)} if section == "augment" else set()
        assert name in known | {"name", "path"}, target


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("method.epochs=10", 10), ("method.epochs=none", None), ("method.lr=1", 1.0), ("method.lr=3e-4", 3e-4),
        ("method.balance=yes", True),
        ("method.balance=off", False), ("task.hidden=256,128", (256, 128)), ("task.hidden=[64]", (64,)), ("task.hidden=", ()),
        ("task.layers=stage1, 3", ("stage1", 3)), ("method.freeze=3", 3), ("method.freeze=layer2", "layer2"),
        ("method.freeze=none", "none"), ("backbone.weights=none", "none"), ("augment.flip=none", None),
    ],
)  # fmt: skip
def test_texts_are_parsed_by_the_type_of_the_option(text: str, value: object):
    spec = Spec.make("x", method="finetune", sets=[text])
    section, _, name = text.partition("=")[0].partition(".")
    found = getattr(spec, section).values[name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method.epochs=ten", "a whole number or none, for example --set method.epochs=10"), ("method.epochs=1.5", "a whole number"),
        ("method.lr=fast", "a number, for example"), ("method.lr=nan", "a number"), ("method.lr=" + "9" * 400, "a number"),
        ("method.balance=maybe", "yes or no"), ("task.hidden=a,b", "whole numbers separated by commas"),
        ("method.epoch=3", "Did you mean 'method.epochs'"), ("metod.epochs=3", "Did you mean 'method'"),
        ("epochs=3", "Did you mean 'method.epochs'"), ("seeed=3", "Did you mean 'seed'"), ("method.epochs", "section.key=value"),
        ("=3", "section.key=value"), ("method.name=finetun", "Did you mean 'finetune'"), ("augment.preset=lihgt", "Did you mean 'light'"),
        ("seed.x=1", "no section 'seed'"), ("data.bad_shar=0.1", "Did you mean 'data.bad_share'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_repair(text: str, said: str):
    _fails(said, "x", method=None if "name" in text else "finetune", sets=[text])


def test_an_option_of_another_method_is_unknown():
    assert "for the method 'extract'" in _fails("no option 'method.freeze'", "x", method="extract", freeze="3")


def test_contradictions_name_both():
    assert "'--epochs 5'" in _fails("'--set method.epochs=6' contradict", "x", epochs=5, sets=["method.epochs=6"])
    _fails("contradict", "x", method="extract", sets=["method.name=finetune"])
    _fails("contradict", "x", seed=1, sets=["seed=2"])
    _fails("contradict", "x", sets=["task.pool=max", "task.pool=avg"])
    assert Spec.make("x", epochs="5", sets=["method.epochs=5"]).method.values == {"epochs": 5}


def test_top_level_settings():
    assert [Spec.make("x", budget=text).budget for text in ("90s", "5m", "1h30m", "90", 90, "1.5h", "none")] == [
        90,
        300,
        5400,
        90,
        90,
        5400,
        None,
    ]
    for text in ("0", "0s", "-5", "5 minutes", "m", ""):
        _fails("budget", "x", budget=text)
    assert Spec.make("x", fetch=True).fetch == "yes" and Spec.make("x", fetch=False).fetch == "no"
    _fails("fetch is one of yes, no, fit-only", "x", fetch="perhaps")
    _fails("at least 0", "x", folds=-1)
    _fails("at least 1", "x", threads=0)
    _fails("seed", "x", seed="one")
    _fails("Did you mean 'folds'", "x", fold=3)
    _fails("No data are named")


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.safetensors").touch()
    spec = Spec.make("photos", backbone="run:old", weights="w.safetensors")
    assert spec.data.values["path"] == str(tmp_path / "photos") and spec.backbone.name == f"run:{tmp_path / 'old'}"
    assert spec.backbone.values["weights"] == str(tmp_path / "w.safetensors")
    assert Spec.make("x", backbone="resnet18", weights="hub").backbone.values == {"weights": "hub"}
    _fails("not valid text", "odd\udce9")


def test_a_base_is_changed_by_what_is_asked():
    base = Spec.make("x", method="finetune", epochs=3, lr=1e-3, augment="medium", seed=4)
    assert Spec.make(base=base, epochs=5).method == Part("finetune", {"epochs": 5, "lr": 1e-3})
    changed = Spec.make("y", base=base, method="extract")
    assert changed.method == Part("extract") and changed.seed == 4 and changed.data.values["path"].endswith("/y")
    assert Spec.make(base=base) == base


def test_backbone_rows():
    names = {"graft-mini": "graft-mini", "gabor": "gabor", "run:runs/a": "run", "resnet50": "timm", "timm:vgg16": "timm", "timm": "timm"}
    assert {name: backbone_row(name).name for name in names} == names


def test_options_are_the_catalogue_s_with_the_given_values():
    found = options("method", Part("finetune", {"epochs": "7", "freeze": "none"}))
    assert type(found) is catalog.options("method", "finetune") and found.epochs == 7 and found.freeze == "none"
    assert (
        options("data", Part("image_folder", {"path": "/x"}))
        == options("reader", Part("image_folder"))
        == catalog.options("reader", "image_folder")()
    )
    assert options("backbone", Part("resnet18", {"weights": None})).weights is None
    assert options("augment", Part("medium", {"flip": 0.1})) == augment.Options(preset="medium", flip=0.1)
    assert options("augment", Part()) == augment.Options()
    with pytest.raises(OptionError, match="still 'auto'"):
        options("method", Part())
    with pytest.raises(OptionError, match=r"method\.epoch'"):
        options("method", Part("finetune", {"epoch": 7}))
    with pytest.raises((OptionError, WeightsError)):
        options("method", Part("finetune", {"lr": -1.0}))


def test_the_default_folder_is_the_next_free_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    spec = Spec.make("my photos", backbone="run:/x/y", method="extract")
    assert key(spec) == "runs/my_photos-run-extract-1"
    for name in ("my_photos-run-extract-1", "my_photos-run-extract-9", "my_photos-run-extract-x", "my_photos-run-extract-2-3"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert key(spec) == "runs/my_photos-run-extract-10"
    assert key(Spec.make("labels.csv", backbone="graft-mini")) == "runs/labels-graft-mini-auto-1" and key(Spec.make("/")).startswith(
        "runs/data-"
    )


def test_toml_errors_carry_the_key_s_path(tmp_path: Path):
    for text, said in (
        ("[method]\nname = 'finetune'\nepoch = 3", "Did you mean 'method.epochs'"), ("[metod]\na = 1", "no setting 'metod'"),
        ("seeed = 1", "Did you mean 'seed'"), ("method = 3", "no setting 'method'"),
        ("[method]\nepochs = {a = 1}", "method.epochs is a whole"),
        ("[method]\nepochs = 1.5", "method.epochs in mine.toml"), ("seed =", "not valid TOML"),
        ("seed = 1979-05-27", "seed is a whole number"),
    ):  # fmt: skip
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(OptionError, match=said):
            Spec.load(tmp_path / "mine.toml")
    with pytest.raises(OptionError, match="cannot be read"):
        Spec.load(tmp_path / "other.toml")
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="not UTF-8"):
        Spec.load(tmp_path / "mine.toml")


def test_a_file_is_what_was_written(tmp_path: Path):
    spec = Spec.make("x", method="finetune", budget="5m", folds=3, sets=["task.hidden=8,4"])
    (tmp_path / "spec.toml").write_text(spec.to_toml(), encoding="utf-8")
    assert Spec.load(tmp_path / "spec.toml") == spec


def test_none_for_an_option_that_takes_texts_means_not_given():
    """The text "none" has its own meaning there (random weights), so that None must never be read back as it."""
    spec = Spec(Part("image_folder", {"path": "/x"}), backbone=Part("resnet18", {"weights": None, "image_size": None}))
    assert Spec.from_toml(spec.to_toml()).backbone == Part("resnet18", {"image_size": None})
    assert Spec.from_toml(Spec.make("x", backbone="resnet18", weights="none").to_toml()).backbone.values == {"weights": "none"}


_NAMED = [
    (section, row.name) for section, kind in SECTIONS.items() for row in (catalog.rows(kind) if kind != "augment" else ()) if not row.needs
]


@pytest.mark.parametrize(("section", "name"), _NAMED)
def test_every_row_s_options_have_types_that_can_be_said(section: str, name: str):
    """The annotations that a house rule allows, each with a default, so that `filled` can write all of it down."""
    cls = catalog.options(SECTIONS[section], name)
    spec = replace(Spec(Part("auto", {"path": "/x"})), **{section: Part(name, {"path": "/x"} if section == "data" else {})})
    filled = spec.filled()
    assert options(section, getattr(filled, section)) == cls()
    assert "name" not in cls.__dataclass_fields__  # a section's name is the name of its row
    assert Spec.from_toml(filled.to_toml()) == filled == filled.filled()
    for hint in typing.get_type_hints(cls).values():
        assert _strategy(hint) is not None


_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def _strategy(hint: object) -> st.SearchStrategy:
    """Canonical values of an annotation: those that parsing leaves as they are."""
    plain = {int: st.integers(), float: st.floats(allow_nan=False, allow_infinity=False), bool: st.booleans(), str: _TEXTS}
    if hint in plain:
        return plain[hint]
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return st.lists(_strategy(inner), max_size=4).map(tuple)
    members = [m for m in typing.get_args(hint) if m is not type(None)]
    assert members, hint
    kept = st.one_of([_strategy(m).filter(lambda v, m=m: m is not str or len(members) == 1 or not _number(v)) for m in members])
    return kept if str in members else st.none() | kept


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) or True
    except ValueError:
        return text.strip().lower() in ("yes", "no", "on", "off", "true", "false")


@st.composite
def _specs(draw: st.DrawFn) -> Spec:
    parts = {}
    for section, kind in SECTIONS.items():
        if section == "augment":
            name, cls = draw(st.sampled_from(["auto", "none", "light", "medium", "strong"])), augment.Options
        else:
            row = draw(st.sampled_from([row for row in catalog.rows(kind) if not row.needs]))
            name, cls = row.name, catalog.options(kind, row.name)
        hints = {k: v for k, v in typing.get_type_hints(cls).items() if k != "preset"}
        chosen = draw(st.lists(st.sampled_from(sorted(hints)), unique=True)) if hints else []
        parts[section] = Part(name, {k: draw(_strategy(hints[k])) for k in chosen})
    parts["data"] = Part(parts["data"].name, {"path": draw(_TEXTS), **parts["data"].values})
    return Spec(
        **parts, seed=draw(st.integers(0, 2**62)), out=draw(st.none() | _TEXTS.filter(lambda t: t != "none")),
        budget=draw(st.none() | st.floats(1e-3, 1e9)), select_on=draw(st.sampled_from(["auto", "val"])),
        folds=draw(st.none() | st.integers(0, 99)),
        fetch=draw(st.sampled_from(["yes", "no", "fit-only"])), precision=draw(st.sampled_from(["auto", "exact", "fast"])),
        threads=draw(st.none() | st.integers(1, 64)),
    )  # fmt: skip


@given(_specs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_toml_keeps_everything(spec: Spec):
    assert Spec.from_toml(spec.to_toml()) == spec
