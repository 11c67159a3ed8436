"""graft: transfer learning from a folder of data to a model you can ship, with honest evidence that the transfer helped."""

__version__ = "0.1.0"
__all__ = [
    "GraftClassifier",
    "GraftTextClassifier",
    "Spec",
    "advise",
    "chain",
    "check",
    "compare",
    "distill",
    "embed",
    "fit",
    "load",
    "resume",
    "tune",
]


def __getattr__(name: str):
    # Lazy, so that `import graft` and `graft --help` do not wait for torch.
    if name in ("advise", "chain", "check", "compare", "distill", "embed", "fit", "load", "resume", "tune"):
        from . import api

        return getattr(api, name)
    if name == "Spec":
        from .spec import Spec

        return Spec
    if name in ("GraftClassifier", "GraftTextClassifier"):
        from . import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module 'graft' has no attribute '{name}'")
