"""How much a network's first filters look like Gabor filters: the best fit of each, and a picture of both."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ..core import Backbone

_LUMINANCE = np.array([0.299, 0.587, 0.114])


def first_filters(backbone: Backbone) -> Tensor | None:
    """The weights [count, 3, k, k] of the first convolution on the image with k >= 3, or None where there is none."""
    for module in backbone.stages.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] >= 3 and module.weight.shape[1] in (1, 3):
            return module.weight.detach().float().cpu()
    return None


def match(filters: np.ndarray | Tensor, starts: int = 3) -> dict:
    """The Gabor filter that fits each filter best in the least-squares sense, up to a constant:

    w(x, y) ~ a exp(-(x'^2 + (g y')^2) / (2 s^2)) cos(2 pi f x' + p) + c,
    x' = (x - x0) cos t + (y - y0) sin t,  y' = (y - y0) cos t - (x - x0) sin t      (Daugman, 1985)

    filters: [count, 3 or 1, k, k]; three channels are projected on luminance (Rec. 601). starts: how many starting points,
    the best of a grid, are refined. a, p and c are solved in closed form at every step (variable projection).
    Returns JSON: "kernel", "count", "r2" (share of each filter's variance that the fit explains, 0 for a flat filter),
    "fits" (sigma, theta in radians, frequency in cycles a pixel, phase, aspect, x0, y0, amplitude, offset), "filters" and
    "gabors" (both [count, k, k]) and "noise_r2", the median R2 of 16 filters of white noise of the same size: what a fit of
    nine parameters reaches on nothing. At k = 3 that is near 1, and the R2 of the filters then says little.
    Square kernels only; raises ValueError otherwise.
    """
    weights = np.asarray(filters, dtype=np.float64)
    if weights.ndim != 4 or weights.shape[1] not in (1, 3) or weights.shape[2] != weights.shape[3]:
        raise ValueError(f"filters have to be [count, 3 or 1, k, k], not {list(weights.shape)}")
    grey = weights[:, 0] if weights.shape[1] == 1 else np.einsum("nckl,c->nkl", weights, _LUMINANCE)
    k = grey.shape[-1]
    grid = _Grid(k)
    results = [_fit(w.ravel(), grid, starts) for w in grey]
    noise = [_fit(w, grid, starts)[0] for w in np.random.default_rng(0).standard_normal((16, k * k))]
    return {
        "kernel": k,
        "count": len(grey),
        "r2": [round(r2, 4) for r2, _, _ in results],
        "noise_r2": round(float(np.median(noise)), 4),
        "fits": [{key: round(value, 5) for key, value in fit.items()} for _, fit, _ in results],
        "filters": np.round(grey, 6).tolist(),
        "gabors": np.round(np.stack([g.reshape(k, k) for _, _, g in results]), 6).tolist() if results else [],
    }


class _Grid:
    """Pixel coordinates from the kernel's centre, and a grid of starting points with their basis functions."""

    def __init__(self, k: int):
        half = (k - 1) / 2
        y, x = np.mgrid[0:k, 0:k] - half
        self.k, self.x, self.y = k, x.ravel(), y.ravel()
        angles, rates = np.pi * np.arange(8) / 8, np.array([0.02, 0.1, 0.17, 0.25, 0.35, 0.45])
        sizes, shifts = np.array([0.18, 0.32]) * k, np.array([-0.2, 0.0, 0.2]) * k
        self.starts = np.array([(s, t, f, 1.0, u, v) for s in sizes for t in angles for f in rates for u in shifts for v in shifts])
        bases = np.stack([self.basis(p) for p in self.starts])
        self.orthonormal = np.linalg.qr(bases + 1e-9 * np.random.default_rng(0).standard_normal(bases.shape))[0]

    def basis(self, parameters: np.ndarray) -> np.ndarray:
        """Even and odd Gabor functions and a constant, [k * k, 3]."""
        sigma, theta, rate, aspect, x0, y0 = parameters
        dx, dy = self.x - x0, self.y - y0
        along, across = dx * np.cos(theta) + dy * np.sin(theta), dy * np.cos(theta) - dx * np.sin(theta)
        envelope = np.exp(-(along**2 + (aspect * across) ** 2) / (2 * sigma**2))
        wave = 2 * np.pi * rate * along
        return np.stack([envelope * np.cos(wave), -envelope * np.sin(wave), np.ones_like(wave)], 1)

    def best(self, w: np.ndarray, count: int) -> np.ndarray:
        """The starting points that explain most of w, [count, 6]."""
        explained = (np.einsum("pqi,q->pi", self.orthonormal, w) ** 2).sum(1)
        return self.starts[np.argsort(-explained)[:count]]


def _fit(w: np.ndarray, grid: _Grid, starts: int) -> tuple[float, dict, np.ndarray]:
    from scipy.optimize import least_squares

    total = ((w - w.mean()) ** 2).sum()
    if total < 1e-12 * max(1.0, (w**2).sum()):
        flat = dict.fromkeys(("sigma", "theta", "frequency", "phase", "aspect", "x0", "y0", "amplitude"), 0.0)
        return 0.0, {**flat, "offset": float(w.mean())}, np.full_like(w, w.mean())
    unit = w / np.sqrt(total)
    half = grid.k / 2
    lower = np.array([0.3, -np.inf, 0.0, 0.2, -half, -half])
    upper = np.array([2.0 * grid.k, np.inf, 0.5, 5.0, half, half])

    def solved(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        basis = grid.basis(p)
        gram = basis.T @ basis
        gram.flat[::4] += 1e-9
        coefficients = np.linalg.solve(gram, basis.T @ unit)
        return coefficients, basis @ coefficients

    best = None
    for start in grid.best(unit - unit.mean(), starts):
        inside = np.clip(start, lower + 1e-6, np.where(np.isfinite(upper), upper - 1e-6, upper))
        found = least_squares(lambda p: solved(p)[1] - unit, inside, bounds=(lower, upper), max_nfev=25, xtol=1e-4, ftol=1e-4)
        if best is None or found.cost < best.cost:
            best = found
    (even, odd, offset), fitted = solved(best.x)
    scale = float(np.sqrt(total))
    sigma, theta, rate, aspect, x0, y0 = (float(v) for v in best.x)
    fit = {"sigma": sigma, "theta": theta % np.pi, "frequency": rate, "phase": float(np.arctan2(odd, even)), "aspect": aspect}
    if int(np.floor(theta / np.pi)) % 2:  # half a turn more reverses the wave's direction, and with it the sign of its phase
        fit["phase"] = -fit["phase"]
    fit |= {"x0": x0, "y0": y0, "amplitude": float(np.hypot(even, odd)) * scale, "offset": float(offset) * scale}
    return max(0.0, 1.0 - float(((fitted - unit) ** 2).sum())), fit, fitted * scale


def picture(result: dict, path: str | Path) -> None:
    """A PNG of each filter (left) beside its Gabor fit (right) with the fit's R2, best fits first; at most 64 of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = np.argsort(result["r2"])[::-1][:64]
    columns = min(8, max(len(order), 1))
    rows = -(-len(order) // columns) or 1
    figure = Figure(figsize=(columns * 1.25, rows * 0.92 + 0.5), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"First filters (left) and the Gabor filters that fit them best (right); median R² {np.median(result['r2']):.2f}", fontsize=9
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, i in zip(axes.ravel(), order):
        left, right = np.array(result["filters"][i]), np.array(result["gabors"][i])
        gap = np.full((left.shape[0], max(1, left.shape[0] // 6)), np.nan)
        limit = max(np.abs(left).max(), np.abs(right).max(), 1e-9)
        axis.imshow(np.hstack([left, gap, right]), cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(f"{result['r2'][i]:.2f}", fontsize=7, pad=2)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=1 - 0.5 / (rows * 0.92 + 0.5), wspace=0.1, hspace=0.35)
    figure.savefig(path)
