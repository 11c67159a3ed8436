"""The pieces of a fit: nets, layers, roles, rows without labels."""

import pytest
from PIL import Image

from graft.assembly import wiring
from graft.engine.journal import Journal
from graft.errors import DataError, OptionError
from graft.spec import Spec


def assemble(photos, **values):
    heard = []
    parts = wiring.assemble(Spec.make(str(photos), sets=["backbone.image_size=32"], **values), Journal(heard.append))
    return parts, {row["what"]: row for row in heard if row["event"] == "decision"}


def test_scratch_has_random_weights_that_the_seed_gives(photos):
    parts, _ = assemble(photos, method="scratch")
    again, _ = assemble(photos, method="scratch")
    other, _ = assemble(photos, method="scratch", seed=1)
    first, second, third = (next(p.net("final").parameters()) for p in (parts, again, other))
    assert parts.backbone.origin.weights == "random" and (first == second).all() and not (first == third).all()


def test_a_net_is_fresh_each_time(photos):
    parts, _ = assemble(photos, method="finetune")
    one, two = parts.net("final"), parts.net("final")
    next(one.parameters()).data.add_(1)
    assert not (next(one.parameters()) == next(two.parameters())).all()
    assert (one.head.state_dict()[next(iter(one.head.state_dict()))] == two.head.state_dict()[next(iter(two.head.state_dict()))]).all()


@pytest.mark.parametrize(("layers", "found"), [((), (2,)), (("a",), (0,)), ((-1, "a"), (0, 2)), ((1, "1"), (0,))])
def test_layers_by_name_or_number(layers, found):
    assert wiring.taps(layers, ("a", "b", "c")) == found


@pytest.mark.parametrize("layers", [("d",), (0,), (4,), (-4,)])
def test_unknown_layers_are_refused(layers):
    with pytest.raises(OptionError, match="layer"):
        wiring.taps(layers, ("a", "b", "c"))


def test_contradictions_are_refused(photos, tmp_path):
    with pytest.raises(OptionError, match="scratch"):
        assemble(photos, method="scratch", backbone="gabor")
    with pytest.raises(OptionError, match="no body"):
        assemble(photos, weights="w.safetensors")
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(DataError, match="no known kind"):
        assemble(tmp_path / "x.docx")


def test_a_target_domain_changes_roles_and_method_and_its_labels_stay_out_of_sight(photos):
    parts, chosen = assemble(photos, target=str(photos), target_labels=str(photos))
    assert parts.spec.method.name == "uda" and chosen["method"]["flag"] == "--method"
    assert "label" not in parts.data.target.column_names and not parts.data.plan.folds and parts.data.plan.optimistic
    assert parts.truth["path"].equals(parts.data.target["path"]) and set(parts.truth["label"].to_pylist()) == set(parts.data.schema.classes)
    plain, _ = assemble(photos)
    assert plain.data.fingerprint != parts.data.fingerprint, "another target is other data"


def test_labels_of_no_target_are_refused(photos):
    with pytest.raises(OptionError, match="add --target PATH"):
        assemble(photos, target_labels=str(photos))


def test_unlabelled_samples_that_have_labels_are_left_out(photos, tmp_path):
    with pytest.raises(DataError, match="among the labelled ones"):
        assemble(photos, unlabelled=str(photos))
    more = tmp_path / "more"
    more.mkdir()
    one = next(photos.rglob("*.png"))
    Image.effect_noise((40, 40), 60).convert("RGB").save(more / "new.png")
    (more / "copy.png").write_bytes(one.read_bytes()), (more / "old.png").symlink_to(one)
    parts, _ = assemble(photos, unlabelled=str(more))
    assert [path.endswith("new.png") for path in parts.data.unlabelled["path"].to_pylist()] == [True]
    assert any("2 of the 3 unlabelled samples are copies" in note.text for note in parts.data.notes)
