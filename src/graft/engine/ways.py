"""Ways to run a frozen prefix on this machine: torch, a compiled form that is kept on disk, or a recorded graph on a GPU.

Every way maps uint8 pixels [n, size, size, 3] to the State at a depth, on the CPU, in its own dtype.
"""

import copy
import importlib.util
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from ..core import Net, State
from ..data.workers import Workers
from . import device
from .device import Machine
from .store import Store

FLOAT, SHORT = torch.float32, torch.bfloat16
TOLERANCE = 1e-3
"""Largest relative error of a compiled float32 form against torch; a correct one has about 1e-6."""


@dataclass(frozen=True)
class Way:
    """name: for the user and for the key of what is kept. dtype: of the arithmetic, and of what comes out. batch: images at a
    time, the best for caches and memory. begin(): one function a lane, [batch, size, size, 3] uint8 -> State; lanes run side
    by side. It is called only when something has to be computed. own: each lane has a core of its own, so its images are
    best decoded there."""

    name: str
    dtype: torch.dtype
    batch: int
    begin: Callable[[], tuple[Callable[[Tensor], State], ...]]
    own: bool = False

    def states(self, pixels: Iterable[Tensor | Callable[[], Tensor]]) -> Iterator[State]:
        """The state of every batch, in order; while one batch runs, the next are made. Rows do not depend on their company.

        A batch may be a function that makes it: then the lane that runs it does, and nobody else takes the lane's core."""
        free: SimpleQueue = SimpleQueue()
        runs, waiting = self.begin(), deque()
        for run in runs:
            free.put(run)
        lanes = Workers(len(runs))
        try:
            for batch in pixels:
                waiting.append(lanes.submit(self._padded, free, batch))
                if len(waiting) > len(runs):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            lanes.close()

    def _padded(self, free: SimpleQueue, pixels: Tensor | Callable[[], Tensor]) -> State:
        pixels = pixels if isinstance(pixels, Tensor) else pixels()
        # Always the same shape: compiled forms need it, and a row's last bits would else depend on how many come with it.
        n, run = len(pixels), free.get()
        if n < self.batch:
            pixels = torch.cat([pixels, pixels.new_zeros(self.batch - n, *pixels.shape[1:])])
        try:
            return {key: value[:n] for key, value in run(pixels).items()}
        finally:
            free.put(run)


class Prefix(nn.Module):
    """The first steps of a net as a module of its own, from pixels to the values of the State in the order of `keys`.

    A copy, frozen and in eval mode: what is traced must not learn, and the net's own flags stay as they are.
    """

    def __init__(self, net: Net, stop: int):
        super().__init__()
        self.keys = tuple(device.blank(net, stop))
        head, net.head = net.head, nn.Identity()
        try:
            self.net = copy.deepcopy(net).eval().requires_grad_(False)
        finally:
            net.head = head
        self.stop = stop
        self.register_buffer("mean", torch.tensor(net.prepare.mean).mul(255).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(net.prepare.std).mul(255).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        x = (pixels.permute(0, 3, 1, 2).to(FLOAT) - self.mean) / self.std
        state = self.net.advance(x, 0, self.stop)
        return tuple(state[key] for key in self.keys)


def direct(net: Net, stop: int, machine: Machine, dtype: torch.dtype = FLOAT) -> Way:
    """torch as it is: channels_last, in eval mode; bfloat16 by autocast."""
    batch = 32 if machine.device.type == "cpu" else 128

    def begin() -> tuple[Callable[[Tensor], State], ...]:
        prefix = Prefix(net, stop).to(machine.device, memory_format=torch.channels_last)
        run = _recorded if machine.device.type == "cuda" else _plain
        return (run(prefix, Machine(machine.device, dtype), batch),)

    return Way(f"torch {_said(dtype)}", dtype, batch, begin)


def _plain(prefix: Prefix, machine: Machine, batch: int) -> Callable[[Tensor], State]:
    threads = torch.get_num_threads()

    @torch.inference_mode()
    def run(pixels: Tensor) -> State:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)  # Kept per thread, and the threads that decode have set theirs to one.
        with machine.autocast():
            values = prefix(pixels.to(machine.device))
        return {key: value.to("cpu", machine.dtype) for key, value in zip(prefix.keys, values, strict=True)}

    return run


def _recorded(prefix: Prefix, machine: Machine, batch: int) -> Callable[[Tensor], State]:
    """The kernels of one pass recorded once and launched together: small networks are else limited by their launching."""
    size = prefix.net.prepare.size
    place = torch.zeros(batch, size, size, 3, dtype=torch.uint8, device=machine.device)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), machine.autocast(), torch.cuda.stream(aside):
        for _ in range(3):
            prefix(place)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), machine.autocast(), torch.cuda.graph(graph):
        values = prefix(place)

    def run(pixels: Tensor) -> State:
        place.copy_(pixels.pin_memory(), non_blocking=True)
        graph.replay()
        return {key: value.to("cpu", machine.dtype) for key, value in zip(prefix.keys, values, strict=True)}

    return run


def why_not_compiled() -> str:
    """Why no compiled form can be made here; "" where one can."""
    return "" if importlib.util.find_spec("openvino") else "OpenVINO is not installed"


def compiled(net: Net, stop: int, dtype: torch.dtype, store: Store | None, digest: str) -> Way:
    """OpenVINO's form of the prefix for this processor, from the store where an earlier run has made it.

    digest: of the prefix. Two lanes of one thread each wait on nobody; batches of 8 stay in the processor's cache. Raises
    RuntimeError where the network cannot be converted, or where its numbers are not those of torch.
    """
    openvino = _silent()
    batch, lanes = 8, max(1, torch.get_num_threads())
    # An imported form forgets them, so they are given again each time.
    settings = {"INFERENCE_PRECISION_HINT": "f32" if dtype == FLOAT else "bf16", "NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": lanes}
    key = device.short_digest(digest, batch, str(dtype), lanes, openvino.__version__, device.cpu_name(), platform.machine())
    kept = store.file(key) if store else None

    def make() -> object:
        form = _convert(openvino, core(), net, stop, batch, settings, dtype)
        if store is not None:
            about = {"body": net.origin.name, "depth": stop, "size": net.prepare.size, "dtype": _said(dtype)}
            store.put(key, _bytes(form.export_model()), about)
        return form

    @cache
    def core() -> object:
        return openvino.Core()

    @cache
    def form() -> object:
        if kept is None:
            return make()
        try:
            return core().import_model(kept.read_bytes(), "CPU", settings)
        except (RuntimeError, OSError):  # Made by another build of the engine, damaged or gone: made again.
            return make()

    if kept is None:
        form()  # Now, so that a failure is known while there is still another way to take.

    def begin() -> tuple[Callable[[Tensor], State], ...]:
        keys = tuple(device.blank(net, stop))
        return tuple(_request(form(), keys, dtype) for _ in range(lanes))

    return Way(f"OpenVINO {_said(dtype)}", dtype, batch, begin, own=True)


def _silent():
    """The openvino package without its telemetry, which would report every import and conversion and leave an id in the home
    folder: where openvino_telemetry cannot be imported, it takes an empty stand-in of its own."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def _convert(openvino, core, net: Net, stop: int, batch: int, settings: dict, dtype: torch.dtype):
    import warnings

    prefix = Prefix(net, stop)
    size = net.prepare.size
    example = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # Traced here, because the converter would trace it a second time to compare; the comparison below is stricter.
            traced = torch.jit.trace(prefix, example[:2], check_trace=False)
            model = openvino.convert_model(traced, example_input=example[:2], input=[(list(example.shape), openvino.Type.u8)])
        form = core.compile_model(model, "CPU", settings)
    except Exception as error:  # A converter may raise anything on a network it does not know.
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise RuntimeError(f"OpenVINO cannot convert this body ({words[-1].strip()})") from error
    if dtype == FLOAT:
        found, wanted = form(example.numpy()), prefix(example)
        for i, value in enumerate(wanted):
            error = (torch.from_numpy(found[i]).float() - value).norm() / value.norm().clamp(min=1e-12)
            if not error <= TOLERANCE:
                raise RuntimeError(f"OpenVINO's numbers differ from torch's by {float(error):.1e}")
    return form


def _request(form, keys: tuple[str, ...], dtype: torch.dtype) -> Callable[[Tensor], State]:
    request = form.create_infer_request()

    def run(pixels: Tensor) -> State:
        request.infer({0: pixels.numpy()}, share_inputs=True)
        # A copy, because the request writes the next batch over it.
        return {key: torch.tensor(request.get_output_tensor(i).data).to(dtype) for i, key in enumerate(keys)}

    return run


def _bytes(blob) -> bytes:
    return blob if isinstance(blob, bytes) else blob.getvalue()


def _said(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@cache
def short_is_native() -> bool:
    """Whether this processor multiplies bfloat16 itself (AMX, AVX512-BF16, or Arm's bf16)."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(probe()) or bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()) or _arm_has_short()


def _arm_has_short() -> bool:
    try:
        return platform.machine() in ("aarch64", "arm64") and " bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
