"""Curves over the number of labels and over the depth of a body, as inline SVG; see charts.py for how they follow the page."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup, escape

from .charts import BOTTOM, LEFT, RIGHT, TOP, WIDE, Frame, padded
from .record import listed
from .tables import number


def efficiency(
    points: Sequence[dict],
    law: Callable[[float], float] | None,
    twice: dict | None,
    scratch: dict | None,
    saved: float | None,
    title: str,
    noun: str = "images",
) -> Markup:
    """Scores over the number of labels, on a logarithmic axis.

    points: {"n", "value", "interval", "values"} by rising n, drawn with their intervals and single draws. law: the fitted
    score of n labels, solid over the points and dashed beyond them. twice: an extrapolated point, hollow on a shaded ground
    that says "not measured". scratch: the arm that learnt from scratch, a dotted line. saved: where the curve meets it.
    noun: what is labelled.
    """
    last = max(p["n"] for p in points)
    ends = [p["n"] for p in points] + ([twice["n"]] if twice else []) + ([saved] if saved else [])
    low, high = math.log10(min(ends)), math.log10(max(ends))
    pad = max(high - low, 0.3) * 0.06
    values = [v for p in points for v in (p["value"], *_draws(p), *_interval(p))]
    values += [v for one in (twice, scratch) if one for v in (one["value"], *(_interval(one) if one is twice else ()))]
    frame = Frame(title, (low - pad, high + pad), padded(values), f"labelled {noun} (logarithmic)", high=300)
    if twice and twice["n"] > last:
        _unknown(frame, math.log10(last) + pad / 2)
    frame.ticks(across=[(math.log10(n), number(n)) for n in _round(min(ends), max(ends))])
    if scratch:
        _scratch(frame, scratch["value"])
    if law:
        drawn = [(x, y) for x, y in _walk(law, low, high) if frame.y0 <= y <= frame.y1]
        frame.line([(x, y) for x, y in drawn if x <= math.log10(last) + 1e-9], "strong")
        frame.line([(x, y) for x, y in drawn if x >= math.log10(last) - 1e-9], "beyond")
    else:
        frame.line([(math.log10(p["n"]), p["value"]) for p in points], "thin")
    if saved:
        top = frame.y(scratch["value"]) if scratch else TOP
        frame.add(f'<path class="ideal" d="M{frame.x(math.log10(saved))} {frame.y(frame.y0)}V{top}"/>')
    for p in points:
        for value in _draws(p):
            frame.dot(math.log10(p["n"]), value, 1.6, "point")
        _whisker(frame, p, "strong", f"{number(int(p['n']))} labels: {number(float(p['value']))}")
    if twice:
        _whisker(frame, twice, "ring", f"extrapolated, not measured: {number(int(twice['n']))} labels, {number(float(twice['value']))}")
    return frame.svg()


def _whisker(frame: Frame, point: dict, style: str, words: str) -> None:
    x, ends = math.log10(point["n"]), _interval(point)
    if ends:
        words += f" [{number(float(ends[0]))}, {number(float(ends[1]))}]"
        line = "whisker strong" if style == "strong" else "whisker before"
        frame.add(f'<path class="{line}" d="M{frame.x(x)} {frame.y(ends[0])}V{frame.y(ends[1])}"/>')
    frame.dot(x, point["value"], 4 if style == "strong" else 4.5, style, words)


def _unknown(frame: Frame, start: float) -> None:
    left = frame.x(start)
    frame.add(f'<rect class="band" x="{left}" y="{TOP}" width="{WIDE - RIGHT - left:.1f}" height="{frame.high - TOP - BOTTOM}"/>')
    frame.add(f'<text class="tick" x="{WIDE - RIGHT}" y="{TOP - 8}" text-anchor="end">extrapolated</text>')


def _scratch(frame: Frame, value: float) -> None:
    y = frame.y(value)
    frame.add(f'<path class="level" d="M{LEFT} {y}H{WIDE - RIGHT}"/>')
    words = f"from scratch, all labels: {number(float(value))}"
    below = value > (frame.y0 + frame.y1) / 2
    frame.add(f'<text class="tick" x="{WIDE - RIGHT - 2}" y="{y + (13 if below else -6)}" text-anchor="end">{escape(words)}</text>')


def _interval(point: dict) -> list[float]:
    ends = listed(point.get("interval"))
    return [float(e) for e in ends] if len(ends) == 2 and all(number(e) != "–" for e in ends) else []


def _draws(point: dict) -> list[float]:
    found = [float(v) for v in listed(point.get("values")) if number(v) != "–"]
    return found if len(found) > 1 else []


def _walk(law: Callable[[float], float], low: float, high: float, steps: int = 60) -> list[tuple[float, float]]:
    return [(float(x), float(law(10.0**x))) for x in np.linspace(low, high, steps + 1)]


def _round(low: float, high: float) -> list[int]:
    """Whole numbers 1, 2 or 5 times a power of ten inside [low, high]; only powers of ten where these would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10**p for p in powers if p >= 0 for m in (1, 2, 5) if low * 0.999 <= m * 10**p <= high * 1.001]
    return found if len(found) <= 8 else [n for n in found if str(n).startswith("1")]


def depth(layers: Sequence[dict], best: str, title: str, noun: str = "images") -> Markup | None:
    """Probe scores {"name", "probe", "interval"} by depth, `best` with a ring; None with fewer than two."""
    known = [(i, row) for i, row in enumerate(layers) if number(row.get("probe")) != "–"]
    if len(known) < 2:
        return None
    values = [v for _, row in known for v in (row["probe"], *_interval(row))]
    frame = Frame(title, (-0.5, len(layers) - 0.5), padded(values), f"layer, from the {noun[:-1]} to the answer", high=220)
    names = [str(row.get("name") or i)[:12] for i, row in enumerate(layers)]
    each = max(1, math.ceil(len(names) * (max(map(len, names)) + 2) * 6 / (WIDE - LEFT - RIGHT)))
    frame.ticks(across=[(i, name) for i, name in enumerate(names) if i % each == 0])
    frame.line([(i, row["probe"]) for i, row in known], "strong")
    for i, row in known:
        if ends := _interval(row):
            frame.add(f'<path class="whisker strong" d="M{frame.x(i)} {frame.y(ends[0])}V{frame.y(ends[1])}"/>')
        words = f"{row.get('name')}: {number(float(row['probe']))}"
        ring = bool(best) and str(row.get("name")) == best
        frame.dot(i, row["probe"], 4.5 if ring else 3, "ring" if ring else "strong", words)
    return frame.svg()
