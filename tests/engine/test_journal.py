"""The journal survives a cut-off line and keeps its clock."""

import json

import pytest

from graft.engine.journal import Journal, decisions, full_disk, read


def test_lines_wait_for_the_folder_and_reach_the_listener_at_once(tmp_path):
    heard = []
    journal = Journal(heard.append)
    journal.decide("method", "lp_ft", "because", "--method")
    assert [row["event"] for row in heard] == ["decision"] and read(tmp_path) == []
    journal.open(tmp_path)
    journal.tell("step", loss=1.0)
    journal.write("done")
    journal.close()
    assert [row["event"] for row in read(tmp_path)] == ["decision", "done"]
    assert [row["event"] for row in heard] == ["decision", "step", "done"]
    assert decisions(read(tmp_path)) == (("method", "lp_ft", "because", "--method"),)


def test_a_line_cut_short_is_dropped_and_the_clock_goes_on(tmp_path):
    (tmp_path / "journal.jsonl").write_text(json.dumps({"t": 50.0, "event": "saved"}) + "\n" + '{"t": 60.0, "ev')
    journal = Journal()
    journal.open(tmp_path)
    journal.write("resumed")
    journal.close()
    rows = read(tmp_path)
    assert [row["event"] for row in rows] == ["saved", "resumed"]
    assert 50.0 <= rows[1]["t"] < 55.0


def test_a_full_disk_is_one_sentence_with_the_way_on(tmp_path):
    class Full:
        name = str(tmp_path / "journal.jsonl")

        def write(self, text):
            raise OSError(28, "No space left on device")

    journal = Journal()
    journal._file = Full()
    with pytest.raises(Exception, match=r"disk is full.*graft resume"):
        journal.write("saved")
    assert "graft resume" in str(full_disk(OSError(13, "Permission denied"), tmp_path))
