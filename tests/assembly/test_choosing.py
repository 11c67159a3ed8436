"""Automatic choices are written down with the flag that overrides them; the user's own values win or raise."""

import pytest
from tests import sets, texts

from graft.advisor import rules
from graft.assembly import measuring, wiring
from graft.engine.journal import Journal
from graft.errors import OptionError
from graft.spec import Spec


def assemble(photos, sets=("backbone.image_size=32",), **values):
    heard = []
    parts = wiring.assemble(Spec.make(str(photos), sets=list(sets), **values), Journal(heard.append))
    return parts, {row["what"]: row for row in heard if row["event"] == "decision"}


def test_every_choice_has_a_reason_and_a_flag(photos):
    parts, chosen = assemble(photos)
    assert {"reader", "roles", "task", "method", "backbone", "augment"} <= set(chosen)
    assert all(row["reason"] and row["flag"].startswith("--") for row in chosen.values())
    assert chosen["backbone"]["value"] == "graft-mini" == parts.spec.backbone.name


def test_in_folds_no_layer_is_measured_on_rows_that_are_scored(photos, monkeypatch):
    rule = rules.cell([20, 20], "different")
    assert rule.method == "extract" and rule.layers != "last"
    monkeypatch.setattr(rules, "cell", lambda *given: rule)
    monkeypatch.setattr(measuring, "probes", lambda *given: pytest.fail("labels of scored rows chose"))
    parts, chosen = assemble(photos, folds=3)
    assert not parts.spec.task.values.get("layers")
    assert chosen["layer"]["value"] == parts.backbone.names[-1] and "scored in its fold" in chosen["layer"]["reason"]
    with pytest.raises(pytest.fail.Exception, match="chose"):
        assemble(photos, folds=0)


def test_what_the_user_says_is_not_decided(photos):
    parts, chosen = assemble(photos, method="finetune", backbone="gabor", augment="strong", task="classification", reader="image_folder")
    assert set(chosen) == {"roles"} and parts.spec.method.name == "finetune" and parts.spec.augment.name == "strong"


def test_the_task_says_what_whole_numbers_are_and_has_to_fit(photos, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f"{f},{i % 3}\n" for i, f in enumerate(sorted(photos.rglob("*.png")))))
    assert assemble(table, method="extract")[0].data.schema.target == "class"
    parts, _ = assemble(table, method="extract", task="regression")
    assert parts.data.schema.target == "number" and parts.task.name == "regression"
    with pytest.raises(OptionError, match="classification"):
        assemble(photos, task="regression")


def test_a_budget_limits_every_phase_and_a_limit_of_the_users_own_stays(photos):
    parts, chosen = assemble(photos, method="gradual", budget="60s")
    assert parts.spec.method.values["seconds"] == pytest.approx(0.65 * (60 - 14) / 6 / 3, abs=0.01) and "time limit of a phase" in chosen
    alone, _ = assemble(photos, method="gradual", budget="60s", evidence="off")
    assert alone.spec.method.values["seconds"] == pytest.approx((60 - 14) / 6 / 3, abs=0.01)
    spec = Spec.make(str(photos), method="finetune", budget="60s", sets=["method.seconds=7", "backbone.image_size=32"])
    assert wiring.assemble(spec, Journal()).spec.method.values["seconds"] == 7


def test_views_ask_for_augmentation_of_frozen_features(photos):
    parts, chosen = assemble(photos, method="extract", views=3)
    assert parts.spec.augment.name == "light" and parts.spec.method.values["augment"] is True
    assert parts.streams.augment.options.views == 3 and chosen["augment"]["value"] == "light"
    plain, chosen = assemble(photos, method="extract")
    assert plain.spec.augment.name == "none" and "--views 4" in chosen["augment"]["reason"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "finetune", "views": 4}, "add --freeze STAGE"),
        ({"method": "finetune", "views": 4, "freeze": "none"}, "add --freeze STAGE"),
        ({"method": "scratch", "views": 4}, "use --method extract"),
        ({"method": "extract", "views": 4, "augment": "none"}, "leave one of them out"),
        ({"method": "extract", "views": 4, "augment": "strong"}, "--set augment.mixup=0 --set augment.cutmix=0"),
        ({"method": "extract", "views": 65}, "from 0 to 64"),
        ({"method": "extract", "views": 4, "head": "knn"}, "cannot learn by gradient descent"),
    ],
)
def test_views_that_could_not_be_kept_are_refused(photos, values, words):
    with pytest.raises(OptionError, match=words):
        assemble(photos, **values)


def test_without_labels_a_self_supervised_method_is_taken_and_a_supervised_one_refused(photos):
    parts, chosen = assemble(photos, reader="images")
    assert parts.spec.method.name == "simclr" and chosen["method"]["flag"] == "--method"
    with pytest.raises(OptionError):
        assemble(photos, reader="images", method="finetune")
    with pytest.raises(OptionError, match="makes alike"):
        assemble(photos, reader="images", method="byol", augment="none")


@pytest.mark.parametrize("values", [{"reader": "images"}, {"target": "photos"}])
def test_alternatives_that_nothing_could_tell_apart_are_refused(photos, values):
    values = {name: str(photos) if name == "target" else value for name, value in values.items()}
    with pytest.raises(OptionError, match="--evidence full"):
        assemble(photos, evidence="full", **values)


def test_a_target_of_numbers_needs_a_method_that_is_named(tmp_path, photos):
    rows = [f"{path},{i}.5" for i, path in enumerate(sorted(photos.rglob("*.png")))]
    (tmp_path / "numbers.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(OptionError, match="Only classes are adapted"):
        assemble(tmp_path / "numbers.csv", target=str(photos))


@pytest.mark.parametrize(
    ("rows", "values", "method"),
    [
        (60, {}, "extract"),
        (500, {}, "extract"),
        (60, {"sets": ["method.freeze=layer1"]}, "lp_ft"),
        (60, {"sets": ["task.pairs=together"]}, "few_shot"),
    ],
)
def test_pairs_that_are_compared_are_left_to_the_vectors(rows, values, method, tmp_path):
    texts.write(tmp_path / "bert", "bert")
    (tmp_path / "bert" / "1_Pooling").mkdir()
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    data = sets.paired(tmp_path / "pairs.csv", rows=rows)
    parts, chosen = assemble(data, **{"sets": (), "backbone": str(tmp_path / "bert"), "folds": 0, **values})
    assert parts.spec.method.name == chosen["method"]["value"] == method
    assert chosen.get("pairs", {"value": "each text apart"})["value"] == "each text apart"
    assert parts.backbone.prepare.apart is (method != "few_shot") and ("layer" in chosen) is (method == "extract")


def test_after_pairs_the_head_reads_directions_unless_it_was_named(photos):
    parts, chosen = assemble(photos, method="few_shot")
    assert parts.task.config["head"] == "logistic_unit" and chosen["head"]["flag"] == "--head"
    for named in ({"head": "logistic"}, {"head": "linear"}):
        parts, chosen = assemble(photos, method="few_shot", **named)
        assert parts.task.config["head"] == named["head"] and "head" not in chosen
    assert "head" not in assemble(photos, method="finetune")[1]
