"""Every way to run a frozen prefix gives torch's states, row by row, whatever comes with a row."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests import nets, texts

from graft.core import Net
from graft.engine import prefix, ways
from graft.engine.device import Machine
from graft.engine.store import Store
from graft.heads.pool import body_pooling

CPU = Machine(torch.device("cpu"))
PIXELS = torch.randint(0, 256, (19, nets.SIZE, nets.SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
needs_compiler = pytest.mark.skipif(bool(ways.why_not_compiled()), reason="OpenVINO is not installed")


def net():
    made = nets.net(nets.task())
    made.stages[0].body[1].running_mean.normal_()
    return made


def whole(way, pixels=PIXELS):
    parts = list(way.states(pixels.split(way.batch)))
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def compiled(made, stop, dtype=torch.float32, store=None):
    return ways.compiled(made, stop, dtype, store, prefix.digest(made, stop), ways.example(made))


def reference(made, stop):
    made.eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (made.prepare.mean, made.prepare.std))
    with torch.no_grad():
        return made.advance((PIXELS.permute(0, 3, 1, 2) / 255 - mean) / std, 0, stop)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_torch_gives_the_state_at_the_depth(stop):
    made = net()
    wanted, found = reference(made, stop), whole(ways.direct(made, stop, CPU))
    assert found.keys() == wanted.keys()
    torch.testing.assert_close(found["x"], wanted["x"], rtol=1e-4, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("stop", [2, 4])
def test_the_compiled_form_gives_the_state_at_the_depth(stop):
    made = net()
    torch.testing.assert_close(whole(compiled(made, stop))["x"], reference(made, stop)["x"], rtol=1e-4, atol=1e-4)


@needs_compiler
def test_earlier_taps_come_along():
    made = net()
    made.taps = (0, 2)
    wanted, found = reference(made, 2), whole(compiled(made, 2))
    assert found.keys() == wanted.keys() == {"x", "tap0"}
    torch.testing.assert_close(found["tap0"], wanted["tap0"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [lambda n: ways.direct(n, 4, CPU), pytest.param(lambda n: compiled(n, 4), marks=needs_compiler)])
def test_a_row_is_the_same_to_the_bit_whatever_comes_with_it(make):
    way = make(net())
    alone = torch.cat([state["x"] for state in way.states(PIXELS.split(1))])
    turned = PIXELS.flip(0)
    assert torch.equal(whole(way)["x"], alone) and torch.equal(whole(way, turned)["x"].flip(0), alone)


@needs_compiler
def test_a_kept_form_is_taken_and_gives_the_same_bits(tmp_path, monkeypatch):
    made, store = net(), Store(tmp_path)
    first = whole(compiled(made, 4, store=store))["x"]
    monkeypatch.setattr(ways, "_convert", lambda *a: pytest.fail("converted again"))
    assert torch.equal(whole(compiled(made, 4, store=store))["x"], first)


@needs_compiler
def test_a_damaged_form_is_made_again(tmp_path):
    made, store = net(), Store(tmp_path)
    first = whole(compiled(made, 4, store=store))["x"]
    for path in tmp_path.rglob("*.bin"):
        path.write_bytes(b"nonsense")
    assert torch.equal(whole(compiled(made, 4, store=store))["x"], first)


@needs_compiler
def test_changed_weights_never_get_an_old_form(tmp_path):
    made, store = net(), Store(tmp_path)
    first = whole(compiled(made, 4, store=store))["x"]
    with torch.no_grad():
        made.stages[0].body[0].weight.mul_(1.5)
    assert not torch.allclose(whole(compiled(made, 4, store=store))["x"], first)


def test_a_body_that_cannot_be_converted_says_so():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.qr(x.flatten(1))[0][:, :8, None, None].expand(-1, 8, 2, 2) if x.sum() > 0 else torch.fft.fft(x).real

    made = net()
    made.stages[0].body = Odd()
    if ways.why_not_compiled():
        pytest.skip("OpenVINO is not installed")
    with pytest.raises(RuntimeError, match="OpenVINO"):
        compiled(made, 1)


def test_numbers_that_are_not_torchs_are_refused(monkeypatch):
    if ways.why_not_compiled():
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setattr(ways, "TOLERANCE", 0.0)
    with pytest.raises(RuntimeError, match="differ"):
        compiled(net(), 4)


def test_the_net_itself_stays_as_it_was():
    made = net().train()
    head, flags = made.head, [p.requires_grad for p in made.parameters()]
    ways.direct(made, 4, CPU)
    assert made.head is head and made.training and [p.requires_grad for p in made.parameters()] == flags


def test_an_error_in_a_lane_reaches_the_caller():
    def fail(pixels):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(ways.Way("w", torch.float32, 4, lambda: (fail, fail)).states(PIXELS.split(4)))


@needs_compiler
def test_the_compiler_calls_nobody_and_leaves_nothing_at_home(tmp_path):
    """Its telemetry would report the import and the conversion, and write an id into the home folder."""
    code = (
        "from tests.engine.test_ways import compiled, net; import sys; compiled(net(), 4); "
        "assert sys.modules['openvino_telemetry'] is None and 'openvino' in sys.modules"
    )
    here = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name != ".cache"]


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def body(request, tmp_path_factory):
    from graft.backbones import from_transformers

    folder = tmp_path_factory.mktemp("bodies") / request.param
    texts.write(folder, request.param)
    return from_transformers.load(str(folder), from_transformers.Options())


def shown(body, mode, lengths, cells, seed=0):
    """(a net that pools in a mode, texts for it)."""
    made = Net(body, body_pooling(body, mode), torch.nn.Identity(), (1, 3)).eval()
    state = texts.state(lengths, cells, 20, seed)
    if mode == "words":
        places = torch.arange(cells)[None].expand(len(lengths), -1)
        state["words"] = places.masked_fill(~state["mask"], -1)
    return made, state


FORMS = [
    pytest.param(lambda made, stop, state: ways.direct(made, stop, CPU, shown=ways.example(made, lambda: [state])), id="torch"),
    pytest.param(
        lambda made, stop, state: ways.compiled(
            made, stop, torch.float32, None, prefix.digest(made, stop), ways.example(made, lambda: [state])
        ),
        marks=needs_compiler, id="compiled",
    ),
]  # fmt: skip


@pytest.mark.parametrize("make", FORMS)
@pytest.mark.parametrize(("mode", "stop"), [("avg", 1), ("words", 2), ("avg", 5), ("words", 5), ("tokens", 5)])
def test_texts_get_torchs_states_whatever_their_number_and_length(make, mode, stop, body):
    made, first = shown(body, mode, [12, 7], 16)
    way = make(made, stop, first)
    for lengths, cells in (([12, 7, 3], 16), ([1], 16), ([32, 17], 32)):
        _, state = shown(body, mode, lengths, cells, seed=1)
        (found,) = way.states([state], cells)
        with torch.no_grad():
            wanted = made.advance(state, 0, stop)
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", FORMS)
def test_a_text_is_the_same_to_the_bit_whatever_comes_with_it(make, body):
    made, state = shown(body, "avg", [16, 9, 2, 12, 5], 16)
    way = make(made, made.pooled, state)
    alone = [{key: value[i : i + 1] for key, value in state.items()} for i in range(5)]
    single = torch.cat([found["x"] for found in way.states(alone, 16)])
    (together,) = way.states([state], 16)
    assert torch.equal(together["x"], single)


@needs_compiler
@pytest.mark.parametrize("mode", ["avg", "words"])
def test_a_first_text_as_long_as_the_body_reads_can_be_compiled_from(mode, body):
    """A body has no places for more tokens than that, so the comparison with torch must not ask for more."""
    made, state = shown(body, mode, [40, 12], 40)
    way = ways.compiled(made, made.pooled, torch.float32, None, prefix.digest(made, made.pooled), ways.example(made, lambda: [state]))
    (found,) = way.states([state], 40)
    with torch.no_grad():
        torch.testing.assert_close(found["x"], made.advance(state, 0, made.pooled)["x"], rtol=1e-4, atol=1e-4)
