"""Class folders of any kind of file: FOLDER/cat/1.jpg, or FOLDER/train/cat/1.jpg beside FOLDER/val and FOLDER/test."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..core import Note
from ..errors import DataError
from .labels import check_classes, is_text, listed, printable
from .split import split_name

_HIDDEN = ("__macosx", "thumbs.db", "desktop.ini", "@eadir")

Found = dict[str, dict[str, list[str]]]
"""{split: {class: absolute paths}}."""


def kinds(one: str, many: str) -> dict[str, tuple[str, str]]:
    """What may be passed over: its kind -> (the level of its note, the note's words), for files called `many`."""
    return {
        "hidden": ("info", "hidden or system files and folders"),
        "other": ("info", f"files that are not {many} by their extension"),
        "folder": ("info", f"folders without {many}"),
        "twice": ("info", "links to folders that had already been read"),
        "special": ("warning", f"{one} names that are a device or pipe, not a file"),
        "name": ("warning", f"{many} whose path is not valid UTF-8 (rename them to use them)"),
        "stray": ("warning", f"{many} outside any class folder, which have no label"),
    }


@dataclass(frozen=True)
class Wanted:
    """The files that are looked for.

    extensions: in lower case, with the dot. many: what the files are called. kinds: as `kinds` gives it. repair: the end of
    the sentence where classes are missing. table: the reader to name to people who gave a file. bare: what may be added to the
    repair where there are files and no folders at all.
    """

    extensions: tuple[str, ...]
    many: str
    kinds: Mapping[str, tuple[str, str]]
    repair: str
    table: str
    bare: str = ""


@dataclass
class Walk:
    """Lists folders, and remembers by kind what was passed over."""

    wanted: Wanted
    ignored: dict[str, list[str]] = field(default_factory=dict)

    def fresh(self) -> "Walk":
        """Another walk for the same files, whose ignored things are not told."""
        return Walk(self.wanted)

    def ignore(self, kind: str, path: str) -> None:
        self.ignored.setdefault(kind, []).append(printable(path))

    def entries(self, folder: str) -> tuple[list[os.DirEntry], list[os.DirEntry]]:
        """The visible folders and the wanted files of a folder, each sorted by name. Raises DataError where it cannot be listed."""
        try:
            with os.scandir(folder) as found:
                everything = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            closed = isinstance(error, PermissionError)
            why = "this user may not read it" if closed else (error.strerror or type(error).__name__)
            mend = "give the right to read it" if closed else "mend it"
            raise DataError(f"The folder '{printable(folder)}' cannot be listed ({why}): {mend}, or move it away.") from None
        folders, files = [], []
        for entry in everything:
            if entry.name.startswith(".") or entry.name.lower() in _HIDDEN:
                self.ignore("hidden", entry.path)
            elif _is_folder(entry):
                folders.append(entry)
            elif not entry.name.lower().endswith(self.wanted.extensions):
                self.ignore("other", entry.path)
            elif not _is_file(entry):
                self.ignore("special", entry.path)
            elif not is_text(entry.path):
                self.ignore("name", entry.path)
            else:
                files.append(entry)
        return folders, files

    def files(self, folder: str) -> Iterator[str]:
        """All wanted files below a folder. Each real folder is entered once, so links that lead in circles come to an end."""
        seen, waiting = set(), [folder]
        while waiting:
            current = waiting.pop()
            real = os.path.realpath(current)
            if real in seen:
                self.ignore("twice", current)
                continue
            seen.add(real)
            folders, files = self.entries(current)
            yield from (entry.path for entry in files)
            waiting += [entry.path for entry in reversed(folders)]

    def notes(self) -> list[Note]:
        """One note for each kind of thing that was passed over, in the order of `kinds`."""
        told = self.wanted.kinds.items()
        found = [(level, words, sorted(self.ignored[kind])) for kind, (level, words) in told if kind in self.ignored]
        return [Note(level, f"Ignored {words}: {len(paths)}.", tuple(paths)) for level, words, paths in found]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that points at itself.
        return False


def _is_file(entry: os.DirEntry) -> bool:
    """Regular files, and links to nowhere: their names say that a sample was meant, so they are reported as bad later."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def read_classes(path: str, walk: Walk, fewest: int = 2) -> tuple[str, Found, tuple[str, ...], list[Note]]:
    """(absolute path of the folder, files by split and class, the sorted classes, notes) of class folders in split folders or not.

    A folder in which only split folders hold wanted files (train, training; val, valid, validation, dev; test, testing; in
    any case) is split; otherwise its folders are the classes, at least `fewest`, and all is "train". Below a class folder everything is
    read.
    Hidden and system files, other extensions and files outside class folders are passed over and counted in the walk.
    Raises DataError.
    """
    root, notes = _root(path, walk.wanted), []
    folders, loose = walk.entries(root)
    parts = _splits(root, folders, walk)
    found: Found = {}
    for entry in loose:
        walk.ignore("stray", entry.path)
    if parts is None:
        found["train"] = _classes(walk, folders, notes)
        _nothing(root, found["train"], loose, walk.wanted)
    else:
        for entry in folders:
            if entry.path not in parts.values():
                walk.ignore("folder", entry.path)
        found = _read_splits(root, walk, parts, notes)
    classes = check_classes(found, _fewer(root, found["train"], walk), fewest)
    for split in ("val", "test"):
        absent = sorted(set(classes) - set(found.get(split, classes)))
        if absent:
            notes.append(Note("warning", f"{split} has no {walk.wanted.many} of {listed(absent)}."))
    return root, found, classes, notes


def _root(path: str, wanted: Wanted) -> str:
    root = os.path.abspath(os.path.expanduser(path))
    shown = printable(root)
    if not is_text(root):
        raise DataError(f"The path '{shown}' is not valid UTF-8: rename the folder.")
    try:
        os.stat(root)
    except FileNotFoundError:
        raise DataError(f"The folder '{shown}' does not exist: check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"The folder '{shown}' cannot be opened ({getattr(error, 'strerror', None) or error}): check the path.") from None
    if not os.path.isdir(root):
        raise DataError(
            f"'{shown}' is a file, not a folder of class folders: name the folder, or read a table with the {wanted.table} reader."
        )
    return root


def _splits(root: str, folders: list[os.DirEntry], walk: Walk) -> dict[str, str] | None:
    """{split: folder} where the folders of the root are splits, None where they are classes.

    Folders without a single wanted file (a folder of notes, say) do not speak against a split. A class may be called
    "train" as long as its files lie directly in it.
    """
    named = [(split_name(entry.name), entry) for entry in folders]
    if not any(split for split, _ in named):
        return None
    others = [entry.name for split, entry in named if split is None and any(walk.fresh().files(entry.path))]
    if others:
        nested = [entry for split, entry in named if split == "train" and _holds_classes(entry.path, walk)]
        if nested:
            raise DataError(
                f"'{printable(root)}' mixes the split folder '{nested[0].name}' with other folders of {walk.wanted.many} "
                f"({listed(others)}): move these elsewhere, so that only train, val and test remain."
            )
        return None
    parts: dict[str, str] = {}
    for split, entry in named:
        if split in parts:
            first = os.path.basename(parts[split])
            raise DataError(
                f"The folders '{first}' and '{entry.name}' in '{printable(root)}' both mean {split}: merge or rename one of them."
            )
        if split:
            parts[split] = entry.path
    return parts


def _holds_classes(folder: str, walk: Walk) -> bool:
    inner, files = walk.fresh().entries(folder)
    return not files and any(any(walk.fresh().files(entry.path)) for entry in inner)


def _read_splits(root: str, walk: Walk, parts: dict[str, str], notes: list[Note]) -> Found:
    """The splits that hold wanted files. Raises DataError where train is missing or empty."""
    found = {}
    for split in ("train", "val", "test"):
        if split not in parts:
            continue
        folders, loose = walk.entries(parts[split])
        for entry in loose:
            walk.ignore("stray", entry.path)
        classes = _classes(walk, folders, notes)
        if split == "train":
            _nothing(parts[split], classes, loose, walk.wanted)
        if classes:
            found[split] = classes
        else:
            name = os.path.basename(parts[split])
            notes.append(Note("warning", f"The folder '{name}' holds no {walk.wanted.many} in class folders and was ignored."))
    if "train" not in found:
        raise DataError(f"'{printable(root)}' has {listed(sorted(parts))} but no train folder: add 'train', or rename one of them to it.")
    return found


def _classes(walk: Walk, folders: list[os.DirEntry], notes: list[Note]) -> dict[str, list[str]]:
    """{class: paths} of the class folders that hold wanted files; the others are named in a note."""
    classes, empty = {}, []
    for entry in folders:
        if not is_text(entry.name):
            raise DataError(f"The name of the class folder '{printable(entry.path)}' is not valid UTF-8: rename it.")
        paths = list(walk.files(entry.path))
        if paths:
            classes[entry.name] = paths
        else:
            empty.append(entry.path)
    if empty and classes:
        names = listed([os.path.basename(path) for path in empty])
        words = f"The class {'folder' if len(empty) == 1 else 'folders'} {names} held no {walk.wanted.many}."
        notes.append(Note("warning", words, tuple(empty)))
    return classes


def _nothing(folder: str, classes: dict, loose: list[os.DirEntry], wanted: Wanted) -> None:
    """Raises DataError where a folder holds no wanted files in class folders."""
    if classes:
        return
    shown = printable(folder)
    if loose:
        raise DataError(f"'{shown}' holds {len(loose)} {wanted.many} but no class folders: {wanted.repair}{wanted.bare}.")
    try:
        empty = not os.listdir(folder)
    except OSError:
        empty = False
    if empty:
        raise DataError(f"The folder '{shown}' is empty: {wanted.repair}.")
    raise DataError(f"No {wanted.many} ({', '.join(wanted.extensions)}) were found in '{shown}': {wanted.repair}, or check the path.")


def _fewer(root: str, train: dict[str, list[str]], walk: Walk) -> str:
    """The repair for a folder with one class. An archive often unpacks into one folder too many; then that one is named."""
    if len(train) == 1:
        inner = os.path.join(root, next(iter(train)))
        if os.path.isdir(inner) and len(walk.fresh().entries(inner)[0]) > 1:
            return f"its class folders seem to lie one level down, so give '{printable(inner)}' instead"
    return walk.wanted.repair
