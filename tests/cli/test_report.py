from pathlib import Path


def test_report_prints_the_page_s_path(api, invoke):
    assert invoke("report", "runs/photos-1").stdout == "runs/photos-1/report.html\n"
    assert api.calls == [("report", (Path("runs/photos-1"),), {})]
    assert invoke("report", "runs/photos-1", "--json").json() == {"report": "runs/photos-1/report.html"}
