"""Reads weights from a file without ever unpickling, and fits them to a network or says in a few lines what differs."""

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError

_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "weights",
)
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.", "encoder.", "net.", "network.", "trunk.", "base_model.")
_DERIVED = ("num_batches_tracked", "relative_position_index", "attn_mask", "total_ops", "total_params")
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
CLASSIFIERS = ("classifier", "fc", "head", "head_dist", "head.fc", "last_linear", "AuxLogits", "aux_head", "aux")


def digest(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a weights file by name, and the file's SHA-256.

    .safetensors, or .pth / .pt / .bin read with `weights_only`. A state dict wrapped in "state_dict", "model",
    "model_ema", "module" or "net" is unwrapped, and a prefix that every name shares ("module.", "model.", ...) removed.
    Raises WeightsError: the file is missing, damaged, of another kind, holds no tensors, or would need unpickling.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; give the path of a .safetensors or .pth file.")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        tensors = _read_safetensors(path)
    elif suffix in (".pth", ".pt", ".bin", ".ckpt", ".tar"):
        tensors = _unwrapped(_read_torch(path))
    else:
        raise WeightsError(f"{path} is not a kind of weights file that graft reads; convert it to .safetensors.")
    tensors = _without_prefix(tensors)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; give the file of a model's state dict.")
    return tensors, digest(path)


def read_folder(folder: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a model's folder under their own names, and a SHA-256: model.safetensors, or the parts that its index names.

    The hash of several parts is that of their hashes, in the parts' order of name. Raises WeightsError: there is no safetensors
    file (nothing else is read, because it would be unpickled), a part is missing, or a file is damaged.
    """
    files = _parts(folder)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise WeightsError(f"{folder} lacks {missing.name}, a part of its weights; fetch or copy it again.")
    if not files:
        other = next((file.name for kind in ("*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack") for file in sorted(folder.glob(kind))), None)
        what = f"{other}, which graft does not read because it may run code" if other else "no weights"
        raise WeightsError(f"{folder} has {what}; {SAFE}.")
    tensors = {name: value for file in files for name, value in _read_safetensors(file).items()}
    digests = [digest(file) for file in files]
    return tensors, digests[0] if len(files) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _parts(folder: Path) -> list[Path]:
    """The safetensors files that make up a model, whether they are there or not. Raises WeightsError."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file() or not index.is_file():
        return [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / Path(name).name for name in sorted(named)]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(f"{index} is damaged; fetch or copy it again.") from error


def read_file(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of one safetensors file under their own names, and its SHA-256. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; give the path of a .safetensors file.")
    return _read_safetensors(path), digest(path)


SAFE = "give model.safetensors: convert other weights where you trust them, with save_file of the package safetensors"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is damaged or is not a safetensors file; fetch or copy it again.") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in as many ways as a file can be damaged
        if "TorchScript" in str(error) or re.search(r"[Uu]nsupported (global|class|operand)|GLOBAL|was not an allowed", str(error)):
            raise WeightsError(f"{path} {_PICKLE}") from error
        raise WeightsError(f"{path} is damaged or is not a weights file; fetch or copy it again.") from error


_PICKLE = "needs unpickling, which graft never does; convert it to safetensors where you trust it."


def _unwrapped(loaded: object) -> dict[str, Tensor]:
    if not isinstance(loaded, dict):
        return {}
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    for key in _WRAPPERS:
        inner = _unwrapped(loaded.get(key)) if isinstance(loaded.get(key), dict) else {}
        if len(inner) > len(tensors):
            return inner
    return tensors


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors


def own_filter(model: nn.Module) -> Callable[[dict, nn.Module], dict] | None:
    """timm's converter from other libraries' file formats and image sizes for this network, where it has one."""
    module = sys.modules[type(model).__module__]
    found = next((getattr(module, name) for name in _FILTERS if hasattr(module, name)), None)
    if found is None:
        return None
    many = len(inspect.signature(found).parameters) > 1
    return found if many else lambda tensors, _model: found(tensors)


def fit(model: nn.Module, tensors: dict[str, Tensor], drop: tuple[str, ...] = CLASSIFIERS, source: str = "The file") -> None:
    """Copies tensors into a network by name, in the network's own precision.

    drop: prefixes of classifiers, left out where the network has no tensor of that name, so that the head's size never
    has to match. Raises WeightsError with three lines of what differs, and leaves the network as it was.
    """
    wanted = model.state_dict()
    tensors = _renamed(tensors, wanted)
    own = own_filter(model)
    if own is not None and _matching(tensors, wanted) < len(wanted):
        try:
            converted = own(dict(tensors), model)
        except Exception:  # a converter for another format fails in its own ways; the plain names then have to do
            converted = {}
        if _matching(converted, wanted) > _matching(tensors, wanted):
            tensors = converted
    tensors = {name: value for name, value in tensors.items() if name in wanted or not _left_out(name, drop)}
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in wanted]
    shapes = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or unexpected or shapes:
        network = (getattr(model, "pretrained_cfg", None) or {}).get("architecture", type(model).__name__)
        raise WeightsError(_difference(source, network, wanted, tensors, missing, unexpected, shapes))
    bad = next((name for name in wanted if name in tensors and not _finite(tensors[name])), None)
    if bad is not None:
        raise WeightsError(f"{source} has values that are not finite, first in '{bad}'; use another copy of the weights.")
    with torch.no_grad():
        for name, value in wanted.items():
            if name in tensors:
                value.copy_(tensors[name])


def linear_head(tensors: dict[str, Tensor], width: int) -> tuple[Tensor, Tensor] | None:
    """(weight [classes, width], bias [classes]) of the only linear classifier among a file's tensors, or None."""
    for prefix in (*CLASSIFIERS, "classifier.1"):
        weight, bias = tensors.get(f"{prefix}.weight"), tensors.get(f"{prefix}.bias")
        if weight is not None and bias is not None and weight.ndim == 2 and weight.shape[1] == width:
            return weight.float(), bias.float()
    return None


def _finite(values: Tensor) -> bool:
    """A sum is cheap, and whatever is not finite shows in it; one that overflows is looked into."""
    return bool(torch.isfinite(values.sum(dtype=torch.float32))) or bool(torch.isfinite(values).all())


def _left_out(name: str, drop: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{prefix}." for prefix in drop)) or name.endswith(_DERIVED)


def _matching(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> int:
    return sum(name in tensors and tensors[name].shape == value.shape for name, value in wanted.items())


def _renamed(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a larger model (a detector, a two-tower model) whose names fit once a known prefix is removed."""
    best = tensors
    for prefix in _PREFIXES:
        part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if part and _matching(part, wanted) > _matching(best, wanted):
            best = _renamed(part, wanted)
    return best


def _difference(
    source: str, network: str, wanted: dict, tensors: dict, missing: list[str], unexpected: list[str], shapes: list[str]
) -> str:
    common = _matching(tensors, wanted)
    if any(name.startswith("stages.") and ".body." in name for name in unexpected):
        cause = "It is a model that graft saved: use --backbone run:PATH with the folder of its run"
    elif common < 0.3 * len(wanted):
        cause = "These are weights of another network, or in another library's naming: name the network they belong to with --backbone"
    elif shapes and not missing and not unexpected:
        cause = "The network is of the same family in another size: name the one they belong to with --backbone"
    elif missing and not unexpected and not shapes:
        cause = "The file is incomplete, or of a smaller variant: name the one they belong to with --backbone"
    else:
        cause = "These are weights of another variant: name the network they belong to with --backbone"

    def line(what: str, names: list[str], show: Callable[[str], str]) -> str:
        return f"  {what} {len(names)}" + (f", e.g. {show(names[0])}" if names else "")

    def sizes(name: str) -> str:
        return f"{name} {list(tensors[name].shape)} in the file, {list(wanted[name].shape)} in the network"

    lines = [line("missing", missing, str), line("unexpected", unexpected, str), line("of another shape", shapes, sizes)]
    return "\n".join([f"{source} does not fit {network} ({common} of {len(wanted)} tensors fit). {cause}.", *lines])


def hub_files(repository: str, patterns: tuple[str, ...], needed: tuple[str, ...], fetch: bool, what: str, repair: str) -> Path:
    """The folder of a repository's files that fit `patterns`: from the local cache where it has all that is `needed`, else, when
    `fetch`, from the hub.

    needed: patterns of which each has to be there; "a|b" is one of both. what: whose files, for the sentence of an error; repair:
    how that sentence ends. Raises WeightsError.
    """
    from huggingface_hub import snapshot_download

    tensors = any("safetensors" in names for names in needed)

    def there(folder: Path) -> bool:
        found = all(any(any(folder.glob(one)) for one in names.split("|")) for names in needed)
        return found and (not tensors or all(file.is_file() for file in _parts(folder)))

    def get(**how: object) -> str:
        folder = snapshot_download(repository, allow_patterns=list(patterns), **how)
        if how.get("local_files_only") and not there(Path(folder)):
            raise FileNotFoundError(folder)  # an unfinished copy; as good as none
        return folder

    folder = Path(from_hub(get, repository, fetch, what, repair))
    if tensors and not _parts(folder):
        raise WeightsError(f"The hub has no safetensors file for {what} ({repository}); {repair}.")
    return folder


def from_hub(get: Callable[..., str], repository: str, fetch: bool, what: str, repair: str) -> str:
    """What `get`, a function of huggingface_hub, finds in the local cache, else, when `fetch`, on the hub. Raises WeightsError."""
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    try:
        return get(local_files_only=True)
    except Exception as error:  # not in the cache: huggingface_hub has a dozen ways of saying so
        if not fetch:
            raise WeightsError(f"Weights of {what} are not in the local cache and fetching is off; {repair}.") from error
    if _no_network():
        raise WeightsError(f"The hub cannot be reached for the weights of {what}; {repair}.")
    try:
        return get(etag_timeout=5)
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        if "LocalEntryNotFound" not in type(error).__name__:
            raise WeightsError(f"The hub has no safetensors file for {what} ({repository}); {repair}.") from error
        raise WeightsError(f"The hub cannot be reached for the weights of {what}; {repair}.") from error
    except Exception as error:  # no network shows as errors of several libraries below huggingface_hub
        raise WeightsError(f"The hub cannot be reached for the weights of {what}; {repair}.") from error


def _no_network() -> bool:
    """Whether the hub's name cannot be looked up, which spares half a minute of retries. Behind a proxy it need not be: False."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub import constants

    if getproxies():
        return False
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return True
    return False
