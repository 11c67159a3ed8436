"""The loop: schedule against the formula, memory that runs out, losses that are not finite, averages."""

import math

import pytest
import torch
from tests import nets

from graft.core import Batch, Group, Phase, Schedule, Stream
from graft.engine import train
from graft.engine.device import Machine
from graft.errors import TrainingError


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_the_rate_rises_then_falls_as_its_formula_says(kind):
    steps = 50
    rates = [train.factor(Schedule(kind, 0.1), i / steps, steps) for i in range(steps)]
    assert all(0 < r <= 1 for r in rates) and rates[:5] == sorted(rates[:5])
    for i, rate in enumerate(rates):
        t = (i / steps - 0.1) / 0.9
        if t >= 0:
            expected = {"cosine": 0.5 * (1 + math.cos(math.pi * t)), "linear": 1 - t, "constant": 1.0}[kind]
            assert rate == pytest.approx(expected)
    assert train.factor(Schedule(kind, 0.0), 0.0, steps) == 1.0


def small_loop(objective, lr=0.1, **values):
    made = nets.task()
    net = nets.net(made).eval()
    names = tuple(f"head.{n}" for n, _ in net.head.named_parameters())
    rows = values.pop("table", None)
    phase = Phase("p", {"train": Stream(rows, 8)}, 2, (Group("head", names, lr, 0.1),), objective, frozen=3, **values)
    train.freeze(net, phase)
    return train.Loop(net, phase, Machine(torch.device("cpu")), train.Progress(), 2), net, made


def batches(n=8, count=2):
    torch.manual_seed(3)
    return [{"train": Batch(torch.randn(n, 3, 16, 16), torch.arange(n) % 2, torch.arange(n))} for _ in range(count)]


def plain(net, given):
    return torch.nn.functional.cross_entropy(net(given["train"].inputs), given["train"].targets)


def test_memory_that_runs_out_halves_the_micro_batch_and_changes_no_result():
    loop, net, _ = small_loop(plain)
    loop.epoch(iter(batches()), lambda name, rows: [], lambda loss, size: None)
    expected = {k: v.clone() for k, v in net.head.state_dict().items()}

    def hungry(net, given):
        if len(given["train"].targets) > 2:
            raise torch.OutOfMemoryError("planted")
        return plain(net, given)

    loop, net, _ = small_loop(hungry)
    loss = loop.epoch(iter(batches()), lambda name, rows: [], lambda loss, size: None)
    assert loop.progress.parts == 4 and loop.progress.step == 2 and math.isfinite(loss)
    for name, value in net.head.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_memory_too_small_for_one_sample_is_said():
    def never(net, given):
        raise torch.OutOfMemoryError("planted")

    loop, _, _ = small_loop(never)
    with pytest.raises(TrainingError, match="one sample"):
        loop.epoch(iter(batches()), lambda name, rows: [], lambda loss, size: None)


def test_other_errors_are_not_taken_for_memory():
    def broken(net, given):
        raise RuntimeError("shapes do not match")

    loop, _, _ = small_loop(broken)
    with pytest.raises(RuntimeError, match="shapes"):
        loop.epoch(iter(batches()), lambda name, rows: [], lambda loss, size: None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_files(value):
    loop, net, _ = small_loop(lambda net, given: plain(net, given) * value)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(TrainingError, match=r"seen\.png"):
        loop.epoch(iter(batches()), lambda name, rows: ["seen.png"], lambda loss, size: None)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_vectors_never_decay():
    loop, _, _ = small_loop(plain)
    for group in loop.optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_the_average_follows_its_formula_and_swaps_back():
    loop, _, _ = small_loop(plain, ema=0.9)
    mean = [p.detach().clone() for p in loop.learning]
    for i, batch in enumerate(batches(count=3), 1):
        loop.epoch(iter([batch]), lambda name, rows: [], lambda loss, size: None)
        memory = min(0.9, (1 + i) / (10 + i))
        mean = [memory * m + (1 - memory) * p.detach() for m, p in zip(mean, loop.learning, strict=True)]
    live = [p.detach().clone() for p in loop.learning]
    with loop.averaged():
        for m, p in zip(mean, loop.learning, strict=True):
            torch.testing.assert_close(p.detach(), m)
    assert all(torch.equal(a, b) for a, b in zip(live, loop.learning, strict=True))


def test_time_limits_a_phase():
    loop, _, _ = small_loop(plain, seconds=1e-9)
    loop.progress.spent = 1.0
    assert loop.done() == 1.0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_continued_loop_steps_as_one_that_never_stopped(name):
    """With weights in channels_last, as every net here has them, and their optimizer state read back from a contiguous snapshot."""

    def loop():
        net = nets.net(nets.task()).to(memory_format=torch.channels_last)
        who = (Group("all", tuple(n for n, _ in net.named_parameters()), 0.1, 0.01),)
        phase = Phase("p", {"train": Stream(None, 8)}, 2, who, plain, optimizer=name)
        train.freeze(net, phase)
        return net, train.Loop(net, phase, Machine(torch.device("cpu")), train.Progress(), 2)

    def images():
        torch.manual_seed(0)  # dropout
        return iter(
            [{"train": Batch(torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2, torch.arange(8))}]
        )

    whole, first = loop()
    first.epoch(images(), None, lambda *_: None)
    tensors = {key: value.contiguous().clone() for key, value in first.tensors().items()}
    weights = {key: value.clone() for key, value in whole.state_dict().items()}
    again, second = loop()
    again.load_state_dict(weights)
    second.take(tensors)
    second.progress.step = first.progress.step
    for one in (first, second):
        one.epoch(images(), None, lambda *_: None)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_snapshots_optimizer_state_goes_where_its_parameter_is():
    """As on a GPU, whose fused AdamW has its step counter there too; "meta" stands for it here."""
    net = nets.net(nets.task())
    phase = Phase("p", {"train": Stream(None, 8)}, 1, (Group("all", tuple(n for n, _ in net.named_parameters()), 0.1, 0.01),), plain)
    loop = train.Loop(net, phase, Machine(torch.device("cpu")), train.Progress(), 1)
    loop.learning[0] = torch.nn.Parameter(torch.empty_like(loop.learning[0], device="meta"))
    loop.take({"optimizer.0.step": torch.tensor(3.0), "optimizer.0.exp_avg": torch.zeros_like(loop.learning[0], device="cpu")})
    assert {value.device.type for value in loop.optimizer.state[loop.learning[0]].values()} == {"meta"}


def test_micro_batches_keep_all_views_of_a_row_together():
    rows = torch.arange(5).repeat(2)
    batch = {"train": Batch(torch.randn(10, 3, 16, 16), rows % 2, rows, views=2)}
    pieces = list(train._pieces(batch, 2))
    assert [piece["train"].rows.tolist() for piece, _ in pieces] == [[0, 1, 2, 0, 1, 2], [3, 4, 3, 4]]
    assert sum(share for _, share in pieces) == 1.0 and all(piece["train"].views == 2 for piece, _ in pieces)
    assert torch.equal(pieces[1][0]["train"].inputs, batch["train"].inputs[[3, 4, 8, 9]])
