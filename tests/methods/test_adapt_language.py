"""The language of the target's texts is learnt from those that may be learnt from; then the task."""

import copy
from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import words
from tests.methods.phases import collect

from graft.engine import checkpoint, execute
from graft.errors import OptionError
from graft.losses import masked
from graft.methods import adapt_language

QUICK = {"language_epochs": 2, "epochs": 2, "batch": 8}


def run(folder, net, rows=None, **values):
    opts = adapt_language.Options(**{**QUICK, **values})
    return words.run(lambda *given: adapt_language.phases(*given, opts), folder, net, words.task(), rows or words.data(unlabelled=10))


def surprise(net, head, table):
    """Mean loss over a table's texts, with the same tokens hidden each time."""
    torch.manual_seed(5)
    with torch.no_grad():
        batch = next(iter(words.Texts(net.prepare, words.task().encode, 0).plain(table)))
        return float(adapt_language.objective(net, head, 0.3)(net.eval(), {"train": batch}))


def test_the_texts_are_those_that_learn_and_those_without_labels():
    rows = words.data(unlabelled=10)
    table = adapt_language.texts(rows)
    assert table.column_names == ["path", "text"] and len(table) == len(rows.train) + 10
    seen = set(table.column("path").to_pylist())
    assert not seen & {*rows.val.column("path").to_pylist(), *rows.test.column("path").to_pylist()}
    assert len(adapt_language.texts(replace(rows, unlabelled=None))) == len(rows.train)


@pytest.mark.parametrize(
    ("then", "expected"),
    [("lp_ft", ["head", "all"]), ("extract", ["head"]), ("finetune", ["finetune"]), ("gradual", ["head", "from one", "from embeddings"])],
)
def test_the_second_part_is_the_method_of_that_name(then, expected):
    made = words.task()
    first, *rest = collect("adapt", words.net(made), made, words.data(), then=then, steps_down=2)
    assert (first.name, first.frozen, first.score, first.keep) == ("language", 0, False, "last")
    assert [phase.name for phase in rest] == expected
    assert adapt_language.Options(then=then, steps_down=2).limited_phases == (3 if then == "gradual" else 2)


def test_freeze_keeps_stages_out_of_both_parts():
    made = words.task()
    first, _, last = collect("adapt", words.net(made), made, words.data(), freeze=2, language_lr=1e-3)
    assert [(g.name, g.lr) for g in first.groups] == [("two", 1e-3), ("language head", 1e-3)]
    assert first.frozen == 0 and last.frozen == 2, "kept states have no tokens to hide"


@pytest.mark.parametrize("copied", [False, True])
def test_a_head_that_is_tied_to_the_embeddings_or_a_copy_of_them_is_in_one_group_with_them(copied):
    made, body = words.task(), words.body(tied=True)
    if copied:
        build = body.language_head
        body = replace(body, language_head=lambda: copy.deepcopy(build()))
    net = words.net(made, body)
    (first, *_) = collect("adapt", net, made, words.data())
    names = {group.name: group.parameters for group in first.groups}
    assert names["embeddings"] == ("stages.0.table.weight",) and names["language head"] == ("extras.language.bias",)
    assert first.extras["language"].table.weight is net.stages[0].table.weight


def test_the_objective_asks_for_the_hidden_tokens_alone():
    net = words.net(words.task()).eval()
    head = net.language_head()
    batch = next(iter(words.Texts(net.prepare, words.task().encode, 0).plain(words.table(6, 4))))
    torch.manual_seed(3)
    found = adapt_language.objective(net, head, 0.4)(net, {"train": batch}).item()
    torch.manual_seed(3)
    ids, mask = batch.inputs["ids"], batch.inputs["mask"]
    hidden, targets = masked.masked_tokens(ids, mask, (0, 1, 2), 2, len(words.VOCABULARY), 0.4)
    logits, slow, count = head(net.advance({**batch.inputs, "ids": hidden}, 0, 3)["x"]).log_softmax(-1).detach(), 0.0, 0
    for i in range(len(ids)):
        for j in range(ids.shape[1]):
            if targets[i, j] >= 0:
                slow, count = slow - float(logits[i, j, ids[i, j]]), count + 1
    assert count > 5 and found == pytest.approx(slow / count, rel=1e-5)


def test_a_causal_body_names_the_next_token():
    net = words.net(words.task(), words.body(causal=True)).eval()
    head = net.language_head()
    batch = next(iter(words.Texts(net.prepare, words.task().encode, 0).plain(words.table(6, 4))))
    found = adapt_language.objective(net, head, 0.4)(net, {"train": batch}).item()
    ids, mask, slow, count = batch.inputs["ids"], batch.inputs["mask"], 0.0, 0
    logits = head(net.advance(batch.inputs, 0, 3)["x"]).log_softmax(-1).detach()
    for i in range(len(ids)):
        for j in range(int(mask[i].sum()) - 1):
            slow, count = slow - float(logits[i, j, ids[i, j + 1]]), count + 1
    assert found == pytest.approx(slow / count, rel=1e-5)


@pytest.mark.parametrize(("causal", "tied"), [(False, False), (False, True), (True, True)])
def test_texts_that_were_not_seen_surprise_less_afterwards(causal, tied, tmp_path):
    net, rows = words.net(words.task(), words.body(causal, tied)), words.data(unlabelled=10)
    head = net.language_head()
    net.language_head = lambda: head
    before = surprise(net, head, rows.test)
    outcome = run(tmp_path, net, rows, language_epochs=15, language_lr=1e-2, then="extract")
    assert outcome.phases[0]["phase"] == "language" and outcome.frozen == 0
    assert surprise(net, head, rows.test) < before - 0.1


@pytest.mark.parametrize("tied", [False, True])
def test_a_run_stopped_while_it_adapts_or_after_ends_bit_identical(tied, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "SAVE_EVERY", 0.0)
    make = lambda: words.net(words.task(), words.body(tied=tied))  # noqa: E731
    whole, real = make(), checkpoint.save
    run(tmp_path / "whole", whole)
    for limit in (1, 3):  # after the first epoch of language, and after that phase
        calls, net = iter(range(99)), make()

        def save(*args, calls=calls, limit=limit):
            if next(calls) == limit:
                raise KeyboardInterrupt
            real(*args)

        monkeypatch.setattr(checkpoint, "save", save)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / str(limit), make())
        monkeypatch.setattr(checkpoint, "save", real)
        torch.manual_seed(777)
        run(tmp_path / str(limit), net)
        assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), net.state_dict().values(), strict=True)), limit


def test_bodies_and_data_that_do_not_fit_are_refused(tmp_path):
    made, rows = words.task(), words.data()
    with pytest.raises(OptionError, match="cannot; use --method lp_ft"):
        collect("adapt", nets.net(nets.task()), nets.task(), nets.data(tmp_path))
    with pytest.raises(OptionError, match="hides tokens"):
        collect("adapt", words.net(made, replace(words.body(causal=True), causal=False)), made, rows)
    with pytest.raises(OptionError, match="finetune"):
        collect("adapt", words.net(made), replace(made, schema=replace(made.schema, target="language")), rows)
    with pytest.raises(OptionError, match="'one'"):
        net = words.net(made)
        net.taps = (1,)
        collect("adapt", net, made, rows)
    for values in ({"then": "l2_sp"}, {"share": 0.0}, {"language_lr": -1.0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            adapt_language.Options(**values)
