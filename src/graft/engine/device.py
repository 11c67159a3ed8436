"""Where the arithmetic runs and in what precision. The only file that names devices."""

import contextlib
import ctypes
import gc
import hashlib
import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..core import Net, State
from .kernels import Quick


@dataclass(frozen=True)
class Machine:
    """device: where the net lives. dtype: float32, or bfloat16 for autocast in training steps; scoring is always float32."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    def autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Around a forward pass that gradients follow: autocast, and on a CPU attention as plain matrix products, whose fused kernel
        takes four times as long in its backward pass (docs/benchmarks.md), and the other ways of kernels.Quick."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        if self.device.type != "cpu":
            with self.autocast():
                yield
            return
        with self.autocast(), sdpa_kernel(SDPBackend.MATH), Quick():
            yield

    def place(self, value):
        """A tensor, a State or a module on this device; what has rows and columns in channels_last, as convolutions like it."""
        if isinstance(value, dict):
            return {key: self.place(item) for key, item in value.items()}
        if isinstance(value, torch.nn.Module):
            return value.to(self.device, memory_format=torch.channels_last)
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()  # Only from pinned memory does a copy run beside the arithmetic.
        layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
        return value.to(self.device, non_blocking=True, memory_format=layout)


def find(threads: int | None = None) -> Machine:
    """The GPU where there is one, else the CPU with `threads` threads (all cores by default)."""
    if threads:
        torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        return Machine(torch.device("cpu"))
    # Convolutions in TensorFloat-32, torch's default there, keep ten bits: what is called float32 here is float32.
    torch.backends.cudnn.allow_tf32 = False
    return Machine(torch.device("cuda"))


def keep_freed_memory(machine: Machine) -> None:
    """Let the C library keep what a training step frees for the next one, where it has such a switch (glibc).

    Each step frees and takes the same gigabytes; given back to the system they come back page by page, which took a twentieth
    of a step in bfloat16 and a third of one in float32 (docs/benchmarks.md). The peak is hardly higher, but it lasts.
    """
    if machine.device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        return
    largest, never = (-3, 2**25), (-1, 2**31 - 1)  # M_MMAP_THRESHOLD: its maximum; M_TRIM_THRESHOLD
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in (largest, never):
            library.mallopt(parameter, value)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error)
    return isinstance(error, RuntimeError) and ("not enough memory" in words or "DefaultCPUAllocator" in words)


def free_memory(machine: Machine) -> None:
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()


_highest = [0.0]
"""MB; the largest peak before the last restart of the count."""


def forget_peak() -> None:
    """Give freed memory back and count the peak anew, as for another process, where the system can (only Linux can)."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
    _highest[0] = 0.0
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def restart_peak(machine: Machine) -> None:
    """Begin a new count for `recent_peak_mb`; where the system cannot (only Linux can), it goes on with the old one."""
    _highest[0] = peak_memory_mb(machine)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if machine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def recent_peak_mb(machine: Machine) -> float:
    """The largest resident size since the last restart, and on a GPU the largest allocation there, in MB."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        resident = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    if machine.device.type == "cuda":
        return round(max(resident, torch.cuda.max_memory_allocated() / 2**20), 1)
    return round(resident, 1)


def peak_memory_mb(machine: Machine) -> float:
    """The largest resident size of this process so far, and on a GPU the largest allocation there, in MB."""
    return max(_highest[0], recent_peak_mb(machine))


def describe(machine: Machine) -> dict:
    """The environment, for the report."""
    from importlib.metadata import version

    import psutil

    from .. import __version__

    return {
        "graft": __version__, "python": platform.python_version(), "platform": platform.platform(), "torch": torch.__version__,
        "timm": version("timm"), "cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "device": torch.cuda.get_device_name() if machine.device.type == "cuda" else "cpu",
    }  # fmt: skip


def cpu_name() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@torch.no_grad()
def blank(net: Net, stop: int, cells: int = 0) -> State:
    """The state of one zero image, or of a text of so many tokens, at depth `stop`, for its shapes; eval mode, and the net's modes
    are restored."""
    modes = [module.training for module in net.modules()]
    net.eval()
    where = next((p.device for p in net.parameters()), torch.device("cpu"))
    begin = net.prepare.blank(cells)
    if isinstance(net.pool, partial) and net.pool.keywords.get("mode") == "words":
        begin["words"] = torch.zeros(begin["mask"].shape, dtype=torch.int64)
    state = net.advance({key: value.to(where) for key, value in begin.items()}, 0, stop)
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    return state


def pooled_width(net: Net) -> int:
    """The width of the net's pooled features."""
    return blank(net, net.pooled)["x"].shape[-1]


def short_digest(*parts: object) -> str:
    """32 hex digits that change with any of the parts."""
    return hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=16).hexdigest()
