"""A folder of class folders: PHOTOS/cat/1.jpg, or PHOTOS/train/cat/1.jpg beside PHOTOS/val and PHOTOS/test."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from ..core import Data, Note, Schema
from ..errors import DataError
from .labels import check_classes, fingerprint, is_text, listed, printable
from .split import split_name

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_HIDDEN = ("__macosx", "thumbs.db", "desktop.ini", "@eadir")
_KINDS = {
    "hidden": ("info", "hidden or system files and folders"),
    "other": ("info", "files that are not images by their extension"),
    "folder": ("info", "folders without images"),
    "twice": ("info", "links to folders that had already been read"),
    "special": ("warning", "image names that are a device or pipe, not a file"),
    "name": ("warning", "images whose path is not valid UTF-8 (rename them to use them)"),
    "stray": ("warning", "images outside any class folder, which have no label"),
}
_REPAIR = "put the images of each class into a folder of its own, for example PHOTOS/cat and PHOTOS/dog"


@dataclass(frozen=True)
class Options:
    """How a folder is read.

    bad_share: largest share of the files that may be unreadable before the run refuses to start; 0.05 because a few
    broken downloads are normal in real collections, and more mean that something went wrong with all of them.
    """

    bad_share: float = 0.05


@dataclass
class _Walk:
    """Lists folders, and remembers by kind what was passed over."""

    ignored: dict[str, list[str]] = field(default_factory=dict)

    def ignore(self, kind: str, path: str) -> None:
        self.ignored.setdefault(kind, []).append(printable(path))

    def entries(self, folder: str) -> tuple[list[os.DirEntry], list[os.DirEntry]]:
        """The visible folders and the image files of a folder, each sorted by name. Raises DataError where it cannot be listed."""
        try:
            with os.scandir(folder) as found:
                everything = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            closed = isinstance(error, PermissionError)
            why = "this user may not read it" if closed else (error.strerror or type(error).__name__)
            mend = "give the right to read it" if closed else "mend it"
            raise DataError(f"The folder '{printable(folder)}' cannot be listed ({why}): {mend}, or move it away.") from None
        folders, images = [], []
        for entry in everything:
            if entry.name.startswith(".") or entry.name.lower() in _HIDDEN:
                self.ignore("hidden", entry.path)
            elif _is_folder(entry):
                folders.append(entry)
            elif not entry.name.lower().endswith(EXTENSIONS):
                self.ignore("other", entry.path)
            elif not _is_file(entry):
                self.ignore("special", entry.path)
            elif not is_text(entry.path):
                self.ignore("name", entry.path)
            else:
                images.append(entry)
        return folders, images

    def images(self, folder: str) -> Iterator[str]:
        """All image files below a folder. Each real folder is entered once, so links that lead in circles come to an end."""
        seen, waiting = set(), [folder]
        while waiting:
            current = waiting.pop()
            real = os.path.realpath(current)
            if real in seen:
                self.ignore("twice", current)
                continue
            seen.add(real)
            folders, images = self.entries(current)
            yield from (entry.path for entry in images)
            waiting += [entry.path for entry in reversed(folders)]

    def notes(self) -> list[Note]:
        """One note for each kind of thing that was passed over, in the order of _KINDS."""
        found = [(level, words, sorted(self.ignored[kind])) for kind, (level, words) in _KINDS.items() if kind in self.ignored]
        return [Note(level, f"Ignored {words}: {len(paths)}.", tuple(paths)) for level, words, paths in found]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that points at itself.
        return False


def _is_file(entry: os.DirEntry) -> bool:
    """Regular files, and links to nowhere: their names say that an image was meant, so `inspect.files` reports them as bad."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def read(path: str, options: Options) -> Data:
    """Read class folders, in split folders or not.

    A folder in which only split folders hold images (train, training; val, valid, validation, dev; test, testing; in any
    case) is split; otherwise its folders are the classes. Below a class folder everything is read. Hidden and system
    files, other extensions and images outside class folders are passed over and counted in notes.
    The tables have the columns path and label (strings), sorted by path. Raises DataError.
    """
    root = _root(path)
    walk, notes = _Walk(), []
    folders, loose = walk.entries(root)
    parts = _splits(root, folders)
    found: dict[str, dict[str, list[str]]] = {}
    for entry in loose:
        walk.ignore("stray", entry.path)
    if parts is None:
        found["train"] = _classes(walk, folders, notes)
        _nothing(root, found["train"], loose)
    else:
        for entry in folders:
            if entry.path not in parts.values():
                walk.ignore("folder", entry.path)
        found = _read_splits(root, walk, parts, notes)
    classes = check_classes(found, _fewer(root, found["train"]))
    tables = {split: _table(rows) for split, rows in found.items()}
    for split in ("val", "test"):
        absent = sorted(set(classes) - set(found.get(split, classes)))
        if absent:
            notes.append(Note("warning", f"{split} has no images of {listed(absent)}."))
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("image", "class", classes),
        fingerprint=fingerprint(tables.values()),
        source=root,
        notes=tuple(walk.notes() + notes),
    )


def _root(path: str) -> str:
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
        raise DataError(f"'{shown}' is a file, not a folder of class folders: name the folder, or read a table with the csv_table reader.")
    return root


def _splits(root: str, folders: list[os.DirEntry]) -> dict[str, str] | None:
    """{split: folder} where the folders of the root are splits, None where they are classes.

    Folders without a single image (a folder of notes, say) do not speak against a split. A class may be called "train"
    as long as its images lie directly in it.
    """
    named = [(split_name(entry.name), entry) for entry in folders]
    if not any(split for split, _ in named):
        return None
    others = [entry.name for split, entry in named if split is None and any(_Walk().images(entry.path))]
    if others:
        nested = [entry for split, entry in named if split == "train" and _holds_classes(entry.path)]
        if nested:
            raise DataError(
                f"'{printable(root)}' mixes the split folder '{nested[0].name}' with other folders of images ({listed(others)}): "
                "move these elsewhere, so that only train, val and test remain."
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


def _holds_classes(folder: str) -> bool:
    inner, images = _Walk().entries(folder)
    return not images and any(any(_Walk().images(entry.path)) for entry in inner)


def _read_splits(root: str, walk: _Walk, parts: dict[str, str], notes: list[Note]) -> dict[str, dict[str, list[str]]]:
    """{split: {class: paths}} for the splits that hold images. Raises DataError where train is missing or empty."""
    found = {}
    for split in ("train", "val", "test"):
        if split not in parts:
            continue
        folders, loose = walk.entries(parts[split])
        for entry in loose:
            walk.ignore("stray", entry.path)
        classes = _classes(walk, folders, notes)
        if split == "train":
            _nothing(parts[split], classes, loose)
        if classes:
            found[split] = classes
        else:
            notes.append(
                Note("warning", f"The folder '{os.path.basename(parts[split])}' holds no images in class folders and was ignored.")
            )
    if "train" not in found:
        raise DataError(f"'{printable(root)}' has {listed(sorted(parts))} but no train folder: add 'train', or rename one of them to it.")
    return found


def _classes(walk: _Walk, folders: list[os.DirEntry], notes: list[Note]) -> dict[str, list[str]]:
    """{class: paths} of the class folders that hold images; the others are named in a note."""
    classes, empty = {}, []
    for entry in folders:
        if not is_text(entry.name):
            raise DataError(f"The name of the class folder '{printable(entry.path)}' is not valid UTF-8: rename it.")
        paths = list(walk.images(entry.path))
        if paths:
            classes[entry.name] = paths
        else:
            empty.append(entry.path)
    if empty and classes:
        names = listed([os.path.basename(path) for path in empty])
        notes.append(Note("warning", f"The class {'folder' if len(empty) == 1 else 'folders'} {names} held no images.", tuple(empty)))
    return classes


def _nothing(folder: str, classes: dict, loose: list[os.DirEntry]) -> None:
    """Raises DataError where a folder holds no images in class folders."""
    if classes:
        return
    shown = printable(folder)
    if loose:
        raise DataError(f"'{shown}' holds {len(loose)} images but no class folders: {_REPAIR}.")
    try:
        empty = not os.listdir(folder)
    except OSError:
        empty = False
    if empty:
        raise DataError(f"The folder '{shown}' is empty: {_REPAIR}.")
    raise DataError(f"No images ({', '.join(EXTENSIONS)}) were found in '{shown}': {_REPAIR}, or check the path.")


def _fewer(root: str, train: dict[str, list[str]]) -> str:
    """The repair for a folder with one class. An archive often unpacks into one folder too many; then that one is named."""
    if len(train) == 1:
        inner = os.path.join(root, next(iter(train)))
        if os.path.isdir(inner) and len(_Walk().entries(inner)[0]) > 1:
            return f"its class folders seem to lie one level down, so give '{printable(inner)}' instead"
    return _REPAIR


def _table(classes: dict[str, list[str]]) -> pa.Table:
    rows = sorted((path, label) for label, paths in classes.items() for path in paths)
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in (0, 1)]
    return pa.Table.from_arrays(columns, names=["path", "label"])
