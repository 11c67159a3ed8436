"""The paper's rates and order: language first, then from the top down."""

import pytest
from tests.methods import words
from tests.methods.phases import collect

from graft.methods import ulmfit


def test_language_comes_first_then_the_stages_from_the_top():
    made = words.task()
    language, head, *down = collect("ulmfit", words.net(made), made, words.data(), language_lr=1e-2, lr=1e-3)
    assert language.name == "language" and head.solve is not None
    assert [phase.frozen for phase in down] == [2, 1, 0]
    for phase, peak in ((language, 1e-2), (down[-1], 1e-3)):
        rates = {group.name: group.lr for group in phase.groups}
        assert rates["two"] == pytest.approx(peak) and rates["one"] == pytest.approx(peak / 2.6, rel=0.02)
        assert rates["embeddings"] == pytest.approx(peak / 2.6**2, rel=0.03)
        assert (phase.schedule.kind, phase.schedule.warmup) == ("linear", 0.1)


def test_it_learns_to_tell_the_classes_apart(tmp_path):
    made, opts = words.task(), ulmfit.Options(language_epochs=3, epochs=9, batch=8, lr=1e-2)
    outcome = words.run(lambda *given: ulmfit.phases(*given, opts), tmp_path, words.net(made), made, words.data(unlabelled=10))
    assert outcome.scores["accuracy"] >= 0.75 and outcome.phases[0]["phase"] == "language"
    assert opts.limited_phases == 5
