"""`graft tune`: better settings than the defaults, searched for on the selecting rows, and what they gained on the locked ones."""

from .search import tune

__all__ = ["tune"]
