"""Tiny models of texts, one of each family, with a tokenizer made of a few words."""

import json

import torch
from safetensors.torch import save_file

WORDS = [
    "the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "rug", "quickly", "slowly", "and", "not", "good", "bad", "it", "was",
    "is",
]  # fmt: skip
SIZE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 40}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROUND = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

CONFIGS = {
    "bert": SIZE | {"pad_token_id": 0},
    "distilbert": {
        "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 40, "pad_token_id": 0,
    },
    "roberta": SIZE | {"pad_token_id": 1, "max_position_embeddings": 42, "type_vocab_size": 1},
    "electra": SIZE | {"embedding_size": 8, "pad_token_id": 0},
    "deberta": SIZE | {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": -1, "position_biased_input": False,
        "type_vocab_size": 0, "pad_token_id": 0,
    },
    "deberta-v2": SIZE | {
        "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 4, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "position_biased_input": False, "conv_kernel_size": 3, "conv_act": "gelu", "type_vocab_size": 0,
        "pad_token_id": 0,
    },
    "modernbert": SIZE | {"local_attention": 4, "global_attn_every_n_layers": 2, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
    "gpt2": {
        "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40, "bos_token_id": 0, "eos_token_id": 0,
    },
}  # fmt: skip

ALIKE = {"xlm-roberta": "roberta", "camembert": "roberta"}
"""Families that are another under a name of their own."""


def tokenizer(special=SPECIAL):
    """Words to numbers; [CLS] text [SEP], and pairs with types, where there are such tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    unknown = next((name for name in ("[UNK]", "<unk>") if name in special), special[0])
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(special)
    first, last = ("[CLS]", "[SEP]") if "[CLS]" in special else ("<s>", "</s>")
    if first in special:
        ends = [(first, vocabulary[first]), (last, vocabulary[last])]
        made.post_processor = processors.TemplateProcessing(f"{first} $A {last}", f"{first} $A {last} $B:1 {last}:1", ends)
    return made


def write(folder, kind, seed=3, headed=True, special=None, **changed):
    """A folder as transformers writes it, with weights that are far from zero; the model that is in it, with its head."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    like = ALIKE.get(kind, kind)
    special = special or {"roberta": ROUND, "gpt2": ["<|endoftext|>"]}.get(like, SPECIAL)
    config = AutoConfig.for_model(kind, **{**CONFIGS[like], "vocab_size": len(special) + len(WORDS), **changed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (AutoModelForCausalLM if kind == "gpt2" else AutoModelForMaskedLM).from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config.to_json_string())
    tokens = tokenizer(special)
    tokens.enable_truncation(5)
    tokens.enable_padding(length=5)
    tokens.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "mask_token": "[MASK]"} if special is SPECIAL else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | {"model_max_length": 10**30}))
    kept = model if headed else getattr(model, model.base_model_prefix)
    tied = {name for name in kept.state_dict() if name.endswith(("decoder.weight", "lm_head.weight", "vocab_projector.weight"))}
    save_file({name: value.clone() for name, value in kept.state_dict().items() if name not in tied}, folder / "model.safetensors")
    return model


def state(lengths, cells, count, seed=0, pad=0):
    """Random tokens of `count` kinds, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(cells) < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, count, (len(lengths), cells), generator=generator)
    return {"ids": ids.masked_fill(~mask, pad), "mask": mask}
