"""graft cache: what is kept between runs, its limit, and how to be rid of it."""

import time
from typing import Annotated

from typer import Option

from .answer import Answer, verb
from .words import number, table


@verb
def cache(
    limit: Annotated[str | None, Option(help="The most it may hold, for example 20GB; what was used longest ago goes first.")] = None,
    clear: Annotated[str | None, Option(help="Remove: all, activations, compiled, or a backbone's name.")] = None,
    json: Annotated[bool, Option("--json", help="Print it as JSON.")] = False,
) -> Answer:
    """List the activations and compiled networks that runs share. They only save time."""
    from .. import api
    from ..engine.store import shown

    found = api.cache(limit=limit, clear=clear)
    if found["folder"] is None:
        return Answer(found, found["why"])
    rows = [
        (
            one["kind"], str(one["about"].get("body") or "-"), _what(one["about"]), number(one["rows"]), shown(one["bytes"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one["used"])),
        )
        for one in found["held"]
    ]  # fmt: skip
    lines = [f"Freed {shown(found['freed'])}."] if limit is not None or clear is not None else []
    lines += [table(rows, ("kind", "backbone", "what", "rows", "size", "last used")), ""] if rows else []
    lines.append(f"{shown(found['bytes'])} of at most {shown(found['limit'])} in {found['folder']}")
    return Answer(found, "\n".join(lines))


def _what(about: dict) -> str:
    """The rest of what is known about an entry: "depth 9, size 224, dtype float32"."""
    return ", ".join(f"{name} {value}" for name, value in about.items() if name != "body") or "-"
