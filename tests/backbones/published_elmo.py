"""ELMo's published files with random numbers in them, and what they have to give, worked out word by word and step by step."""

import json
from pathlib import Path

import h5py
import numpy as np

OPTIONS = {
    "lstm": {"cell_clip": 0.6, "proj_clip": 0.4, "use_skip_connections": True, "dim": 6, "projection_dim": 4, "n_layers": 2},
    "char_cnn": {
        "activation": "relu", "filters": [[1, 3], [2, 4], [5, 2]], "n_highway": 2, "embedding": {"dim": 5},
        "n_characters": 262, "max_characters_per_token": 50,
    },
}  # fmt: skip


def write(folder: Path, options: dict = OPTIONS, seed: int = 0, name: str = "weights.hdf5", told: str = "options.json") -> Path:
    """The two files in a new folder; the numbers are large enough that both clips are met. The folder."""
    rng, (lstm, cnn) = np.random.default_rng(seed), (options["lstm"], options["char_cnn"])
    p, dim, width, letters = lstm["projection_dim"], lstm["dim"], sum(n for _, n in cnn["filters"]), cnn["embedding"]["dim"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / told).write_text(json.dumps(options))
    with h5py.File(folder / name, "w") as file:

        def put(where: str, *shape: int) -> None:
            file[where] = rng.normal(0, 0.7, shape).astype(np.float32)

        put("char_embed", 261, letters)
        for i, (span, count) in enumerate(cnn["filters"]):
            put(f"CNN/W_cnn_{i}", 1, span, letters, count)
            put(f"CNN/b_cnn_{i}", count)
        for i in range(cnn["n_highway"]):
            for part in ("transform", "carry"):
                put(f"CNN_high_{i}/W_{part}", width, width)
                put(f"CNN_high_{i}/b_{part}", width)
        put("CNN_proj/W_proj", width, p)
        put("CNN_proj/b_proj", p)
        for side in (0, 1):
            for j in range(lstm["n_layers"]):
                root = f"RNN_{side}/RNN/MultiRNNCell/Cell{j}/LSTMCell"
                put(f"{root}/W_0", 2 * p, 4 * dim)
                put(f"{root}/B", 4 * dim)
                put(f"{root}/W_P_0", dim, p)
    return folder


def layers(folder: Path, words: list[str]) -> list[np.ndarray]:
    """float64 [len(words), 2 * projection] of the words' vectors and of each LSTM layer, straight from the equations and the files."""
    options = json.loads((folder / "options.json").read_text())
    with h5py.File(folder / "weights.hdf5", "r") as file:
        tokens = [_word(file, options["char_cnn"], word) for word in ("<S>", *words, "</S>")]
        found, ways = [np.stack([np.concatenate([token, token]) for token in tokens])], [tokens, tokens[::-1]]
        for j in range(options["lstm"]["n_layers"]):
            for side in (0, 1):
                cell = file[f"RNN_{side}/RNN/MultiRNNCell/Cell{j}/LSTMCell"]
                out = _lstm(cell, options["lstm"], ways[side])
                if j and options["lstm"]["use_skip_connections"]:
                    out = [new + old for new, old in zip(out, ways[side])]
                ways[side] = out
            found.append(np.stack([np.concatenate(pair) for pair in zip(ways[0], ways[1][::-1])]))
    return [one[1:-1] for one in found]


def _word(file: h5py.File, cnn: dict, word: str) -> np.ndarray:
    inner = {"<S>": [256], "</S>": [257]}.get(word, list(word.encode())[:48])
    characters = [258, *inner, 259] + [260] * (48 - len(inner))
    letters = [file["char_embed"][c].astype(float) for c in characters]
    x = []
    for i, (span, count) in enumerate(cnn["filters"]):
        kernel, bias = file[f"CNN/W_cnn_{i}"][0].astype(float), file[f"CNN/b_cnn_{i}"][...].astype(float)
        for k in range(count):
            best = max(sum(letters[at + s] @ kernel[s, :, k] for s in range(span)) + bias[k] for at in range(50 - span + 1))
            x.append(max(best, 0.0) if cnn["activation"] == "relu" else np.tanh(best))
    x = np.array(x)
    for i in range(cnn["n_highway"]):
        part = {name: file[f"CNN_high_{i}/{name}"][...].astype(float) for name in ("W_transform", "b_transform", "W_carry", "b_carry")}
        gate = _sigmoid(x @ part["W_carry"] + part["b_carry"])
        x = gate * np.maximum(x @ part["W_transform"] + part["b_transform"], 0) + (1 - gate) * x
    return x @ file["CNN_proj/W_proj"][...].astype(float) + file["CNN_proj/b_proj"][...].astype(float)


def _lstm(cell: h5py.Group, lstm: dict, tokens: list[np.ndarray]) -> list[np.ndarray]:
    kernel, bias, project = (cell[name][...].astype(float) for name in ("W_0", "B", "W_P_0"))
    dim, hidden, memory, out = lstm["dim"], np.zeros(lstm["projection_dim"]), np.zeros(lstm["dim"]), []
    for token in tokens:
        gates = np.concatenate([token, hidden]) @ kernel + bias
        i, j, f, o = (gates[k * dim : (k + 1) * dim] for k in range(4))
        memory = _sigmoid(f + 1.0) * memory + _sigmoid(i) * np.tanh(j)
        if lstm["cell_clip"]:
            memory = np.minimum(np.maximum(memory, -lstm["cell_clip"]), lstm["cell_clip"])
        hidden = (_sigmoid(o) * np.tanh(memory)) @ project
        if lstm["proj_clip"]:
            hidden = np.minimum(np.maximum(hidden, -lstm["proj_clip"]), lstm["proj_clip"])
        out.append(hidden)
    return out


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
