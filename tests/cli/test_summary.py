from pathlib import Path

from graft.cli.summary import places, score_lines, summary, target_lines

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


def test_without_labels_it_says_what_changed_and_what_to_do_next(tmp_path):
    scores = {
        "primary": "effective_rank", "scored": "val", "scored_as": "rows that were set aside", "target": "none", "n": {"val": 30},
        "val": {"effective_rank": {"value": 9.5, "interval": None}, "spread": {"value": 0.5, "interval": None}},
        "before": {"effective_rank": 4.0, "spread": 0.25}, "method": "simclr", "collapse": "The features have collapsed.",
    }  # fmt: skip
    assert "\n".join(score_lines(scores)).splitlines() == [
        "features        before  after", "effective rank  4.000   9.500", "spread          0.250   0.500",
        "on rows that were set aside, 30 samples", "The features have collapsed.", "", "simclr",
    ]  # fmt: skip
    (tmp_path / "data.json").write_text('{"schema": {"modality": "image", "target": "none"}}')
    assert f"graft fit LABELLED -b run:{tmp_path}" in places(tmp_path) and "predict" not in places(tmp_path)


def test_a_language_model_that_fills_in_hidden_tokens_serves_as_a_body(tmp_path):
    (tmp_path / "data.json").write_text('{"schema": {"modality": "text", "target": "language"}}')
    (tmp_path / "spec.toml").write_text('[task]\nname = "language"\nkind = "masked"\n')
    assert f"graft fit LABELLED -b run:{tmp_path}" in places(tmp_path) and "predict" not in places(tmp_path)
    (tmp_path / "spec.toml").write_text('[task]\nname = "language"\nkind = "causal"\n')
    assert f"graft predict {tmp_path / 'model'} 'A TEXT'..." in places(tmp_path)


TARGET = {"rows": 40, "labelled": 40, "verdict": "helped", "accuracy": {"value": 0.75, "interval": [0.6, 0.86]}}


def test_the_target_comes_first_and_the_source_second(tmp_path):
    scores = {**SCORES, "target_domain": TARGET}
    (tmp_path / "target.json").write_text('{"verdict": {"kind": "helped", "text": "Adaptation helped.", "advice": "Label more."}}')
    lines = summary(scores, tmp_path).splitlines()
    assert lines[:8] == [
        "accuracy on the target 0.750  (95 % interval 0.600 to 0.860)",
        "measured on its 40 labelled samples, once, after everything was chosen",
        "",
        "Adaptation helped.",
        "Label more.",
        "",
        "on the source, which says little about the target:",
        "accuracy 0.900  (95 % interval 0.880 to 0.920)",
    ]
    assert target_lines({**scores, "target_domain": TARGET | {"labelled": 30}}, {})[1].startswith(
        "measured on its 30 labelled samples of 40"
    )


def test_a_target_without_labels_says_that_there_is_no_score():
    scores = {**SCORES, "target_domain": {"rows": 40, "labelled": 0, "verdict": "unknown"}}
    assert target_lines(scores, {"verdict": {"text": "No labels.", "advice": "Label some."}}) == ["No labels.", "Label some."]
    assert target_lines(scores, {}) == ["no score on the target: 0 of its 40 samples have labels"]
    assert target_lines(SCORES, {}) == []
