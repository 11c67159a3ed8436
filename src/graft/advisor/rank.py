"""From what was measured of each body to a ranked list of bodies and strategies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .rules import Rule

INTERVAL_IN_ERRORS = 3.92
"""Width of a 95 % interval in standard errors."""
ALIKE = 1.25
"""Times within this factor of each other count as equal: they are estimates."""


@dataclass(frozen=True)
class Cost:
    """What a strategy takes on this machine, estimated. None where it is not known."""

    seconds: float | None = None
    memory_mb: float | None = None


def best_layer(layers: Sequence[dict]) -> str | None:
    """The deepest layer whose probe is within one standard error of the best one's (Breiman et al., 1984, for trees; layers are
    rows of advice.json, first to last). None where no layer has a probe.

    The best of many scores is best by luck too; so an earlier layer has to be better by more than one standard error, which is
    also how much the choice can have flattered it. The last layer is what the body was made to give.
    """
    measured = [one for one in layers if one.get("probe") is not None]
    if not measured:
        return None
    best = max(measured, key=lambda one: one["probe"])
    return [one for one in measured if one["probe"] >= best["probe"] - _error(best)][-1]["name"]


def order(bodies: Sequence[dict]) -> list[str]:
    """Names of bodies, the most promising first: by the probe of their best layer; bodies whose probe lies within the
    interval of the best of them are equal in it and go by LogME of that layer. Bodies without a probe come last.

    The probe is what a linear head scores on rows it did not learn from, in the unit the user is scored in. LogME needs no
    held-out rows and no choice of a strength, so it still tells bodies apart where probes tie, but its unit means nothing,
    it supposes Gaussian noise on 0 and 1, and its order of bodies is right less often than a score's that was measured.
    """
    found = {body["name"]: _layer(body) for body in bodies}
    names = [name for name in found if found[name]]
    logme = {name: -math.inf if (found[name] or {}).get("logme") is None else found[name]["logme"] for name in found}
    tiers = _tiers({name: (found[name]["probe"], found[name]["interval"][0]) for name in names})
    ranked = [name for tier in tiers for name in sorted(tier, key=lambda name: (-logme[name], -found[name]["probe"]))]
    return ranked + [name for name in found if not found[name]]


def rank(bodies: Sequence[dict], rule: Rule, costs: Mapping[str, Mapping[str, Cost]], rows: int, budget: float | None = None) -> list[dict]:
    """The "strategies" of advice.json, the best first. bodies: its "bodies". costs: {body: {method: Cost}}; fine-tuning is listed
    for the methods that have one, extract always. rows: that learn. budget: seconds.

    "expected" of extract is its layer's cross-validated probe. That of fine-tuning is the same number, of the body's best layer,
    with "measured": false: it has not been run, and nothing that was measured here predicts by how much it differs. Training
    from scratch is never listed, for no feature says what it gives. Strategies whose
    expected score lies within the interval of the best are ties: the rule's method goes first among them where it is one that
    was not measured, since what the numbers cannot say is left to it; then the cheaper one; then the order of bodies.
    What takes longer than the budget comes after all that does not. Bodies without a probe are left out.
    """
    place = {name: i for i, name in enumerate(order(bodies))}
    listed = [row for body in bodies if _layer(body) for row in _of_body(body, rule, costs.get(body["name"], {}), rows)]
    for row in listed:
        seconds = row["seconds"]
        row["over"] = budget is not None and seconds is not None and seconds > budget
        if row["over"]:
            row["reasons"].append(f"takes about {seconds:.0f} s, more than the {budget:.0f} s there are")
    ranked = []
    for over in (False, True):
        part = {i: row for i, row in enumerate(listed) if row["over"] == over}
        for tier in _tiers({i: (row["expected"], row["interval"][0]) for i, row in part.items()}):
            if len(tier) > 1:
                _say_tie([part[i] for i in tier])
            ranked += sorted((part[i] for i in tier), key=lambda row: _key(row, rule, place))
    return [
        {"rank": i + 1, **{name: value for name, value in row.items() if name not in ("over", "second")}} for i, row in enumerate(ranked)
    ]


def _of_body(body: dict, rule: Rule, costs: Mapping[str, Cost], rows: int) -> list[dict]:
    layers = [one for one in body["layers"] if one.get("probe") is not None]
    chosen, last = _layer(body), layers[-1]
    earlier = max(layers[:-1], key=lambda one: one["probe"], default=None)
    out = [_row(body, "extract", chosen, None, costs.get("extract", Cost()), _why_layer(chosen, last, layers, rows))]
    other = {"last": last, "best earlier": earlier}[rule.layers] if rule.method == "extract" else None
    if other is not None and other["name"] != chosen["name"] and (rule.layers == "last" or chosen is last):
        words = [f"the rule for {rule.cell} data says {rule.strategy}", f"measured, {chosen['name']} is preferred"]
        out.append(_row(body, "extract", other, None, costs.get("extract", Cost()), words) | {"second": True})
    for method, cost in costs.items():
        if method in ("extract", "scratch"):
            continue
        words = [f"not measured: expected is the score of the frozen body ({chosen['name']}), and fine-tuning can be above or below it"]
        follows = method == rule.method
        words += [f"the rule for {rule.cell} data: {rule.why}"] if follows else []
        out.append(_row(body, method, chosen, rule.freeze if follows else "none", cost, words, False))
    return out


def _row(body: dict, method: str, layer: dict, freeze: str | None, cost: Cost, reasons: list[str], measured: bool = True) -> dict:
    return {
        "backbone": body["name"], "method": method, "layers": [layer["name"]] if method == "extract" else [], "freeze": freeze,
        "expected": layer["probe"], "interval": list(layer["interval"]), "measured": measured,
        "seconds": cost.seconds, "memory_mb": cost.memory_mb, "licence": body.get("licence", "unknown"), "reasons": reasons,
    }  # fmt: skip


def _why_layer(chosen: dict, last: dict, layers: list[dict], rows: int) -> list[str]:
    best = max(layers, key=lambda one: one["probe"])
    words = [f"a linear head on {chosen['name']} has {chosen['probe']:.3f} in cross-validation on {rows} rows"]
    if chosen is last and best is not last:
        words.append(f"{best['name']} has {best['probe']:.3f}, within one standard error, so the last layer is kept")
    if chosen is not last:
        words.append(
            f"more than one standard error above the last layer's {last['probe']:.3f}, as the deepest such of {len(layers)} layers"
        )
    return words


def _key(row: dict, rule: Rule, place: Mapping[str, int]) -> tuple:
    unmeasured_rule = rule.method != "extract" and row["method"] == rule.method
    seconds = row["seconds"]
    cost = math.inf if seconds is None else round(math.log(max(seconds, 1e-3)) / math.log(ALIKE))
    return not unmeasured_rule, bool(row.get("second")), cost, place[row["backbone"]], row["method"] != "extract"


def _say_tie(tier: list[dict]) -> None:
    for row in tier:
        row["reasons"].append(
            f"expected score within the interval of the best of {len(tier)} strategies: the order among them is by rule and cost"
        )


def _layer(body: dict) -> dict | None:
    """The row of the body's best layer."""
    name = best_layer(body["layers"])
    return next((one for one in body["layers"] if one["name"] == name), None)


def _error(layer: dict) -> float:
    return (layer["interval"][1] - layer["interval"][0]) / INTERVAL_IN_ERRORS


def _tiers(scores: Mapping) -> list[list]:
    """Keys of {key: (value, low end of its interval)} in tiers: those not below the low end of the best, then again of the rest."""
    left, tiers = dict(scores), []
    while left:
        low = max(left.values())[1]
        tier = [key for key, (value, _) in left.items() if value >= low]
        tiers.append(tier)
        left = {key: value for key, value in left.items() if key not in tier}
    return tiers
