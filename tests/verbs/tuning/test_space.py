"""What is tuned for which method, that the user's values are not, and that every setting in the space can be built."""

from dataclasses import replace

import pytest
from tests.verbs.tuning.conftest import asked_for

from graft.assembly import wiring
from graft.engine.journal import Journal
from graft.errors import DataError
from graft.spec import options
from graft.verbs.tuning.space import KERNEL_ROWS, SPARED, selecting, solved, space, variant

TRAINED = {"method.lr", "method.decay", "method.weight_decay", "method.batch", "method.freeze", "method.smoothing", "augment.name"}
SPACES = {
    "extract": {"task.layers", "task.pool", "task.head"},
    "finetune": TRAINED,
    "lp_ft": TRAINED,
    "gradual": TRAINED,
    "l2_sp": TRAINED - {"method.weight_decay"} | {"method.pull", "method.head_decay"},
    "scratch": TRAINED - {"method.decay", "method.freeze"},
}


def parts_of(photos, method, *sets, **values):
    asked = asked_for(photos, method, *sets, **values)
    return wiring.assemble(asked, Journal()), asked


@pytest.mark.parametrize("method", SPACES)
def test_what_is_tuned_and_that_the_defaults_are_among_it(method, photos):
    parts, asked = parts_of(photos, method)
    knobs = space(parts, asked)
    assert set(knobs) == SPACES[method]
    for name, knob in knobs.items():
        assert knob.default in knob.options if knob.options else knob.low <= knob.default <= knob.high, name
    spec = variant(parts, asked, {name: knob.default for name, knob in knobs.items()}).spec
    for section in ("method", "task"):
        # The defaults of the space are the defaults of a fit.
        assert _plain(options(section, getattr(spec, section))) == _plain(options(section, getattr(parts.spec, section)))
    assert spec.augment.name == parts.spec.augment.name
    if "method.lr" in knobs:
        lr = options("method", parts.spec.method).lr
        assert knobs["method.lr"].low == pytest.approx(lr / 10) and knobs["method.lr"].high == pytest.approx(lr * 10)


def _plain(found) -> dict:
    return {name: "none" if name == "freeze" and value is None else value for name, value in vars(found).items()}


@pytest.mark.parametrize("method", ["extract", "lp_ft"])
def test_every_choice_can_be_built(method, photos):
    parts, asked = parts_of(photos, method)
    for name, knob in space(parts, asked).items():
        for value in knob.options or (knob.low, knob.high):
            made = variant(parts, asked, {name: value})
            assert next(made.phases(made.net("final"), selecting(parts))()).name == "head", (name, value)


def test_what_the_user_gave_is_not_tuned(photos):
    parts, asked = parts_of(photos, "lp_ft", "method.lr=3e-4", augment="medium", freeze="1")
    assert set(space(parts, asked)) == TRAINED - {"method.lr", "augment.name", "method.freeze"}
    assert variant(parts, asked, {"method.batch": 16}).spec.method.values["lr"] == 3e-4


def test_knobs_of_the_user_stay_whatever_preset_is_tried(photos):
    parts, asked = parts_of(photos, "finetune", "augment.flip=0", "augment.rotation=5")
    made = variant(parts, asked, {"augment.name": "medium"})
    drawn = made.streams.augment.options
    assert (drawn.preset, drawn.flip, drawn.rotation, drawn.crop) == ("medium", 0, 5, 0.35)
    assert variant(parts, asked, {"augment.name": "none"}).streams.augment.options.crop == 1


def test_views_are_neither_dropped_nor_contradicted(photos):
    parts, asked = parts_of(photos, "finetune", freeze="2", views=2)
    assert not {"augment.name", "method.freeze"} & set(space(parts, asked))
    assert variant(parts, asked, {"method.lr": 1e-3}).streams.augment.options.views == 2


def test_few_stages_are_spared_and_the_last_one_always_learns(photos):
    parts, asked = parts_of(photos, "finetune")
    freeze = space(parts, asked)["method.freeze"].options
    assert freeze[0] == "none" and len(freeze) <= SPARED + 1 and parts.backbone.names[-1] not in freeze
    assert set(freeze[1:]) <= set(parts.backbone.names)


def test_a_kernel_is_not_tried_on_many_rows(photos, monkeypatch):
    parts, asked = parts_of(photos, "extract")
    assert "svm_rbf" in space(parts, asked)["task.head"].options and KERNEL_ROWS > 1000
    monkeypatch.setattr("graft.verbs.tuning.space.KERNEL_ROWS", 10)
    assert "svm_rbf" not in space(parts, asked)["task.head"].options


def test_a_trial_has_no_locked_rows_and_selects_where_epochs_do(photos):
    for method, drawn in (("extract", True), ("lp_ft", False)):
        parts, _ = parts_of(photos, method)
        narrow = selecting(parts)
        assert narrow.test is None and parts.data.test is not None and narrow.plan.drawn is drawn is solved(parts)


def test_without_rows_to_select_on_nothing_is_tuned(photos):
    parts, _ = parts_of(photos, "lp_ft")
    with pytest.raises(DataError, match="too few samples"):
        selecting(replace(parts, data=replace(parts.data, val=parts.data.train)))
