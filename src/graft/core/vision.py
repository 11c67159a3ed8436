"""torchvision and timm without the compiler that they would load, and that nothing here calls."""

import sys
from contextlib import suppress
from types import ModuleType

_COMPILER, _ASKED = "torch._dynamo", "torch._dynamo.utils"


def import_vision() -> None:
    """`import torchvision, timm` in a third of the time: it saves over two seconds, longer than most heads take to learn.

    One function of torchvision (roi_align) asks the compiler something when it is called, and one method of timm
    (NaFlexViT's iterator over positions) asks not to be compiled; for these they load it, with sympy and triton. Here they
    meet a stand-in: the first loads the compiler when it is called, the second is compiled like any other method, should
    anyone compile that network. The compiler itself is not touched: whoever imports it later gets the real one.
    """
    if _COMPILER in sys.modules or {"torchvision", "timm"} <= sys.modules.keys():
        return
    stand_in, asked = ModuleType(_COMPILER), ModuleType(_ASKED)
    stand_in.disable, asked.is_compile_supported = _as_it_is, _is_compile_supported
    sys.modules[_COMPILER], sys.modules[_ASKED] = stand_in, asked
    try:
        # A version that wants more of the compiler is imported as usual, by whoever needs it.
        with suppress(ImportError, AttributeError):
            import timm  # noqa: F401
            import torchvision  # noqa: F401
    finally:
        del sys.modules[_COMPILER], sys.modules[_ASKED]


def _as_it_is(function, *_, **__):
    return function


def _is_compile_supported(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device)
