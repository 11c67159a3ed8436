"""From a trained net to a folder that can be shipped, and back."""

from .bundle import write
from .model import Model, Prediction, read

__all__ = ["Model", "Prediction", "read", "write"]
