"""Charts as inline SVG, drawn by hand so that they follow the page's light, dark and print colours and stay small.

Every function returns markup whose texts are escaped; colours come from the classes in template.html. Blue and orange carry
the meaning, with a second cue (dash, fill, position) for people who cannot tell them apart.
"""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from .tables import number

WIDE, HIGH = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 36


class Frame:
    """Axes with a few round ticks: data coordinates in, SVG out. The plot is WIDE x HIGH units and scales to its column."""

    def __init__(self, title: str, xs: tuple[float, float], ys: tuple[float, float], x_label: str = "", high: int = HIGH):
        self.title, self.high, self.parts = title, high, []
        self.x0, self.x1 = xs if xs[1] > xs[0] else (xs[0] - 0.5, xs[0] + 0.5)
        self.y0, self.y1 = ys if ys[1] > ys[0] else (ys[0] - 0.5, ys[0] + 0.5)
        if x_label:
            self.add(f'<text class="axis" x="{(LEFT + WIDE - RIGHT) / 2:.0f}" y="{high - 4}" text-anchor="middle">{escape(x_label)}</text>')

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDE - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(self.high - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (self.high - TOP - BOTTOM), 1)

    def add(self, markup: str) -> None:
        self.parts.append(markup)

    def ticks(self, whole_x: bool = False, across: Sequence[tuple[float, str]] | None = None) -> None:
        """across: places and words of the ticks of x, where they are not its values."""
        for value in ticks(self.y0, self.y1, 5):
            y = self.y(value)
            self.add(f'<path class="grid" d="M{LEFT} {y}H{WIDE - RIGHT}"/>')
            self.add(f'<text class="tick" x="{LEFT - 7}" y="{y + 3.5}" text-anchor="end">{_tick(value, self.y1 - self.y0)}</text>')
        known = [(value, _tick(value, self.x1 - self.x0)) for value in ticks(self.x0, self.x1, 6, whole_x)] if across is None else across
        for value, words in known:
            place = f'x="{self.x(value)}" y="{self.high - BOTTOM + 16}"'
            self.add(f'<text class="tick" {place} text-anchor="middle">{escape(words)}</text>')
        self.add(f'<path class="base" d="M{LEFT} {self.high - BOTTOM}H{WIDE - RIGHT}"/>')

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        if len(points) == 1:
            self.dot(*points[0], 2.5, style)
        elif points:
            self.add(f'<path class="line {style}" d="M{" L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)}"/>')

    def dot(self, x: float, y: float, radius: float, style: str, words: str = "") -> None:
        title = f"<title>{escape(words)}</title>" if words else ""
        self.add(f'<circle class="dot {style}" cx="{self.x(x)}" cy="{self.y(y)}" r="{radius:.3g}">{title}</circle>')

    def svg(self) -> Markup:
        return picture(self.title, WIDE, self.high, "".join(self.parts))


def picture(title: str, wide: float, high: float, body: str, style: str = "chart") -> Markup:
    start = f'<svg class="{style}" viewBox="0 0 {wide:g} {high:g}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{start}<title>{escape(title)}</title>{body}</svg>")


def ticks(low: float, high: float, about: int, whole: bool = False) -> list[float]:
    """Round values inside [low, high], about `about` of them, 1, 2 or 5 times a power of ten apart."""
    span = (high - low) / max(about, 1)
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / span)))
    if whole:
        step = max(1.0, float(round(step)))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float, span: float) -> str:
    if span >= 5 and float(value).is_integer() and abs(value) < 1e6:
        return number(int(value))
    digits = max(0, 1 - math.floor(math.log10(span / 2))) if span > 0 else 2
    words = number(float(value), min(digits, 6)) if abs(value) < 1e6 else f"{value:.0e}".replace("e+0", "e")
    return words.rstrip("0").rstrip(".") if "." in words else words


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = (high - low) * share or abs(high) * 0.05 or 0.5
    return low - pad, high + pad


def curve(found: dict, what: str, title: str) -> Markup | None:
    """Learning curves from tables.curves: what is "loss" or "metric". Phases are shaded in turn; with several runs each is thin;
    a ring marks the epoch that was kept. None where nothing was recorded."""
    runs = [run for run in found["runs"] if run[what]]
    if not runs:
        return None
    values = [y for run in runs for _, y in run[what]]
    end = found["phases"][-1]["to"]
    frame = Frame(title, (0.5, end + 0.5), padded(values), "epoch")
    for i, phase in enumerate(found["phases"]):
        left, right = frame.x(phase["from"] + 0.5), frame.x(phase["to"] + 0.5)
        if i % 2 == 0 and len(found["phases"]) > 1:
            frame.add(f'<rect class="band" x="{left}" y="{TOP}" width="{right - left:.1f}" height="{HIGH - TOP - BOTTOM}"/>')
        if right - left > 6.4 * len(phase["name"]) and len(found["phases"]) > 1:
            frame.add(f'<text class="tick" x="{(left + right) / 2:.1f}" y="{TOP - 8}" text-anchor="middle">{escape(phase["name"])}</text>')
    frame.ticks(whole_x=True)
    several, names = len(runs) > 1, {run["name"] for run in runs}
    for run in runs:
        thin = several and run["name"] != "final"
        for phase in found["phases"]:
            inside = [(x, y) for x, y in run[what] if phase["from"] < x <= phase["to"]]
            frame.line(inside, "thin" if thin else "strong")
        for x, y in run["kept"] if what == "metric" and (not thin or "final" not in names) else []:
            frame.dot(x, y, 3 if thin else 4.5, "ring", f"{run['name']}: epoch {x} was kept, {number(float(y))}")
    return frame.svg()


def calibration(series: Sequence[tuple[str, str, list[dict]]], title: str) -> Markup:
    """Reliability diagram (Niculescu-Mizil and Caruana, 2005): series of (name, class, bins of metrics.calibration.reliability).

    The dotted diagonal is perfect calibration; dots grow with the square root of the count."""
    frame = Frame(title, (0, 1), (0, 1), "probability the model states", high=300)
    frame.ticks()
    frame.add(f'<path class="ideal" d="M{frame.x(0)} {frame.y(0)}L{frame.x(1)} {frame.y(1)}"/>')
    for name, style, bins in series:
        total = sum(b["count"] for b in bins)
        if len(bins) > 1:
            frame.line([(b["confidence"], b["right"]) for b in bins], style)
        for b in bins:
            words = f"{name}: stated {b['confidence']:.2f}, right {b['right']:.2f}, n = {b['count']}"
            frame.dot(b["confidence"], b["right"], 2.2 + 6 * math.sqrt(b["count"] / total), style, words)
    return frame.svg()


def scatter(true: np.ndarray, predicted: np.ndarray, title: str, limit: int = 1500) -> Markup:
    """Predicted against true numbers with the diagonal of a perfect model; evenly thinned above `limit` points."""
    both = np.concatenate([true, predicted])
    low, high = padded([float(both.min()), float(both.max())])
    frame = Frame(title, (low, high), (low, high), "true value", high=300)
    frame.ticks()
    frame.add(f'<path class="ideal" d="M{frame.x(low)} {frame.y(low)}L{frame.x(high)} {frame.y(high)}"/>')
    for i in np.unique(np.linspace(0, len(true) - 1, min(len(true), limit)).astype(int)):
        frame.dot(float(true[i]), float(predicted[i]), 2.6, "point")
    return frame.svg()


def histogram(values: np.ndarray, title: str, x_label: str) -> Markup:
    """Counts in equally wide bins, a line at zero."""
    bins = int(np.clip(math.sqrt(len(values)) * 1.5, 5, 31))
    counts, edges = np.histogram(values, bins=bins)
    low, high = min(float(edges[0]), 0.0), max(float(edges[-1]), 0.0)
    frame = Frame(title, (low, high), (0, counts.max() * 1.06), x_label, high=300)
    frame.ticks()
    for n, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        x, y = frame.x(float(left)), frame.y(float(n))
        size = f'width="{max(frame.x(float(right)) - x - 1, 0.5):.1f}" height="{frame.high - BOTTOM - y:.1f}"'
        frame.add(f'<rect class="bar" x="{x}" y="{y}" {size}/>')
    frame.add(f'<path class="ideal" d="M{frame.x(0)} {TOP}V{frame.high - BOTTOM}"/>')
    return frame.svg()


def domains(source: Sequence[tuple[float, float]], target: Sequence[tuple[float, float]], title: str) -> Markup:
    """Two sets of points of one plane: the source filled, the target as rings."""
    both = [*source, *target]
    frame = Frame(title, padded([x for x, _ in both]), padded([y for _, y in both]), "first axis", high=340)
    frame.ticks()
    for points, style in ((source, "after"), (target, "before")):
        for x, y in points:
            frame.dot(x, y, 3, style)
    return frame.svg()


def confusion(counts: np.ndarray, classes: Sequence[str], title: str) -> Markup:
    """Counts with rows (true) shaded by their share of the row: what was right in blue, what was wrong in orange."""
    k = len(classes)
    longest = max(len(name) for name in classes)
    cell, letters = (64 if k <= 4 else 46 if k <= 8 else 34 if k <= 12 else 27), min(longest, 18)
    left, top = 30 + 6.6 * letters, 30 + (20 if letters * 7 <= cell else 5.6 * letters)
    parts = [
        f'<text class="axis" x="{left + cell * k / 2:.0f}" y="12" text-anchor="middle">predicted</text>',
        f'<text class="axis" transform="translate(11 {top + cell * k / 2:.0f}) rotate(-90)" text-anchor="middle">true</text>',
    ]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for i, name in enumerate(classes):
        short, middle = escape(name if len(name) <= 18 else name[:17] + "…"), (i + 0.5) * cell
        parts.append(f'<text class="name" x="{left - 8:.1f}" y="{top + middle + 4:.1f}" text-anchor="end">{short}</text>')
        turn = 'text-anchor="middle"' if letters * 7 <= cell else 'transform="rotate(-55)"'
        parts.append(f'<g transform="translate({left + middle + 3:.1f} {top - 8:.1f})"><text class="name" {turn}>{short}</text></g>')
    for i in range(k):
        for j in range(k):
            x, y, n, share = left + j * cell, top + i * cell, int(counts[i, j]), float(shares[i, j])
            style = "right" if i == j else "wrong"
            tint = 0.0 if not n else 0.1 + 0.9 * share
            words = f"{classes[i]} taken for {classes[j]}: {n} ({share:.0%})"
            shape = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2}" height="{cell - 2}" rx="3"'
            parts.append(f'<rect class="cell" {shape}/>')
            parts.append(f'<rect class="{style}" {shape} fill-opacity="{tint:.2f}"><title>{escape(words)}</title></rect>')
            if n:
                place = f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}"'
                parts.append(f'<text class="count{" on" if tint > 0.55 else ""}" {place} text-anchor="middle">{n}</text>')
    # Turned names lean out to the right of the last column.
    lean = 0 if letters * 7 <= cell else 4.2 * letters
    wide = left + cell * k + lean
    drawing = picture(title, wide, top + cell * k + 2, "".join(parts), "chart matrix")
    return Markup('<div style="width:{}px;max-width:100%">{}</div>').format(round(wide), drawing)
