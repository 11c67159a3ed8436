"""From what the tools of benchmarks/text.py gave to a table of scores and differences with their intervals.

A bench has found[scene, tool] (entries, one a seed, with "right": the numbers of each scored row by its name), tasks[scene], and
groups[scene] (the paragraph of each question). Scenes that are only kept from an earlier run are in found and not in tasks.
"""

import statistics
from itertools import combinations

SCORES = {"classify": (("accuracy", 0),), "tags": (("f1", None),), "spans": (("f1", 1), ("exact", 0))}
"""Task -> its scores and the column of the rows' numbers that each is the mean of; None for entities, which are counted together."""


def shared(bench, name: str, tools: list[str]) -> tuple[list[int], list[str]]:
    """The seeds and the scored rows that all of the tools have."""
    runs = [{entry["seed"]: entry["right"] for entry in bench.found[name, tool] if "failed" not in entry} for tool in tools]
    seeds = sorted(set.intersection(*(set(run) for run in runs)))
    return seeds, sorted(set.intersection(*(set(run[seed]) for run in runs for seed in seeds))) if seeds else []


def judge(bench, name: str, one: str, other: str | None = None) -> list[dict]:
    """Every score of a tool on the rows of a scene, less that of another where one is named: value and 95 % interval."""
    import numpy as np

    from graft.evidence import stats
    from graft.metrics import bootstrap

    seeds, rows = shared(bench, name, [one, other] if other else [one])
    if not rows:
        return []

    def values(tool: str | None) -> np.ndarray:
        told = {entry["seed"]: entry["right"] for entry in bench.found[name, tool] if "failed" not in entry}
        return np.asarray([[told[seed][row] for row in rows] for seed in seeds], float)

    a = values(one)
    b = values(other) if other else np.zeros_like(a)
    paragraphs, out = bench.groups.get(name), []
    groups = np.asarray([paragraphs[row] for row in rows]) if paragraphs else None
    for score, column in SCORES[bench.tasks[name]]:
        if column is None:
            found = stats.metric_difference(a, b, np.zeros(len(rows)), entity_f1, score)
        else:
            found = stats.difference(a[:, :, column], b[:, :, column], groups)
        low, high = found.low, found.high
        if other is None:
            plain_accuracy = score == "accuracy" and len(seeds) == 1
            low, high = bootstrap.wilson(a.sum(), len(rows)) if plain_accuracy else (max(0.0, low), min(1.0, high))
        out.append({"score": score, "value": found.value, "interval": [low, high], "p": found.p, "n": len(rows), "seeds": len(seeds)})
    return out


def entity_f1(counts, _) -> dict[str, float]:
    """counts [n, 3]: right, found, there."""
    right, found, there = counts.sum(0)
    return {"f1": float(2 * right / max(1.0, found + there))}


entity_f1.prepare = lambda counts, _: lambda weights: entity_f1((weights @ counts)[None], None)


def table(bench) -> list[dict]:
    """A row a tool; ratios of seconds are to the first tool of the scene."""
    print("| what | tool | seconds | ratio | score [95 %] | peak MB |\n|---|---|---|---|---|---|")
    first, out = {}, []
    order = list(bench.tasks)
    held = [one for one in bench.found.items() if one[0][0] in order and one[1]]
    for (name, tool), entries in sorted(held, key=lambda one: order.index(one[0][0])):
        good = [entry for entry in entries if "failed" not in entry]
        if not good:
            print(f"| {name} | {tool} | failed: {entries[-1]['failed']} | | | |")
            continue
        every = [entry["seconds"] for entry in good]
        seconds, found = statistics.median(every), judge(bench, name, tool)
        spread_of = f" ({min(every):.1f} to {max(every):.1f})" if len(every) > 1 else ""
        memory = statistics.median(entry["peak_memory_mb"] for entry in good)
        ratio = seconds / first.setdefault(name, seconds)
        said = "; ".join(f"{one['score']} {one['value']:.3f} [{one['interval'][0]:.3f}, {one['interval'][1]:.3f}]" for one in found)
        failed = f", {len(entries) - len(good)} failed" if len(good) < len(entries) else ""
        print(f"| {name} | {tool}{failed} | {seconds:.1f}{spread_of} | {ratio:.2f} | {said} | {memory:.0f} |")
        out.append({"scene": name, "tool": tool, "seconds": seconds, "ratio": ratio, "peak_memory_mb": memory, "scores": found})
    return out


def differences(bench) -> list[dict]:
    """Each row of graft less every peer of its scene, and less its own rows that come later."""
    print("\nDifference on the same rows and seeds [95 %]:")
    out = []
    pairs = [
        (name, tool, other)
        for name in bench.tasks
        for tool, other in combinations([tool for one, tool in bench.found if one == name and bench.found[one, tool]], 2)
        if tool.startswith("graft")
    ]
    for name, tool, other in pairs:
        for one in judge(bench, name, tool, other):
            (low, high), runs = one["interval"], f", {one['seeds']} seeds" if one["seeds"] > 1 else ""
            gap = f"{one['score']} {one['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
            print(f"- {name}: {tool}, less {other}: {gap}, {one['n']} rows{runs}")
            out.append({"scene": name, "of": tool, "less": other, **one})
    return out
