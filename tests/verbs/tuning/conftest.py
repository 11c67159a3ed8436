"""A small search on drawn photos, without Optuna's part in it."""

from pathlib import Path

import pytest

from graft.assembly import wiring
from graft.engine.journal import Journal
from graft.fits import fitting
from graft.spec import Spec
from graft.verbs.tuning.space import selecting, space
from graft.verbs.tuning.trial import Search
from graft.verbs.tuning.watch import Watch


def asked_for(photos: Path, method: str, *sets: str, **values) -> Spec:
    return Spec.make(
        str(photos), method=method, backbone="graft-mini", folds=0, sets=["backbone.image_size=32", *sets], precision="exact", **values
    )


@pytest.fixture
def make_search(photos, tmp_path):
    """make_search(method, *sets) -> Search in a folder of its own; `heard` lists what its listener is told."""
    made = []

    def make(method: str, *sets: str, **values) -> Search:
        heard: list[dict] = []
        watch = Watch(heard.append)
        journal = Journal(watch)
        asked = asked_for(photos, method, *sets, **values)
        parts = wiring.assemble(asked, journal)
        folder = tmp_path / f"search{len(made)}"
        folder.mkdir()
        journal.open(folder)
        passes = fitting.make_passes(parts, folder, journal)
        found = Search(asked, parts, passes, folder, journal, watch, space(parts, asked), selecting(parts), 4)
        found.heard = heard
        made.append(found)
        return found

    yield make
    for search in made:
        search.parts.streams.close()
        search.journal.close()
