"""Frozen features: the body does not move; solved heads learn from the drawn selecting rows too."""

from tests import nets
from tests.methods.phases import collect


def test_a_solved_head_learns_from_all_learning_rows(tmp_path):
    rows, made = nets.data(tmp_path), nets.task()
    (phase,) = collect("extract", nets.net(made), made, rows)
    assert phase.solve is not None and len(phase.streams["train"].table) == len(rows.train) + len(rows.val)


def test_a_val_split_of_the_users_own_is_not_learnt_from(tmp_path):
    from dataclasses import replace

    rows, made = nets.data(tmp_path), nets.task()
    rows = replace(rows, plan=replace(rows.plan, drawn=False))
    (phase,) = collect("extract", nets.net(made), made, rows)
    assert len(phase.streams["train"].table) == len(rows.train)


def test_a_trained_head_learns_alone_on_plain_images(tmp_path):
    rows, made = nets.data(tmp_path), nets.task(head="linear")
    (phase,) = collect("extract", nets.net(made), made, rows)
    assert phase.frozen == 3 and [g.name for g in phase.groups] == ["head"] and not phase.streams["train"].augment


def test_with_augmentation_a_solved_head_is_the_start_of_a_second_phase(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    solved, tuned = collect("extract", nets.net(made), made, rows, augment=True)[:2]
    assert solved.solve is not None and len(solved.streams["train"].table) == len(rows.train)
    assert tuned.solve is None and tuned.frozen == 3 and tuned.streams["train"].augment and {g.name for g in tuned.groups} == {"head"}
