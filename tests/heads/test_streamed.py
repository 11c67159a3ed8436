import numpy as np
import pytest
from scipy.special import expit, softmax
from tests.heads import drawn

from graft.heads import convex, folds, logistic, streamed

KINDS = ["class", "labels", "number"]


class Rows:
    """Features that only give blocks, or rows by number, and remember the most rows that were asked for at once."""

    def __init__(self, x: np.ndarray):
        self._x, self.shape, self.most, self.read = x, x.shape, 0, 0

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        assert isinstance(which, slice) or (which.dtype == np.int64 and (np.diff(which) > 0).all())
        found = self._x[which]
        self.most, self.read = max(self.most, len(found)), self.read + len(found)
        found.flags.writeable = False
        return found


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of some hundred rows, and a part of less than half of them."""
    monkeypatch.setattr(streamed, "BLOCK", 100_000)
    monkeypatch.setattr(streamed, "PART", 150_000)


def targets(x: np.ndarray, y: np.ndarray, target: str) -> tuple[np.ndarray, int]:
    """(targets, outputs) of each kind."""
    return {"class": (y, 4), "labels": (drawn.labels(x), 3), "number": (drawn.numbers(x), 1)}[target]


def exact(x: np.ndarray, wanted: np.ndarray, target: str, k: int, chosen: dict, balance: bool = False) -> np.ndarray:
    """Outputs of the optimum in memory, at the strength that was chosen."""
    basis = convex.Basis(x)
    if target == "number":
        mean = wanted.mean(0)
        return basis.rotated @ (basis.rotated.T @ (wanted - mean) / (basis.curvature + chosen["alpha"])[:, None]) + mean
    hot, columns = folds.counted(wanted, target, k)
    weights = folds.balance(hot, target == "class") if balance else np.ones((len(x), 1))
    link = convex.softmax_loss if target == "class" else convex.sigmoid_loss
    found = convex.minimise(basis, hot, weights, chosen["C"], link)
    return convex.widen(basis.rotated @ found[:-1] + found[-1], columns, k)


def same(mine: np.ndarray, wanted: np.ndarray, target: str) -> None:
    """Probabilities, or numbers, within a thousandth, and every decision alike."""
    likely = {"class": lambda z: softmax(z, 1), "labels": expit, "number": lambda z: z}[target]
    assert likely(mine) == pytest.approx(likely(wanted), abs=1e-3)
    if target == "class":
        assert (mine.argmax(1) == wanted.argmax(1)).all()


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("target", KINDS)
def test_it_is_the_optimum_in_memory(target, balance):
    x, y = drawn.features(3000, 24, 4, apart=0.5)
    keep = (y != 3) | (np.arange(3000) % 40 == 3)
    x, y = x[keep], y[keep]
    wanted, k = targets(x, y, target)
    found = streamed.regress(Rows(x), wanted, 0, target, k, balance)
    same(drawn.outputs(found.head, x), exact(x, wanted, target, k, found.chosen, balance), target)
    assert found.head.config == logistic.solve(x[:200], wanted[:200], 0, target, k).head.config


def test_a_part_chooses_as_well_as_cross_validation_of_all_rows():
    x, y = drawn.features(4500, 24, 4, apart=0.3)
    learn, fresh = slice(0, 3000), slice(3000, 4500)
    found = streamed.regress(Rows(x[learn]), y[learn], 0, "class", 4)
    wanted = logistic.solve(x[learn], y[learn], 0, "class", 4)
    mine, theirs = (softmax(drawn.outputs(one.head, x[fresh]), 1) for one in (found, wanted))
    loss = lambda p: -np.log(p[np.arange(1500), y[fresh]]).mean()  # noqa: E731
    assert loss(mine) == pytest.approx(loss(theirs), rel=0.01) and (mine.argmax(1) == theirs.argmax(1)).mean() > 0.98


@pytest.mark.parametrize("target", KINDS)
def test_outputs_are_of_rows_that_the_first_solution_has_not_seen(target):
    x, y = drawn.features(1200, 12, 4, apart=0.5)
    wanted, k = targets(x, y, target)
    found = streamed.regress(Rows(x), wanted, 3, target, k)
    assert len(found.rows) == 120 and (np.diff(found.rows) > 0).all()
    assert found.outputs.shape == (120, k) and found.outputs.dtype == np.float32
    rest = np.delete(np.arange(1200), found.rows)
    basis = convex.Basis(x[rest])
    if target == "number":
        learnt = basis.rotated.T @ (wanted[rest] - wanted[rest].mean(0)) / (basis.curvature + found.chosen["alpha"])[:, None]
        assert found.outputs == pytest.approx(basis.apply(x[found.rows]) @ learnt + wanted[rest].mean(0), abs=1e-3)
        return
    hot, _ = folds.counted(wanted[rest], target, k)
    link = convex.softmax_loss if target == "class" else convex.sigmoid_loss
    learnt = convex.minimise(basis, hot, np.ones((len(rest), 1)), found.chosen["C"], link)
    turn = (lambda z: softmax(z, 1)) if target == "class" else expit
    assert turn(found.outputs) == pytest.approx(turn(basis.apply(x[found.rows]) @ learnt[:-1] + learnt[-1]), abs=0.02)


@pytest.mark.parametrize("target", KINDS)
def test_twice_is_the_same_and_another_seed_holds_out_others(target):
    x, y = drawn.features(900, 10, 4)
    wanted, k = targets(x, y, target)
    first, second, other = (streamed.regress(Rows(x), wanted, seed, target, k) for seed in (0, 0, 1))
    assert (drawn.outputs(first.head, x) == drawn.outputs(second.head, x)).all() and (first.outputs == second.outputs).all()
    assert not np.array_equal(first.rows, other.rows)


@pytest.mark.parametrize("target", KINDS)
def test_no_request_is_larger_than_a_block_and_passes_do_not_grow_with_the_rows(target):
    passes = []
    for n in (1500, 12000):
        x, y = drawn.features(n, 24, 4, apart=0.3)
        wanted, k = targets(x, y, target)
        rows, told = Rows(x), []
        found = streamed.regress(rows, wanted, 0, target, k, told=told.append)
        assert rows.most <= streamed.BLOCK // (4 * 24) < n and len(told) == found.chosen["passes"]
        assert rows.read <= (found.chosen["passes"] + 2) * n, "beside the passes, the part and the held-out rows are read once"
        passes.append(found.chosen["passes"])
    assert max(passes) <= (1 if target == "number" else 60) and passes[1] <= 1.5 * passes[0] + 5


def test_classes_without_rows_with_one_row_and_with_few():
    x, _ = drawn.features(2000, 12, 2, apart=0.8)
    y = np.where(np.arange(2000) % 2, 1, 3)
    y[7], y[[20, 40, 60]] = 4, 6
    found = streamed.regress(Rows(x), y, 0, "class", 8)
    out = drawn.outputs(found.head, x)
    assert out.shape == (2000, 8) and set(out.argmax(1)) <= {1, 3, 4, 6} and set(found.outputs.argmax(1)) <= {1, 3, 4, 6}
    assert 7 not in found.rows and found.chosen["rows"] > 0
    present = [1, 3, 4, 6]
    same(out[:, present], exact(x, y, "class", 8, found.chosen)[:, present], "class")


def test_sorted_rows_and_a_mean_far_from_zero_do_no_harm():
    x, y = drawn.features(2000, 12, 4, apart=0.5)
    order = np.argsort(y, kind="stable")
    x, y = x[order] + np.float32(500), y[order]
    padded = np.concatenate([x, np.full((2000, 2), 0.1, np.float32)], 1)
    found = streamed.regress(Rows(padded), y, 0, "class", 4)
    assert not found.head.final.weight[:, 12:].any()
    centred = (x - np.float32(500)).astype(np.float32)
    bias = found.head.final.bias.detach().numpy().astype(float)
    weight = found.head.final.weight.detach().numpy().astype(float)[:, :12]
    same(centred @ weight.T + bias + 500 * weight.sum(1), exact(centred, y, "class", 4, found.chosen), "class")


@pytest.mark.parametrize("target", KINDS)
def test_features_too_wide_for_a_covariance(target, monkeypatch):
    monkeypatch.setattr(streamed, "WIDE", 20)
    x, y = drawn.features(900, 40, 4, apart=0.4)
    wanted, k = targets(x, y, target)
    found = streamed.regress(Rows(x), wanted, 0, target, k)
    chosen = {"alpha": 1 / found.chosen["C"], **found.chosen}
    same(drawn.outputs(found.head, x), exact(x, wanted, target, k, chosen), target)


@pytest.mark.parametrize(("rows", "y"), [(5, [0, 0, 1, 1, 1]), (8, [2] * 8), (3, [0, 1, 2]), (12, [0] * 11 + [1])])
def test_hardly_any_rows(rows, y):
    x, _ = drawn.features(rows, 6)
    found = streamed.regress(Rows(x), np.array(y), 0, "class", 3)
    assert np.isfinite(drawn.outputs(found.head, x)).all()
    assert (found.rows is None) == (found.outputs is None) == (rows < 10)
    number = streamed.regress(Rows(x), drawn.numbers(x), 0, "number", 1)
    assert np.isfinite(drawn.outputs(number.head, x)).all() and (number.rows is None) == (rows < 10)


def test_squared_loss_has_the_gradient_of_finite_differences():
    rng = np.random.default_rng(0)
    f, y, weights = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)), rng.uniform(0.5, 2, (6, 1))
    value, slope = streamed.squared_loss(f, y, weights)
    for i, j in np.ndindex(6, 2):
        moved = f.copy()
        moved[i, j] += 1e-6
        assert (streamed.squared_loss(moved, y, weights)[0] - value) / 1e-6 == pytest.approx(slope[i, j], abs=1e-5)
