"""From rows of a table to batches of tensors: decoding, augmentation, mixing, and the streams that training draws from.

Names are imported on first use, so that decoding alone does not wait for torchvision.
"""

from importlib import import_module

_HOMES = {
    "Augment": "augment", "Options": "augment", "Streams": "streams", "centre": "images", "decode": "images",
    "load_images": "images", "normalise": "images", "shrink": "images",
}  # fmt: skip
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'graft.data' has no attribute '{name}'")
