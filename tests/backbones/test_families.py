"""The joined stages are transformers' own networks."""

import pytest
import torch
from tests import texts

from graft.backbones import families
from graft.backbones.from_transformers import Options, load

KINDS = list(texts.CONFIGS)
COUNT = 5 + len(texts.WORDS)


def own(model, given, **more):
    """What transformers itself gives for these tokens."""
    body = getattr(model, model.base_model_prefix)
    with torch.no_grad():
        return body(input_ids=given["ids"], attention_mask=given["mask"].long(), **more).last_hidden_state


def run(body, given):
    with torch.no_grad():
        return body.forward(given)


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    model = texts.write(folder, request.param)
    return model, load(str(folder), Options())


@pytest.mark.parametrize("lengths", [(20, 20), (20, 7, 3, 1)], ids=["whole", "padded"])
def test_the_stages_are_the_librarys_network(pair, lengths):
    model, body = pair
    given = texts.state(lengths, 20, COUNT if model.config.model_type != "gpt2" else 15, pad=body.prepare.pad)
    expected, found = own(model, given), run(body, given)
    assert expected[given["mask"]].std() > 0.1
    torch.testing.assert_close(found[given["mask"]], expected[given["mask"]], atol=1e-5, rtol=1e-5)
    assert torch.isfinite(found).all()


def test_hidden_layers_too(pair):
    """All but the last, which the library gives before its last normalisation or after."""
    model, body = pair
    given = texts.state((9, 4), 9, 15, pad=body.prepare.pad)
    with torch.no_grad():
        inside = getattr(model, model.base_model_prefix)(
            input_ids=given["ids"], attention_mask=given["mask"].long(), output_hidden_states=True
        ).hidden_states
    state = dict(given)
    for stage, expected in zip(body.stages[:-1], inside, strict=False):
        with torch.no_grad():
            state = stage(state)
        torch.testing.assert_close(state["x"][given["mask"]], expected[given["mask"]], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing(pair):
    _, body = pair
    given = texts.state((6, 20), 20, 15, pad=body.prepare.pad)
    alone = {key: value[:1, :6] for key, value in given.items()}
    torch.testing.assert_close(run(body, alone)[0], run(body, given)[0, :6], atol=1e-5, rtol=1e-5)
    garbage = {**given, "ids": given["ids"].masked_fill(~given["mask"], 9)}
    torch.testing.assert_close(run(body, garbage)[given["mask"]], run(body, given)[given["mask"]], atol=1e-5, rtol=1e-5)


def test_in_train_mode_everything_learns_and_dropout_draws(pair):
    model, body = pair
    given = texts.state((9, 4), 9, 15, pad=body.prepare.pad)
    body.stages.train()
    try:
        torch.manual_seed(0)
        one = body.forward(given)
        one[given["mask"]].square().sum().backward()
        unused = [name for name, p in body.stages.named_parameters() if p.grad is None]
        assert not unused
        tables = [p for p in body.stages[0].parameters() if p.shape[0] == model.config.vocab_size]
        assert len(tables) == 1 and tables[0].grad.abs().sum() > 0
        torch.manual_seed(1)
        drawn = not torch.allclose(body.forward(given), one)
        assert drawn == (model.config.model_type != "modernbert")  # which is trained without dropout
    finally:
        body.stages.eval()
        body.stages.zero_grad()


def test_types_tell_two_texts_apart(pair):
    model, body = pair
    given = texts.state((9, 6), 9, 15, pad=body.prepare.pad)
    types = (torch.arange(9) > 3).long().expand(2, 9)
    found = run(body, {**given, "types": types})
    if model.config.model_type in ("bert", "electra"):
        expected = own(model, given, token_type_ids=types)
        torch.testing.assert_close(found[given["mask"]], expected[given["mask"]], atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(found, run(body, given))


def test_other_keys_pass_and_tokens_do_not(pair):
    _, body = pair
    words = torch.tensor([[0, 2], [1, -1]])
    out = body.stages[0]({**texts.state((4, 3), 4, 15), "words": words, "types": torch.zeros(2, 4, dtype=torch.int64)})
    assert set(out) == {"x", "mask", "words"} and out["words"] is words


def test_the_head_that_names_tokens_is_the_published_one(pair):
    model, body = pair
    given = texts.state((9, 4), 9, 15, pad=body.prepare.pad)
    with torch.no_grad():
        expected = model(input_ids=given["ids"], attention_mask=given["mask"].long()).logits
        head = body.language_head().eval()
        found = head(body.forward(given))
    torch.testing.assert_close(found[given["mask"]], expected[given["mask"]], atol=1e-4, rtol=1e-4)
    owned = {id(p) for p in body.stages.parameters()}
    assert not any(id(p) in owned for p in head.parameters()), "the head shares a parameter with the body"


def test_a_fresh_head_where_the_weights_hold_none(tmp_path):
    texts.write(tmp_path / "bert", "bert", headed=False)
    body = load(str(tmp_path / "bert"), Options())
    one, two = body.language_head(), body.language_head()
    assert torch.equal(one.dense.weight, two.dense.weight) and 0.01 < one.dense.weight.std() < 0.03
    assert torch.equal(one.decoder.weight, body.stages[0].body.word_embeddings.weight)
    with torch.no_grad():
        body.stages[0].body.word_embeddings.weight.mul_(2)
    assert torch.equal(body.language_head().decoder.weight, body.stages[0].body.word_embeddings.weight)


@pytest.mark.parametrize("changed", [{"max_relative_positions": 3}, {"position_biased_input": True, "type_vocab_size": 2}], ids=str)
@pytest.mark.parametrize("kind", ["deberta", "deberta-v2"])
def test_variants_of_deberta(kind, changed, tmp_path):
    model = texts.write(tmp_path / kind, kind, **changed)
    body = load(str(tmp_path / kind), Options())
    given = texts.state((12, 5), 12, 15)
    torch.testing.assert_close(run(body, given)[given["mask"]], own(model, given)[given["mask"]], atol=1e-5, rtol=1e-5)


def test_what_layers_share_is_copied_into_each(tmp_path):
    texts.write(tmp_path / "d", "deberta-v2")
    body = load(str(tmp_path / "d"), Options())
    tables = [stage.distances.weight for stage in body.stages[1:]]
    assert len({id(table) for table in tables}) == 3 and all(torch.equal(table, tables[0]) for table in tables)


def test_all_families_but_deberta_use_fused_attention(pair):
    model, body = pair
    kept = next(m.config for m in body.stages[1].modules() if hasattr(m, "config"))
    assert kept._attn_implementation == ("sdpa" if families.FAMILIES[model.config.model_type].fused else "eager")


@pytest.mark.parametrize("kind", texts.ALIKE)
def test_families_under_another_name(kind, tmp_path):
    model = texts.write(tmp_path / kind, kind)
    body = load(str(tmp_path / kind), Options())
    given = texts.state((12, 5), 12, 15, pad=body.prepare.pad)
    torch.testing.assert_close(run(body, given)[given["mask"]], own(model, given)[given["mask"]], atol=1e-5, rtol=1e-5)


def test_every_family_is_tried_here():
    assert families.FAMILIES.keys() == texts.CONFIGS.keys() | texts.ALIKE.keys()
