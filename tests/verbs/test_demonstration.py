"""The digits of the demo: real, split by labels a class, the same for one seed."""

from graft.verbs.demonstration import digits


def test_ten_labels_a_class_and_the_rest_to_score(tmp_path):
    folder = digits(tmp_path / "a")
    train, test = (list((folder / split).rglob("*.png")) for split in ("train", "test"))
    assert len(train) == 100 and len(train) + len(test) == 1797
    assert all(len(list(place.iterdir())) == 10 for place in (folder / "train").iterdir())
    again = digits(tmp_path / "b")
    assert sorted(p.name for p in train) == sorted(p.name for p in (again / "train").rglob("*.png"))
    other = digits(tmp_path / "c", seed=1)
    assert sorted(p.name for p in train) != sorted(p.name for p in (other / "train").rglob("*.png"))
