"""Transformers of texts as ordered stages: what each family of the transformers library has in common with the others, and what not.

The layers are the library's own; here they are only called in order, with the mask that each family wants. Padding has to stand
behind a text.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core import State


class Embeddings(nn.Module):
    """Stage 0: {"ids": int64 [n, l], "mask": bool [n, l], "types": int64 [n, l] where there are two texts} -> {"x": [n, l, c], "mask"}
    and every other key. Types are left out where the body knows only one."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.body = model.embeddings
        self.project = getattr(model, "embeddings_project", None) or nn.Identity()
        table = getattr(self.body, "token_type_embeddings", None)
        self.types = table is not None and table.num_embeddings > 1

    def forward(self, state: State) -> State:
        kept = {key: value for key, value in state.items() if key not in ("ids", "types")}
        types = {"token_type_ids": state["types"]} if self.types and "types" in state else {}
        return {**kept, "x": self.project(self.embed(state["ids"], state["mask"], types))}

    def embed(self, ids: Tensor, mask: Tensor, types: dict[str, Tensor]) -> Tensor:
        return self.body(input_ids=ids, **types)


class CountedEmbeddings(Embeddings):
    """Positions are counted over the real tokens and begin behind the number of padding (RoBERTa)."""

    def embed(self, ids: Tensor, mask: Tensor, types: dict[str, Tensor]) -> Tensor:
        return self.body(input_ids=ids, position_ids=mask.long().cumsum(1) * mask + self.body.padding_idx, **types)


class HiddenEmbeddings(Embeddings):
    """Padding is zero already here (DeBERTa), where a convolution may look at it."""

    def embed(self, ids: Tensor, mask: Tensor, types: dict[str, Tensor]) -> Tensor:
        return self.body(input_ids=ids, mask=mask, **types)


class GptEmbeddings(nn.Module):
    """Stage 0 of GPT-2: a token's and its position's embedding."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.wte, self.wpe, self.drop = model.wte, model.wpe, model.drop

    def forward(self, state: State) -> State:
        kept = {key: value for key, value in state.items() if key not in ("ids", "types")}
        ids = state["ids"]
        return {**kept, "x": self.drop(self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device)))}


class Layer(nn.Module):
    """A later stage: "x" [n, l, c] -> "x", each token from all real ones; then, in the last stage, what follows the layers."""

    def __init__(self, model: nn.Module, layer: nn.Module, last: nn.Module | None):
        super().__init__()
        self.body, self.last = layer, last or nn.Identity()

    def forward(self, state: State) -> State:
        x = self.run(state["x"], state["mask"])
        return {**state, "x": self.last(x[0] if isinstance(x, tuple) else x)}

    def run(self, x: Tensor, mask: Tensor) -> Tensor | tuple:
        return self.body(x, mask[:, None, None, :])


class CausalLayer(Layer):
    """Each token from itself and those before it (GPT-2): padding stands behind, so nothing else has to be hidden."""

    def run(self, x: Tensor, mask: Tensor) -> Tensor | tuple:
        return self.body(x)


class RotaryLayer(Layer):
    """Positions turn queries and keys, and most layers see only the tokens nearby (ModernBERT)."""

    def __init__(self, model: nn.Module, layer: nn.Module, last: nn.Module | None):
        super().__init__(model, layer, last)
        self.rotary = copy.deepcopy(model.rotary_emb)  # tables without parameters
        self.window = model.config.sliding_window if layer.attention_type == "sliding_attention" else None

    def run(self, x: Tensor, mask: Tensor) -> Tensor | tuple:
        where = torch.arange(x.shape[1], device=x.device)
        seen = mask[:, None, None, :]
        if self.window is not None:
            apart = (where[:, None] - where).abs()
            # Itself too, or padding far from every token would see nothing, and nothing has no average.
            seen = (seen & (apart <= self.window)) | (apart == 0)
        turned = self.rotary(x, where[None], self.body.attention_type)
        return self.body(x, attention_mask=seen, position_embeddings=turned)


class RelativeLayer(Layer):
    """Attention that also weighs how far apart two tokens are (DeBERTa). The embeddings of distances, which the published network
    shares between its layers, are copied into each: a stage that is frozen must not change with those above it."""

    def __init__(self, model: nn.Module, layer: nn.Module, last: nn.Module | None):
        super().__init__(model, layer, last)
        encoder = model.encoder
        first = layer is encoder.layer[0]
        self.distances = copy.deepcopy(encoder.rel_embeddings) if encoder.relative_attention else None
        self.norm = copy.deepcopy(getattr(encoder, "LayerNorm", None)) if self.distances is not None else None
        self.conv = getattr(encoder, "conv", None) if first else None
        self.counts = not hasattr(encoder, "norm_rel_ebd")  # version 2 finds out the distances by itself

    def run(self, x: Tensor, mask: Tensor) -> Tensor | tuple:
        table = None if self.distances is None else self.distances.weight
        if self.norm is not None:
            table = self.norm(table)
        where = torch.arange(x.shape[1], device=x.device)
        apart = (where[:, None] - where)[None] if self.counts and table is not None else None
        out = self.body(x, mask[:, None, None, :], relative_pos=apart, rel_embeddings=table)[0]
        return out if self.conv is None else self.conv(x, out, mask.long())


@dataclass(frozen=True)
class Family:
    """layers: where the model keeps its layers; last: what follows them, "" for nothing. embeddings, layer: the stages. prefix: of
    the published names, from models with heads. dense, norm, bias: published names of the head that names masked tokens, each with
    alternatives; activation: the option of the configuration that says its activation, or "=gelu". before: positions that no token
    has. pooler: whether the library would add one. fused: whether it has fused attention. pool: how features are pooled. causal: whether
    a token sees only those before it. attention_dropout: the option of the configuration for dropping attention weights, which graft
    turns off: fused attention has none on a CPU, and takes half the time; the dropout of features stays."""

    layers: str
    prefix: str
    embeddings: type[nn.Module] = Embeddings
    layer: type[Layer] = Layer
    last: str = ""
    dense: tuple[str, ...] = ("cls.predictions.transform.dense",)
    norm: tuple[str, ...] = ("cls.predictions.transform.LayerNorm",)
    bias: tuple[str, ...] = ("cls.predictions.bias", "cls.predictions.decoder.bias")
    activation: str = "hidden_act"
    before: int = 0
    pooler: bool = False
    fused: bool = True
    pool: str = "avg"
    causal: bool = False
    attention_dropout: str = "attention_probs_dropout_prob"


_ROBERTA = Family(
    "encoder.layer", "roberta.", CountedEmbeddings, dense=("lm_head.dense",), norm=("lm_head.layer_norm",),
    bias=("lm_head.bias", "lm_head.decoder.bias"), activation="=gelu", before=2, pooler=True,
)  # fmt: skip
_DEBERTA = Family(
    "encoder.layer", "deberta.", HiddenEmbeddings, RelativeLayer, fused=False,
    dense=("cls.predictions.transform.dense", "lm_predictions.lm_head.dense"),
    norm=("cls.predictions.transform.LayerNorm", "lm_predictions.lm_head.LayerNorm"),
    bias=("cls.predictions.bias", "lm_predictions.lm_head.bias"),
)  # fmt: skip

FAMILIES = {
    "bert": Family("encoder.layer", "bert.", pooler=True),
    "distilbert": Family(
        "transformer.layer", "distilbert.", dense=("vocab_transform",), norm=("vocab_layer_norm",), bias=("vocab_projector.bias",),
        activation="activation", attention_dropout="attention_dropout",
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Family(
        "encoder.layer", "electra.", dense=("generator_predictions.dense",), norm=("generator_predictions.LayerNorm",),
        bias=("generator_lm_head.bias",), activation="=gelu",
    ),
    "deberta": _DEBERTA,
    "deberta-v2": _DEBERTA,
    "modernbert": Family(
        "layers", "model.", layer=RotaryLayer, last="final_norm", dense=("head.dense",), norm=("head.norm",), bias=("decoder.bias",),
        activation="classifier_activation", attention_dropout="attention_dropout",
    ),
    "gpt2": Family(
        "h", "transformer.", GptEmbeddings, CausalLayer, "ln_f", dense=(), norm=(), bias=(), pool="last", causal=True,
        attention_dropout="attn_pdrop",
    ),
}  # fmt: skip
HEADS = (
    "cls", "lm_head", "pooler", "classifier", "pre_classifier", "qa_outputs", "score", "head", "decoder", "lm_predictions",
    "mask_predictions", "generator_predictions", "generator_lm_head", "discriminator_predictions", "vocab_transform", "vocab_layer_norm",
    "vocab_projector", "multiple_choice_head", "sequence_summary", "summary",
)  # fmt: skip


def cut(model: nn.Module, family: Family) -> list[nn.Module]:
    """The stages of a model without heads: its embeddings, then one a layer."""
    layers = list(model.get_submodule(family.layers))
    last = model.get_submodule(family.last) if family.last else None
    return [
        family.embeddings(model),
        *(family.layer(model, layer, last if number == len(layers) else None) for number, layer in enumerate(layers, 1)),
    ]


class LanguageHead(nn.Module):
    """[n, l, c] -> [n, l, vocabulary]: a transform where the family has one, then a product with each token's embedding."""

    def __init__(self, dense: nn.Module, activation: nn.Module, norm: nn.Module, decoder: nn.Linear):
        super().__init__()
        self.dense, self.activation, self.norm, self.decoder = dense, activation, norm, decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.norm(self.activation(self.dense(x))))


def published(tensors: dict[str, Tensor], family: Family, tied: bool) -> dict[str, Tensor]:
    """The part of a checkpoint that names tokens, under the names of LanguageHead; of what is tied, the embedding stands for it."""
    found = {}
    for part, names in (("dense", family.dense), ("norm", family.norm)):
        for kind in ("weight", "bias"):
            found[f"{part}.{kind}"] = next((tensors[f"{name}.{kind}"] for name in names if f"{name}.{kind}" in tensors), None)
    found["decoder.bias"] = next((tensors[name] for name in family.bias if name in tensors), None)
    if not tied:
        names = ("lm_head.weight", "lm_head.decoder.weight", "cls.predictions.decoder.weight", "decoder.weight", "generator_lm_head.weight")
        found["decoder.weight"] = next((tensors[name] for name in (*names, "vocab_projector.weight") if name in tensors), None)
    return {name: value.clone() for name, value in found.items() if value is not None}


def language_head(config: object, family: Family, words: nn.Embedding, held: dict[str, Tensor], seed: int) -> Callable[[], nn.Module]:
    """What builds a LanguageHead with a copy of the embeddings `words` as they are then, and the published tensors `held`; what is
    missing is drawn from `seed`, as the body's own weights would be."""

    def build() -> nn.Module:
        from transformers.activations import ACT2FN

        count, narrow = words.weight.shape
        wide = config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder = nn.Linear(narrow, count, bias=bool(family.bias) and getattr(config, "decoder_bias", True))
            if not family.dense:
                head = LanguageHead(nn.Identity(), nn.Identity(), nn.Identity(), decoder)
            else:
                named = family.activation.removeprefix("=") if family.activation[0] == "=" else getattr(config, family.activation)
                epsilon = getattr(config, "layer_norm_eps", None) or getattr(config, "norm_eps", None) or 1e-12
                dense = nn.Linear(wide, narrow, bias=getattr(config, "classifier_bias", True))
                nn.init.normal_(dense.weight, std=config.initializer_range)
                norm = nn.LayerNorm(narrow, eps=epsilon, bias=getattr(config, "norm_bias", True))
                head = LanguageHead(dense, ACT2FN[named], norm, decoder)
                if dense.bias is not None:
                    nn.init.zeros_(dense.bias)
        with torch.no_grad():
            decoder.weight.copy_(words.weight)
            if decoder.bias is not None:
                decoder.bias.zero_()
            for name, value in head.state_dict().items():
                if name in held and held[name].shape == value.shape:
                    value.copy_(held[name])
        return head

    return build
