"""graft embed prints what was written and found."""

from pathlib import Path

from graft.cli.embed import summary


def test_the_summary_names_files_groups_and_agreement():
    found = {
        "rows": 30, "width": 1280, "layers": ["head"], "body": "mobilenetv2_100", "file": "features.parquet",
        "clusters": {"number": 2, "sizes": [20, 9], "left_out": 1, "why": "as was asked", "agreement": {"nmi": 0.5, "ari": 0.25}},
    }  # fmt: skip
    text = summary(found, Path("out"))
    assert "30 samples, 1,280 numbers each: head of mobilenetv2_100" in text
    assert "2 groups of 20, 9, 1 sample in none" in text and "NMI 0.500, adjusted Rand index 0.250" in text
    assert "out/features.parquet" in text and "out/embedding.html" in text
    assert "group" not in summary({**found, "clusters": None}, Path("out")).replace("groups", "group").split("\n")[0]
