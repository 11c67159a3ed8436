"""torchvision and timm are imported without the compiler, works, and the compiler stays what it is for whoever wants it."""

import subprocess
import sys


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fit_loads_no_compiler():
    loaded = ran("import graft.fits.fitting, graft.assembly.wiring, graft.backbones.from_timm, sys; print(*sys.modules)").split()
    assert "torchvision" in loaded and "timm" in loaded
    assert not [name for name in loaded if name.startswith(("torch._dynamo", "torch._inductor", "sympy"))]


def test_what_would_ask_the_compiler_still_can():
    print(
        ran("""
from graft.core.vision import import_vision
import_vision()
import torch, torchvision
assert torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], (2, 2)).sum() == 4
from torchvision.ops.roi_align import is_compile_supported
assert isinstance(is_compile_supported("cpu"), bool)
from torch._dynamo.utils import is_compile_supported as real
import torch._dynamo
assert torch._dynamo.utils.is_compile_supported is real and hasattr(torch._dynamo, "optimize")
assert torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(1)).item() == 1
""")
    )


def test_an_import_that_came_before_is_left_alone():
    ran("""
import torch._dynamo, sys
kept = sys.modules["torch._dynamo"]
from graft.core.vision import import_vision
import_vision()
assert sys.modules["torch._dynamo"] is kept
import torchvision
""")
