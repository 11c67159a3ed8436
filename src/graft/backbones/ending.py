"""A body without the stages above a named one: smaller, and saved as such, where `task.layers` only looks at lower stages."""

from dataclasses import replace

from ..core import Backbone
from ..errors import OptionError, nearest

KEPT = "stages"
"""In Origin.build: of how many stages a body is that ends early."""


def upto(body: Backbone, stage: str | int | None) -> Backbone:
    """The stages of the body up to and with `stage`, a name or how many; None leaves it whole.

    What comes out is pooled as the whole body's is where it has the same form, else averaged. Raises OptionError for a stage that
    the body does not have.
    """
    if stage is None:
        return body
    known, name = ", ".join(body.names), body.origin.name
    if stage in body.names:
        count = body.names.index(stage) + 1
    elif isinstance(stage, int) or stage.isdigit():
        count = int(stage)
        if not 1 <= count <= len(body.names):
            raise OptionError(f"{name} cannot end after {count} stages: it has {len(body.names)} ({known}).")
    else:
        raise OptionError(f"{name} has no stage '{stage}' to end at.{nearest(stage, body.names)}")
    if count == len(body.names):
        return body
    origin = replace(body.origin, name=f"{name}@{body.names[count - 1]}", build=body.origin.build | {KEPT: count})
    parts = {one: getattr(body, one)[:count] for one in ("stages", "names", "widths", "strides", "forms")}
    pool = body.pool if body.forms[count - 1] == body.forms[-1] and body.pool != "flatten" else "avg"
    return replace(body, **parts, origin=origin, pool=pool)
