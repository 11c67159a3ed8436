import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.tasks import toys

from graft.core import Batch, Data, Plan, Schema
from graft.data.tokens import Tokenizer, collate
from graft.errors import DataError, OptionError
from graft.metrics import spans as metrics
from graft.tasks import spans
from graft.tasks.spans import Options, task

SCHEMA = Schema("text", "spans", (), "text")
LONG = " ".join(["the cat and the dog ran to town ."] * 6) + " anna sat in old berlin . " + " ".join(["bob ran to the mat ."] * 4)


def _row(name, question, context, answers=(), group="g"):
    starts = [context.index(answer) for answer in answers]
    return {"path": name, "text": question, "context": context, "label": list(answers), "starts": starts, "group": group}


TYPES = pa.schema([
    ("path", pa.string()), ("text", pa.string()), ("context", pa.string()), ("label", pa.list_(pa.string())),
    ("starts", pa.list_(pa.int64())), ("group", pa.string()),
])  # fmt: skip
SHORT = [
    _row("q1", "where is the cat ?", "the cat sat on the mat", ["on the mat", "the mat"], "p1"),
    _row("q2", "who ran ?", "anna ran to town and bob sat", ["anna"], "p2"),
    _row("q3", "where is bob ?", "bob ran to berlin in may", ["berlin", "to berlin"], "p3"),
]


def _data(train, test=None, **values):
    table = lambda rows: pa.Table.from_pylist(rows, TYPES)  # noqa: E731
    return Data(table(train), SCHEMA, "f", "here", test=None if test is None else table(test), **values)


def _batch(built, prepare, table, rows=None):
    rows = list(range(len(table))) if rows is None else rows
    tokens = Tokenizer(prepare).pairs(table["text"].to_pylist(), table["window"].to_pylist())
    index = torch.tensor(rows)
    return Batch(collate([tokens[row] for row in rows]), built.encode(table)[index], index, table=table)


def test_a_short_context_is_one_window_whose_tokens_are_the_answer():
    prepare = toys.pieces()
    table = task(SCHEMA, Options()).expand(_data(SHORT), prepare).train
    assert table["path"].to_pylist() == table["question"].to_pylist() == ["q1", "q2", "q3"]
    assert table["window"].to_pylist() == table["context"].to_pylist() and table["may_be_none"].to_pylist() == [False] * 3
    tokens = Tokenizer(prepare).pairs(table["text"].to_pylist(), table["window"].to_pylist())
    said = [[int(i) for i in tokens[i].ids[row["begin"] : row["end"] + 1]] for i, row in enumerate(table.to_pylist())]
    assert [Tokenizer(prepare).text_of(ids) for ids in said] == ["on the mat", "anna", "berlin"]
    assert table["group"].to_pylist() == ["p1", "p2", "p3"]
    with pytest.raises(DataError, match="expand"):
        spans.encode(_data(SHORT).train)


def test_of_a_learning_question_one_window_without_its_answer_is_kept_and_of_others_all():
    rows = [_row("q1", "where is anna ?", LONG, ["in old berlin"]), _row("q2", "who ran ?", LONG)]
    data = task(SCHEMA, Options(stride=8)).expand(_data(rows, rows), toys.pieces(32))
    learns, scored = (t.to_pylist() for t in (data.train, data.test))
    holds = lambda row: row["begin"] > 0 or row["end"] > 0  # noqa: E731
    first = [row for row in learns if row["question"] == "q1"]
    assert sum(not holds(row) for row in first) == 1 and sum(map(holds, first)) >= 1
    assert sum(row["question"] == "q1" for row in scored) > len(first)
    silent = [row for row in learns if row["question"] == "q2"]
    assert len(silent) == sum(row["question"] == "q2" for row in scored) > 3 and not any(map(holds, silent))
    for table in (data.train, data.test):
        assert len(set(table["path"].to_pylist())) == len(table) and set(table["may_be_none"].to_pylist()) == {True}
        assert all(row["window"] == LONG[row["first"] : row["last"]] for row in table.to_pylist())
    assert [row["path"] for row in scored][:3] == ["q1", "q1#2", "q1#3"]
    folded = task(SCHEMA, Options(stride=8)).expand(_data(rows, plan=Plan("a fold", "every row", folds=5)), toys.pieces(32)).train
    assert folded["path"].to_pylist() == [row["path"] for row in scored]


def test_numbers_tell_questions_apart_however_the_rows_are_split():
    whole = task(SCHEMA, Options()).expand(_data(SHORT), toys.pieces()).train
    parted = task(SCHEMA, Options()).expand(_data(SHORT[2:], SHORT[:2]), toys.pieces())
    number = dict(zip(whole["question"].to_pylist(), whole["number"].to_pylist(), strict=True))
    for table in (parted.train, parted.test):
        assert all(number[row["question"]] == row["number"] for row in table.to_pylist())
    assert sorted(number.values()) == [0, 1, 2]


def test_whether_silence_is_allowed_follows_from_the_learning_rows_or_from_the_user():
    silent = [*SHORT, _row("q4", "who sat ?", "bob ran")]
    assert spans.settle(Options(), _data(silent)).none is True and spans.settle(Options(), _data(SHORT, silent)).none is False
    assert spans.settle(Options(none=False), _data(silent)).none is False
    unlabelled = pa.Table.from_pylist(SHORT, TYPES).drop_columns(["label", "starts"])
    data = task(SCHEMA, Options(none=True)).expand(Data(unlabelled, SCHEMA, "f", "here"), toys.pieces())
    assert data.train["may_be_none"].to_pylist() == [True] * 3 and data.train["begin"].to_pylist() == [0] * 3
    later = task(SCHEMA, Options(none=True)).expand(_data([], SHORT), toys.pieces())
    assert len(later.train) == 0 and later.train.schema == later.test.schema and len(later.test) == 3
    assert spans.settle(Options(), Data(unlabelled, SCHEMA, "f", "here")).none is False


def test_loss_is_the_mean_surprise_at_beginning_and_end():
    torch.manual_seed(0)
    outputs, targets = torch.randn(4, 9, 2), torch.randint(9, (4, 2))
    slow = -sum(outputs[i, :, j].log_softmax(0)[targets[i, j]] for i in range(4) for j in range(2)) / 8
    assert spans.loss(outputs, targets).item() == pytest.approx(slow.item(), rel=1e-5)


def test_the_best_span_is_the_best_of_all_pairs_inside_the_window():
    prepare, longest = toys.pieces(32), 4
    built = task(SCHEMA, Options(stride=8, longest=longest, none=True))
    table = built.expand(_data([_row("q1", "who ran ?", LONG, ["anna"])], [_row("q1", "who ran ?", LONG, ["anna"])]), prepare).test
    batch = _batch(built, prepare, table, list(range(len(table)))[::-1])
    torch.manual_seed(1)
    outputs = torch.randn(len(table), batch.inputs["ids"].shape[1], 2)
    found = built.summarise(outputs, batch)
    assert found.shape == (len(table), len(metrics.COLUMNS)) and found.dtype == torch.float32
    tokens = Tokenizer(prepare).pairs(table["text"].to_pylist(), table["window"].to_pylist())
    for given, row, numbers in zip(outputs, batch.rows.tolist(), found.numpy(), strict=True):
        one, first = tokens[row], table["first"][row].as_py()
        inside = [i for i in range(len(one)) if one.types[i] == 1 and one.offsets[i, 1] > 0]
        score, begin, end = max((float(given[b, 0] + given[e, 1]), b, e) for b in inside for e in inside if 0 <= e - b < longest)
        told = dict(zip(metrics.COLUMNS, numbers, strict=True))
        assert told["score"] == pytest.approx(score, rel=1e-6)
        assert (told["start"], told["end"]) == (first + one.offsets[begin, 0], first + one.offsets[end, 1])
        assert told["none"] == pytest.approx(float(given[0].sum()), rel=1e-6) and told["may_be_none"] == 1 and told["unanswerable"] == 0
        text = LONG[int(told["start"]) : int(told["end"])]
        assert (told["exact"], told["f1"]) == pytest.approx(metrics.best(text, ["anna"]))


def test_a_net_learns_to_answer_and_says_so_to_people():
    rows = [*SHORT, _row("q4", "what did the old dog ?", "bob ran to town")]
    prepare = toys.pieces()
    built = task(SCHEMA, spans.settle(Options(), _data(rows)))
    table = built.expand(_data(rows), prepare).train
    net, batch = toys.net(prepare, "tokens", built.head), _batch(built, prepare, table)
    toys.learn(net, lambda step: built.loss(net(batch.inputs), batch.targets, smoothing=0.1), 80)
    net.eval()
    found = built.decode(built.summarise(net(batch.inputs), batch))
    scores = built.metrics(found.numpy(), batch.targets.numpy())
    assert scores == {"exact_match": 1.0, "f1": 1.0} and built.primary == "f1"
    told = spans.answers(table, found)
    assert [one["answer"] for one in told] == ["on the mat", "anna", "berlin", ""]
    assert [one["start"] for one in told] == [12, 0, 11, -1] and all(0.5 < one["probability"] <= 1 for one in told)
    assert [one["question"] for one in told] == ["q1", "q2", "q3", "q4"] and told[0]["text"] == "where is the cat ?"
    for threshold, right in ((1e6, 0.75), (-1e6, 0.25)):
        other = task(SCHEMA, Options(none=True, threshold=threshold)).summarise(net(batch.inputs), batch)
        assert built.metrics(other.numpy(), batch.targets.numpy())["exact_match"] == right
        assert all((one["answer"] == "") == (threshold < 0) for one in spans.answers(table, other))


def test_a_window_without_a_token_answers_nothing():
    prepare, built = toys.pieces(), task(SCHEMA, Options())
    table = built.expand(_data([_row("q1", "who ?", "")]), prepare).train
    batch = _batch(built, prepare, table)
    found = built.summarise(torch.randn(1, batch.inputs["ids"].shape[1], 2), batch)
    assert np.isfinite(found.numpy()).all() and built.metrics(found.numpy(), batch.targets.numpy())["exact_match"] == 1
    assert spans.answers(table, found)[0]["answer"] == ""


def test_config_builds_the_same_task_and_what_is_out_of_range_is_refused():
    options = Options(stride=64, none=True, threshold=0.5, hidden=(8,), layers=(1, 2), mix=True)
    config = task(SCHEMA, options).config
    assert Options(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}) == options
    for wrong in ({"stride": -1}, {"longest": 0}):
        with pytest.raises(OptionError, match="try --set task"):
            Options(**wrong)


def test_a_question_that_is_cut_is_told():
    data = task(SCHEMA, Options()).expand(_data([_row("q1", "who " * 40, "anna ran", ["anna"])]), toys.pieces(32))
    assert "1 question is longer" in data.notes[0].text and len(data.train["text"][0].as_py()) < 100
