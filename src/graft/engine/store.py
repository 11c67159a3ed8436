"""Activations of frozen prefixes and compiled networks on disk, shared by all runs of this user and bounded in size."""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError, OutputError
from .segment import PART, SUFFIX, abandoned, header, sound, words, write_whole
from .shelf import Shelf, in_use, row_key

__all__ = ["Shelf", "Store", "find", "row_key", "shown", "size", "why_not"]

_COMPILED = ".bin"
_USED: set[Path] = set()
"""Compiled forms that this process has read or written, which it may still have mapped."""


def find() -> "Store | None":
    """The user's store: $GRAFT_CACHE, else $XDG_CACHE_HOME/graft, else ~/.cache/graft. None where it is "off" or cannot be written."""
    folder, why = _place()
    return None if why else Store(folder)


def why_not() -> str:
    """One sentence on why there is no store; "" where there is one."""
    return _place()[1]


def _place() -> tuple[Path, str]:
    named, base = os.environ.get("GRAFT_CACHE", "").strip(), Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.lower() == "off":
        return Path(), "Activations are not kept, because GRAFT_CACHE is off; unset it to keep them."
    try:
        # A relative $XDG_CACHE_HOME is to be ignored, says the XDG base directory specification.
        folder = Path(named).expanduser() if named else (base if base.is_absolute() else Path.home() / ".cache") / "graft"
    except RuntimeError:
        return Path(), "Activations are not kept, because this user has no home; name a folder with GRAFT_CACHE."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        return folder, f"Activations are not kept: {words(error, folder)}."
    return folder, ""


def size(text: str) -> int:
    """Bytes of "500MB", "20 GB" or "1.5TB" (powers of a thousand). Raises OptionError for anything else, and for nothing at all."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])B?\s*", text, re.IGNORECASE)
    nbytes = int(float(found[1]) * 1000 ** ("KMGT".index(found[2].upper()) + 1)) if found else 0
    if not nbytes:
        raise OptionError(f"'{text}' is not a size; say for example 500MB, 20GB or 1TB (GRAFT_CACHE=off keeps nothing at all).")
    return nbytes


def shown(nbytes: int) -> str:
    """20 GB; 1.3 GB; 340 MB; 12 kB."""
    for least, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if nbytes >= least:
            return f"{nbytes / least:.3g} {unit}"
    return f"{nbytes / 1000:.3g} kB"


@dataclass(frozen=True)
class _File:
    path: Path
    nbytes: int
    used: float

    @property
    def evictable(self) -> bool:
        return self.path.suffix in (SUFFIX, _COMPILED)


class Store:
    """A folder of shelves (activations/KEY/) and compiled forms (compiled/KEY.bin), the least recently used of which go first.

    trouble: one sentence for the user once `put` could not keep something, else "".
    """

    def __init__(self, folder: Path):
        self.folder, self.trouble = Path(folder).resolve(), ""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def limit(self) -> int:
        """Bytes; unless it was set, 20 GB or a fifth of what the disk would have free without the store, whichever is less."""
        return self._limit(sum(file.nbytes for file in self._files()))

    def set_limit(self, nbytes: int) -> None:
        """Keep the limit for all runs from now on; `trim` makes it hold. Raises OutputError where it cannot be written."""
        try:
            write_whole(self.folder / "limit.json", lambda part: part.write_text(json.dumps({"limit": nbytes}), encoding="utf-8"))
        except OSError as error:
            raise OutputError(f"The limit was not set: {words(error, self.folder)}.") from error

    def _limit(self, held: int) -> int:
        kept = _json(self.folder / "limit.json").get("limit")
        return kept if isinstance(kept, int) else min(20 * 10**9, (shutil.disk_usage(self.folder).free + held) // 5)

    def shelf(self, key: str, about: dict) -> Shelf:
        """The rows of one key (hex digits). about: small JSON for `graft cache`, with the body's name under "body"."""
        return Shelf(self.folder / "activations" / _sound(key), about, self._room)

    def fits(self, nbytes: int) -> bool:
        """Whether so many bytes of one run can be held under the limit and on the disk at all, be it by evicting everything else."""
        held = sum(file.nbytes for file in self._files())
        usage = shutil.disk_usage(self.folder)
        return nbytes <= self._limit(held) and nbytes + _spare(usage.total) <= usage.free + held

    def file(self, key: str) -> Path | None:
        """A compiled form, marked as used now; None where there is none."""
        path = self.folder / "compiled" / f"{_sound(key)}{_COMPILED}"
        try:
            os.utime(path)
        except OSError:
            return None
        _USED.add(path)
        return path

    def put(self, key: str, write: Callable[[Path], None] | bytes, about: dict) -> Path | None:
        """Keep a compiled form: its bytes, or what write(path) writes. None, with `trouble` set, where it cannot be kept."""
        path = self.folder / "compiled" / f"{_sound(key)}{_COMPILED}"

        def save(part: Path) -> None:
            part.write_bytes(write) if isinstance(write, bytes) else write(part)
            if why := self._room(0):
                raise _Refused(why)

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path.with_suffix(".json"), lambda part: part.write_text(json.dumps(about), encoding="utf-8"))
            write_whole(path, save)
        except _Refused as refused:
            self.trouble = str(refused)
        except OSError as error:
            self.trouble = f"A compiled network is not kept: {words(error, path.parent)}."
        else:
            _USED.add(path)
            return path
        return None

    def held(self) -> list[dict]:
        """kind, key, about, bytes, rows (None for a compiled form) and used (seconds since 1970) of each key, the newest first."""
        found: dict[tuple[str, str], dict] = {}
        for file in self._files():
            if not file.evictable:
                continue
            kind, key, about = self._origin(file.path)
            one = found.setdefault((kind, key), {"kind": kind, "key": key, "about": about, "bytes": 0, "rows": None, "used": 0.0})
            one["bytes"] += file.nbytes
            one["used"] = max(one["used"], file.used)
            if kind == "activations" and (head := header(file.path)):
                one["rows"] = (one["rows"] or 0) + head.rows
        return sorted(found.values(), key=lambda one: -one["used"])

    def clear(self, what: str) -> int:
        """Remove "all", "activations", "compiled", or what belongs to the body of that name. Returns the bytes freed."""
        with self._locked():
            freed = 0
            for file in self._files():
                kind, _, about = self._origin(file.path)
                if file.evictable and what in ("all", kind, about.get("body")):
                    freed += _remove(file)
            return freed + self._tidy(0.0)

    def trim(self) -> int:
        """Remove what killed writers left and what is no segment, then the least recently used until the limit holds; never what
        this process has open. Returns the bytes freed."""
        with self._locked():
            using = in_use()
            freed = self._tidy(60.0)
            for folder in self._shelves():
                freed += sum(_remove(file) for file in _listed(folder) if file.path in set(sound(folder)[1]) - using)
            files = self._files()
            held = sum(file.nbytes for file in files)
            return freed + self._evict(files, held - self._limit(held))

    def _room(self, nbytes: int) -> str:
        """Evict until `nbytes` more have room; "", or one sentence on why they have none."""
        with self._locked():
            files = self._files()
            held, usage = sum(file.nbytes for file in files), shutil.disk_usage(self.folder)
            limit = self._limit(held)
            above, short = held + nbytes - limit, nbytes + _spare(usage.total) - usage.free
            over = max(above, short)
            if over > 0 and sum(file.nbytes for file in self._idle(files)) >= over:
                over -= self._evict(files, over)
        if over <= 0:
            return ""
        if above >= short:
            return f"The store in '{self.folder}' is full (its limit is {shown(limit)}); raise it with: graft cache --limit {_more(limit)}"
        return f"The disk of '{self.folder}' is nearly full; make room there, or name another folder with GRAFT_CACHE."

    def _idle(self, files: list[_File]) -> list[_File]:
        using = in_use() | _USED
        return [file for file in files if file.evictable and file.path not in using]

    def _evict(self, files: list[_File], nbytes: int) -> int:
        freed = 0
        for file in sorted(self._idle(files), key=lambda file: file.used):
            if freed >= nbytes:
                break
            freed += _remove(file)
        return freed

    def _tidy(self, age: float) -> int:
        """Remove abandoned parts, and what is said about things that are gone where that is older than `age` seconds."""
        freed = 0
        for file in self._files():
            if file.path.suffix == PART and abandoned(file.path):
                freed += _remove(file)
        for about in (self.folder / "compiled").glob("*.json"):
            if not about.with_suffix(_COMPILED).exists() and _age(about) >= age:
                about.unlink(missing_ok=True)
        for folder in self._shelves():
            if _age(folder) >= age and all(file.path.name == "about.json" for file in _listed(folder)):
                with contextlib.suppress(OSError):
                    (folder / "about.json").unlink(missing_ok=True)
                    folder.rmdir()
        return freed

    def _shelves(self) -> list[Path]:
        return [path for path in (self.folder / "activations").glob("*") if path.is_dir()]

    def _files(self) -> list[_File]:
        return [file for folder in (self.folder, self.folder / "compiled", *self._shelves()) for file in _listed(folder)]

    def _origin(self, path: Path) -> tuple[str, str, dict]:
        """(kind, key, about) of a file."""
        if path.suffix == _COMPILED:
            return "compiled", path.stem, _json(path.with_suffix(".json"))
        return "activations", path.parent.name, _json(path.with_name("about.json"))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; where the system has no such lock, two may evict at once, which loses nothing but time."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("ab") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Refused(Exception):
    """What was written does not fit; str() is the sentence."""


def _sound(key: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8,128}", key):
        raise ValueError(f"'{key}' is not a hex digest")
    return key


def _spare(total: int) -> int:
    """What stays free on the disk for others, the run's own checkpoints among them: a gigabyte, or less on a small disk."""
    return min(10**9, total // 20)


def _more(limit: int) -> str:
    return shown(2 * limit).replace(" ", "")


def _remove(file: _File) -> int:
    """The bytes freed; 0 where another process was first, or may not be disturbed."""
    try:
        file.path.unlink()
    except OSError:
        return 0
    return file.nbytes


def _listed(folder: Path) -> list[_File]:
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Another process may have removed it since it was listed.
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found.append(_File(Path(entry.path), status.st_size, status.st_mtime))
    return found


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
