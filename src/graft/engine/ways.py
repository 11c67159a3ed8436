"""Ways to run a frozen prefix on this machine: torch, a compiled form that is kept on disk, or a recorded graph on a GPU.

Every way maps uint8 pixels [n, size, size, 3], or the State of texts at depth 0, to the State at a depth, on the CPU, its numbers
in the way's own dtype.
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

from ..core import Net, State, TextPrepare
from ..data.workers import Workers
from . import device
from .device import Machine
from .store import Store

FLOAT, SHORT = torch.float32, torch.bfloat16
Inputs = Tensor | State
"""Of a batch: uint8 pixels [n, size, size, 3], or the State of texts at depth 0."""
TOLERANCE = 1e-3
"""Largest relative error of a compiled float32 form against torch; a correct one has about 1e-6."""
LOOSE = 0.2
"""The same of a bfloat16 form of texts; a correct one has about 0.01 (a trial then looks at decisions)."""


@dataclass(frozen=True)
class Way:
    """name: for the user and for the key of what is kept. dtype: of the arithmetic, and of what comes out. batch: images at a
    time, the best for caches and memory. begin(): one function a lane, Inputs -> State; lanes run side by side. It is called
    only when something has to be computed. own: each lane has a core of its own, so its images are best decoded there.
    tokens: of all texts that are run at a time."""

    name: str
    dtype: torch.dtype
    batch: int
    begin: Callable[[], tuple[Callable[[Inputs], State], ...]]
    own: bool = False
    tokens: int = 2048

    def rows(self, cells: int = 0) -> int:
        """How many samples are run at a time: images, or texts of so many tokens each."""
        return max(1, self.tokens // cells) if cells else self.batch

    def states(self, batches: Iterable[Inputs | Callable[[], Inputs]], cells: int = 0) -> Iterator[State]:
        """The state of every batch, in order; while one batch runs, the next are made. Rows do not depend on their company.

        A batch may be a function that makes it: then the lane that runs it does, and nobody else takes the lane's core."""
        free: SimpleQueue = SimpleQueue()
        runs, waiting = self.begin(), deque()
        for run in runs:
            free.put(run)
        lanes = Workers(len(runs))
        try:
            for batch in batches:
                waiting.append(lanes.submit(self._padded, free, batch, self.rows(cells)))
                if len(waiting) > len(runs):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            lanes.close()

    def _padded(self, free: SimpleQueue, batch: Inputs | Callable[[], Inputs], rows: int) -> State:
        batch = batch() if callable(batch) else batch
        # Always the same shape: compiled forms need it, and a row's last bits would else depend on how many come with it.
        n, run = len(next(iter(batch.values())) if isinstance(batch, dict) else batch), free.get()
        if n < rows:
            batch = {key: _more(value, rows) for key, value in batch.items()} if isinstance(batch, dict) else _more(batch, rows)
        try:
            return {key: value[:n] for key, value in run(batch).items()}
        finally:
            free.put(run)


def _more(value: Tensor, rows: int) -> Tensor:
    """The first row again and again: a text of zeros would have nothing to attend to."""
    return torch.cat([value, value[:1].expand(rows - len(value), *value.shape[1:])])


class Prefix(nn.Module):
    """The first steps of a net as a module of its own, from pixels, or the values of a text's State in the order of `names`, to the
    values of the State in the order of `keys`. What is no number (which tokens are real) is as it was: `passed`.

    A copy, frozen and in eval mode: what is traced must not learn, and the net's own flags stay as they are.
    """

    def __init__(self, net: Net, stop: int, example: Inputs):
        super().__init__()
        self.names = tuple(example) if isinstance(example, dict) else ()
        found = device.blank(net, stop)
        self.keys = tuple(key for key, value in found.items() if value.is_floating_point())
        self.passed = tuple(key for key, value in found.items() if not value.is_floating_point())
        head, net.head = net.head, nn.Identity()
        try:
            self.net = copy.deepcopy(net).eval().requires_grad_(False)
        finally:
            net.head = head
        self.stop = stop
        if not self.names:
            self.register_buffer("mean", torch.tensor(net.prepare.mean).mul(255).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(net.prepare.std).mul(255).view(1, 3, 1, 1))

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        if self.names:
            state = self.net.advance(dict(zip(self.names, values, strict=True)), 0, self.stop)
        else:
            state = self.net.advance((values[0].permute(0, 3, 1, 2).to(FLOAT) - self.mean) / self.std, 0, self.stop)
        return tuple(state[key] for key in self.keys)

    def values(self, batch: Inputs) -> tuple[Tensor, ...]:
        """What `forward` takes."""
        return tuple(batch[name] for name in self.names) if isinstance(batch, dict) else (batch,)

    def state(self, batch: Inputs, values: Iterable[Tensor], dtype: torch.dtype) -> State:
        """The State on the CPU, from what `forward` gave."""
        state = {key: value.to("cpu", dtype) for key, value in zip(self.keys, values, strict=True)}
        return state | {key: batch[key] for key in self.passed}


def example(net: Net, inputs: Callable[[], Iterable[Inputs]] = tuple) -> Inputs:
    """Two samples: the beginning of the first of the texts that `inputs()` gives, or random pixels."""
    if isinstance(net.prepare, TextPrepare):
        first = next(iter(inputs()))
        # Half as long as the body reads at most, because `_longer` doubles it; of two texts read apart as many of each.
        cells = max(2, min(first["mask"].shape[1], net.prepare.most // 2) // 2 * 2)
        cut = {key: value[:1, :cells] for key, value in first.items()}
        if "words" in cut:
            cut["words"] = cut["words"].masked_fill(cut["words"] >= cells, -1)
        return {key: _more(value, 2) for key, value in cut.items()}
    size = net.prepare.size
    return torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def direct(net: Net, stop: int, machine: Machine, dtype: torch.dtype = FLOAT, shown: Inputs | None = None) -> Way:
    """torch as it is: channels_last, in eval mode; bfloat16 by autocast. shown: an example of texts.

    A CPU takes 8 images at a time: as fast as 32 or faster, in a quarter of the memory, and what a pass has used stays with the
    process once training asks for that (device.keep_freed_memory).
    """
    batch, cuda = (8, False) if machine.device.type == "cpu" else (128, True)

    def begin() -> tuple[Callable[[Inputs], State], ...]:
        prefix = Prefix(net, stop, shown).to(machine.device, memory_format=torch.channels_last)
        # A recorded graph has one shape, and texts have many.
        run = _recorded if cuda and not prefix.names else _plain
        return (run(prefix, Machine(machine.device, dtype), batch),)

    return Way(f"torch {_said(dtype)}", dtype, batch, begin, tokens=16_384 if cuda else 2048)


def _plain(prefix: Prefix, machine: Machine, batch: int) -> Callable[[Inputs], State]:
    threads = torch.get_num_threads()

    @torch.inference_mode()
    def run(inputs: Inputs) -> State:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)  # Kept per thread, and the threads that decode have set theirs to one.
        with machine.autocast():
            values = prefix(*(value.to(machine.device) for value in prefix.values(inputs)))
        return prefix.state(inputs, values, machine.dtype)

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
        return prefix.state(pixels, values, machine.dtype)

    return run


def why_not_compiled() -> str:
    """Why no compiled form can be made here; "" where one can."""
    return "" if importlib.util.find_spec("openvino") else "OpenVINO is not installed"


def compiled(net: Net, stop: int, dtype: torch.dtype, store: Store | None, digest: str, shown: Inputs) -> Way:
    """OpenVINO's form of the prefix for this processor, from the store where an earlier run has made it.

    digest: of the prefix. shown: see `example`. Two lanes of one thread each wait on nobody; batches of 8 stay in the processor's
    cache. Raises RuntimeError where the network cannot be converted, or where its numbers are not those of torch.
    """
    openvino = _silent()
    batch, lanes = 8, max(1, torch.get_num_threads())
    # An imported form forgets them, so they are given again each time.
    settings = {"INFERENCE_PRECISION_HINT": "f32" if dtype == FLOAT else "bf16", "NUM_STREAMS": lanes, "INFERENCE_NUM_THREADS": lanes}
    names = sorted(shown) if isinstance(shown, dict) else ()
    key = device.short_digest(digest, batch, str(dtype), lanes, openvino.__version__, device.cpu_name(), platform.machine(), *names)
    kept = store.file(key) if store else None

    def make() -> object:
        form = _convert(openvino, core(), Prefix(net, stop, shown), shown, batch, settings, dtype)
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
        prefix = Prefix(net, stop, shown)
        return tuple(_request(form(), prefix, dtype) for _ in range(lanes))

    return Way(f"OpenVINO {_said(dtype)}", dtype, batch, begin, own=True, tokens=1024)


def _silent():
    """The openvino package without its telemetry, which would report every import and conversion and leave an id in the home
    folder: where openvino_telemetry cannot be imported, it takes an empty stand-in of its own."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def _convert(openvino, core, prefix: Prefix, shown: Inputs, batch: int, settings: dict, dtype: torch.dtype):
    import warnings

    values = prefix.values(shown)
    # Images have one shape; of texts, neither how many nor how long they are is fixed.
    shapes = [[-1, -1, *value.shape[2:]] if prefix.names else [batch, *value.shape[1:]] for value in values]
    kinds = {torch.uint8: openvino.Type.u8, torch.int64: openvino.Type.i64, torch.bool: openvino.Type.boolean}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # Traced here, because the converter would trace it a second time to compare; the comparison below is stricter.
            traced = torch.jit.trace(prefix, values, check_trace=False)
            asked = [(shape, kinds[value.dtype]) for shape, value in zip(shapes, values, strict=True)]
            model = openvino.convert_model(traced, example_input=values, input=asked)
        form = core.compile_model(model, "CPU", settings)
    except Exception as error:  # A converter may raise anything on a network it does not know.
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise RuntimeError(f"OpenVINO cannot convert this body ({words[-1].strip()})") from error
    if dtype == FLOAT or prefix.names:  # A loop over tokens may be unrolled for the example's length, in any precision.
        values = tuple(_longer(value) if prefix.names else _more(value, batch) for value in values)
        found, wanted = form([value.numpy() for value in values]), prefix(*values)
        for i, value in enumerate(wanted):
            error = (torch.from_numpy(found[i]).float() - value).norm() / value.norm().clamp(min=1e-12)
            if not error <= (TOLERANCE if dtype == FLOAT else LOOSE):
                raise RuntimeError(f"OpenVINO's numbers differ from torch's by {float(error):.1e}")
    return form


def _longer(value: Tensor) -> Tensor:
    """Three texts instead of two, and twice as long: a form that has kept the example's shape shows it here."""
    return _more(torch.cat([value, value], 1), 3)


def _request(form, prefix: Prefix, dtype: torch.dtype) -> Callable[[Inputs], State]:
    request = form.create_infer_request()

    def run(inputs: Inputs) -> State:
        request.infer({i: value.numpy() for i, value in enumerate(prefix.values(inputs))}, share_inputs=True)
        # A copy, because the request writes the next batch over it.
        return prefix.state(inputs, (torch.tensor(request.get_output_tensor(i).data) for i in range(len(prefix.keys))), dtype)

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
