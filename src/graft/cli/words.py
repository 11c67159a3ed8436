"""Numbers, times and tables as short text."""

from collections.abc import Sequence


def number(value: object, interval: Sequence[float] | None = None) -> str:
    """Three decimals, or three digits where that says more, and counts whole; with "[low, high]" where an interval is known."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "-" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:.3f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"
    return f"{text} [{number(interval[0])}, {number(interval[1])}]" if interval and None not in interval else text


def count(value: int) -> str:
    """4,098; 25.6 k; 2.24 M."""
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= least:
            return f"{value / (1e3 if unit == 'k' else least):.3g} {unit}"
    return f"{value:,}"


def clock(seconds: float) -> str:
    """0.4 s; 12 s; 3 min 05 s; 1 h 02 min."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def noun(modality: object) -> str:
    """What the samples are called: "text" where the modality is that, else "image"; `amount` makes many of it."""
    return "text" if modality == "text" else "image"


def amount(value: int, word: str) -> str:
    """1 file; 3 files; 2 classes."""
    return f"{value:,} {word}" if value == 1 else f"{value:,} {word}{'es' if word.endswith('s') else 's'}"


def some(names: Sequence[str], total: int | None = None, most: int = 3) -> str:
    """The first names, and how many more there are."""
    total = max(total or 0, len(names))
    more = total - min(len(names), most)
    return ", ".join([*map(str, names[:most]), *([f"and {more:,} more"] if more > 0 else [])])


def label_text(label: object) -> str:
    """A class, several classes, or a number."""
    if isinstance(label, list | tuple):
        return ", ".join(map(str, label)) or "-"
    return number(label) if isinstance(label, float) else str(label)


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Left-aligned columns, two spaces apart; columns of numbers are aligned to the right."""
    body = [[number(cell) if not isinstance(cell, str) else cell for cell in row] for row in rows]
    if not body and not header:
        return ""
    lines = ([list(header)] if header else []) + body
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(widths))]
    return "\n".join(
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)).rstrip() for line in lines
    )


def tree(value: object, depth: int = 0) -> list[str]:
    """A nested value as indented lines; short lists on one line."""
    pad = "  " * depth
    if isinstance(value, str) and "\n" in value:
        return [pad + line for line in value.rstrip().splitlines()]
    if isinstance(value, dict):
        lines = []
        for name, inner in value.items():
            flat = tree(inner, 0)
            short = len(flat) == 1 and not (isinstance(inner, dict) and inner)
            lines += [f"{pad}{name}: {flat[0]}"] if short else [f"{pad}{name}:", *tree(inner, depth + 1)]
        return lines or [f"{pad}-"]
    if isinstance(value, list | tuple):
        if all(not isinstance(inner, dict | list | tuple) for inner in value):
            return [pad + (", ".join(number(inner) if isinstance(inner, float) else str(inner) for inner in value) or "-")]
        return [line for inner in value for line in (tree(inner, depth) if isinstance(inner, list | tuple) else _item(inner, depth))]
    return [pad + (number(value) if isinstance(value, float) or value is None else str(value))]


def _item(value: object, depth: int) -> list[str]:
    """One entry of a list of tables: its pairs on one line."""
    if isinstance(value, dict):
        return ["  " * depth + ", ".join(f"{name} {' '.join(tree(inner))}" for name, inner in value.items())]
    return tree(value, depth)
