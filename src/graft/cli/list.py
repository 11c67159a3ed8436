"""graft list: the runs of a folder, or the names one can say."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .words import clock, number, table


@verb
def list_(
    folder: Annotated[Path, Argument(help="Where the runs are.")] = Path("runs"),
    kind: Annotated[str | None, Option(help="Names instead of runs: reader, backbone, task, head, method or all.")] = None,
    json: Annotated[bool, Option("--json", help="Print a JSON list.")] = False,
) -> Answer:
    """List runs with their scores. With --kind, list the names that graft knows."""
    if kind is not None:
        return _names(kind)
    from .. import api

    runs = api.runs(folder)
    rows = [
        (
            str(one["folder"]), f"{one['primary']} {number(one['value'], one.get('interval'))}" if one.get("primary") else "-",
            *(str(one.get(name) or "-") for name in ("method", "backbone")), Path(str(one.get("data") or "-")).name,
            "-" if one.get("seconds") is None else clock(one["seconds"]), one["state"],
        )
        for one in runs
    ]  # fmt: skip
    empty = f"There are no runs in {folder}; start one with: graft fit PHOTOS/"
    return Answer(runs, table(rows, ("run", "score", "method", "backbone", "data", "time", "state")) if rows else empty)


def _names(kind: str) -> Answer:
    from .. import catalog
    from ..errors import OptionError, nearest

    kinds = [*dict.fromkeys(row.kind for row in catalog.rows())]
    if kind not in (*kinds, "all"):
        raise OptionError(f"There is no kind '{kind}'.{nearest(kind, [*kinds, 'all'])}")
    rows = catalog.rows(None if kind == "all" else kind)
    data = [{"kind": row.kind, "name": row.name, "line": row.line, "needs": row.needs} for row in rows]
    return Answer(data, table([(row.kind, row.name, row.line) for row in rows]))
