"""Did transfer help? The differences between the arms in one word, one or two sentences, and what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, log10

from .stats import UNBOUNDED, Difference

ALPHA = 0.05
MATTERS = 0.005  # of a score in [0, 1], or of what scratch scores in another unit: an effect that may be smaller is said to be
MISSED = 0.05  # likewise: an interval wider than this on one side leaves room for a difference that somebody would care about
AFFORDABLE = 30  # times the scored rows: the most that the advice asks to label
FULL = "--evidence full"
WORDS = {"rmse": "RMSE", "mae": "MAE", "r2": "R2", "log_loss": "log-loss", "macro_f1": "macro F1", "micro_f1": "micro F1"}

Differences = Mapping[tuple[str, str], Difference]


def judge(
    arms: Sequence[Mapping],
    differences: Differences,
    metric: str,
    n: int,
    *,
    higher: bool = True,
    equal_time: bool = True,
    seeds: int = 1,
    unit: str = "images",
) -> dict:
    """The "verdict" of evidence.json: kind, value, interval, p, compared, text and advice.

    arms: as in evidence.json (name, label, value); differences: {("chosen", "scratch"): Difference, ...}, of the first less the
    second; ("chosen", "probe"), ("probe", "scratch") and any arm less "majority" are used where they are there.

    "helped": better than scratch, the whole interval on that side and p <= 0.05. "negative": worse, likewise. "none": neither
    was shown. "unknown": scratch is missing, no arm was shown to beat the majority class, or the lead may be one of time.
    equal_time: whether scratch had at least the time of "chosen"; where it had less, it is the probe, where it took
    less still, that has to beat scratch. The order is fixed beforehand (majority, scratch, probe) and every step needs the one before, so
    no p is corrected for the number of steps.
    """
    case = _Case({row["name"]: row for row in arms}, differences, metric, higher, n, seeds, unit, equal_time)
    fair = "probe" if not equal_time and ("probe", "scratch") in differences and case.in_time("probe") else "chosen"
    if ("chosen", "scratch") not in differences:
        return _untold(case)
    if case.chance() and case.direction("chosen", "scratch") != -1:
        return _chance(case)
    if case.direction("chosen", "scratch") == -1:
        return _negative(case)
    if case.direction(fair, "scratch") == 1 and (equal_time or fair == "probe"):
        return _helped(case, fair)
    return _none(case, fair)


@dataclass(frozen=True)
class _Case:
    arms: dict[str, Mapping]
    differences: Differences
    metric: str
    higher: bool
    n: int
    seeds: int
    unit: str
    equal_time: bool

    def direction(self, of: str, less: str) -> int | None:
        """1 where `of` was shown to be better, -1 worse, 0 neither, None where they were not compared."""
        found = self.differences.get((of, less))
        if found is None:
            return None
        if found.p > ALPHA or found.low <= 0 <= found.high:
            return 0
        return 1 if (found.low > 0) == self.higher else -1

    def in_time(self, name: str) -> bool:
        """Whether scratch had at least the time of this arm, as far as both are known."""
        took, had = (self.arms.get(one, {}).get("seconds") for one in (name, "scratch"))
        return took is None or had is None or took <= had

    def chance(self) -> bool:
        """Whether arms were compared with the majority class and none was shown to beat it."""
        found = [self.direction(arm, "majority") for arm in ("chosen", "probe", "scratch")]
        return any(one is not None for one in found) and 1 not in found

    def label(self, name: str) -> str:
        return str(self.arms.get(name, {}).get("label") or name)

    def scored(self, name: str) -> str:
        """ "accuracy 0.94", or "" where the arm's score is not known."""
        value = self.arms.get(name, {}).get("value")
        return "" if value is None else f"{WORDS.get(self.metric, self.metric.replace('_', ' '))} {_number(value, self.digits())}"

    def against(self, of: str, less: str, origin: str) -> str:
        """ "accuracy 0.94 against 0.72 from scratch, +0.22 [+0.14, +0.30] on 153 images"."""
        other = self.arms.get(less, {}).get("value")
        told = "" if other is None else f" against {_number(other, self.digits())}"
        measured = f"on {self.n:,} {self.unit}" + (f", {self.seeds} seeds" if self.seeds > 1 else "")
        sense = "" if self.higher else ", less being better"
        return f"{self.scored(of)}{told} {origin}, {self.gap(of, less)} {measured}{sense}".strip()

    def gap(self, of: str, less: str) -> str:
        d, digits = self.differences[of, less], self.digits((of, less))
        return f"{_signed(d.value, digits)} [{_signed(d.low, digits)}, {_signed(d.high, digits)}]"

    def digits(self, pair: tuple[str, str] = ("chosen", "scratch")) -> int:
        """Two digits of the interval's width, and more where an end would look like 0 and is not."""
        d = self.differences.get(pair)
        if d is None or not isfinite(d.high - d.low) or d.high <= d.low:
            return 2
        digits = min(6, max(0, 1 - floor(log10(d.high - d.low))))
        return next((k for k in range(digits, 6) if all(end == 0 or round(end, k) for end in (d.low, d.high))), 6)

    def small(self, limit: float = MATTERS) -> float:
        """What is too small to matter, in the metric's unit."""
        if self.metric not in UNBOUNDED or self.metric == "r2":
            return limit
        return limit * abs(self.arms.get("scratch", {}).get("value") or 0.0)

    def gain(self, of: str) -> tuple[float, float, float]:
        """(value, low, high) of an arm's lead over scratch, positive where it is better."""
        d = self.differences[of, "scratch"]
        return (d.value, d.low, d.high) if self.higher else (-d.value, -d.high, -d.low)


def _told(case: _Case, kind: str, of: str, less: str, text: str, advice: str) -> dict:
    found = case.differences.get((of, less))
    row = found.row(of, less) if found else {}
    numbers = {name: row.get(name) for name in ("value", "interval", "p")}
    return {"kind": kind, **numbers, "compared": [of, less], "text": text, "advice": advice}


def _untold(case: _Case) -> dict:
    scored = f" ({case.label('chosen')}: {case.scored('chosen')})" if case.scored("chosen") else ""
    text = f"Whether transfer helped is unknown: nothing was trained from scratch to compare with{scored}."
    return _told(case, "unknown", "chosen", "scratch", text, f"Let the same network be trained from scratch too, with {FULL}.")


def _chance(case: _Case) -> dict:
    best = next(arm for arm in ("chosen", "probe", "scratch") if (arm, "majority") in case.differences)
    told = case.against(best, "majority", f"from the {case.label('majority')}")
    text = f"Whether transfer helped cannot be said: nothing was shown to beat the {case.label('majority')} ({told})."
    return _told(
        case, "unknown", best, "majority", text, "Look over the labels with graft check, or label more, before comparing anything."
    )


def _helped(case: _Case, fair: str) -> dict:
    told = case.against(fair, "scratch", "from scratch")
    if fair == "probe":
        text = f"Transfer helped: {told}, reached by the {case.label('probe')} in less time than scratch had"
        if case.arms.get("chosen", {}).get("label") != case.arms.get("probe", {}).get("label") and case.scored("chosen"):
            text += f" ({case.label('chosen')}, in more time: {_number(case.arms['chosen']['value'], case.digits())})"
    else:
        text = f"Transfer helped: {told}"
    _, low, _ = case.gain(fair)
    if low < case.small():
        text += "; the gain may be smaller than matters"
    worse = _worse_than_probe(case)
    if worse:
        advice = "Use the probe: keep the body frozen, with --method extract."
    elif not case.equal_time:
        advice = f"Give scratch as much time as {case.label('chosen')} had, with {FULL}, to know how much of the lead is left."
    elif case.direction("chosen", "probe") == 0 and case.label("chosen") != case.label("probe"):
        gap = f"{case.label('chosen')} differs by {case.gap('chosen', 'probe')}"
        advice = f"The {case.label('probe')} was not shown to be worse ({gap}): take it where time matters."
    else:
        advice = "Use it; more labels, or a larger body (graft advise), come next where this is not good enough."
    return _told(case, "helped", fair, "scratch", f"{text}.{worse}", advice)


def _negative(case: _Case) -> dict:
    text = f"Negative transfer: {case.against('chosen', 'scratch', 'from scratch')}"
    if not case.equal_time:
        text += ", although scratch had less time"
    ways = ["train from scratch (--method scratch)", "choose another body (graft advise)", "use its earlier stages (--layers)"]
    if case.direction("chosen", "probe") == -1 and case.direction("probe", "scratch") != -1:
        ways.insert(0, "keep the body frozen (--method extract)")
    advice = f"{ways[0].capitalize()}, {', '.join(ways[1:-1])} or {ways[-1]}."
    return _told(case, "negative", "chosen", "scratch", f"{text}.{_worse_than_probe(case)}", advice)


def _none(case: _Case, fair: str) -> dict:
    _, low, high = case.gain(fair)
    digits, worse = case.digits((fair, "scratch")), _worse_than_probe(case)
    chances = [f"a {what} of up to {_number(most, digits)}" for what, most in (("gain", high), ("loss", -low)) if most > 0]
    missed = f"{' or '.join(chances)} could have been missed" if chances else "the arms score the same"
    missed = missed if isfinite(low) and isfinite(high) else "what was missed cannot be said from so few"
    if case.direction("chosen", "scratch") == 1:
        lead = f"{case.label('chosen')} leads ({case.against('chosen', 'scratch', 'from scratch')}), but scratch had less time"
        advice = f"Give scratch the same time, with {FULL}."
        if fair == "chosen":
            return _told(case, "unknown", "chosen", "scratch", f"Whether transfer helped cannot be said: {lead}.{worse}", advice)
        less = f"the {case.label('probe')}, which had less still, differs by {case.gap('probe', 'scratch')}; {missed}"
        return _told(case, "none", "probe", "scratch", f"No difference shown: {lead}, and {less}.{worse}", advice)
    who = f"the {case.label('probe')}, " if fair == "probe" else ""
    text = f"No difference shown: {who}{case.against(fair, 'scratch', 'from scratch')}; {missed}.{worse}"
    return _told(case, "none", fair, "scratch", text, _more(case, fair))


def _more(case: _Case, fair: str) -> str:
    """What to do where no difference was shown: score on more rows, where the interval leaves room and as many can be had."""
    value, low, high = case.gain(fair)
    if _worse_than_probe(case):
        return "Use the probe (--method extract), or try another body (graft advise)."
    if max(high, -low) < case.small(MISSED):
        return "Take the cheaper of the two, or try another body (graft advise)."
    reach = high - value if value < 0 else value - low
    needed = case.n * (reach / abs(value)) ** 2 if value and isfinite(reach) else inf
    if case.n < needed <= AFFORDABLE * case.n:
        rows = f"about {_round_up(needed):,} for a difference of this size"
        return f"Score on more labelled {case.unit}, {rows}, or try another body (graft advise)."
    return f"Score on many more labelled {case.unit}, or try another body (graft advise) or its earlier stages (--layers)."


def _worse_than_probe(case: _Case) -> str:
    """A sentence where fine-tuning did worse than the same body left frozen, else nothing."""
    if case.direction("chosen", "probe") != -1:
        return ""
    tuned = "" if case.label("chosen").startswith("extract") else ": fine-tuning did harm"
    return f" {case.label('chosen')} is worse than the {case.label('probe')}, {case.gap('chosen', 'probe')}{tuned}."


def _signed(value: float, digits: int) -> str:
    if not isfinite(value):
        return "unbounded"
    shown = f"{value:+.{digits}f}"
    return shown if float(shown) else shown.lstrip("+-")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if isfinite(value) else "any size"


def _round_up(needed: float) -> int:
    """To two digits, so that it does not look more certain than it is."""
    step = 10 ** max(0, floor(log10(needed)) - 1)
    return int(-(-needed // step) * step)
