from graft.cli.predictions import as_csv, as_table, entry
from graft.export.model import Prediction


def test_several_labels_are_a_set_beside_the_ranks():
    one = entry(Prediction("a.jpg", ("red", "round"), 0.4, (("red", 0.9), ("round", 0.6), ("big", 0.1))))
    assert as_table([one], 1) == "a.jpg  red, round  0.400"
    assert as_table([one], 3) == "a.jpg  red, round  0.400  red  0.900  round  0.600"
    assert as_csv([one], 1) == "path,label,probability,error\na.jpg,red;round,0.4,"


def test_no_label_and_numbers():
    assert as_table([entry(Prediction("a.jpg", (), 0.9, (("red", 0.1),)))], 1) == "a.jpg  -  0.900"
    number = entry(Prediction("a.jpg", 12.3456, None, ()))
    assert as_table([number], 5) == "a.jpg  12.346"
    assert as_csv([number], 1) == "path,label,probability,error\na.jpg,12.3456,,"


def test_rows_of_different_length_are_one_table():
    short, long = Prediction("a.jpg", "ant", 1.0, (("ant", 1.0),)), Prediction("b.jpg", "bee", 0.6, (("bee", 0.6), ("ant", 0.4)))
    assert as_table([entry(short), entry(long)], 2) == "a.jpg  ant  1.000\nb.jpg  bee  0.600  ant  0.400"
    assert as_table([], 2) == ""


def test_names_answers_and_running_text():
    tags = entry(Prediction("a.csv:2", (("New", "B-LOC"), ("York", "I-LOC"), ("is", "O"), ("Ann", "B-PER")), None))
    none = entry(Prediction("a.csv:3", (("it", "O"),), None))
    assert as_table([tags, none], 1) == "a.csv:2  New York (LOC), Ann (PER)\na.csv:3  -"
    assert as_csv([tags, none], 1).splitlines()[1:] == ["a.csv:2,New York (LOC);Ann (PER),,", "a.csv:3,,,"]
    assert as_table([entry(Prediction("q", "", None)), entry(Prediction("r", "goes\non", None))], 1) == "q  no answer\nr  goes on"
