"""The Fisher information against loops over rows and classes; the pull; less forgetting; the contract."""

import copy
from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.engine.test_execute import setting
from tests.methods import tasks
from tests.methods.phases import collect

from graft import catalog, testing
from graft.core import Batch
from graft.data.targets import encoder
from graft.engine import execute
from graft.methods import ewc


def images(rows=12):
    torch.manual_seed(4)
    return torch.randn(rows, 3, 16, 16)


def trained_head(net):
    torch.manual_seed(3)
    torch.nn.init.normal_(net.earlier["first"].final.weight, std=0.7)
    return net.eval()


def slopes(net, image, names, number):
    """The gradient of ln p(number) of one image, by plain autograd."""
    for parameter in net.parameters():
        parameter.requires_grad_(True)
    features = net.stages[2](net.stages[1](net.stages[0]({"x": image[None]})))["x"].mean((2, 3))
    logit = net.earlier["first"](features)[0]
    likely = logit[number] - logit.exp().sum().log()
    return torch.autograd.grad(likely, [net.get_parameter(name) for name in names]), likely.exp().item()


def drive(phase, net, x, batch):
    """The phase's passes without the engine, whose hook is called when the gradients are there."""
    for parameter in net.parameters():
        parameter.requires_grad_(True)
    for rows in torch.arange(len(x)).split(batch):
        net.zero_grad()
        phase.objective(net, {"train": Batch(x[rows], torch.zeros(len(rows)), rows)}).backward()
        phase.after_step(net, phase.extras, 1)
    return [value.detach() for value in phase.extras["fisher"]]


@pytest.fixture
def names():
    return tuple(name for name, _ in tasks.net().named_parameters() if name.startswith("stages.") and "stages.0" not in name)


def test_row_by_row_it_is_the_mean_squared_gradient_of_the_drawn_labels(names, tmp_path, monkeypatch):
    net, x = trained_head(tasks.net()), images()
    drawn = [int(v) for v in torch.randint(2, (len(x),), generator=torch.Generator().manual_seed(1))]
    queue = iter(drawn)
    monkeypatch.setattr(torch, "multinomial", lambda p, n: torch.tensor([[next(queue)] for _ in p]))
    table = nets.photos(tmp_path, len(x))
    found = drive(ewc.measure("first", "class", net, table, names, 1), net, x, 1)
    slow = [torch.zeros_like(value) for value in found]
    for image, number in zip(x, drawn, strict=True):
        for total, slope in zip(slow, slopes(net, image, names, number)[0], strict=True):
            total += slope**2 / len(x)
    assert any(value.max() > 1e-4 for value in slow)
    for one, other in zip(found, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-8)


def test_in_batches_its_expectation_is_that_over_the_classes(names, tmp_path):
    """The mean over rows of sum over classes of p (d ln p)^2: whole batches are squared, and there is no bias."""
    net, x, draws = trained_head(tasks.net()), images(), 200
    exact = [torch.zeros_like(net.get_parameter(name)) for name in names]
    for image in x:
        for number in range(2):
            found, p = slopes(net, image, names, number)
            for total, slope in zip(exact, found, strict=True):
                total += p * slope**2 / len(x)
    table, mean = nets.photos(tmp_path, len(x)), [torch.zeros_like(value) for value in exact]
    torch.manual_seed(5)
    for _ in range(draws):
        for total, one in zip(mean, drive(ewc.measure("first", "class", net, table, names, 1), net, x, 6), strict=True):
            total += one / draws
    for name, one, other in zip(names, mean, exact, strict=True):
        assert one.sum().item() == pytest.approx(other.sum().item(), rel=0.2), name
    flat = [torch.cat([value.flatten() for value in values]) for values in (mean, exact)]
    assert torch.corrcoef(torch.stack(flat))[0, 1] > 0.97


def test_the_engine_measures_it_and_nothing_of_the_net_moves(names, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "multinomial", lambda p, n: p.argmin(1, keepdim=True))
    monkeypatch.setattr(ewc, "BATCH", 12)
    net = trained_head(tasks.net())
    rows = tasks.data(tmp_path, net)
    table = rows.earlier["first"].table
    before = {name: value.clone() for name, value in net.state_dict().items()}
    place = setting(tmp_path / "run", tasks.task(), rows, joined=net)
    place.passes.streams.encode = encoder(tasks.task().encode, "label")
    phase = ewc.measure("first", "class", net, table.drop_columns(["label"]), names, 1)
    execute.execute(lambda: (one for one in (phase,)), place)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    x = next(iter(place.streams.plain(table.drop_columns(["label"])))).inputs
    slow = [torch.zeros_like(net.get_parameter(name)) for name in names]
    with torch.no_grad():
        numbers = net.seen_as("first")(x).argmin(1).tolist()
    for image, number in zip(x, numbers, strict=True):
        for total, slope in zip(slow, slopes(net, image, names, number)[0], strict=True):
            total += slope
    for one, other in zip(phase.extras["fisher"], slow, strict=True):
        torch.testing.assert_close(one.detach(), other**2 / len(x), rtol=1e-3, atol=1e-7)


def test_labels_and_numbers_are_drawn_from_what_the_model_says(monkeypatch):
    outputs = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.3, 1.0]])
    monkeypatch.setattr(torch, "bernoulli", lambda p: torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]))
    p = outputs.sigmoid()
    drawn = ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (2, 0, 1), (2, 1, 1))
    slow = -sum(float(p[i, j].log() if y else (1 - p[i, j]).log()) for i, j, y in drawn)
    assert ewc.surprise(outputs, "labels").item() == pytest.approx(slow / 3, rel=1e-5)
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.full_like(x, 2.0))
    number = outputs[:, :1].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(ewc.surprise(number, "number"), number)
    assert ewc.surprise(number, "number").item() == pytest.approx(2.0) and torch.allclose(slope, torch.full((3, 1), -2 / 3))


def test_the_pull_weighs_each_number_by_what_was_measured(tmp_path):
    net, made = tasks.net(), tasks.task()
    rows = tasks.data(tmp_path, net)
    rows = replace(rows, earlier={"first": replace(rows.earlier["first"], learnt=40)})
    generator = ewc.phases(net, made, rows, ewc.Options(strength=3.0, smoothing=0.0, freeze=1))
    measured = next(generator)
    torch.manual_seed(6)
    for value in measured.extras["fisher"]:
        value.data = torch.rand_like(value)
    assert generator.send(None).name == "head"
    phase = generator.send(None)
    assert [group.name for group in phase.groups] == ["middle", "top", "head"] and phase.frozen == 1
    start = {name: value.detach().clone() for name, value in net.named_parameters()}
    net.eval()
    with torch.no_grad():
        for parameter in net.stages.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    x, y = images(4), torch.tensor([0, 1, 0, 1])
    slow, share = float(made.loss(net(x), y).detach()), 40 / len(rows.train)
    for name, weight in zip(measured.groups[0].parameters, measured.extras["fisher"], strict=True):
        slow += 0.5 * 3.0 * share * float((weight * (net.get_parameter(name) - start[name]) ** 2).sum().detach())
    assert phase.objective(net, {"train": Batch(x, y, torch.arange(4))}).item() == pytest.approx(slow, rel=1e-4)


def test_rows_are_drawn_without_repeats_and_a_frozen_body_asks_for_none(tmp_path):
    table = nets.photos(tmp_path, 20)
    few = ewc.sample(table, 7)
    assert len(set(few["path"].to_pylist())) == 7 and len(ewc.sample(table, 0)) == len(ewc.sample(table, 30)) == 20
    net = tasks.net()
    assert [phase.name for phase in collect("ewc", net, tasks.task(), tasks.data(tmp_path, net), freeze="all")] == ["head", "ewc"]


def test_a_stronger_pull_changes_less_of_what_the_earlier_head_says(taught, tmp_path):
    start = copy.deepcopy(taught[0])
    for value in start.earlier.parameters():
        value.data.mul_(0.15)  # A head that is certain of everything has no Fisher information left to tell by.
    rows, was = tasks.data(tmp_path, start, rows=48, first=taught[1]), tasks.outputs(start, taught[2])
    found = tasks.strengths(tmp_path, "ewc", start, rows, taught[2], (0.0, 100.0), was, lr=1e-2)
    assert found[100.0][0] < 0.5 * found[0.0][0] and found[100.0][1] >= 0.8


def test_the_contract_is_kept(tmp_path):
    net = tasks.net()
    rows, options = tasks.data(tmp_path / "photos", net), catalog.options("method", "ewc")(epochs=2, batch=4, samples=10)
    testing.check_method(ewc.phases, options, tasks.net, tasks.task(), rows, tmp_path)
