"""Damaged image files, folders and tables must end in "ok" or in one clear sentence, and must never be changed.

    python benchmarks/fuzz_images.py [--cases 300] [--seed 0]

Each case builds a small data set, damages it one to five times, and runs it through the readers, the check of the files
and the assignment of roles, with warnings as errors. A failure is any exception that is not a GraftError, a message of
more than one line, a file changed, a file neither used nor named in a note, or more than a minute. It is printed with
its seed, which builds it again. Exits with 1 if there was one.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from graft.core import Data
from graft.errors import GraftError
from graft.inspect.files import check
from graft.readers import csv_table, image_folder, split
from graft.readers.labels import printable

SECONDS = 60
Rng = np.random.Generator
_FILES = (
    b"x.txt", b"x", b".x.png", b"x.JPEG", b"x.png.png", b"x\xff\xfe.png", "日本語 🐜.png".encode(), b"a\nb.png", b"x.jp2", b"'\"$(x).png",
    "e\u0301.png".encode(), "\u202egnp.png".encode(), b"-rf.png", b"%s{0}.png", b"Thumbs.db", b"l" * 240 + b".png",
)  # fmt: skip
_FOLDERS = (
    b"ANT", b"bee ", b" bee", b"\xff", "ämeise".encode(), b".hidden", b"__MACOSX", b"train", b"val", b"Dev", b"a\nb", b"x.png",
    b"nan", b"[red]",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What was built: the folder, the table in it (None for class folders), the names of the damage, the share of bad files
    allowed, and what must be opened again before it can be removed."""

    root: Path
    table: Path | None
    done: tuple[str, ...]
    share: float
    closed: tuple[Path, ...]


def png_header(width: int, height: int) -> bytes:
    """A valid PNG whose header claims a size, with no pixels to speak of."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def _build(rng: Rng, root: Path) -> None:
    """Two or three classes of two to eight images in mixed formats, in split folders or not."""
    splits = [[""], ["train", "val"], ["Train", "test"], ["training", "valid", "testing"]][rng.integers(4)]
    for part in splits:
        for label in ("ant", "bee", "cow")[: rng.integers(2, 4)] if part == splits[0] else ("ant", "bee"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for i in range(int(rng.integers(2, 9))):
                size = tuple(int(n) for n in rng.integers(1, 40, 2))
                mode = ("RGB", "L", "RGBA", "P", "CMYK", "I;16", "1")[rng.integers(7)]
                ends = {"RGB": ("jpg", "png", "webp", "bmp", "gif", "tif", "ppm"), "CMYK": ("jpg", "tif"), "L": ("jpg", "png", "pgm")}
                end = str(rng.choice(ends.get(mode, ("png",))))
                channels = {"RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode, 1)
                if mode == "I;16":
                    image = Image.fromarray(rng.integers(0, 2**16, size, np.uint16))
                elif mode in ("1", "P"):
                    image = Image.fromarray(rng.integers(0, 256, size, np.uint8)).convert(mode)
                else:
                    pixels = rng.integers(0, 256, (*size, channels), np.uint8)
                    image = Image.frombytes(mode, (size[1], size[0]), pixels.tobytes())
                image.save(folder / f"{i}.{end}")


def _images(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and p.name.lower().endswith(image_folder.EXTENSIONS))


def _any(rng: Rng, root: Path, folders: bool = False) -> Path:
    found = sorted(p for p in root.rglob("*") if p.is_dir() and not p.is_symlink()) if folders else _images(root)
    return found[rng.integers(len(found))] if found else root / "ant" / "first.png"


def _rewrite(change: Callable[[Rng, bytes], bytes]) -> Callable[[Rng, Path], None]:
    """Changes the bytes of one to three images."""

    def apply(rng: Rng, root: Path) -> None:
        for _ in range(int(rng.integers(1, 4))):
            file = _any(rng, root)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(change(rng, file.read_bytes() if file.exists() else b""))

    return apply


def flip(rng: Rng, raw: bytes, most: int = 20) -> bytes:
    """Up to `most` bits the other way."""
    bits = bytearray(raw)
    for _ in range(int(rng.integers(1, most)) if bits else 0):
        bits[rng.integers(len(bits))] ^= 1 << int(rng.integers(8))
    return bytes(bits)


def cut(rng: Rng, raw: bytes) -> bytes:
    return raw[: int(rng.integers(0, len(raw) + 1))]


def insert(rng: Rng, raw: bytes) -> bytes:
    at = int(rng.integers(0, len(raw) + 1))
    return raw[:at] + rng.bytes(int(rng.integers(1, 100))) + raw[at:]


def _huge(rng: Rng, raw: bytes) -> bytes:
    """Headers that claim up to 4 billion pixels a side."""
    side = int(rng.choice([0, 1, 4_000, 20_000, 65_535, 2**24, 2**31 - 1, 2**32 - 1]))
    other = int(rng.choice([0, 1, 3_000, 20_000, 65_535, 2**31 - 1]))
    short = struct.pack("<HH", min(side, 65_535), min(other, 65_535))
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in ((256, side), (257, other), (258, 8), (262, 1), (273, 8), (279, 9)))
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + struct.pack("<I", side % 2**24)[:3] + struct.pack("<I", other % 2**24)[:3]
    bmp = struct.pack("<IiiHHIIiiII", 40, side % 2**31, other % 2**31, 1, 24, 0, 0, 0, 0, 0, 0)
    choices = (
        png_header(side, other),
        b"GIF89a" + short + b"\0\0\0,\0\0\0\0" + short + b"\0\x02\x02L\x01\0;",
        b"P6 %d %d 255\n" % (side, other) + b"\0" * 50,
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bmp,
        b"II*\0\x08\0\0\0" + struct.pack("<H", 6) + tags + b"\0\0\0\0",
        b"RIFF" + struct.pack("<I", len(webp) + 4) + webp,
    )
    return choices[rng.integers(len(choices))]


def _other_kind(rng: Rng, raw: bytes) -> bytes:
    """The bytes of something that is no photo, under the name of one."""
    kinds = (
        b"<html>404</html>",
        b"PK\x03\x04" + rng.bytes(50),
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\0" * 500,
    )
    return [*kinds, b"<svg/>", rng.bytes(300), "text in ünïcode".encode("utf-16")][rng.integers(8)]


def _rename(rng: Rng, root: Path) -> None:
    """A wrong, odd or no extension; names that are hard to write."""
    file = _any(rng, root)
    if file.exists():
        os.rename(file, os.fsencode(file.parent) + b"/" + _FILES[rng.integers(len(_FILES))])


def _rename_folder(rng: Rng, root: Path) -> None:
    folder = _any(rng, root, folders=True)
    target = os.fsencode(folder.parent) + b"/" + _FOLDERS[rng.integers(len(_FOLDERS))]
    if folder.exists() and not os.path.lexists(target):
        os.rename(folder, target)


def _add(rng: Rng, root: Path) -> None:
    """Links in circles and to nowhere, pipes, folders deep or empty, stray files."""
    folder = _any(rng, root, folders=True)
    folder.mkdir(parents=True, exist_ok=True)
    what, new = int(rng.integers(8)), folder / f"new{rng.integers(1000)}.png"
    if os.path.lexists(new):
        return
    if what < 4:
        new.symlink_to((root / "nowhere", new, root, folder)[what])
    elif what == 4:
        os.mkfifo(new)
    elif what == 5:
        new.mkdir()
    elif what == 6:
        new.symlink_to("/dev/zero")
    else:
        deep = folder.joinpath(*["d"] * int(rng.integers(10, 150)))
        deep.mkdir(parents=True, exist_ok=True)
        (deep / "x.png").write_bytes(png_header(3, 3))


def _too_deep(folder: Path) -> None:
    """A chain of folders whose path is longer than the system takes in one piece."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        try:
            os.mkdir("n" * 250, dir_fd=at)
        except FileExistsError:
            break
        inner = os.open("n" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def _remove(rng: Rng, root: Path) -> None:
    folder = _any(rng, root, folders=bool(rng.integers(2)))
    if folder.is_dir():
        shutil.rmtree(folder)
    elif folder.exists():
        folder.unlink()


def _close(rng: Rng, root: Path) -> Path:
    """Takes the right to read from a file or folder; without effect for a user who may read everything."""
    target = _any(rng, root, folders=bool(rng.integers(2)))
    if target.exists():
        target.chmod(0)
    return target


_DAMAGE = {
    "flip": _rewrite(flip), "cut": _rewrite(cut), "insert": _rewrite(insert), "empty": _rewrite(lambda rng, raw: b""),
    "huge": _rewrite(_huge), "kind": _rewrite(_other_kind), "rename": _rename, "folder": _rename_folder, "add": _add, "remove": _remove,
}  # fmt: skip


def _write_table(rng: Rng, root: Path) -> Path:
    """A table of the images in the folder, and then, mostly, damage to its cells or bytes."""
    files = [p for p in _images(root) if p.as_posix().isascii() and "\n" not in str(p)]
    end = ("csv", "csv", "tsv", "jsonl", "parquet")[rng.integers(5)]
    kind = ("name", "number", "whole", "several")[rng.integers(4)]
    rows = []
    for i, file in enumerate(files):
        label = {"name": file.parent.name, "number": i / 7, "whole": i % 3, "several": ["ant", "bee"][: i % 3]}[kind]
        rows.append(
            {"path": str(file.relative_to(root)), "label": label if end in ("jsonl", "parquet") else _flat(label), "group": str(i // 2)}
        )
    for _ in range(int(rng.integers(0, 3)) if rows else 0):
        odd = ("", "nan", "NA", None, "../..", "/etc", "a|b", "ANT", "1e999", "\x00", "x" * 3000, "é", '"', "=1+1")
        cell = odd[rng.integers(len(odd))]
        rows[rng.integers(len(rows))][("path", "label", "group")[rng.integers(3)]] = cell if end == "jsonl" else str(cell)
    rows += rows[:1] * int(rng.integers(0, 2))
    table = root / f"table.{end}"
    sign = "\t" if end == "tsv" else str(rng.choice([",", ";"]))
    if end == "parquet":
        try:
            pq.write_table(pa.Table.from_pylist(rows), table)
        except pa.ArrowException:  # A damaged cell that fits no column.
            pq.write_table(pa.table({"path": [r["path"] for r in rows], "label": [str(r["label"]) for r in rows]}), table)
        raw = table.read_bytes()
    elif end == "jsonl":
        raw = "\n".join(json.dumps(row) for row in rows).encode()
    else:
        lines = [sign.join(["path", "label", "group"]), *(sign.join(str(cell) for cell in row.values()) for row in rows)]
        text = ("\r\n" if rng.integers(2) else "\n").join(lines)
        raw = text.encode(("utf-8", "utf-8-sig", "utf-16", "latin-1")[rng.integers(4)], "replace")
    damage = (None, None, flip, cut, insert, lambda rng, raw: b"", lambda rng, raw: raw.replace(b"path", b"pfad", 1))[rng.integers(7)]
    table.write_bytes(damage(rng, raw) if damage else raw)
    return table


def _flat(label: object) -> str:
    return "|".join(label) if isinstance(label, list) else str(label)


def build(seed: int, root: Path) -> Case:
    """The data set of a seed, in the new folder `root`. Always the same."""
    rng = np.random.default_rng(seed)
    root.mkdir()
    _build(rng, root)
    names = [str(name) for name in rng.choice(list(_DAMAGE), int(rng.integers(1, 6)))]
    for name in names:
        _DAMAGE[name](rng, root)
    table = _write_table(rng, root) if rng.integers(3) == 0 else None
    closed = (_close(rng, root),) if rng.integers(15) == 0 else ()
    if rng.integers(25) == 0:
        _too_deep(root)
        names.append("too deep")
    return Case(root, table, tuple(names), float(rng.choice([0.05, 0.5, 1.0])), closed)


def digest(root: Path) -> dict[tuple, str]:
    """Kind, rights and content of everything below a folder, however deep."""
    found = {}
    for folder, folders, files, at in os.fwalk(os.fsencode(root)):
        for name in folders + files:
            mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
            content = os.readlink(name, dir_fd=at) if stat.S_ISLNK(mode) else b""
            if stat.S_ISREG(mode) and mode & 0o400:
                with open(os.open(name, os.O_RDONLY, dir_fd=at), "rb") as file:
                    content = file.read()
            found[folder, name] = f"{mode} {hashlib.sha256(content).hexdigest()}"
    return found


def run(case: Case) -> str:
    """Read, check and assign, in both orders. Returns "ok" or the sentence of the error; raises whatever else goes wrong."""
    try:
        if case.table:
            data = csv_table.read(str(case.table), csv_table.Options())
        else:
            data = image_folder.read(str(case.root), image_folder.Options())
        checked = check(data, case.share)
        if not case.table:
            silent = _silent(case.root, checked)
            assert not silent, f"neither used nor named in a note: {silent[:3]}"
        roles = split.assign(checked)
        for k in range(roles.plan.folds):
            split.fold_data(roles, k)
        split.final_data(roles)
        check(split.assign(data), case.share)
    except GraftError as error:
        said = str(error)
        assert said.endswith(".") and said.isprintable(), f"not one clear sentence: {said!r}"
        said.encode("utf-8")
        return said
    for note in roles.notes:
        json.dumps([note.text, note.files]).encode("utf-8")
        "".join((note.text, *note.files)).encode("utf-8")
    return "ok"


def _silent(root: Path, data: Data) -> list[str]:
    """Files that are in no table and in no note, nor is a folder above them."""
    tables = [table for table in (data.train, data.val, data.test) if table is not None]
    known = {printable(path) for table in tables for path in table["path"].to_pylist()}
    known |= {printable(path) for note in data.notes for path in note.files}
    lost = []
    for folder, _, files in os.walk(root):
        above = {printable(str(path)) for path in (Path(folder), *Path(folder).parents)}
        if not above & known:
            lost += [path for name in files if printable(path := os.path.join(folder, name)) not in known]
    return lost


def trial(seed: int, folder: Path) -> tuple[str, str]:
    """("ok" | "clear error" | "failure", what was said) of one seed."""
    case = build(seed, folder / f"case{seed}")
    before = digest(case.root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            said = run(case)
        if digest(case.root) != before:
            return "failure", f"a file was changed or lost (damage: {', '.join(case.done)})"
    except Exception:
        return "failure", f"damage: {', '.join(case.done)}; table: {case.table}\n{traceback.format_exc()}"
    finally:
        for path in [path for path in case.closed if path.exists()]:
            path.chmod(0o700)
        shutil.rmtree(case.root)
    return ("ok" if said == "ok" else "clear error"), said


def _late(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others follow")
    parser.add_argument("--show", action="store_true", help="print what every case ended in")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, _late)
    counts, start = Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.cases):
            signal.alarm(SECONDS)
            outcome, said = trial(seed, Path(folder).resolve())
            signal.alarm(0)
            counts[outcome] += 1
            if outcome == "failure" or args.show:
                print(f"seed {seed}: {outcome}: {said}")
    print(
        f"{args.cases} damaged data sets: {counts['ok']} ok, {counts['clear error']} clear errors, {counts['failure']} failures; "
        f"no input was changed in the others; {time.monotonic() - start:.0f} s."
    )
    return 1 if counts["failure"] else 0


if __name__ == "__main__":
    sys.exit(main())
