"""How every page is made: parts that may fail alone, one template, one file that is whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

import jinja2

from . import tables
from .record import Record


def parts(record: Record, builders: dict[str, Callable[[Record], object]]) -> dict:
    """What each builder makes of the record, by name; None, and a word in record.unread, where it failed."""
    made = {}
    for name, build in builders.items():
        try:
            made[name] = build(record)
        except Exception as error:  # a folder may hold anything; one part that cannot be read must not cost the page
            made[name] = None
            record.unread.append(f"{name} ({type(error).__name__})")
    return made


def fill(template: str, record: Record, **values) -> str:
    """The page's HTML: a template beside this file, its values escaped, with the names of what could not be read.
    `noun` and `one` are what it calls the samples and a sample."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": tables.number, "count": tables.count, "duration": tables.duration, "megabytes": tables.megabytes}
    noun = tables.noun(record.modality)
    return environment.get_template(template).render(unread=sorted(set(record.unread)), noun=noun, one=noun[:-1], **values)


def put(page: Path, html: str) -> Path:
    """Write the page, whole or not at all; what UTF-8 cannot hold (bytes of an odd file name) becomes a mark. Raises OSError."""
    part = page.with_name(f".{page.name}.part")
    try:
        part.write_bytes(html.encode("utf-8", "replace"))
        os.replace(part, page)
    finally:
        part.unlink(missing_ok=True)
    return page
