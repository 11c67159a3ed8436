"""Errors carry the repair."""

from graft.errors import DataError, GraftError, nearest


def test_a_near_name_is_proposed_and_otherwise_the_known_ones_are_listed():
    assert nearest("lp_tf", ["lp_ft", "extract"]) == " Did you mean 'lp_ft'?"
    assert nearest("zzz", ["b", "a"]) == " Known: a, b."
    assert nearest("zzz", [f"n{i:02d}" for i in range(20)]).endswith("n11 and 8 more.")


def test_what_a_user_can_mend_is_one_kind():
    assert issubclass(DataError, GraftError)
