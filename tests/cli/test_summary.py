from pathlib import Path

from graft.cli.summary import places, score_lines, summary

SCORES = {
    "primary": "accuracy", "scored": "test", "scored_as": "test", "select": "val", "optimistic": False, "n": {"test": 1000},
    "test": {"accuracy": {"value": 0.9, "interval": [0.88, 0.92]}, "macro_f1": {"value": 0.85, "interval": [0.8, 0.9]}}, "val": None,
    "seconds": 3700, "method": "extract", "backbone": "gabor", "trainable_params": 25_600, "peak_memory_mb": 1234.5,
}  # fmt: skip


def test_the_whole():
    assert summary(SCORES, "r").splitlines() == [
        "accuracy 0.900  (95 % interval 0.880 to 0.920)",
        "measured on test, 1,000 samples; chosen on val",
        "",
        "macro_f1  0.850 [0.800, 0.900]",
        "",
        "extract, gabor, 25.6 k parameters learnt, 1 h 01 min, 1,234 MB at most",
        "",
        *places("r").splitlines(),
    ]


def test_an_optimistic_score_says_so():
    assert "optimistic" in score_lines({**SCORES, "optimistic": True})[1]


def test_scores_with_little_in_them():
    assert score_lines({"primary": "mae", "val": {"mae": {"value": 2.0}}}) == ["mae 2.000", "measured on val"]
    assert score_lines({"primary": "mae"})[0] == "mae -"


def test_places_name_the_next_commands():
    lines = places("runs/a").splitlines()
    assert places(Path.cwd() / "runs" / "a").splitlines() == lines
    assert lines[0].split() == ["model", "runs/a/model"] and lines[1].split() == ["report", "runs/a/report.html"]
    assert lines[2].split() == ["next", "graft", "predict", "runs/a/model", "PHOTOS..."]
