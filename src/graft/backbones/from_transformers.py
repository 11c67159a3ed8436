"""Transformers of texts as ordered stages: from a local folder or the hub, with their tokenizer."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..core import Backbone, Origin, TextPrepare
from ..errors import OptionError, WeightsError, nearest
from . import families, weights
from .dropout import quicker
from .ending import upto
from .families import FAMILIES, Family

_RANDOM = ("none", "random")
_FETCH = ("yes", "no", "fit-only")
_REPAIR = "give the folder of a model, or use --backbone minilm, which needs no download"
_DESCRIPTION = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentence_bert_config.json", "1_Pooling/config.json", "README.md",
)  # fmt: skip
_TENSORS = ("model*.safetensors", "model.safetensors.index.json")
_LEAST, _USUAL = 8, 512
# Of one machine, of another task's head, or what would change how the layers are called.
_LEFT_OUT = (
    "_name_or_path", "architectures", "attn_implementation", "_attn_implementation", "auto_map", "add_cross_attention", "dtype",
    "finetuning_task", "gradient_checkpointing", "id2label", "is_decoder", "is_encoder_decoder", "label2id", "num_labels",
    "output_attentions", "output_hidden_states", "problem_type", "quantization_config", "return_dict", "task_specific_params",
    "torch_dtype", "transformers_version", "use_cache",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """weights: a safetensors file or a folder with such files, "hub", or "none" for random weights; by default those of the model.
    fetch: "yes", "no", or "fit-only" (a fit may fetch, later steps may not); "no" leaves the local cache. length: most tokens of a text,
    special ones included; by default what the model was trained for, at most 512, because time grows with the square.
    until: the last stage that is kept, by its name or number, for a smaller body ("layer3"); by default all.
    """

    weights: str | None = None
    fetch: str = "yes"
    length: int | None = None
    until: str | int | None = None


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """The model `name`: a folder with config.json, model.safetensors and a tokenizer, or a name of the hub ("roberta-base",
    "org/name", "transformers:roberta-base"); without its head.

    seed: for random weights. Raises OptionError (unknown family, impossible length) and WeightsError (nothing there, no network,
    no tokenizer, damaged, of another model, or weights that would need unpickling, which graft never does).
    """
    name = name.removeprefix("transformers:")
    if options.fetch not in _FETCH:
        raise OptionError(f"fetch is '{options.fetch}', but it can be {', '.join(_FETCH)}.")
    own = options.weights in (None, "hub")
    folder, source = _place(name, options.fetch != "no", own)
    kind, config = configuration(folder)
    prepare = prepared(folder, config, FAMILIES[kind], options.length)
    model = create(kind, config, seed if options.weights in _RANDOM else None)
    held: dict = {}
    origin = Origin(_short(name, folder), f"transformers:{kind}", "random", {}, "", "Apache-2.0", "nothing")
    if options.weights not in _RANDOM:
        path = folder if own else Path(options.weights).expanduser()
        held, sha256 = fill(model, FAMILIES[kind], path)
        licence, trained_on = _credits(folder) if own else ("unknown", "unknown")
        source = source if own else f"file:{path.name}"
        origin = replace(origin, weights=source, sha256=sha256, licence=licence, trained_on=trained_on)
    pool = _pool(folder)
    whole = assemble(model, FAMILIES[kind], origin, prepare, pool or FAMILIES[kind].pool, held, seed)
    return upto(replace(whole, compares=pool is not None), options.until)


def rebuild(build: dict, prepare: TextPrepare, seed: int = 0) -> Backbone:
    """The stages that `assemble` described in `build`, with random weights of `seed`. Raises WeightsError where this version of
    transformers has no such model."""
    config = dict(build["config"])
    kind = config.pop("model_type")
    if kind not in FAMILIES:
        raise WeightsError(f"The model's body is of the family '{kind}', which this version of graft does not know; install the newest.")
    model, origin = create(kind, config, seed), Origin(kind, f"transformers:{kind}", "random")
    return assemble(model, FAMILIES[kind], origin, prepare, FAMILIES[kind].pool, {}, seed)


def assemble(
    model: nn.Module, family: Family, origin: Origin, prepare: TextPrepare, pool: str, held: dict | None = None, seed: int = 0
) -> Backbone:
    """A model of transformers cut into stages. held: published tensors of the head that names tokens."""
    words, stages = model.get_input_embeddings(), families.cut(model, family)
    config = json.loads(model.config.to_json_string(use_diff=False))
    build = {"config": {key: value for key, value in config.items() if key not in _LEFT_OUT}, "length": prepare.length}
    count = len(stages)
    for stage in stages:
        quicker(stage)
    return Backbone(
        stages=nn.ModuleList(stages).eval(),
        names=("embeddings", *(f"layer{i}" for i in range(1, count))),
        widths=(model.config.hidden_size,) * count,
        strides=(0,) * count,
        forms=("text",) * count,
        prepare=prepare,
        origin=replace(origin, build=build),
        pool=pool,
        language_head=families.language_head(model.config, family, words, held or {}, seed),
        causal=family.causal,
    )


def create(kind: str, config: dict, seed: int | None) -> nn.Module:
    """The model without heads, in eval mode, with random weights drawn from `seed`; None leaves them undefined, to be filled.
    Raises OptionError where transformers is not installed, WeightsError where it cannot build it."""
    try:
        from transformers import AutoConfig, AutoModel
        from transformers.initialization import no_init_weights
    except ImportError as error:
        raise OptionError("Transformers of texts need the package transformers; install it with: pip install 'graft[text]'.") from error
    family = FAMILIES[kind]
    how = {"dtype": torch.float32, "attn_implementation": "sdpa" if family.fused else "eager"}
    how |= {"add_pooling_layer": False} if family.pooler else {}
    try:
        given = {key: value for key, value in config.items() if key not in (*_LEFT_OUT, "model_type")}
        made = AutoConfig.for_model(kind, **{**given, family.attention_dropout: 0.0})
        if seed is None:
            with no_init_weights():
                return AutoModel.from_config(made, **how).eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return AutoModel.from_config(made, **how).eval()
    except Exception as error:  # a damaged configuration fails in any way
        raise WeightsError(
            f"transformers cannot build this {kind} model ({error}); check its config.json, or install another version."
        ) from error


def fill(model: nn.Module, family: Family, path: Path) -> tuple[dict, str]:
    """Copies a checkpoint into a model, whatever heads it holds; what it holds of the head that names tokens, and the SHA-256.
    Raises WeightsError."""
    if path.is_dir():
        tensors, sha256 = weights.read_folder(path)
    elif path.suffix.lower() not in (".safetensors", ""):
        raise WeightsError(f"{path} is not a safetensors file; {weights.SAFE}.")
    else:
        tensors, sha256 = weights.read_file(path)
    # The names that the first releases of BERT had, and masks that are computed now.
    old = {".gamma": ".weight", ".beta": ".bias"}
    tensors = {re.sub(r"\.(gamma|beta)$", lambda found: old[found[0]], name): value for name, value in tensors.items()}
    derived = r"(position_ids|inv_freq|h\.\d+\.attn\.(masked_)?bias)$"
    tensors = {name: value for name, value in tensors.items() if not re.search(derived, name)}
    wanted = model.state_dict()
    body = {name.removeprefix(family.prefix): value for name, value in tensors.items()}
    # Positions that the model does not use: DeBERTa's checkpoints hold them.
    body = {name: value for name, value in body.items() if name in wanted or not name.startswith("embeddings.position_embeddings")}
    weights.fit(model, body, families.HEADS, source=path.name)
    return families.published(tensors, family, getattr(model.config, "tie_word_embeddings", True)), sha256


def configuration(folder: Path) -> tuple[str, dict]:
    """The family and the options in config.json. Raises OptionError for a family that is not known, WeightsError."""
    config = _json(folder / "config.json", needed=True)
    kind = str(config.get("model_type", ""))
    if kind not in FAMILIES:
        what = f"of the family '{kind}'" if kind else "of no named family"
        raise OptionError(f"{folder.name} is a model {what}, which graft cannot take apart into layers.{nearest(kind, list(FAMILIES))}")
    return kind, config


def prepared(folder: Path, config: dict, family: Family, length: int | None) -> TextPrepare:
    """The model's tokenizer, with the length that the user asked for or the model's own. Raises OptionError for a length that the
    model has no positions for, WeightsError where there is no tokenizer."""
    held = _tokenizer(folder)
    vocabulary = _vocabulary(held)
    if config.get("vocab_size") and max(vocabulary.values(), default=0) >= config["vocab_size"]:
        raise WeightsError(f"The tokenizer in {folder} numbers more tokens than the model has; give the tokenizer that belongs to it.")
    named = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
    pad = _special("pad", named, vocabulary, ("[PAD]", "<pad>"))
    for key in ("pad_token_id", "eos_token_id"):
        pad = config[key] if pad is None and isinstance(config.get(key), int) else pad
    if pad is None:
        pad = _special("eos", named, vocabulary, ("<|endoftext|>", "</s>", "[SEP]"))
    mask = None if family.causal else _special("mask", named, vocabulary, ("[MASK]", "<mask>"))
    if length is not None:
        check_length(length, config)
    length = length or _length(folder, config, family, named)
    return TextPrepare(json.dumps(held, ensure_ascii=False), length, pad or 0, mask)


def check_length(length: int, config: dict) -> None:
    """Raises OptionError for a length that is too short to say anything, or longer than the model has positions for."""
    most = _positions(config, FAMILIES[config["model_type"]])
    if not _LEAST <= length <= most:
        raise OptionError(f"length is {length}, but this body reads from {_LEAST} to {most} tokens; choose a length in between.")


def _positions(config: dict, family: Family) -> int:
    """The longest text, in tokens, that the model has positions for."""
    return int(config.get("max_position_embeddings") or config.get("n_positions") or _USUAL) - family.before


def _length(folder: Path, config: dict, family: Family, named: dict) -> int:
    """What the model was trained for, as far as its files tell."""
    most = _positions(config, family)
    own = (_json(folder / "sentence_bert_config.json").get("max_seq_length"), named.get("model_max_length"))
    sane = next((int(one) for one in own if isinstance(one, int | float) and _LEAST <= one < 1e6), most)
    return min(sane, most, _USUAL)


def _place(name: str, fetch: bool, own: bool) -> tuple[Path, str]:
    """The model's folder, and how its weights are called. own: whether the model's own weights are wanted too."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path, f"file:{path.resolve().name}"
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        raise WeightsError(f"There is no folder {name}; {_REPAIR}.")
    needed = ("config.json", "tokenizer.json|vocab.txt|vocab.json", *(("model*.safetensors",) if own else ()))
    patterns = _DESCRIPTION + (_TENSORS if own else ())
    return weights.hub_files(name, patterns, needed, fetch, name, _REPAIR), f"hub:{name}"


def _short(name: str, folder: Path) -> str:
    return folder.resolve().name if Path(name).expanduser().is_dir() else name


def _json(file: Path, needed: bool = False) -> dict:
    """The content of a file of JSON, {} where there is none and it is not needed. Raises WeightsError."""
    if not file.is_file() and not needed:
        return {}
    if not file.is_file():
        raise WeightsError(f"{file.parent} has no {file.name}; {_REPAIR}.")
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} is damaged; fetch or copy it again.") from error
    if not isinstance(held, dict):
        raise WeightsError(f"{file} is damaged; fetch or copy it again.")
    return held


def _tokenizer(folder: Path) -> dict:
    """The description of a tokenizer, which neither cuts nor pads by itself. Raises WeightsError."""
    if (folder / "tokenizer.json").is_file():
        held = _json(folder / "tokenizer.json")
        if not isinstance(held.get("model"), dict):
            raise WeightsError(f"{folder / 'tokenizer.json'} is damaged; fetch or copy it again.")
    elif (folder / "vocab.txt").is_file() or ((folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()):
        from transformers import AutoTokenizer

        try:
            held = json.loads(AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str())
        except Exception as error:  # a damaged vocabulary fails in any way
            raise WeightsError(f"The vocabulary in {folder} is damaged; fetch or copy it again.") from error
    elif (folder / "vocab.json").is_file():
        raise WeightsError(f"{folder} has vocab.json without merges.txt; fetch or copy merges.txt too.")
    else:
        raise WeightsError(
            f"{folder} has no tokenizer (tokenizer.json, or vocab.txt, or vocab.json with merges.txt); copy it from the model's page."
        )
    return held | {"truncation": None, "padding": None}


def _vocabulary(held: dict) -> dict[str, int]:
    """Every token's number."""
    known = held["model"].get("vocab", {})
    known = dict(known) if isinstance(known, dict) else {entry[0]: number for number, entry in enumerate(known)}
    return known | {one["content"]: one["id"] for one in held.get("added_tokens") or []}


def _special(which: str, named: dict, vocabulary: dict[str, int], usual: tuple[str, ...]) -> int | None:
    """The number of the special token that the model's files name, or of the first usual name that is there."""
    said = named.get(f"{which}_token")
    said = said.get("content") if isinstance(said, dict) else said
    return next((vocabulary[name] for name in (said, *usual) if name in vocabulary), None)


def _pool(folder: Path) -> str | None:
    """The pooling that a body of sentences was trained with."""
    told = _json(folder / "1_Pooling" / "config.json")
    modes = {"mean_tokens": "avg", "cls_token": "cls", "max_tokens": "max", "lasttoken": "last"}
    short = {"mean": "avg", "cls": "cls", "max": "max", "lasttoken": "last"}
    found = next((pool for mode, pool in modes.items() if told.get(f"pooling_mode_{mode}")), None)
    return found or short.get(str(told.get("pooling_mode")))


def _credits(folder: Path) -> tuple[str, str]:
    """Licence and data, as far as the front matter of the README tells."""
    file = folder / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    front = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    licence = re.search(r"^license:\s*([\w.+-]+)\s*$", front, re.MULTILINE)
    listed = re.search(r"^datasets:[ \t]*\n((?:[ \t]*-[ \t]*.+\n?)+)", front, re.MULTILINE)
    names = re.findall(r"-[ \t]+(\S+)", listed[1]) if listed else []
    return licence[1] if licence else "unknown", ", ".join(names[:12]) or "unknown"
