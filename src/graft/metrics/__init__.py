"""Pure functions on arrays: scores, calibration and their uncertainty.

What a task scores with is a callable `scores(decoded, targets) -> {name: float}`. Those of this package also have
`prepare(decoded, targets) -> score(counts)`, the same scores when row i counts `counts[i]` times, which makes a bootstrap
of thousands of repetitions cheap.
"""
