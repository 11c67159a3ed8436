"""What the student learns from: labels, the teacher's words of the same rows, and of rows without labels."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests import nets
from tests.methods import taught, words
from tests.methods.phases import collect

from graft import catalog
from graft.core import Batch, Schema
from graft.engine import execute
from graft.engine.journal import Journal
from graft.errors import OptionError
from graft.losses import distillation
from graft.methods import distill, recipe
from graft.testing import check_method


def batches(rows, head, more):
    """Batches of these rows of both tables, as the engine makes them, of noise."""
    torch.manual_seed(3)
    images = {"train": torch.randn(len(head), 3, 16, 16), "unlabelled": torch.randn(len(more), 3, 16, 16)}
    labels = torch.tensor([int(rows.train["label"][i].as_py() == "light") for i in head])
    return {
        "train": Batch(images["train"], labels, torch.tensor(head)),
        "unlabelled": Batch(images["unlabelled"], torch.zeros(len(more)), torch.tensor(more)),
    }


def test_phases_and_the_longer_stream_makes_the_epochs(tmp_path):
    made, rows = nets.task(), taught.data(tmp_path, unlabelled=60)
    net = nets.net(made)
    probe, phase = collect("distill", net, made, rows, features=0.5)
    assert probe.solve is not None and probe.name == "head"
    assert set(phase.streams) == {"train", "unlabelled"} and phase.streams["unlabelled"].augment and phase.keep == "best"
    assert phase.epochs == distill.MOST and [g.name for g in phase.groups] == ["stem", "middle", "top", "head", "hint"]
    assert phase.extras["hint"].weight.shape == (taught.WIDTH, 16)
    (_, alone) = collect("distill", net, made, replace(rows, unlabelled=None), epochs=7)
    assert set(alone.streams) == {"train"} and alone.extras is None and alone.epochs == 7
    # Three times the steps of fine-tuning, in between.
    assert [recipe.epochs(distill.Options(), 960, *more) for more in ((), (distill.STEPS, distill.LEAST, distill.MOST))] == [10, 30]


def test_the_objective_is_its_formula_on_the_rows_of_the_batch(tmp_path):
    made, rows = nets.task(), taught.data(tmp_path)
    net = nets.net(made)
    _, phase = collect("distill", net, made, rows, temperature=3.0, share=0.7, features=0.5)
    net.eval()
    given = batches(rows, [5, 0, 3], [9, 2])
    value = phase.objective(net, given).item()
    features = np.array(rows.train["teacher_features"].to_pylist())
    centre = features.mean(0)
    size = math.sqrt(((features - centre) ** 2).mean())
    soft = hint = hard = 0.0
    for name, table in (("train", rows.train), ("unlabelled", rows.unlabelled)):
        batch = given[name]
        with torch.no_grad():
            logits, pooled = net(batch.inputs), net.advance(batch.inputs, 0, net.pooled)["x"]
            mapped = phase.extras["hint"](pooled).numpy()
        for i, row in enumerate(batch.rows.tolist()):
            p = np.exp(np.array(table["teacher"][row].as_py()) / 3)
            q = np.exp(logits[i].double().numpy() / 3)
            p, q = p / p.sum(), q / q.sum()
            soft += 9 * float((p * np.log(p / q)).sum()) / 5
            seen = (np.array(table["teacher_features"][row].as_py()) - centre) / size
            hint += float(((mapped[i] - seen) ** 2).mean()) / 5
            if name == "train":
                own = np.exp(logits[i].double().numpy())
                hard -= math.log(own[batch.targets[i]] / own.sum()) / 3
    assert value == pytest.approx(0.3 * hard + 0.7 * soft + 0.5 * hint, rel=1e-4)


@pytest.mark.parametrize("target", ["labels", "number"])
def test_other_targets_have_a_soft_loss_of_their_own(target, tmp_path):
    rows, several = taught.data(tmp_path, unlabelled=0), target == "labels"
    labels = [[one] if several else float(i % 3) for i, one in enumerate(rows.train["label"].to_pylist())]
    table = rows.train.drop_columns("label").append_column("label", pa.array(labels))
    if not several:
        said = pa.array([[0.1 * i] for i in range(len(table))], pa.list_(pa.float32()))
        table = table.drop_columns("teacher").append_column("teacher", said)
    schema = Schema("image", target, ("dark", "light") if target == "labels" else ())
    name = "multilabel" if target == "labels" else "regression"
    made = catalog.resolve("task", name)(schema, catalog.options("task", name)())
    rows, net = replace(rows, train=table, schema=schema), nets.net(made)
    *_, phase = collect("distill", net, made, rows, share=1.0)
    net.eval()
    torch.manual_seed(0)
    batch = Batch(torch.randn(3, 3, 16, 16), made.encode(table)[[4, 1, 2]], torch.tensor([4, 1, 2]))
    said = torch.tensor(np.array(table["teacher"].to_pylist(), np.float32))[[4, 1, 2]]
    with torch.no_grad():
        out = net(batch.inputs)
    wanted = distillation.soft_bits(out, said, 4.0) if target == "labels" else ((out - said) ** 2).mean()
    assert phase.objective(net, {"train": batch}).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_what_does_not_fit_is_refused(tmp_path):
    made, rows = nets.task(), taught.data(tmp_path)
    with pytest.raises(OptionError, match="needs a teacher; name a finished run with --teacher RUN"):
        collect("distill", nets.net(made), made, nets.data(tmp_path / "bare"))
    with pytest.raises(OptionError, match="needs a teacher"):
        collect("distill", nets.net(made), made, replace(rows, unlabelled=rows.unlabelled.drop_columns("teacher")))
    with pytest.raises(OptionError, match="no features"):
        collect("distill", nets.net(made), made, replace(rows, train=rows.train.drop_columns("teacher_features")), features=1.0)
    with pytest.raises(OptionError, match=r"method\.temperature = 0"):
        distill.Options(temperature=0.0)
    with pytest.raises(OptionError, match="regression, cosine"):
        distill.Options(hint="other")
    net = nets.net(made)
    _, phase = collect("distill", net, made, rows)
    given = batches(rows, [0, 1], [2])
    given["train"] = replace(given["train"], targets=torch.tensor([[0.3, 0.7], [1.0, 0.0]]))
    with pytest.raises(OptionError, match=r"mixed images.*augment\.mixup=0"):
        phase.objective(net, given)


def test_the_student_comes_to_say_what_the_teacher_says_of_rows_without_labels(tmp_path):
    """The teacher contradicts the labels of these rows; only who listens to it can know."""
    made, rows = nets.task(), taught.data(tmp_path, rows=36, unlabelled=24)
    odd = torch.tensor([[3.0, -3.0] if i % 2 else [-3.0, 3.0] for i in range(24)])  # Light rows are odd, and it calls them dark.
    more = rows.unlabelled.drop_columns("teacher").append_column("teacher", pa.array(odd.tolist(), pa.list_(pa.float32())))
    rows, agreed = replace(rows, unlabelled=more), {}
    for share in (0.0, 1.0):
        net, journal, folder = nets.net(made), Journal(), tmp_path / str(share)
        folder.mkdir()
        journal.open(folder)
        phases = collect("distill", net, made, rows, share=share, epochs=25, lr=3e-3, batch=8, augment=False)
        last = [phases[0], replace(phases[1], keep="last")]  # What is selected on labels is not the question here.
        setting = execute.Setting("final", folder, net, made, rows, nets.passes(made, "none"), journal, 0)
        execute.execute(lambda phases=last: (phase for phase in phases), setting)
        with torch.no_grad():
            outputs = torch.cat([net.eval()(batch.inputs) for batch in nets.streams(made).plain(more)])
        agreed[share] = (outputs.argmax(1) == odd.argmax(1)).float().mean().item()
    assert agreed[0.0] < 0.4 and agreed[1.0] > agreed[0.0] + 0.2


@pytest.mark.parametrize("values", [{"features": 1.0}, {"features": 0.5, "hint": "cosine", "freeze": 1}])
def test_it_keeps_the_contract(values, tmp_path):
    made, rows = nets.task(), taught.data(tmp_path)
    options = distill.Options(epochs=2, batch=4, **values)
    check_method(distill.phases, options, lambda: nets.net(made), made, rows, tmp_path)


def test_texts_learn_from_a_teacher_too(tmp_path):
    rows = words.data(unlabelled=6)
    rows = replace(rows, **{name: taught.heard(getattr(rows, name), i) for i, name in enumerate(("train", "val", "unlabelled"))})
    made, options = words.task(), distill.Options(epochs=2, batch=4, features=1.0)
    check_method(distill.phases, options, lambda: words.net(made), made, rows, tmp_path)
