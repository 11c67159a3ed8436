"""Contract suites: what graft relies on in a reader, backbone, task or method, for its own catalogue and for plug-in authors' tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from .core import Backbone, Data, Net, Task


def check_backbone(load: Callable[..., Backbone], name: str = "", options: object = None, tolerance: float = 1e-4) -> None:
    """The contract of a body: what the rest of graft relies on. Raises AssertionError with one clear sentence.

    load: `load(name, options, seed=0) -> Backbone`; options: an instance of the Options beside it, by default Options().
    tolerance: largest difference, relative to the largest value, between passes that may take another numerical route
    (another batch size); everything else has to be exact to 1e-5. Two images of the body's own size, or two texts, are used.
    """
    import sys

    import torch

    options = sys.modules[load.__module__].Options() if options is None else options
    body = load(name, options, seed=0)
    given = _samples(body)
    _check_description(body)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        body.stages.eval()
        states = _check_stages(body, given)
        _check_joints(body, given, states)
        _check_batch(body, given, states, tolerance)
        _check_again(body, load(name, options, seed=0), given)
        _check_rebuild(body, given)


def _samples(body) -> dict:
    """Two samples at depth 0; the second text is shorter."""
    import torch

    generator = torch.Generator().manual_seed(1)
    if hasattr(body.prepare, "resize"):
        return {"x": torch.randn(2, 3, body.prepare.size, body.prepare.size, generator=generator)}
    mask = torch.arange(8) < torch.tensor([[8], [5]])
    ids = torch.randint(1, 20, (2, *body.prepare.blank(8)["ids"].shape[1:]), generator=generator)
    ids[~mask] = body.prepare.pad
    return {"ids": ids, "mask": mask}


def _check_description(body) -> None:
    assert len(body.stages) > 0, "a backbone has at least one stage"
    assert len(set(body.names)) == len(body.names), f"stage names are not unique: {body.names}"
    assert all(name and not name[0].isdigit() for name in body.names), f"a stage name is empty or starts with a digit: {body.names}"
    assert set(body.forms) <= {"map", "tokens", "text", "vector"}, f"forms are 'map', 'tokens', 'text' or 'vector', not {body.forms}"
    assert body.pool in ("avg", "max", "cls", "last", "flatten"), f"pool is avg, max, cls, last or flatten, not '{body.pool}'"
    assert body.prefix_tokens >= 0, "prefix_tokens is negative"
    owners = [id(p) for stage in body.stages for p in stage.parameters()]
    assert len(set(owners)) == len(owners), "two stages share a parameter, so that freezing one would not freeze it"
    wrong = [n for n, p in body.stages.named_parameters() if str(p.dtype) != "torch.float32"]
    assert not wrong, f"parameters are not float32, first {wrong[:1]}"
    assert body.origin.licence and body.origin.trained_on, "origin names no licence or no training data; write 'unknown' where it is"


def _check_stages(body, samples) -> list:
    """Each stage on a real pass: State in, State out, other keys carried along, nothing changed in place, as described."""
    import torch

    state, states = {**samples, "carried": torch.ones(1)}, []
    for i, stage in enumerate(body.stages):
        where = f"stage {i} '{body.names[i]}'"
        given = {key: value.clone() for key, value in state.items()}
        out = stage(state)
        assert isinstance(out, dict) and "x" in out, f"{where} does not return a State with 'x'"
        assert "carried" in out, f"{where} drops what other stages put into the State"
        assert all(torch.equal(state[key], given[key]) for key in given), f"{where} changes in place what it is given"
        assert torch.equal(stage(state)["x"], out["x"]), f"{where} gives another result the second time, in eval mode"
        x, form = out["x"], body.forms[i]
        assert torch.isfinite(x).all(), f"{where} gives values that are not finite"
        assert x.ndim == {"map": 4, "tokens": 3, "text": 3, "vector": 2}[form], f"{where} says form '{form}' but gives {list(x.shape)}"
        width = x.shape[2] if form in ("tokens", "text") else x.shape[1]
        assert width == body.widths[i], f"{where} says width {body.widths[i]} but gives {width}"
        stride = round(samples["x"].shape[-1] / x.shape[2]) if form == "map" else 0
        assert stride == body.strides[i], f"{where} says stride {body.strides[i]} but gives {stride}"
        assert form != "tokens" or x.shape[1] > body.prefix_tokens, f"{where} has no tokens after {body.prefix_tokens} prefix tokens"
        assert form != "text" or torch.equal(out["mask"], samples["mask"]), f"{where} says form 'text' but loses the mask"
        states.append(out)
        state = out
    return states


def _check_joints(body, samples, states: list) -> None:
    """A prefix computed once and kept, then the suffix, equals the whole: in eval mode, and in train mode with one seed."""
    import torch

    buffers = [(b, b.clone()) for b in body.stages.buffers()]
    for train in (False, True):
        body.stages.train(train)
        results = []
        for depth in range(len(body.stages) + 1):
            for buffer, value in buffers:
                buffer.copy_(value)
            torch.manual_seed(0)
            state = dict(samples)
            for i, stage in enumerate(body.stages):
                if i == depth:
                    state = {key: value.clone().contiguous() for key, value in state.items()}
                state = stage(state)
            results.append(state["x"])
        for depth, result in enumerate(results):
            words = f"prefix then suffix differ from the whole in {'train' if train else 'eval'} mode"
            assert _close(result, results[-1], 1e-5), f"cut at depth {depth}, {words}"
    for buffer, value in buffers:
        buffer.copy_(value)
    body.stages.eval()
    assert _close(body.forward(samples), states[-1]["x"], 1e-5), "the body gives another result in eval mode after a pass in train mode"


def _check_batch(body, samples, states: list, tolerance: float) -> None:
    """Each sample alone, a text without its padding."""
    cells = samples["mask"].sum(1).tolist() if "mask" in samples else [None, None]
    what = "texts, or the padding," if "mask" in samples else "images"
    for i, (length, together) in enumerate(zip(cells, states[-1]["x"], strict=True)):
        single = body.forward({key: value[i : i + 1, :length] for key, value in samples.items()})[0]
        same = _close(single, together[:length] if body.forms[-1] == "text" else together, tolerance)
        assert same, f"a sample's features depend on the other {what} of its batch, in eval mode"


def _check_again(body, again, samples) -> None:
    one, two = body.stages.state_dict(), again.stages.state_dict()
    assert one.keys() == two.keys() and all(one[k].equal(two[k]) for k in one), "loading twice with one seed gives other weights"
    again.stages.eval()
    assert _close(again.forward(samples), body.forward(samples), 1e-5), "loading twice with one seed gives other features"


def _check_rebuild(body, samples) -> None:
    """describe -> JSON -> rebuild -> load_state_dict is the same body (for the architectures that graft itself builds)."""
    import json

    from .backbones import describe, rebuild

    if body.origin.architecture.partition(":")[0] not in ("timm", "torchvision", "gabor", "transformers", "elmo"):
        return
    built = rebuild(json.loads(json.dumps(describe(body))), getattr(body.prepare, "tokenizer", ""))
    built.stages.load_state_dict(body.stages.state_dict())
    built.stages.eval()
    fields = ("names", "widths", "strides", "forms", "pool", "prefix_tokens", "prepare", "causal", "compares")
    assert all(getattr(built, one) == getattr(body, one) for one in fields), "rebuild gives a body with other stages"
    assert _close(built.forward(samples), body.forward(samples), 1e-5), "rebuild and load_state_dict give other features"


def _close(a, b, tolerance: float) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def check_task(task: Task, table: pa.Table) -> None:
    """The contract of a task: what the engine, the methods and the report rely on. Raises AssertionError with one clear sentence.

    table: at least 8 labelled rows, of every class twice or more; no file of it is opened.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        targets = task.encode(table)
        k = _check_targets(task, targets, table.num_rows)
        _check_head(task, k)
        _check_loss(task, targets, k)
        _check_decoded(task, targets, k)
        if task.solve is not None:
            _check_solution(task, targets, k)


def _check_targets(task, targets, rows: int) -> int:
    import json

    import torch

    assert json.loads(json.dumps(task.config)) == task.config, "task.config is not JSON that reads back as itself"
    kind = task.schema.target
    k = 1 if kind == "number" else len(task.schema.classes)
    shape, dtype = ((rows,), torch.int64) if kind == "class" else ((rows, k), torch.float32)
    assert tuple(targets.shape) == shape and targets.dtype == dtype, (
        f"encode gives {dtype} {shape} for '{kind}', not {targets.dtype} {tuple(targets.shape)}"
    )
    if kind == "class":
        assert int(targets.min()) >= 0 and int(targets.max()) < k, f"encode gives class numbers from 0 to {k - 1}"
    return k


def _check_head(task, k: int) -> None:
    import torch

    for width in (3, 8):
        head = task.head(width)
        out = head(torch.randn(5, width))
        assert tuple(out.shape) == (5, k), f"head({width}) maps [5, {width}] to [5, {k}], not {tuple(out.shape)}"
        assert any(p.requires_grad for p in head.parameters()), "task.head(width) has parameters that learn"


def _check_loss(task, targets, k: int) -> None:
    import torch

    outputs = torch.randn(len(targets), k, requires_grad=True)
    variants = {"plain": {}, "smoothing": {"smoothing": 0.1}, "weights": {"weights": torch.linspace(0.5, 1.5, k)}}
    soft = torch.nn.functional.one_hot(targets, k).float() if task.schema.target == "class" else targets
    mixed = 0.7 * soft + 0.3 * soft.flip(0)
    for name, keywords in variants.items():
        for what, wanted in (("encoded", targets), ("mixed", mixed)):
            value = task.loss(outputs, wanted, **keywords)
            assert value.ndim == 0 and torch.isfinite(value), f"the loss with {name} on {what} targets is one finite number"
            assert value.requires_grad, f"the loss with {name} on {what} targets is cut off from the outputs: it cannot be learnt from"
            moved = task.loss(outputs.detach() + torch.linspace(0.1, 0.3, k), wanted, **keywords)
            assert moved != value, f"the loss with {name} on {what} targets is the same for other outputs"
    same = torch.allclose(task.loss(outputs, targets), task.loss(outputs, soft), rtol=1e-5)
    assert same, "encoded and equal soft targets give one loss"
    assert task.loss(_right(task, targets, k), targets) < task.loss(outputs, targets), "right outputs cost less than random ones"


def _right(task, targets, k: int):
    """Outputs that are as right as they can be."""
    import torch

    if task.schema.target == "class":
        return 20.0 * torch.nn.functional.one_hot(targets, k).float()
    return targets.clone() if task.schema.target == "number" else 40.0 * (targets - 0.5)


def _check_decoded(task, targets, k: int) -> None:
    import math

    import torch

    right, random = _right(task, targets, k), torch.randn(len(targets), k)
    for temperature in (1.0, 2.5):
        decoded = task.decode(random, temperature)
        assert tuple(decoded.shape) == (len(targets), k), "decode keeps the shape [n, k]"
        if task.schema.target != "number":
            assert float(decoded.min()) >= 0 and float(decoded.max()) <= 1, "decoded probabilities are within 0 and 1"
        if task.schema.target == "class":
            assert torch.allclose(decoded.sum(1), torch.ones(len(decoded)), atol=1e-5), "the probabilities of one sample add up to 1"
    best, other = (task.metrics(task.decode(out).numpy(), targets.numpy()) for out in (right, random))
    assert task.primary in best, f"metrics has the primary one, '{task.primary}'"
    assert set(best) == set(other) and all(type(v) is float and math.isfinite(v) for v in other.values()), (
        "metrics are finite floats, always the same"
    )
    sign = 1 if task.higher else -1
    assert sign * best[task.primary] >= sign * other[task.primary], "right outputs score at least as well as random ones"
    limit = 1.0 if task.higher else 0.0
    assert abs(best[task.primary] - limit) < 1e-3 * max(1.0, task.schema.spread), (
        f"right outputs score {limit:g}, not {best[task.primary]:g}"
    )


def _check_solution(task, targets, k: int) -> None:
    import json

    import torch

    from .heads import rebuild

    features = torch.cat([torch.randn(len(targets), 6), targets.reshape(len(targets), -1).float()], 1)
    solutions = [task.solve(features.numpy(), targets.numpy(), 0) for _ in range(2)]
    first, second = (solution.head(features) for solution in solutions)
    assert tuple(first.shape) == (len(targets), k), f"a solved head maps [n, width] to [n, {k}], not {tuple(first.shape)}"
    assert torch.isfinite(first).all(), "a solved head's outputs are finite"
    assert torch.equal(first, second), "solving twice with one seed gives one head"
    held = solutions[0].outputs
    assert held is None or held.shape == (len(targets), k), f"held-out outputs are [n, {k}], one for each learning row"
    json.dumps(solutions[0].chosen)
    again = rebuild(json.loads(json.dumps(solutions[0].head.config)))
    again.load_state_dict(solutions[0].head.state_dict())
    assert torch.equal(again.eval()(features), first), "a head rebuilt from its config and tensors gives the same outputs"
    if task.trainable:
        assert any(p.requires_grad for p in solutions[0].head.parameters()), "the solved head of a trainable task can be trained on"


def check_reader(read: Callable[..., Data], path: str, options: object = None) -> None:
    """The contract of a reader on data it should understand. Raises AssertionError with one clear sentence.

    read: `read(path, options) -> Data`; options: by default the Options beside it.
    """
    import sys

    from .testing_texts import check_path_tables, check_text_tables

    options = sys.modules[read.__module__].Options() if options is None else options
    data, again = read(path, options), read(path, options)
    assert len(data.train), "there are no rows to learn from"
    (check_text_tables if data.schema.modality == "text" else check_path_tables)(data)
    assert data.fingerprint and data.fingerprint == again.fingerprint, "two readings of the same files have different fingerprints"
    assert data.train.equals(again.train), "two readings of the same files give different rows"
    assert data.plan is None, "roles are given by readers.split, not by the reader"


def check_method(phases: Callable, options: object, make_net: Callable[[], Net], task: Task, data: Data, folder: object) -> None:
    """The contract of a method, by running it twice. Raises AssertionError with one clear sentence.

    phases: `phases(net, task, data, options)`; options: few epochs, small batches. make_net() -> a fresh Net with the
    same weights each time, small. data: with roles, a few small images. folder: an empty pathlib.Path to run in.
    The second run is stopped at its first checkpoint and resumed; it has to end with the same bits as the first.
    """
    import torch

    from .engine import checkpoint, execute

    nets, real = [], checkpoint.save
    for name in ("whole", "stopped"):
        if name == "stopped":
            _stop_at_first_checkpoint(lambda: _run_method(phases, options, make_net(), task, data, folder / "stopped"))
        net = make_net()
        outcome = _run_method(phases, options, net, task, data, folder / name)
        assert outcome.phases, "the method yields no phase"
        assert task.primary in outcome.scores, f"the outcome has no '{task.primary}'"
        assert all(torch.isfinite(value).all() for value in net.state_dict().values() if value.is_floating_point()), "weights not finite"
        nets.append(net.state_dict())
    assert checkpoint.save is real and execute.SAVE_EVERY > 0
    assert nets[0].keys() == nets[1].keys(), "a resumed run has other tensors than one that was not stopped"
    differ = [name for name, value in nets[0].items() if not torch.equal(value, nets[1][name])]
    assert not differ, f"a resumed run ends with other weights than one that was not stopped: {', '.join(differ[:3])}"


def _run_method(phases: Callable, options: object, net: Net, task: Task, data: Data, folder):
    import torch

    from .assembly import modality
    from .core import Net
    from .data.augment import Augment, Options
    from .engine import execute
    from .engine.device import Machine
    from .engine.journal import Journal
    from .engine.passes import Passes

    def sound():
        generator = phases(net, task, data, options)
        phase = next(generator)
        while True:
            _check_phase(phase, net)
            try:
                phase = generator.send((yield phase))
            except StopIteration:
                return

    assert isinstance(net, Net), "make_net has to give a graft.core.Net"
    folder.mkdir(exist_ok=True)
    journal = Journal()
    journal.open(folder)
    with modality.streams(net, task.encode, data.schema, 0, Augment(Options())) as streams:
        # Exact, because a trial of half precision is one of time, and what is run twice must be the same to the bit.
        passes = Passes(streams, Machine(torch.device("cpu")), "exact", None, journal)
        setting = execute.Setting("final", folder, net, task, data, passes, journal, 0)
        return execute.execute(sound, setting)


def _check_phase(phase, net: Net) -> None:
    """Groups are a partition of parameters that exist, none of them in a frozen stage."""
    known = {name for name, _ in net.named_parameters()}
    if phase.extras is not None:
        known |= {f"extras.{name}" for name, _ in phase.extras.named_parameters()}
    names = [name for group in phase.groups for name in group.parameters]
    assert "train" in phase.streams, f"phase '{phase.name}' has no stream called 'train'"
    assert (phase.solve is None) != (phase.objective is None), f"phase '{phase.name}' needs an objective or solve, and not both"
    assert len(names) == len(set(names)), f"phase '{phase.name}' has a parameter in two groups"
    assert set(names) <= known, f"phase '{phase.name}' names parameters that do not exist: {sorted(set(names) - known)[:3]}"
    assert 0 <= phase.frozen <= len(net.stages), f"phase '{phase.name}' freezes {phase.frozen} of {len(net.stages)} stages"
    frozen = tuple(f"stages.{i}." for i in range(phase.frozen))
    still = [name for name in names if name.startswith(frozen)] if frozen else []
    assert not still, f"phase '{phase.name}' lets a frozen stage learn: {still[:3]}"


def _stop_at_first_checkpoint(run: Callable[[], object]) -> None:
    from .engine import checkpoint, execute

    real, every = checkpoint.save, execute.SAVE_EVERY

    def save(*args):
        real(*args)
        raise KeyboardInterrupt

    checkpoint.save, execute.SAVE_EVERY = save, 0.0
    try:
        with contextlib.suppress(KeyboardInterrupt):
            run()
    finally:
        checkpoint.save, execute.SAVE_EVERY = real, every
