"""Which rows a method may learn from."""

from dataclasses import replace

from tests import nets


def test_drawn_selecting_rows_may_be_learnt_from_and_others_not(tmp_path):
    data = nets.data(tmp_path)
    assert len(data.learning()) == len(data.train) + len(data.val)
    given = replace(data, plan=replace(data.plan, drawn=False))
    assert given.learning().equals(data.train)
    assert replace(data, val=None).learning().equals(data.train) and replace(data, plan=None).learning().equals(data.train)


def test_a_sample_is_called_by_its_path_or_by_what_goes_in():
    import pyarrow as pa

    from graft.core import name_column

    assert name_column(pa.table({"path": ["t.csv:2"], "text": ["so"]}), "text") == "path"
    assert name_column(pa.table({"file": ["a.png"]}), "file") == "file"
