"""What is wrong with the labels and the splits, told from the tables alone; no image is opened."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ..core import Data, name_column
from ..readers.labels import listed
from . import notes
from .finding import Finding, noun
from .names import likeness

FEW, SOME = 10, 30
"""Learning samples of a class: under FEW a body's features are fitted to single images; under SOME one image more or less still
moves the class's own score by several points."""
UNEQUAL, VERY_UNEQUAL = 3, 10  # largest class / smallest class
RARE = 0.2  # of the other label's samples: a misspelling is rarer than what it misspells, two real classes seldom are
FAR = 6.0  # robust standard deviations: of a normal distribution, two in a thousand million lie farther out
SPLITS = ("train", "val", "test")

_BALANCE = "--set task.balance=true (solved heads) or --set method.balance=true (training)"


def findings(data: Data) -> list[Finding]:
    """Labels written alike, classes that are missing, small or unequal, groups that cross splits, and what the reader or the
    drawing of roles warned of. Data as a reader returns them, or with the roles that `readers.split.assign` gave them."""
    if data.schema.target in ("spans", "language", "none"):  # answers and running text are no labels that could be counted
        return [*_groups(data), *notes.findings(data.notes)]
    found = [_same(data), _alike(data), _one_class(data), _absent(data), *_small(data), _unequal(data), *_groups(data)]
    if data.schema.target == "number":
        found += [_constant(data), _far(data), _beyond(data)]
    return [one for one in found if one] + list(notes.findings(data.notes))


def _rows(data: Data, table: pa.Table) -> list[tuple[str, list]]:
    """(path, its labels or its number, in a list) of each row."""
    pairs = zip(_named(data, table), table[data.schema.label].to_pylist(), strict=True)
    return [(path, label if isinstance(label, list) else [label]) for path, label in pairs]


def _named(data: Data, table: pa.Table) -> list[str]:
    """What the rows are called: their path; a text has one beside what goes in."""
    return table[name_column(table, data.schema.input)].to_pylist()


def _tables(data: Data) -> dict[str, pa.Table]:
    """The tables by their split's name, each once: rows that select and are scored too, or learn and select, are one table."""
    kept: dict[str, pa.Table] = {}
    for name in SPLITS:
        table = getattr(data, name)
        if table is not None and len(table) and not any(_paths(data, table) == _paths(data, other) for other in kept.values()):
            kept[name] = table
    return kept


def _paths(data: Data, table: pa.Table) -> set[str]:
    return set(_named(data, table))


def _role(data: Data, name: str) -> str:
    """What the user calls the table: its split, or after the roles were given what it is there for."""
    if data.plan is None:
        return name
    return {
        "train": "the learning rows",
        "val": f"the selecting rows ({data.plan.select})",
        "test": f"the scored rows ({data.plan.score})",
    }[name]


def _counts(data: Data, table: pa.Table) -> dict[str, int]:
    """How many rows of the table have each class, in the schema's order; classes that only the tables know come last."""
    seen = Counter(label for _, labels in _rows(data, table) for label in labels)
    return {name: seen.pop(name, 0) for name in data.schema.classes} | dict(sorted(seen.items()))


def _files(data: Data, names: set, most: int | None = None) -> list[str]:
    found = [path for table in _tables(data).values() for path, labels in _rows(data, table) if names & set(labels)]
    return found[:most]


def _alike_pairs(data: Data) -> Iterator[tuple[str, str, str]]:
    """(label, label, how they are alike)."""
    if data.schema.target != "number":
        names = {label for table in _tables(data).values() for _, labels in _rows(data, table) for label in labels}
        yield from likeness(sorted(names | set(data.schema.classes)))


def _same(data: Data) -> Finding | None:
    return _written(data, "same_labels", [pair for pair in _alike_pairs(data) if pair[2] != "by one letter"])


def _alike(data: Data) -> Finding | None:
    return _written(data, "similar_labels", [pair for pair in _alike_pairs(data) if pair[2] == "by one letter"])


def _written(data: Data, kind: str, pairs: list[tuple[str, str, str]]) -> Finding | None:
    """One letter is a warning where one label is much rarer, as misspellings are; else it may well be horse and house."""
    if not pairs:
        return None
    counts: Counter = Counter()
    for table in _tables(data).values():
        counts.update(_counts(data, table))
    sure = kind == "same_labels" or any(min(counts[a], counts[b]) <= RARE * max(counts[a], counts[b]) for a, b, _ in pairs)
    examples = [
        {"files": [*_files(data, {a}, 1), *_files(data, {b}, 1)], "labels": [a, b], "counts": [counts[a], counts[b]], "differ": how}
        for a, b, how in pairs[:12]
    ]
    first = "; ".join(f"'{a}' ({counts[a]}) and '{b}' ({counts[b]}) differ only {how}" for a, b, how in pairs[:3])
    more = f", and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
    return Finding(
        kind, "warning" if sure else "note", len(pairs), f"Labels are written almost alike: {first}{more}.",
        "If they mean the same, the model is asked to tell apart what cannot be told apart, and about half of its answers for them "
        "count as wrong.",
        "Give them one name, or leave them where they are two classes.",
        tuple(_files(data, {name for pair in pairs for name in pair[:2]})), tuple(examples), {"pairs": [list(pair) for pair in pairs]},
    )  # fmt: skip


def _one_class(data: Data) -> Finding | None:
    """Learning rows that say nothing: one class, or (of several labels) a label that all rows have."""
    if data.schema.target == "number":
        return None
    table = data.learning()
    counts = {name: count for name, count in _counts(data, table).items() if count}
    if data.schema.target == "labels":
        full = [name for name, count in counts.items() if count == len(table)]
        if not full:
            return None
        text = f"All {len(table)} learning samples have the label{'' if len(full) == 1 else 's'} {listed(full)}."
        effect = "Nothing says what a sample without it looks like; the model will answer yes to everything, and score well by that."
        return Finding("constant_label", "problem", len(full), text, effect, "Add samples without it, or remove the label.")
    if len(counts) > 1:
        return None
    text = f"All {len(table)} learning samples have the same class, {listed(list(counts))}."
    effect = "There is nothing to tell apart, and a fit refuses to start."
    return Finding("one_class", "problem", 1, text, effect, "Add samples of at least one other class.")


def _absent(data: Data) -> Finding | None:
    if data.schema.target == "number":
        return None
    # Names of one word have no tag for their inside, which is therefore never missed.
    inside = {name for name in data.schema.classes if data.schema.target == "tags" and name.startswith("I-")}
    learnt = (set(data.schema.classes) | {name for name, count in _counts(data, data.train).items() if count}) - inside
    rows = []
    for name, table in _tables(data).items():
        there = {label for label, count in _counts(data, table).items() if count} - inside
        rows += [{"files": [], "label": label, "splits": [name]} for label in sorted(learnt - there)]
        if name != "train":
            rows += [{"files": _files(data, {label}, 3), "label": label, "splits": ["train"]} for label in sorted(there - learnt)]
    if not rows:
        return None
    by = {name: [row["label"] for row in rows if name in row["splits"]] for name in SPLITS}
    text = "; ".join(
        f"{_role(data, name)} {'has' if data.plan is None else 'have'} no sample of {listed(labels)}"
        for name, labels in by.items()
        if labels
    )
    unlearnt = bool(by["train"])
    effect = "What is never learnt is always answered wrongly." if unlearnt else "The score says nothing about a class that is not scored."
    return Finding(
        "missing_class", "problem" if unlearnt else "warning", len(rows), text[:1].upper() + text[1:] + ".", effect,
        "Add samples of these classes there, or give the samples without a split so that every class is drawn in proportion.",
        tuple(path for row in rows for path in row["files"]), tuple(rows[:12]), {"missing": {k: v for k, v in by.items() if v}},
    )  # fmt: skip


def _small(data: Data) -> Iterator[Finding]:
    """Classes with fewer than FEW learning samples, and those with fewer than SOME."""
    if data.schema.target == "number":
        if len(data.learning()) < SOME:
            yield _few("tiny_class", "warning", {"any kind": len(data.learning())}, data)
        return
    counts = {name: count for name, count in _counts(data, data.learning()).items() if count}
    tiny = {name: count for name, count in counts.items() if count < FEW}
    small = {name: count for name, count in counts.items() if FEW <= count < SOME}
    if tiny:
        yield _few("tiny_class", "warning", tiny, data)
    if small:
        yield _few("small_class", "note", small, data)


def _few(kind: str, level: str, counts: dict[str, int], data: Data) -> Finding:
    named = sorted(counts, key=lambda name: (counts[name], name))
    shown = ", ".join(f"{counts[name]} of {name!r}" if name in data.schema.classes else f"{counts[name]} samples" for name in named[:3])
    more = f" and so for {len(named) - 3} more classes" if len(named) > 3 else ""
    many = noun(data.schema.modality)
    effect = (
        f"Single {many} decide what is learnt of it"
        if level == "warning"
        else f"One {many[:-1]} more or less moves its own score by points"
    )
    return Finding(
        kind, level, len(counts), f"There are only {shown} to learn from{more}.",
        f"{effect}, and the interval of its score is wide.",
        "Collect more of them first: no option is worth as much. Until then prefer --method extract.",
        tuple(_files(data, set(counts))),
        tuple({"files": _files(data, {name}, 3), "label": name, "count": counts[name]} for name in named[:12]),
        {"counts": {name: counts[name] for name in named}},
    )  # fmt: skip


def _unequal(data: Data) -> Finding | None:
    """Classes of very different size, and what always answering the largest would score."""
    if data.schema.target != "class":
        return None
    counts = {name: count for name, count in _counts(data, data.learning()).items() if count}
    if len(counts) < 2 or max(counts.values()) < UNEQUAL * min(counts.values()):
        return None
    large, small = max(counts, key=counts.get), min(counts, key=counts.get)
    ratio, share = counts[large] / counts[small], counts[large] / sum(counts.values())
    text = f"'{large}' has {ratio:.0f} times as many learning samples ({counts[large]}) as '{small}' ({counts[small]})."
    return Finding(
        "imbalance", "warning" if ratio >= VERY_UNEQUAL else "note", len(counts), text,
        f"Always answering '{large}' has an accuracy of {share:.2f} already, and rare classes are learnt last.",
        f"Look at balanced accuracy and macro F1 beside accuracy; if all classes matter alike, add {_BALANCE}.",
        numbers={"counts": counts, "ratio": ratio, "majority": share},
    )  # fmt: skip


def _groups(data: Data) -> Iterator[Finding]:
    """Groups with rows in two tables. Where the roles were drawn here there are none; splits on disk may have them."""
    tables = {name: table for name, table in _tables(data).items() if "group" in table.column_names}
    names = list(tables)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            shared = sorted(set(tables[one]["group"].to_pylist()) & set(tables[other]["group"].to_pylist()))
            if shared:
                yield _shared(data, one, other, shared, tables)


def _shared(data: Data, one: str, other: str, shared: list[str], tables: dict[str, pa.Table]) -> Finding:
    inside = {name: {} for name in (one, other)}
    for name, paths in inside.items():
        for path, group in zip(_named(data, tables[name]), tables[name]["group"].to_pylist(), strict=True):
            paths.setdefault(group, []).append(path)
    rows = [
        {"files": [inside[one][group][0], inside[other][group][0]], "group": group, "splits": [one, other]} for group in shared[:12]
    ]  # fmt: skip
    files = [path for row in rows for path in row["files"]]
    files += [path for group in shared for name in (one, other) for path in inside[name][group] if path not in set(files)]
    part = sum(len(inside[other][group]) for group in shared) / len(tables[other])
    return Finding(
        "shared_groups", "problem", len(shared),
        f"{_role(data, one)} and {_role(data, other)} share {len(shared)} group{'' if len(shared) == 1 else 's'} ({listed(shared)}), "
        f"which hold {part:.0%} of the latter.",
        "What is scored there resembles what was learnt, so the score is too high for new groups.",
        "Give the samples without a split: whole groups are then drawn. Or move each group into one split.",
        tuple(files), tuple(rows), {"groups": len(shared), "share": part},
    )  # fmt: skip


def _numbers(data: Data, table: pa.Table) -> np.ndarray:
    return np.asarray(table[data.schema.label].to_pylist(), float)


def _constant(data: Data) -> Finding | None:
    """One number that half of the learning rows or more have."""
    values = _numbers(data, data.learning())
    distinct, counts = np.unique(values, return_counts=True)
    best, share = distinct[counts.argmax()], counts.max() / len(values)
    if share < 0.5:
        return None
    alone = len(distinct) == 1
    return Finding(
        "constant_number", "problem" if alone else "warning", int(counts.max()),
        f"{share:.0%} of the learning samples have the same number, {best:g}.",
        "There is nothing to learn." if alone else "Always answering it is hard to beat in mean absolute error, and errors elsewhere hide.",
        "Check whether it stands for a missing value; if not, consider classes (is it this value or not) first.",
        numbers={"value": float(best), "share": float(share)},
    )  # fmt: skip


def _far(data: Data) -> Finding | None:
    """Numbers far from all others, by the median and the median absolute deviation."""
    values, paths = _numbers(data, data.learning()), _named(data, data.learning())
    centre = np.median(values)
    scale = 1.4826 * np.median(np.abs(values - centre))
    if scale == 0:
        return None
    off = np.abs(values - centre) / scale
    rows = [i for i in np.argsort(-off, kind="stable") if off[i] > FAR]
    if not rows:
        return None
    return Finding(
        "far_numbers", "warning", len(rows),
        f"{len(rows)} of {len(values)} numbers lie far from the others, such as {values[rows[0]]:g} where the median is {centre:g}.",
        "The squared error follows a few such samples before all others.",
        "Check them for slips (a unit, a decimal point); if they are right, predict the logarithm.",
        tuple(paths[i] for i in rows), tuple({"files": [paths[i]], "label": float(values[i])} for i in rows[:12]),
        {"median": float(centre), "scale": float(scale)},
    )  # fmt: skip


def _beyond(data: Data) -> Finding | None:
    """Numbers of other tables outside the range of those that are learnt."""
    learnt = _numbers(data, data.learning())
    low, high, rows = learnt.min(), learnt.max(), []
    for name, table in _tables(data).items():
        values = _numbers(data, table)
        outside = np.flatnonzero((values < low) | (values > high))
        paths = _named(data, table)
        rows += [{"files": [paths[i]], "label": float(values[i]), "splits": [name]} for i in outside]
    if not rows:
        return None
    one = len(rows) == 1
    return Finding(
        "beyond_range", "warning" if len(rows) > 1 else "note", len(rows),
        f"{len(rows)} sample{' has a number' if one else 's have numbers'} outside the range that is learnt ({low:g} to {high:g}).",
        "Nothing shows the model what such a sample looks like; its error there says little about the rest.",
        "Draw the splits anew (give the samples without a split), or learn from the whole range.",
        tuple(row["files"][0] for row in rows), tuple(rows[:12]), {"low": float(low), "high": float(high)},
    )  # fmt: skip
