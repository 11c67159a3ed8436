import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import texts

from graft.backbones import describe, rebuild
from graft.backbones.from_transformers import Options, load
from graft.errors import OptionError, WeightsError
from graft.testing import check_backbone


@pytest.fixture
def folder(tmp_path):
    texts.write(tmp_path / "tiny", "bert")
    return tmp_path / "tiny"


@pytest.mark.parametrize("kind", texts.CONFIGS)
def test_contract(kind, tmp_path):
    texts.write(tmp_path / kind, kind)
    check_backbone(load, str(tmp_path / kind), Options())


def test_description(folder):
    body = load(str(folder), Options())
    assert body.names == ("embeddings", "layer1", "layer2", "layer3")
    assert body.widths == (16,) * 4 and body.strides == (0,) * 4 and body.forms == ("text",) * 4
    assert (body.pool, body.causal, body.prefix_tokens) == ("avg", False, 0)
    assert body.origin.name == "tiny" and body.origin.architecture == "transformers:bert" and body.origin.weights == "file:tiny"
    assert body.origin.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert (body.origin.licence, body.origin.trained_on) == ("unknown", "unknown")
    assert str(folder.parent) not in json.dumps(describe(body))


def test_gpt2_sees_only_what_came_before_and_pads_with_its_end(tmp_path):
    texts.write(tmp_path / "g", "gpt2", vocab_size=30, eos_token_id=7, special=["<|endoftext|>"])
    body = load(str(tmp_path / "g"), Options())
    assert (body.pool, body.causal, body.prepare.pad, body.prepare.mask) == ("last", True, 7, None)


def test_the_card_tells_licence_and_data(folder):
    (folder / "README.md").write_text(
        "---\nlanguage: en\nlicense: apache-2.0\ndatasets:\n- bookcorpus\n- wikipedia\ntags:\n- exbert\n---\n# x\n"
    )
    origin = load(str(folder), Options()).origin
    assert (origin.licence, origin.trained_on) == ("apache-2.0", "bookcorpus, wikipedia")
    own = load(str(folder), Options(weights=str(folder / "model.safetensors"))).origin
    assert (own.weights, own.licence, own.trained_on) == ("file:model.safetensors", "unknown", "unknown")


def test_pooling_of_a_body_of_sentences(folder):
    assert not load(str(folder), Options()).compares
    (folder / "1_Pooling").mkdir()
    for told, pool in (({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"), ({"pooling_mode": "mean"}, "avg")):
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
        body = load(str(folder), Options())
        again = rebuild(describe(body), body.prepare.tokenizer)
        assert body.pool == again.pool == pool and body.compares and again.compares


def test_tokenizer_neither_cuts_nor_pads_by_itself(folder):
    prepare = load(str(folder), Options()).prepare
    held = json.loads(prepare.tokenizer)
    assert held["truncation"] is None and held["padding"] is None
    assert (prepare.pad, prepare.mask, prepare.kind) == (0, 4, "tokens")
    from tokenizers import Tokenizer

    assert Tokenizer.from_str(prepare.tokenizer).encode("the cat sat on the mat").ids == [2, 5, 7, 9, 11, 5, 13, 3]


def test_length(folder):
    assert load(str(folder), Options()).prepare.length == 40
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 32}))
    assert load(str(folder), Options()).prepare.length == 32
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    assert load(str(folder), Options()).prepare.length == 16
    body = load(str(folder), Options(length=40))
    assert body.prepare.length == 40 and body.origin.build["length"] == 40
    for length in (41, 7):
        with pytest.raises(OptionError, match=f"length is {length}, but this body reads from 8 to 40 tokens"):
            load(str(folder), Options(length=length))


def test_length_of_roberta_and_of_long_models(tmp_path):
    texts.write(tmp_path / "r", "roberta")
    body = load(str(tmp_path / "r"), Options())
    assert body.prepare.length == 40  # two of its 42 positions belong to no token
    body.forward(texts.state((40,), 40, 20, pad=1))
    texts.write(tmp_path / "m", "modernbert", max_position_embeddings=1000)
    assert load(str(tmp_path / "m"), Options()).prepare.length == 512
    assert load(str(tmp_path / "m"), Options(length=900)).prepare.length == 900


@pytest.mark.parametrize("kind", texts.CONFIGS)
def test_described_and_rebuilt(kind, tmp_path):
    texts.write(tmp_path / kind, kind)
    body = load(str(tmp_path / kind), Options(length=12))
    described = json.loads(json.dumps(describe(body)))
    assert described["prepare"] | {"pad": 0, "mask": 0} == {
        "modality": "text", "length": 12, "pad": 0, "mask": 0, "kind": "tokens", "tokenizer": "tokenizer.json", "apart": False,
    }  # fmt: skip
    again = rebuild(described, body.prepare.tokenizer)
    assert again.prepare == body.prepare and again.origin == body.origin and again.causal == body.causal
    given = texts.state((9, 4), 9, 15, pad=body.prepare.pad)
    with torch.no_grad():
        assert not torch.allclose(again.forward(given), body.forward(given), atol=1e-2)
        again.stages.load_state_dict(body.stages.state_dict())
        assert torch.equal(again.forward(given), body.forward(given))
        assert again.language_head()(again.forward(given)).shape == (2, 9, body.origin.build["config"]["vocab_size"])


def test_random_weights_follow_the_seed_and_leave_the_random_state_alone(folder):
    state = torch.get_rng_state()
    one, same, other = (load(str(folder), Options(weights="none"), seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    a, b, c = (body.stages.state_dict() for body in (one, same, other))
    assert all(torch.equal(a[k], b[k]) for k in a) and not all(torch.equal(a[k], c[k]) for k in a)
    assert (one.origin.weights, one.origin.sha256, one.origin.trained_on) == ("random", "", "nothing")
    assert 0.01 < one.stages[0].body.word_embeddings.weight.std() < 0.03
    (folder / "model.safetensors").unlink()
    load(str(folder), Options(weights="none"))


def test_names_of_published_files(folder):
    """Without prefix, in halves, with the names of the first releases, and with what is computed now."""
    expected = load(str(folder), Options()).stages.state_dict()
    tensors = load_file(folder / "model.safetensors")
    old = {
        name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    old |= {
        "embeddings.position_ids": torch.arange(40)[None],
        "pooler.dense.weight": torch.zeros(16, 16),
        "classifier.bias": torch.zeros(3),
    }
    save_file(old, folder / "model.safetensors")
    found = load(str(folder), Options()).stages.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    save_file({name: value.half() for name, value in tensors.items()}, folder / "model.safetensors")
    body = load(str(folder), Options())
    assert all(p.dtype == torch.float32 for p in body.stages.parameters())


def test_weights_in_parts(folder):
    expected = load(str(folder), Options()).stages.state_dict()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    half = len(tensors) // 2
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    body = load(str(folder), Options())
    assert all(torch.equal(value, expected[name]) for name, value in body.stages.state_dict().items())
    digests = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in parts]
    assert body.origin.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"lacks model-00002-of-00002\.safetensors"):
        load(str(folder), Options())


def test_other_weights(folder, tmp_path):
    texts.write(tmp_path / "other", "bert", seed=9)
    expected = load(str(tmp_path / "other"), Options()).stages.state_dict()
    for weights in (tmp_path / "other", tmp_path / "other" / "model.safetensors"):
        found = load(str(folder), Options(weights=str(weights))).stages.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_would_be_unpickled_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    for options in (Options(), Options(weights=str(folder / "pytorch_model.bin"))):
        with pytest.raises(WeightsError, match=r"pytorch_model\.bin.*convert other weights where you trust them") as caught:
            load(str(folder), options)
        assert "\n" not in str(caught.value)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError, match="has no weights; give model"):
        load(str(folder), Options())


def test_weights_of_another_model_say_what_differs(folder, tmp_path):
    texts.write(tmp_path / "wide", "bert", hidden_size=32)
    with pytest.raises(WeightsError, match=r"does not fit BertModel(.|\n)*of another shape"):
        load(str(folder), Options(weights=str(tmp_path / "wide")))
    texts.write(tmp_path / "gpt", "gpt2")
    with pytest.raises(WeightsError, match=r"weights of another network(.|\n)*missing(.|\n)*unexpected"):
        load(str(folder), Options(weights=str(tmp_path / "gpt")))


def test_unknown_families_and_damaged_files(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(OptionError, match=r"of the family 'bart', which graft cannot take apart.*bert"):
        load(str(folder), Options())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 5}))
    with pytest.raises(WeightsError, match="transformers cannot build this bert model"):
        load(str(folder), Options())
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        load(str(folder), Options())
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        load(str(folder), Options())


def test_a_missing_or_foreign_tokenizer_is_named(folder, tmp_path):
    kept = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"has no tokenizer \(tokenizer\.json, or vocab\.txt, or vocab\.json with merges\.txt\)"):
        load(str(folder), Options())
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"vocab\.json without merges\.txt"):
        load(str(folder), Options())
    held = json.loads(kept)
    held["model"]["vocab"]["more"] = 24
    (folder / "tokenizer.json").write_text(json.dumps(held))
    with pytest.raises(WeightsError, match="numbers more tokens than the model has"):
        load(str(folder), Options())
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(WeightsError, match="damaged"):
        load(str(folder), Options())


def test_a_tokenizer_is_made_of_a_vocabulary(folder):
    """WordPiece from vocab.txt, as BERT's first releases have it."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join([*texts.SPECIAL, *texts.WORDS[:-1], "##s"]))
    prepare = load(str(folder), Options()).prepare
    from tokenizers import Tokenizer

    found = Tokenizer.from_str(prepare.tokenizer)
    assert found.encode("The cats sat").tokens == ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
    assert (prepare.pad, prepare.mask) == (0, 4)


def test_a_tokenizer_is_made_of_pairs_of_bytes(tmp_path):
    """BPE from vocab.json and merges.txt, as GPT-2's first releases have it."""
    texts.write(tmp_path / "g", "gpt2", vocab_size=12, eos_token_id=0, special=["<|endoftext|>"])
    folder = tmp_path / "g"
    (folder / "tokenizer.json").unlink()
    vocabulary = ["<|endoftext|>", "c", "a", "t", "s", "Ġ", "at", "cat", "Ġcat", "o"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\na t\nc at\nĠ cat\n")
    prepare = load(str(folder), Options()).prepare
    from tokenizers import Tokenizer

    assert Tokenizer.from_str(prepare.tokenizer).encode("cat cats").tokens == ["cat", "Ġcat", "s"]
    assert prepare.pad == 0


def test_names_that_cannot_be():
    with pytest.raises(WeightsError, match=r"There is no folder \./nowhere"):
        load("./nowhere", Options())
    with pytest.raises(OptionError, match="yes, no, fit-only"):
        load("bert-base-uncased", Options(fetch="perhaps"))


@pytest.mark.parametrize("fetch", ["no", "yes", "fit-only"])
def test_without_a_network_one_sentence_says_what_to_do(fetch, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="give the folder of a model, or use --backbone minilm") as caught:
        load("transformers:distilbert-base-uncased", Options(fetch=fetch))
    assert "\n" not in str(caught.value)


def test_a_model_in_the_local_cache_is_used_offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    held = tmp_path / "models--someone--tiny"
    texts.write(held / "snapshots" / commit, "distilbert")
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text(commit)
    body = load("transformers:someone/tiny", Options(fetch="no"))
    assert (body.origin.name, body.origin.weights) == ("someone/tiny", "hub:someone/tiny")
    (held / "snapshots" / commit / "model.safetensors").unlink()
    assert load("someone/tiny", Options("none", "no")).origin.weights == "random"
    with pytest.raises(WeightsError, match="not in the local cache and fetching is off"):
        load("someone/tiny", Options(fetch="no"))
