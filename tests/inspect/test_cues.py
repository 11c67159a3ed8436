import numpy as np

from graft.inspect.cues import COMMON, curved, indicators, spelt


def test_curved_columns_are_standardised_with_all_products():
    x = np.random.default_rng(0).normal(3, 2, (50, 3))
    z = (x - x.mean(0)) / x.std(0)
    wanted = np.stack([*z.T, *(z[:, i] * z[:, j] for i in range(3) for j in range(i, 3))], 1)
    np.testing.assert_allclose(curved(x), wanted)
    assert not curved(np.ones((4, 2))).any()


def test_indicators_of_the_commonest_values():
    values = ["a"] * 3 + ["b"] * 2 + ["c"]
    np.testing.assert_array_equal(indicators(values), [[v == "a", v == "b"] for v in values])
    assert indicators([str(i % 40) for i in range(80)]).shape == (80, COMMON) and indicators(values, 1).shape == (6, 1)


def test_names_without_those_of_the_classes():
    rows = spelt(["/x/ant_0012.jpg", "/y/bee_0012.jpg"], ["ant", "bee"])
    np.testing.assert_array_equal(rows[0], rows[1])
    assert rows[0][1] == 4 and spelt([], []).shape == (0, 1)
