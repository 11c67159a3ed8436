"""One immutable safetensors file of rows: written whole or not at all, mapped instead of read."""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

KEY_BYTES, SUFFIX, PART = 16, ".safetensors", ".part"

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""(name, safetensors dtype, shape of one row) of each tensor, by name."""

DTYPES = {
    "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64, "BOOL": torch.bool, "U8": torch.uint8,
    "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
_LIBC = ctypes.CDLL(None) if hasattr(mmap, "MADV_DONTNEED") else None
_HOST = blake2b(platform.node().encode(), digest_size=4).hexdigest()


def row_bytes(layout: Layout) -> int:
    """Bytes on disk of one row with its key."""
    return KEY_BYTES + sum(prod(shape) * DTYPES[dtype].itemsize for _, dtype, shape in layout)


@dataclass(frozen=True)
class Header:
    """What a segment's first bytes say: rows, layout, and where each tensor begins, in bytes from the file's start."""

    rows: int
    layout: Layout
    begins: dict[str, int]
    size: int


def header(path: Path) -> Header | None:
    """The header of a whole segment; None for a file that is gone, torn or no segment at all."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size, 2**20):
                return None
            found = json.loads(file.read(length))
        found.pop("__metadata__", None)
        return _checked(found, 8 + length, size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checked(found: dict, start: int, size: int) -> Header | None:
    rows, layout, begins, end = int(found["keys"]["shape"][0]), [], {}, 0
    for name, about in sorted(found.items()):
        dtype, shape, (a, b) = about["dtype"], tuple(about["shape"]), about["data_offsets"]
        width = DTYPES[dtype].itemsize
        if shape[0] != rows or b - a != prod(shape) * width or a < 0 or (start + a) % width:
            return None
        begins[name], end = start + a, max(end, b)
        layout.append((name, dtype, shape[1:]))
    layout.remove(("keys", "U8", (KEY_BYTES,)))
    return Header(rows, tuple(layout), begins, size) if rows > 0 and layout and start + end == size else None


def sound(folder: Path) -> tuple[dict[Path, Header], list[Path]]:
    """The whole segments of a shelf, by name, and the files that are none: torn, foreign, or with other tensors than most rows."""
    found = {path: header(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}
    rows: dict[Layout, int] = {}
    for one in found.values():
        if one is not None:
            rows[one.layout] = rows.get(one.layout, 0) + one.rows
    most = max(rows, key=rows.get) if rows else None
    good = {path: one for path, one in found.items() if one is not None and one.layout == most}
    return good, [path for path in found if path not in good]


class Segment:
    """One file, mapped: `tensors` are views into it. It goes on working after the file was removed."""

    def __init__(self, path: Path, head: Header):
        """Raises OSError or RuntimeError where the file cannot be mapped (any more)."""
        self.path, self.rows, self.layout, self.nbytes, self.touched = path, head.rows, head.layout, head.size, -60.0
        # torch's map and not the mmap module's, which keeps a file descriptor open for each of what may be thousands.
        self._bytes = torch.from_file(str(path), shared=False, size=head.size, dtype=torch.uint8)
        self._keys = head.begins["keys"]
        self.tensors = {name: self._view(head.begins[name], dtype, shape) for name, dtype, shape in head.layout}

    def _view(self, begin: int, dtype: str, shape: tuple[int, ...]) -> Tensor:
        length = self.rows * prod(shape) * DTYPES[dtype].itemsize
        return self._bytes[begin : begin + length].view(DTYPES[dtype]).view(self.rows, *shape)

    @property
    def keys(self) -> np.ndarray:
        return self._view(self._keys, "U8", (KEY_BYTES,)).numpy()

    def release(self) -> None:
        """Let go of the resident pages; they are read again when they are needed."""
        # Safe for what is only read: a page that was never written is the file's.
        if _LIBC is not None:
            _LIBC.madvise(ctypes.c_void_p(self._bytes.data_ptr()), ctypes.c_size_t(self.nbytes), mmap.MADV_DONTNEED)

    def touch(self) -> None:
        """Mark the file as used now, at most once a minute."""
        if time.monotonic() - self.touched >= 60:
            self.touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside and rename, durably, so that a kill leaves nothing but a file that ends in ".part". Raises OSError."""
    part = path.with_name(f"{writer()}{PART}")
    try:
        write(part)
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):
            raise OSError(errno.ENOSPC if "space" in str(error) else None, str(error)) from error
        raise


def writer() -> str:
    """A name that no other writer has, and that says who it is."""
    return f"{_HOST}-{os.getpid()}-{secrets.token_hex(6)}"


def abandoned(part: Path) -> bool:
    """Whether nobody will finish this file: its writer is gone, or it is older than an hour."""
    import psutil

    try:
        if time.time() - part.stat().st_mtime > 3600:
            return True
    except OSError:
        return False
    host, _, rest = part.name.partition("-")
    pid = rest.partition("-")[0]
    return host == _HOST and pid.isdigit() and not psutil.pid_exists(int(pid))


def words(error: OSError, folder: Path) -> str:
    """What went wrong while writing, with the repair."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of '{folder}' is full; make room there, or name another folder with GRAFT_CACHE"
    why = os.strerror(error.errno) if error.errno else str(error)
    return f"'{folder}' cannot be written ({why}); mend that, or name another folder with GRAFT_CACHE"
