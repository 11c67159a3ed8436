"""Which column of a table holds what: found by usual names, or given; and what tables ask of their labels and splits."""

import re
from collections.abc import Mapping, Sequence

from ..core import Note
from ..errors import DataError, OptionError, nearest
from .labels import check_alike, check_classes, listed
from .sheet import Sheet
from .split import split_name, split_names
from .target import checked, plain

LABELS = (
    "label", "class", "target", "category", "y", "labels", "class_name", "label_name", "classes", "tags", "tag", "targets", "categories",
)  # fmt: skip
SPLITS = ("split", "set", "subset", "partition", "data_set", "dataset")
GROUPS = ("group", "group_id", "groups", "patient", "patient_id", "subject", "subject_id")


def names_of(label: str | Sequence[str]) -> tuple[str, ...]:
    """The label columns as a tuple, also where a single name was given from Python."""
    return (label,) if isinstance(label, str) else tuple(label)


def known(sheet: Sheet, name: str, what: str) -> str:
    """The name, if the table has such a column. what: the option it was given for. Raises OptionError."""
    if name not in sheet.columns:
        raise OptionError(f"There is no column '{name}' for data.{what} in '{sheet.shown}'.{nearest(name, list(sheet.columns))}")
    return name


def spelt(name: str) -> str:
    """The name of a column as usual names are spelt."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def matches(sheet: Sheet, usual: Sequence[str]) -> list[str]:
    """The columns with a usual name, the most usual first. Case, spaces and hyphens do not matter."""
    found = {spelt(name): name for name in reversed(sheet.columns)}
    return [found[name] for name in usual if name in found]


def find(sheet: Sheet, given: str | None, what: str, usual: Sequence[str]) -> str | None:
    """The column given, or the first with a usual name; None where there is none, or "" was given."""
    if given is not None:
        return known(sheet, given, what) if given else None
    return next(iter(matches(sheet, usual)), None)


def find_label(sheet: Sheet, taken: Sequence[str | None], notes: list[Note], usual: Sequence[str] = LABELS) -> str:
    """The first column with a usual name of a label, or the only one that is not taken. Raises DataError."""
    found = [name for name in matches(sheet, usual) if name not in taken]
    left = [name for name in sheet.columns if name not in taken]
    if len(found) > 1:
        notes.append(
            Note("warning", f"'{found[0]}' is read as the label, not {listed(found[1:])}; --set data.label=COLUMN chooses another.")
        )
    if found:
        return found[0]
    if len(left) == 1:
        notes.append(Note("info", f"'{left[0]}' is read as the label, being the only column left."))
        return left[0]
    raise DataError(
        f"'{sheet.shown}' has no column of labels among {listed(left, 8) if left else 'its columns'}: name it with "
        "--set data.label=COLUMN, or several columns of 0/1 with --set data.label=A,B."
    )


def find_split(sheet: Sheet, given: str | None, notes: list[Note]) -> str | None:
    """A column found by its name counts only if its cells are names of splits; one that was given must be."""
    split = find(sheet, given, "split", SPLITS)
    if split is None or given:
        return split
    odd = next((cell for cell in sheet.columns[split] if split_name(str(cell)) is None), None)
    if odd is None:
        return split
    notes.append(Note("info", f"'{split}' is not read as a split, because it holds {str(odd)!r}; --set data.split={split} insists."))
    return None


def find_group(sheet: Sheet, given: str | None, notes: list[Note], usual: Sequence[str] = GROUPS) -> str | None:
    """The column of what must not part; one that was found by its name is told."""
    group = find(sheet, given, "group", usual)
    if group and given is None:
        notes.append(Note("info", f"Samples with the same '{group}' are kept together; --set data.group= treats them as independent."))
    return group


def read_splits(sheet: Sheet, column: str) -> list[str]:
    """ "train", "val" or "test" for each row. Raises DataError."""
    splits = [split_name(str(cell)) for cell in sheet.columns[column]]
    odd = [i for i, split in enumerate(splits) if split is None]
    if odd:
        raise DataError(
            f"The split column '{column}' of '{sheet.shown}' holds {str(sheet.columns[column][odd[0]])!r} at {sheet.unit} "
            f"{sheet.numbers[odd[0]]}: write train, val or test ({split_names()})."
        )
    return splits


def read_groups(sheet: Sheet, column: str) -> list[str]:
    """The group of each row. Raises DataError where one is missing."""
    groups = [plain(value) for value in sheet.columns[column]]
    missing = [sheet.numbers[i] for i, group in enumerate(groups) if group is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(groups)} rows of '{sheet.shown}' have no group in '{column}', the first at {sheet.unit} {missing[0]}: "
            "fill them in, or ignore the column with --set data.group= (nothing after the sign)."
        )
    return [checked(sheet, group, i) for i, group in enumerate(groups)]


def classes_of(
    sheet: Sheet, labels: Mapping[str, list], target: str, names: Sequence[str], notes: list[Note], fewest: int = 2
) -> tuple[str, ...]:
    """The sorted classes of a table's labels, () for numbers. labels: split -> the labels of its rows; names: the label columns.

    Raises DataError where train has no rows, fewer than `fewest` classes or one number only, or where another split has other classes.
    """
    if "train" not in labels:
        raise DataError(f"'{sheet.shown}' has rows of {listed(sorted(labels))} but none of train: mark the rows that learn as train.")
    if target == "number":
        if len(set(labels["train"])) < 2:
            raise DataError(
                f"All training labels in '{sheet.shown}' are the same number: give samples of different values, or another label column."
            )
        return ()
    found = {split: {name for label in inside for name in (label if target == "labels" else [label])} for split, inside in labels.items()}
    repair = f"add samples of another class to '{sheet.shown}', or choose another column with --set data.label=COLUMN"
    classes = check_classes(found, repair, least=1 if target == "labels" else fewest)
    if len(names) > 1:
        check_alike(names)
        never = sorted(set(names) - set(classes))
        if never:
            notes.append(Note("warning", f"Label columns that are never 1 in train are left out: {listed(never)}."))
    return classes
