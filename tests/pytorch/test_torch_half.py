"""Recurrent in float16 and bfloat16: what emitted modules do in these types, and what PyTorch's ways need of it."""

from __future__ import annotations

import builtins
import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")

from torch import nn  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402
from torch_twins import flat  # noqa: E402

import symcell  # noqa: E402
from symcell.torch import (  # noqa: E402
    Recurrent,
    RecurrentCell,
    arrays,
    base,
    kernel as kernels,
    load,
    save,
)
from symcell.verify import targets  # noqa: E402

HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
NEAR = {torch.float16: 4e-3, torch.bfloat16: 3e-2}


def made(cell: str = "lstm", dtype: Any = torch.float32, **options: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 4, **{"target": "numpy", "dtype": dtype, **options})


def data(*lead: int, dtype: Any = torch.float32) -> Any:
    lead = lead or (5, 2)
    return torch.randn(*lead, 3, generator=torch.Generator().manual_seed(1)).to(dtype)


def loss(results: Any) -> Any:
    """In float32, as losses are."""
    return sum((t.data if isinstance(t, rnn.PackedSequence) else t).float().sin().sum() for t in flat(results))


def same(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def near(one: Any, other: Any, dtype: Any, many: float = 1) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.float(), b.float(), rtol=many * NEAR[dtype], atol=many * NEAR[dtype])


def gradients(net: Any) -> list[Any]:
    return [p.grad for p in net.parameters()]


# the module that runs


@HALVES
def test_the_emitted_module_of_that_type(dtype: Any) -> None:
    """To the last bit, its own memory: nothing is widened on the way."""
    net, x = made(dtype=dtype), data(dtype=dtype)
    module = symcell.compile("lstm", "numpy")
    at, back = arrays._NUMPY.array, arrays._NUMPY.tensor
    names = {name.removesuffix("_l0"): at(p) for name, p in net.named_parameters()}
    params = module.Params.from_dict(names, D=3, H=4)
    y, last, tape = module.forward(params, at(x))
    found = net(x)
    same(flat(found), [back(y), *(back(last[name])[None] for name in ("h", "c"))])
    found[0].sum().backward()
    grads = module.backward(params, tape, at(torch.ones(5, 2, 4, dtype=dtype)))
    same(gradients(net), [back(grads.params[name]) for name in names])


@HALVES
def test_tensors_and_arrays_are_one_memory(dtype: Any) -> None:
    x = torch.arange(6, dtype=torch.float32).to(dtype).reshape(2, 3)
    for tensor in (x, x.T, x[1]):
        array = arrays._NUMPY.array(tensor)
        assert array.dtype.name == str(dtype).removeprefix("torch.")
        assert array.tolist() == tensor.tolist()
        again = arrays._NUMPY.tensor(array)
        assert again.dtype == dtype
        assert again.data_ptr() == tensor.data_ptr()


@HALVES
def test_what_is_kept_is_of_that_type(dtype: Any) -> None:
    """But for what is carried from step to step: it is computed with in float32."""
    seen: list[Any] = []
    net = made(dtype=dtype)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.dtype) or t, lambda t: t):
        net(data(50, 2, dtype=dtype))
    assert set(seen) <= {dtype, torch.float32}
    assert seen.count(dtype) > seen.count(torch.float32)


@pytest.mark.parametrize("target", ["c", "cupy"])
@HALVES
def test_targets_agree(target: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They round at the same places, of sums in another order."""
    missing = targets.emulator_missing() if target == "cupy" else targets.compiler_missing()
    if missing:
        pytest.skip(missing)
    find = kernels.kernel_of
    monkeypatch.setattr(base, "kernel_of", lambda cell, target, _=False: find(cell, target, target == "cupy"))
    nets = [made("gru", dtype, target=each, bidirectional=True) for each in ("numpy", target)]
    results = []
    for net in nets:
        found = net(data(dtype=dtype))
        loss(found).backward()
        results.append([*flat(found), *gradients(net)])
    near(*results, dtype)


def test_bfloat16_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def gone(name: str, *rest: Any) -> Any:
        if name == "ml_dtypes":
            raise ImportError(name)
        return there(name, *rest)

    monkeypatch.setattr(builtins, "__import__", gone)
    arrays._bfloat16.cache_clear()
    with pytest.raises(ImportError, match="tensors of bfloat16 need the package ml_dtypes: pip install ml_dtypes"):
        made(dtype=torch.bfloat16)(data(dtype=torch.bfloat16))


# all that a float32 module does


@HALVES
@pytest.mark.parametrize("options", [
    {"num_layers": 2, "bidirectional": True}, {"checkpoint": 2}, {"zoneout": 0.2, "recurrent_dropout": 0.2},
    {"batch_first": True}, {"bias": False},
])  # fmt: skip
def test_options(options: dict[str, Any], dtype: Any) -> None:
    wide = made(**options)
    narrow = copy.deepcopy(wide).to(dtype)
    seed = {"seed": 3} if "zoneout" in options else {}
    for net, kind in ((wide, torch.float32), (narrow, dtype)):
        results = net.eval()(data(dtype=kind), **seed)
        assert all(t.dtype == kind for t in flat(results))
        loss(results).backward()
    near(flat(wide(data())), flat(narrow(data(dtype=dtype))), dtype)
    near(gradients(wide), gradients(narrow), dtype, 4)


@HALVES
def test_other_ways_to_call(dtype: Any) -> None:
    wide = made("gru")
    narrow = copy.deepcopy(wide).to(dtype)
    resets = torch.tensor([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.bool)
    packed = rnn.pack_sequence([data()[:, 0], data()[:3, 1]])
    state = torch.randn(1, 2, 4)
    for call in (
        lambda net, kind: flat(net(data(dtype=kind), resets=resets)),
        lambda net, kind: [net(packed.to(kind))[0].data],
        lambda net, kind: flat(net(data(dtype=kind), state.to(kind), all_states=True)[:2]),
        lambda net, kind: flat(net.step(data(2, dtype=kind), state.to(kind))),
    ):
        found = call(narrow, dtype)
        assert {t.dtype for t in found} == {dtype}
        near(call(wide, torch.float32), found, dtype)


@HALVES
def test_a_cell_of_one_step(dtype: Any) -> None:
    net = RecurrentCell("lstm", 3, 4, target="numpy", dtype=dtype)
    h, c = net(data(2, dtype=dtype))
    assert h.dtype == c.dtype == dtype
    (h.float().sum() + c.float().sum()).backward()
    assert {p.grad.dtype for p in net.parameters()} == {dtype}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated:DeprecationWarning")
@HALVES
def test_derivatives_of_derivatives(dtype: Any) -> None:
    """Gradients of gradients, and forward mode."""
    wide = made("gru")
    narrow = copy.deepcopy(wide).to(dtype)
    found = []
    for net, kind in ((wide, torch.float32), (narrow, dtype)):
        x = data(dtype=kind).requires_grad_()
        (slope,) = torch.autograd.grad(net(x)[0].float().square().sum(), x, create_graph=True)
        slope.float().square().sum().backward()
        _, moved = torch.func.jvp(lambda x, net=net: net(x)[0], (data(dtype=kind),), (data(dtype=kind).flip(0),))
        assert slope.dtype == moved.dtype == kind
        found.append([slope.detach(), x.grad, *gradients(net), moved])
    near(*found, dtype, 8)


def test_another_type_is_an_error() -> None:
    net = made(dtype=torch.float16)
    with pytest.raises(ValueError, match=r"expected torch.float16 as the parameters, got torch.float32"):
        net(data())
    with pytest.raises(RuntimeError, match=r"hx: expected torch.bfloat16 as the parameters, got torch.float16"):
        made("gru", torch.bfloat16)(data(dtype=torch.bfloat16), torch.zeros(1, 2, 4, dtype=torch.float16))


# autocast and loss scaling


@HALVES
@pytest.mark.parametrize("packed", [False, True])
def test_autocast_is_the_module_in_that_type(packed: bool, dtype: Any) -> None:
    """Results are those of a module of the type, to the last bit; gradients by float32 parameters are in float32."""
    net = made(num_layers=2, bidirectional=True)
    narrow = copy.deepcopy(net).to(dtype)
    x = data()
    given = rnn.pack_sequence([x[:, 0], x[:3, 1]]) if packed else x
    with torch.autocast("cpu", dtype):
        found = net(given)
        loss(found).backward()
    wanted = narrow(given.to(dtype))
    loss(wanted).backward()
    same([t.data for t in flat(found)], [t.data for t in flat(wanted)])
    assert {grad.dtype for grad in gradients(net)} == {torch.float32}
    same(gradients(net), [grad.float() for grad in gradients(narrow)])


@HALVES
def test_autocast_sees_what_an_optimizer_did(dtype: Any) -> None:
    """Parameters in a narrower type are a copy, which must not outlive the call."""
    net = made()
    with torch.autocast("cpu", dtype), torch.no_grad():
        before = net(data())[0]
        for p in net.parameters():
            p.mul_(2)
        after = net(data())[0]
        same([after], [copy.deepcopy(net)(data())[0]])
    assert not torch.equal(before, after)


def test_autocast_takes_states_of_any_type() -> None:
    net = made("gru")
    with torch.autocast("cpu", torch.bfloat16):
        for kind in (torch.float32, torch.float16, torch.bfloat16):
            y, h = net(data(dtype=kind), torch.ones(1, 2, 4))
            assert y.dtype == h.dtype == torch.bfloat16


def test_a_scaler_leaves_out_a_step_that_overflows() -> None:
    """Gradients of a loss that was scaled too far are infinite or no numbers, nothing else; a smaller scale trains."""
    net = made()
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, backoff_factor=2.0**-32, growth_interval=1000)
    for moves in (False, True):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            y, _ = net(data())
        scaler.scale(y.float().square().sum()).backward()
        overflowed = any(not grad.isfinite().all() for grad in gradients(net))
        assert overflowed != moves
        scaler.step(optimizer)
        scaler.update()
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True)) != moves
    assert scaler.get_scale() == 2.0**8


@HALVES
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_no_number_stays_none(value: float, dtype: Any) -> None:
    net = made("rnn_relu", dtype=dtype)
    x = data(dtype=dtype)
    x[2, 0] = value
    with torch.no_grad():
        net.W_l0.abs_()
    y, _ = net(x)
    assert y[:2].isfinite().all()
    assert not y[2:, 0].isfinite().all(-1).any()
    assert y[:, 1].isfinite().all()
    y.float().sum().backward()
    assert not net.W_l0.grad.isfinite().all()


# graphs


@HALVES
def test_compiled(dtype: Any) -> None:
    """A graph knows the types of all that a run keeps, carried values among them."""
    net = made("lstm", dtype)
    run = torch.compile(net, backend="aot_eager", fullgraph=True)
    results = []
    for call in (net, run):
        net.zero_grad()
        found = call(data(dtype=dtype))
        loss(found).backward()
        results.append([*flat(found), *gradients(net)])
    same(*results)


@HALVES
@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm_lstm", "deltanet"])
def test_operators_are_as_they_say(cell: str, dtype: Any) -> None:
    """Shapes and types of the operators' results, without a run and with one; of parameters in float32, too."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from symcell.torch import recorded
    from symcell.torch.calls import Call

    options = {"K": 5} if cell == "deltanet" else {}
    net = Recurrent(cell, 3, 4, target="numpy", **options)
    for kind in (dtype, torch.float32):
        kernel = net._kernels[True, False, net.cell.output, "cpu"]
        call = Call(kernel, net.sizes[0])
        tensors = [*(p.detach().to(kind) for p in net._tensors(0)), data(dtype=dtype)]
        found = torch.ops.symcell.run(*recorded.about(call, tensors), True)
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        with fake:
            told = torch.ops.symcell.run(*recorded.about(call, [fake.from_tensor(t) for t in tensors]), True)
        assert [(t.shape, t.dtype) for t in told] == [(t.shape, t.dtype) for t in found]
        results, tape = found[: call.results], found[call.results :]
        back = torch.ops.symcell.back(*recorded.about(call, tensors), [t.clone() for t in results], tape, True)
        assert [(t.shape, t.dtype) for t in back] == [(t.shape, t.dtype) for t in tensors]


def test_meta() -> None:
    net = made(dtype=torch.bfloat16, device="meta")
    y, (h, c) = net(data(dtype=torch.bfloat16).to("meta"))
    assert y.dtype == h.dtype == c.dtype == torch.bfloat16


# in and out


@HALVES
def test_files(dtype: Any, tmp_path: Any) -> None:
    net = made(dtype=dtype)
    save(tmp_path / "net.safetensors", net)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    one = load(tmp_path / "net.safetensors", target="numpy")
    other = made(dtype=dtype)
    other.reset_parameters()
    other.load_state_dict(torch.load(tmp_path / "net.pt"))
    for again in (one, other):
        assert {p.dtype for p in again.parameters()} == {dtype}
        same(flat(again(data(dtype=dtype))), flat(net(data(dtype=dtype))))


@HALVES
def test_from_pytorch_and_back(dtype: Any) -> None:
    theirs = nn.LSTM(3, 4, 2, bidirectional=True).to(dtype)
    ours = Recurrent.from_torch(theirs, target="numpy")
    assert {p.dtype for p in ours.parameters()} == {dtype}
    again = ours.to_torch()
    assert {p.dtype for p in again.parameters()} == {dtype}
    near(flat(ours(data(dtype=dtype))), flat(theirs(data(dtype=dtype))), dtype)
    near(flat(again(data(dtype=dtype))), flat(theirs(data(dtype=dtype))), dtype)
