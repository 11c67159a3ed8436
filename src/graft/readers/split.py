"""Which rows learn, which select and which score. What is scored has chosen nothing, unless the user asks otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Data, Note, Plan, Schema
from ..errors import DataError, OptionError, nearest
from .labels import listed

_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
FOLDS = 5
FEW = 500
"""Below so many samples a fifth is too small a test (an accuracy of 0.9 on 100 is known to +-0.06), so all are scored in folds."""

SHARE = 0.2
MOST = 500
"""Rows of a large train split that select at most: enough to tell epochs apart, and any more are missed where they would be learnt
from."""
WATCHED = 0.1
"""Of rows without labels, set aside to watch for collapse, at most MOST."""


@dataclass(frozen=True)
class _Roles:
    train: pa.Table
    val: pa.Table | None
    test: pa.Table | None
    plan: Plan


def split_name(text: str) -> str | None:
    """ "train", "val" or "test" for any usual spelling in any case ("Training", "valid", "dev", ...), else None."""
    plain = text.strip().lower()
    return next((split for split, names in _NAMES.items() if plain in names), None)


def split_names() -> str:
    """The spellings that are understood, for messages."""
    return "; ".join(", ".join(names) for names in _NAMES.values())


def assign(data: Data, select_on: str = "auto", folds: int | None = None, seed: int = 0, adapts: bool = False) -> Data:
    """Turn the splits found on disk into roles: train learns, val selects, test scores; plan says which is which.

    train and val on disk: a stratified fifth of train (at most MOST) selects and val is scored. train, val and test: val selects, test
    is scored. train and test: a fifth of train selects. No split: 60/20/20 are drawn or, below FEW samples or where
    `folds` asks for it, all rows stay in train with a column "fold" (int32) for `fold_data` and `final_data`.
    select_on: "auto", or "val" to select on the split called val; where there is no test split val is then scored too,
    and the plan is marked as optimistic. folds: None to decide by size, 0 or 1 for a single draw, else how many; at most
    as many as the smallest class has samples (or groups). adapts: another domain is what counts, so where nothing is split
    and no folds are asked for, only a fifth is spared, which selects and is scored.
    A class with one sample (or group) stays in train. Rows of one `group` never part. Draws are stratified by class, by
    a row's rarest label, or by quantiles of a number; they depend on the seed and the paths, not on the order of rows.
    Where the samples are too few to spare any for selecting, val is train itself and plan.select says so. A number's
    centre and spread are those of the learning rows. Where there are no labels ("none"), nothing is scored: a tenth of train, or val,
    is only watched.
    Raises OptionError, and DataError where nothing can be drawn for scoring.
    """
    _check_options(data, select_on, folds)
    data = replace(data, train=_sorted(data.train), val=_some(data.val), test=_some(data.test), plan=None)
    if data.schema.target == "none":
        return _watching(data, folds, seed)
    notes = _crossing(data)
    if data.val is None and data.test is None:
        roles, more = (_spared(data, seed), []) if adapts and not folds else _unsplit(data, folds, seed)
        notes += more
    else:
        roles = _presplit(data, select_on, seed)
    data = replace(data, train=roles.train, val=roles.val, test=roles.test, plan=roles.plan, notes=data.notes + tuple(notes))
    return replace(data, schema=_scaled(data))


def _check_options(data: Data, select_on: str, folds: int | None) -> None:
    if select_on not in ("auto", "val"):
        raise OptionError(f"There is no --select-on '{select_on}'.{nearest(select_on, ('auto', 'val'))}")
    split = [name for name in ("val", "test") if getattr(data, name) is not None and len(getattr(data, name))]
    if select_on == "val" and "val" not in split:
        raise OptionError(
            "--select-on val needs a val split, and these data have none: leave the option out, or add a val folder or split."
        )
    if folds is not None and folds < 0:
        raise OptionError(f"--folds {folds} is below zero: give 2 or more, or 0 for a single draw.")
    if folds is not None and folds > 1 and split:
        raise OptionError(
            f"--folds {folds} needs data without a split, but these have {' and '.join(['train', *split])}: leave the option out, "
            "or give the samples without split folders or split column."
        )


def _some(table: pa.Table | None) -> pa.Table | None:
    return _sorted(table) if table is not None and len(table) else None


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by("path").combine_chunks()


def _presplit(data: Data, select_on: str, seed: int) -> _Roles:
    """Roles where val or test were found on disk."""
    train, val, test = data.train, data.val, data.test
    if val is not None and test is not None:
        reason = f"val ({len(val)} samples) selects and test ({len(test)}) is scored once; train ({len(train)}) learns."
        return _Roles(train, val, test, Plan("val", "test", "test", drawn=False, reason=reason))
    if select_on == "val":
        reason = (
            f"val ({len(val)} samples) selects and is scored too, as --select-on val asks, so its score is optimistic; "
            "leave the option out to select on a fifth of train."
        )
        return _Roles(train, val, val, Plan("val", "val", "val", drawn=False, optimistic=True, reason=reason))
    name, scored = ("val", val) if val is not None else ("test", test)
    share = min(SHARE, MOST / max(len(train), 1))
    learn, select = _part(train, data.schema, seed, share=share)
    flag = " (--select-on val selects on val instead)" if name == "val" else " (add a val split to select on it instead)"
    if select is None:
        reason = f"{name} ({len(scored)} samples) is scored once; train ({len(train)}) is too small to spare any, so it selects too{flag}."
    else:
        reason = f"{name} ({len(scored)} samples) is scored once, so {len(select)} of the {len(train)} samples of train select{flag}."
    said = "a fifth of train" if share == SHARE or select is None else f"a part of train ({len(select):,} samples)"
    return _roles(learn, select, scored, Plan(said, name, name, reason=reason))


def _roles(learn: pa.Table, select: pa.Table | None, test: pa.Table | None, plan: Plan) -> _Roles:
    """The roles once a draw has been tried. Where nothing could be spared the learning rows select, which costs the
    choice of epoch its meaning but not the score its honesty."""
    if select is None:
        return _Roles(learn, learn, test, replace(plan, select="the learning samples themselves (too few to spare any)", drawn=False))
    return _Roles(learn, select, test, plan)


def _unsplit(data: Data, folds: int | None, seed: int) -> tuple[_Roles, list[Note]]:
    """Roles where everything is in train: folds where samples are few or they are asked for, else one draw."""
    table, notes = data.train, []
    asked = (FOLDS if len(table) < FEW else 0) if folds is None else folds
    count = min(asked, min(_units(table, data.schema).values(), default=0))
    fold = np.zeros(len(table), int)
    while count >= 2 and _loses(fold := _folds(table, data.schema, count, seed), table, data.schema):
        count -= 1
    if count < asked and folds is not None:
        notes.append(
            Note("warning", f"--folds {asked} was lowered to {count if count > 1 else 'a single draw'}: {_smallest(table, data.schema)}.")
        )
    if count >= 2:
        why = f"{len(table)} samples without a split are scored in {count} folds, each by a model that has not seen it"
        why += ", as --folds asks" if folds is not None else f", because fewer than {FEW} leave too small a test"
        plan = Plan(
            "a fifth of the other folds",
            f"every sample once, in {count} folds",
            "test",
            folds=count,
            reason=f"{why} (--folds 0 draws one test).",
        )
        return _Roles(table.append_column("fold", pa.array(fold, pa.int32())), None, None, plan), notes
    rest, test = _part(table, data.schema, seed, salt=1)
    if test is None:
        raise DataError(
            f"None of the {len(table)} samples can be spared for scoring, because {_smallest(table, data.schema)}: "
            "add samples (at least two of a class, from different groups), or a test split."
        )
    learn, select = _part(rest, data.schema, seed, share=SHARE / (1 - SHARE))
    sizes = f"{len(learn)} learn, {len(select) if select is not None else 'none'} select, {len(test)} are scored once"
    reason = f"{len(table)} samples without a split were drawn at random, in proportion: {sizes} (--folds {FOLDS} scores all in folds)."
    alone = _lonely(table, data.schema)
    if alone:
        notes.append(Note("warning", f"Only one sample or group of {listed(alone)}: it stays in train, so this is never scored."))
    return _roles(learn, select, test, Plan("a drawn fifth", "a drawn fifth", "test", reason=reason)), notes


def _spared(data: Data, seed: int) -> _Roles:
    """Roles where what these rows are scored by says little of the domain that counts."""
    learn, select = _part(data.train, data.schema, seed)
    select = learn if select is None else select
    reason = f"{len(learn)} samples of the source learn; a fifth ({len(select)}) selects and is scored, for the target is what counts"
    reason += f" (--folds {FOLDS} scores all in folds)."
    plan = Plan("a fifth of the source", "a fifth of the source", "val", drawn=False, optimistic=True, reason=reason)
    return _Roles(learn, select, select, plan)


def _watching(data: Data, folds: int | None, seed: int) -> Data:
    """Roles where there are no labels: val holds rows on which no method learns, and no row is scored."""
    if folds is not None and folds > 1:
        raise OptionError(f"--folds {folds} scores every row, and without labels nothing is scored: leave the option out.")
    learn, seen, said = data.train, data.val, "val"
    if seen is None:
        said = "a tenth" if len(learn) * WATCHED <= MOST else f"{MOST} rows"
        learn, seen = _part(learn, data.schema, seed, share=min(WATCHED, MOST / max(len(learn), 1)))
    if seen is None:
        reason = f"All {len(learn)} rows learn: too few to set any aside, so a collapse of the features is looked for among them."
        plan = Plan("the learning rows themselves", "the learning rows", "val", drawn=False, reason=reason)
        return replace(data, train=learn, val=learn, test=None, plan=plan)
    reason = f"{len(learn)} rows learn; {said} ({len(seen)}) is set aside, so that a collapse of the features is seen."
    plan = Plan(f"{said}, set aside to watch for collapse", "rows that were set aside", "val", drawn=False, reason=reason)
    return replace(data, train=learn, val=seen, test=None, plan=plan)


def fold_data(data: Data, k: int, seed: int = 0) -> Data:
    """The Data of fold k (0 .. plan.folds - 1): train learns, val (a fifth of the other folds) selects, test is the fold.

    The column "fold" is dropped, and a number's centre and spread are those of the rows that learn here.
    """
    if data.plan is None or not 0 <= k < data.plan.folds:
        raise ValueError(f"there is no fold {k}: these data have {data.plan.folds if data.plan else 0}")
    inside = pc.equal(data.train.column("fold"), k)
    table = data.train.drop_columns(["fold"])
    return _halves(data, table.filter(pc.invert(inside)), table.filter(inside), seed, salt=10 + k)


def final_data(data: Data, seed: int = 0) -> Data:
    """What the model that is kept learns from, after cross-validation: all rows, a fifth of them selecting; test is None.

    Without folds, the same Data without its test.
    """
    if data.plan is None or not data.plan.folds:
        return replace(data, test=None)
    return _halves(data, data.train.drop_columns(["fold"]), None, seed, salt=9)


def _halves(data: Data, table: pa.Table, test: pa.Table | None, seed: int, salt: int) -> Data:
    learn, select = _part(table, data.schema, seed, salt=salt)
    roles = _roles(learn, select, test, data.plan)
    data = replace(data, train=roles.train, val=roles.val, test=test, plan=roles.plan)
    return replace(data, schema=_scaled(data))


def _part(table: pa.Table, schema: Schema, seed: int, salt: int = 0, share: float = SHARE) -> tuple[pa.Table, pa.Table | None]:
    """(the rest, about `share` of the rows), stratified; None where nothing can be spared."""
    drawn = _draw(_strata(table, schema), _groups(table), share, np.random.default_rng([seed, salt]))
    if not drawn.any() and schema.target != "class":
        drawn = _draw(np.zeros(len(table), int), _groups(table), share, np.random.default_rng([seed, salt]))
    if not drawn.any():
        return table, None
    return table.filter(pa.array(~drawn)), table.filter(pa.array(drawn))


def _strata(table: pa.Table, schema: Schema) -> np.ndarray:
    """int [n]: what a draw keeps in proportion. The class; a row's rarest label (-1 for none), which is the first step of
    iterative stratification (Sechidis et al., 2011); or the quantile bin of a number, up to ten of five rows at least.
    One stratum where there is nothing to keep: tags, spans and running text."""
    if schema.target not in ("class", "labels", "number"):
        return np.zeros(len(table), int)
    labels = table.column("label").to_pylist()
    if schema.target == "number":
        bins = max(1, min(10, len(labels) // 5))
        order = np.argsort(np.argsort(np.asarray(labels, float), kind="stable"), kind="stable")
        return order * bins // max(1, len(labels))
    if schema.target == "class":
        number = {name: i for i, name in enumerate(sorted(set(labels)))}
        return np.array([number[label] for label in labels], int)
    counts = _label_counts(labels)
    number = {name: i for i, name in enumerate(sorted(counts, key=lambda name: (counts[name], name)))}
    return np.array([min((number[name] for name in row), default=-1) for row in labels], int)


def _label_counts(rows: Iterable[list[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        for name in row:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _groups(table: pa.Table) -> np.ndarray | None:
    """int [n]: the number of each row's group, or None where rows stand alone."""
    if "group" not in table.column_names:
        return None
    return np.unique(np.array(table.column("group").to_pylist(), dtype=object).astype(str), return_inverse=True)[1]


def _draw(strata: np.ndarray, groups: np.ndarray | None, share: float, rng: np.random.Generator) -> np.ndarray:
    """bool [n]: about `share` of each stratum, at least one of each that has two, and never the last (row or group)."""
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _draw_groups(strata, groups, share, rng)
    drawn = np.zeros(len(strata), bool)
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        drawn[rows[:count]] = True
    return drawn


def _draw_groups(strata: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """bool [n]: whole groups. Of the folds of a stratified group k-fold, that which comes nearest to the share of every
    stratum; groups are then given back where they hold all that there is of a stratum."""
    count = min(round(1 / share), len(np.unique(groups)))
    if count < 2:
        return np.zeros(len(strata), bool)
    fold = _group_folds(strata, groups, count, rng)
    sizes = np.bincount(strata - strata.min())
    best, least = np.zeros(len(strata), bool), np.inf
    for k in range(count):
        drawn = _give_back(fold == k, strata, groups)
        taken = np.bincount(strata[drawn] - strata.min(), minlength=len(sizes))
        # Strata that a fold misses weigh as much as whole ones: what is not drawn cannot be scored.
        off = np.abs(taken - share * sizes).sum() / len(strata) + np.mean((taken == 0)[sizes > 0])
        if drawn.any() and off < least:
            best, least = drawn, off
    return best


def _give_back(drawn: np.ndarray, strata: np.ndarray, groups: np.ndarray) -> np.ndarray:
    for stratum in np.unique(strata):
        inside = strata == stratum
        if not (inside & ~drawn).any():
            drawn = drawn & (groups != groups[np.flatnonzero(inside)[0]])
    return drawn


def _group_folds(strata: np.ndarray, groups: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    import warnings

    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    state = int(rng.integers(2**31))
    # scikit-learn refuses where every stratum is smaller than the number of folds; proportions mean nothing there.
    stratified = np.bincount(strata - strata.min()).max() >= count
    splitter = (StratifiedGroupKFold if stratified else GroupKFold)(count, shuffle=True, random_state=state)
    fold = np.zeros(len(strata), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Small classes are dealt with here, and said in a note.
        for k, (_, inside) in enumerate(splitter.split(np.zeros((len(strata), 1)), strata, groups)):
            fold[inside] = k
    return fold


def _folds(table: pa.Table, schema: Schema, count: int, seed: int) -> np.ndarray:
    """int [n] in 0 .. count - 1; each stratum is dealt out evenly, and so are the folds' sizes."""
    strata, groups, rng = _strata(table, schema), _groups(table), np.random.default_rng([seed, 2])
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _group_folds(strata, groups, count, rng)
    # One deal through all strata, so that those smaller than the number of folds do not all begin with the first fold.
    order = np.concatenate([rng.permutation(np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)])
    fold = np.empty(len(strata), int)
    fold[order] = np.arange(len(order)) % count
    return fold


def _units(table: pa.Table, schema: Schema) -> dict[str, int]:
    """How many rows, or groups, each class has; all rows together where the target is not a class."""
    labels = table.column("label").to_pylist() if schema.target == "class" else ["samples"] * len(table)
    groups = _groups(table)
    pairs = set(zip(labels, groups.tolist() if groups is not None else range(len(labels))))
    counts: dict[str, int] = {}
    for label, _ in pairs:
        counts[label] = counts.get(label, 0) + 1
    return counts


def _loses(fold: np.ndarray, table: pa.Table, schema: Schema) -> bool:
    """Whether a fold holds all there is of a class, as large groups can bring about."""
    if schema.target != "class":
        return False
    strata = _strata(table, schema)
    return any(len(np.unique(fold[strata == stratum])) < 2 for stratum in np.unique(strata))


def _smallest(table: pa.Table, schema: Schema) -> str:
    counts = _units(table, schema)
    what = "group" if "group" in table.column_names else "sample"
    name = min(sorted(counts), key=counts.get, default="samples")
    whose = f"the smallest class, {name!r}, has" if schema.target == "class" else "there are"
    return f"{whose} only {counts.get(name, 0)} {what}{'' if counts.get(name) == 1 else 's'}"


def _lonely(table: pa.Table, schema: Schema) -> list[str]:
    return sorted(name for name, count in _units(table, schema).items() if count == 1) if schema.target == "class" else []


def _crossing(data: Data) -> list[Note]:
    """A warning where the splits on disk share groups: what is scored then resembles what was learnt."""
    names = [name for name in ("train", "val", "test") if getattr(data, name) is not None and "group" in getattr(data, name).column_names]
    notes = []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            shared = sorted(set(getattr(data, one).column("group").to_pylist()) & set(getattr(data, other).column("group").to_pylist()))
            if shared:
                few = "group" if len(shared) == 1 else "groups"
                notes.append(
                    Note("warning", f"{one} and {other} share {len(shared)} {few} ({listed(shared)}), so scores may be optimistic.")
                )
    return notes


def _scaled(data: Data) -> Schema:
    """The schema with the mean and standard deviation (of the population; 1 where it is 0) of the learning rows."""
    if data.schema.target != "number":
        return data.schema
    values = np.asarray(data.learning().column("label").to_pylist(), float)
    return replace(data.schema, centre=float(values.mean()), spread=float(values.std()) or 1.0)
