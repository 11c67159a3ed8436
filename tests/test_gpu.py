"""On an accelerator: a fit runs there, in bfloat16, and its model predicts alike on the CPU."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from graft import api
from graft.spec import Spec

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("method", ["extract", "finetune", "lp_ft"])
def test_a_fit_runs_on_the_accelerator(method, photos, tmp_path):
    sets = [] if method == "extract" else ["method.epochs=2", "method.batch=8"]
    run = api.fit(Spec.make(str(photos), backbone="graft-mini", method=method, out=str(tmp_path / "run"), folds=2, sets=sets))
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["device"] != "cpu"
    if method != "extract":
        assert environment["precision"] == "torch.bfloat16"
    files = sorted(map(str, photos.rglob("*.png")))
    p = api.load(run.model).probabilities(files)
    assert p.shape == (36, 3) and np.allclose(p.sum(1), 1, atol=1e-5)
    assert len(pq.read_table(run.folder / "predictions.parquet")) == 36
