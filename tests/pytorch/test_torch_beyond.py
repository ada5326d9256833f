"""What torch.nn's modules do not do: every cell, resets, all states, steps, zoneout, masks over time."""

from __future__ import annotations

import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from feature_cells import AT_A_POLE, FEATURES  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402
from torch_twins import Twins, flat  # noqa: E402

import symcell  # noqa: E402
from symcell.cell import Cell  # noqa: E402
from symcell.torch import (  # noqa: E402
    Recurrent,
    RecurrentCell,
    kernel as kernels,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
SAMPLE = (
    "lstm", "mlstm", "lmu", "mamba", "rwkv4", "zoneout_lstm", "narx", "two_inputs", "input_lags", "learned_lags",
    "no_parameters", "read_out", "feed_forward", "signal_lags", "constant_signal", "matrix_memory", "constant_arrays",
    "matrix_input_and_output", "scaled_rows_and_columns", "square_memory", "reserved_names", "greek_names",
    "sizes_named_t_and_b", "unread_state",
)  # fmt: skip
NAMES = [
    pytest.param(name, marks=() if name in SAMPLE else pytest.mark.whole)
    for name in (*symcell.names(), *FEATURES)
    if name not in AT_A_POLE
]


@functools.cache
def cell_of(name: str) -> Cell:
    return symcell.parse(FEATURES[name], name=name) if name in FEATURES else symcell.load(name)


def made(name: Any, target: str = "numpy", **options: Any) -> Recurrent:
    """A net whose sizes all differ where they may; its constant arrays random."""
    cell = cell_of(name) if isinstance(name, str) else name
    torch.manual_seed(0)
    numbers = {size: 3 + k for k, size in enumerate(cell.sizes)}
    main = "x" if "x" in cell.inputs else next(iter(cell.inputs))
    constants = {c: torch.randn(*(n.value(numbers) for n in shape)) * 0.3 for c, shape in cell.arrays.items()}
    given = cell.inputs[main][-1].value(numbers), cell.spread.value(numbers)
    taken = {str(cell.inputs[main][-1]), str(cell.spread)}
    others = {size: n for size, n in numbers.items() if size not in taken}
    return Recurrent(cell, *given, dtype=torch.float64, target=target, constants=constants, **others, **options)


def some(*shape: int) -> Any:
    torch.manual_seed(sum(shape))
    return 0.5 * torch.randn(*shape, dtype=torch.float64)


def inputs_of(net: Recurrent, *lead: int) -> Any:
    found = {name: some(*lead, *net._shapes[0][name]).requires_grad_() for name in net.cell.inputs}
    return found if len(found) > 1 else found[net._main]


def states_of(net: Recurrent, batch: int) -> dict[str, Any]:
    return {name: some(len(net.sizes), *net._state_shape(name, batch)).requires_grad_() for name in net.states}


def same(one: Any, other: Any, **close: float) -> None:
    for a, b in zip(flat(one), flat(other), strict=True):
        torch.testing.assert_close(a, b, **(close or CLOSE))


def weigh(tensors: list[Any]) -> Any:
    """A number of them in which each entry counts differently."""
    return sum((t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in tensors)


# every cell


@pytest.mark.parametrize("states", [False, True], ids=["zero", "given"])
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_its_emitted_module(name: str, states: bool) -> None:
    net = made(name)
    cell = net.cell
    x, given = inputs_of(net, 4, 2), states_of(net, 2) if states else {}
    y, last = net(x, given or None)
    ends = (last,) if isinstance(last, torch.Tensor) else last
    weigh([y, *ends]).backward()

    module = symcell.compile(cell, "numpy")
    arrays = {n: getattr(net, f"{n}_l0").detach().numpy() for n in (*cell.parameters, *cell.arrays)}
    params = module.Params.from_dict(arrays, **net.sizes[0]) if arrays else {}
    xs = {n: x.detach().numpy() for n, x in x.items()} if isinstance(x, dict) else x.detach().numpy()
    y_, last_, tape = module.forward(params, xs, {n: s[0].detach().numpy() for n, s in given.items()})
    np.testing.assert_array_equal(y.detach(), y_)
    for n, end in zip(net.states, ends, strict=True):
        np.testing.assert_array_equal(end[0].detach(), last_[n])

    leaves = [torch.from_numpy(y_).requires_grad_(), *(torch.from_numpy(last_[n]).requires_grad_() for n in net.states)]
    dy, *dlast = torch.autograd.grad(weigh(leaves), leaves)
    grads = module.backward(params, tape, dy.numpy(), dict(zip(net.states, (d.numpy() for d in dlast), strict=True)))
    for n in cell.parameters:
        np.testing.assert_allclose(getattr(net, f"{n}_l0").grad, grads.params[n], rtol=1e-12, atol=1e-13)
    for n, leaf in x.items() if isinstance(x, dict) else [(net._main, x)]:
        np.testing.assert_allclose(leaf.grad, grads.x[n] if isinstance(x, dict) else grads.x, rtol=1e-12, atol=1e-13)
    for n, state in given.items():
        np.testing.assert_allclose(state.grad[0], grads.state[n], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["lstm", "two_inputs", "learned_lags", "matrix_memory"])
def test_packed_is_each_sequence_by_itself(name: str) -> None:
    net = made(name, num_layers=2 if name == "lstm" else 1, bidirectional=True)
    lengths = (2, 5, 3)
    xs = [inputs_of(net, n) for n in lengths]
    hx = states_of(net, 3)
    if isinstance(xs[0], dict):
        packed = {n: rnn.pack_sequence([x[n] for x in xs], enforce_sorted=False) for n in xs[0]}
    else:
        packed = rnn.pack_sequence(xs, enforce_sorted=False)
    y, last = net(packed, hx)
    padded, _ = rnn.pad_packed_sequence(y)
    leaves = [*hx.values(), *flat(xs), *net.parameters()]
    found = torch.autograd.grad(weigh([padded, *flat(last)]), leaves)
    parts = []
    for k, (n, x) in enumerate(zip(lengths, xs, strict=True)):
        one, end = net(x, {s: h.select(net._axes()[s], k) for s, h in hx.items()})
        same(padded[:n, k], one)
        parts.append((nn.functional.pad(one, (0, 0, 0, 5 - n)), flat(end)))
    ys = torch.stack([y for y, _ in parts], 1)
    axes = [net._axes()[s] for s in net.states]
    ends = [torch.stack([end[k] for _, end in parts], axis) for k, axis in enumerate(axes)]
    same(flat(last), ends)
    same(found, torch.autograd.grad(weigh([ys, *ends]), leaves))


@pytest.mark.parametrize("name", ["two_inputs", "matrix_memory", "learned_lags", "read_out"])
def test_layouts_of_other_cells(name: str) -> None:
    net, first = made(name), made(name, batch_first=True)
    x, hx = inputs_of(net, 4, 2), states_of(net, 2)
    turned = {n: t.transpose(0, 1) for n, t in x.items()} if isinstance(x, dict) else x.transpose(0, 1)
    y, last = first(turned, hx)
    same([y.transpose(0, 1), last], net(x, hx))
    single = {n: t[:, 0] for n, t in x.items()} if isinstance(x, dict) else x[:, 0]
    y, last = net(single, {n: h.select(net._axes()[n], 0) for n, h in hx.items()})
    whole, ends = net(x, hx)
    same(y, whole[:, 0])
    for n, a, b in zip(net.states, flat(last), flat(ends), strict=True):
        same(a, b.select(net._axes()[n], 0))


def test_matrices_in_and_out() -> None:
    net = made("matrix_input_and_output")
    x = inputs_of(net, 4, 2)
    y, _ = net(x)
    shapes = net._shapes[0]
    assert y.shape[2:] == tuple(n.value(net.sizes[0]) for n in net.cell.shape_of(net.cell.output))
    single, _ = net(x[:, 0] if not isinstance(x, dict) else {n: t[:, 0] for n, t in x.items()})
    same(single, y[:, 0])
    wrong = torch.zeros(4, 2, *shapes[net._main][:-1], shapes[net._main][-1] + 1, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"expected \(T, B, \d+, \d+\) or \(T, \d+, \d+\), got"):
        net(wrong)


def test_states_come_output_first() -> None:
    net = made("lstm")
    assert net.states == ("h", "c")
    swapped = symcell.parse(
        "c[t] = sigmoid(F @ x[t]) * c[t-1] + tanh(W @ x[t] + U @ h[t-1])\nh[t] = tanh(c[t])", name="swapped"
    )
    net = made(swapped)
    assert next(iter(net.cell.states)) == "c"
    assert net.states == ("h", "c")
    y, (h, c) = net(some(4, 2, 3))
    same(y[-1], h[0])
    same(h, torch.tanh(c))


def test_a_dict_of_states_may_leave_some_out() -> None:
    net, x, c = made("lstm"), some(4, 2, 3), some(1, 2, 4)
    same(net(x, {"c": c}), net(x, (torch.zeros_like(c), c)))
    same(net(x, {}), net(x))


def test_a_learned_start_counts_where_no_state_is_given() -> None:
    net = made("learned_start", num_layers=2)
    x = some(4, 2, net.input_size)
    with torch.no_grad():
        net.h_0_l0.fill_(0.3)
        net.h_0_l1.fill_(-0.2)
    starts = torch.stack([net.h_0_l0, net.h_0_l1])[:, None].expand(2, 2, -1)
    same(net(x), net(x, starts))
    net(x)[0].sum().backward()
    found = [net.h_0_l0.grad.clone(), net.h_0_l1.grad.clone()]
    net.zero_grad()
    net(x, starts)[0].sum().backward()
    same(found, [net.h_0_l0.grad, net.h_0_l1.grad])


def test_constant_arrays_are_buffers() -> None:
    net = made("constant_arrays")
    x = inputs_of(net, 4, 2)
    assert {"A_l0", "B_l0"} <= set(dict(net.named_buffers()))
    before = net(x)[0]
    with torch.no_grad():
        net.A_l0.mul_(0.5)
    assert not torch.equal(net(x)[0], before)
    assert net.float().A_l0.dtype == torch.float32
    with pytest.raises(TypeError, match=r"constant array A \(\d+, \d+\): expected constants=\{'A': "):
        Recurrent(net.cell, net.input_size, net.hidden_size, N=net.sizes[0]["N"])
    wrong = {"A": torch.ones(2), "B": 1}
    fixed = np.ones((net.sizes[0]["N"],) * 2)
    fixed.flags.writeable = False
    fine = {"A": fixed, "B": [1.0] * net.sizes[0]["N"]}
    Recurrent(net.cell, net.input_size, net.hidden_size, N=net.sizes[0]["N"], constants=fine)
    with pytest.raises(ValueError, match=r"constants\['A'\]: expected the shape"):
        Recurrent(net.cell, net.input_size, net.hidden_size, N=net.sizes[0]["N"], constants=wrong)


def test_names_of_every_script(tmp_path: Any) -> None:
    cell = symcell.parse("상태[t] = tanh(가중치 @ 입력[t] + Ü @ 상태[t-1] + β)\noutput: 상태", name="한글")
    net = Recurrent(cell, 3, 4, 2, target="numpy", dtype=torch.float64)
    assert "가중치_l0" in net.state_dict()
    assert "'한글'" in repr(net)
    net(some(4, 2, 3))[0].sum().backward()
    torch.save(net.state_dict(), tmp_path / "kept.pt")
    other = Recurrent(cell, 3, 4, 2, target="numpy", dtype=torch.float64)
    other.load_state_dict(torch.load(tmp_path / "kept.pt"))
    same(net(some(4, 2, 3)), other(some(4, 2, 3)))


@pytest.mark.parametrize("name", ["forward", "cell", "training", "weight", "step", "target"])
def test_parameters_of_any_name(name: str) -> None:
    """A parameter's attribute ends in its layer; nothing of the module's own is hidden by it."""
    cell = symcell.parse(f"h[t] = tanh({name} @ x[t] + U @ h[t-1])", name="odd")
    net = Recurrent(cell, 3, 4, target="numpy", dtype=torch.float64)
    net(some(4, 2, 3))[0].sum().backward()
    assert getattr(net, f"{name}_l0").grad is not None


@pytest.mark.parametrize("name", ["forward", "cell", "training", "bias", "states", "input_size", "_main"])
def test_parameters_of_a_cell_of_one_step_have_names_of_their_own(name: str) -> None:
    cell = symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name="odd")
    RecurrentCell(cell, 3, 4, target="numpy")
    try:
        cell = symcell.parse(f"h[t] = tanh({name} @ x[t] + U @ h[t-1])", name="odd")
    except symcell.CellError:
        return  # no name of the language
    with pytest.raises(ValueError, match=rf"odd: '{name}' is a parameter here and an attribute of the module"):
        RecurrentCell(cell, 3, 4, target="numpy")


def test_layers_of_a_cell_of_several_inputs() -> None:
    """The output of a layer is the main input of the next; the others are the same for each."""
    net = made("two_inputs", num_layers=2, bidirectional=True)
    x = inputs_of(net, 4, 2)
    y, last = net(x)
    one = made("two_inputs", bidirectional=True)
    one.load_state_dict({k: v for k, v in net.state_dict().items() if "_l0" in k})
    below, first = one(x)
    e = net.sizes[0]["E"]
    two = Recurrent(net.cell, 2 * net.hidden_size, net.hidden_size, E=e, bidirectional=True, dtype=torch.float64)
    two.load_state_dict({k.replace("_l1", "_l0"): v for k, v in net.state_dict().items() if "_l1" in k})
    above, second = two({**x, "x": below})
    same([y, last], [above, torch.cat([first, second])])


def test_parameters_start_as_the_cell_says() -> None:
    net = Recurrent(symcell.parse(FEATURES["many_starts"], name="starts"), 3, 100, target="numpy")
    assert torch.equal(net.W_l0, torch.eye(100))
    assert net.U_l0.std().item() == pytest.approx(0.02, rel=0.1)
    assert 0.08 < net.V_l0.abs().max().item() <= 0.1
    assert net.b_l0.std().item() == pytest.approx(1, rel=0.3)
    text = "W: (H, D) = glorot\nU: (H, H) = orthogonal\nb: H = ones\nx: D\nh[t] = tanh(W @ x[t] + U @ h[t-1] + b)"
    for dtype in (torch.float32, torch.float16):
        net = Recurrent(symcell.parse(text, name="others"), 3, 40, target="numpy", dtype=dtype)
        torch.testing.assert_close(net.U_l0.float() @ net.U_l0.float().T, torch.eye(40), rtol=0, atol=5e-3)
        assert torch.equal(net.b_l0, torch.ones(40, dtype=dtype))
        assert 0.3 < net.W_l0.abs().max().item() <= (6 / 43) ** 0.5 + 1e-3


def test_cells_that_a_layer_cannot_feed() -> None:
    for text, options, error, says in (
        ("h: D\nh[t] = tanh(W @ x[t] + U @ h[t-1])\nx: D", {}, ValueError, "input_size and hidden_size are one size D"),
        ("x: 2\nh[t] = tanh(W @ x[t] + U @ h[t-1])", {}, ValueError, r"expected input_size = 2 \(2\), got 3"),
        ("h: K\nx: D\nh[t] = tanh(W @ x[t] + v)\nv: K", {"H": 3}, TypeError, "'H': no argument, and no size"),
    ):
        with pytest.raises(error, match=says):
            Recurrent(symcell.parse(text, name="odd"), 3, 4, **options)


def test_no_biases_to_leave_out_is_an_error() -> None:
    with pytest.raises(symcell.CellError, match="bare has no biases"):
        Recurrent(symcell.parse("h[t] = tanh(W @ x[t] + U @ h[t-1])", name="bare"), 3, 4, bias=False)


# targets


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target cupy runs on the CPU, on copies."""
    from symcell.torch import base

    made_for = kernels.kernel_of
    monkeypatch.setattr(base, "kernel_of", lambda cell, target, _=False: made_for(cell, target, target == "cupy"))


@pytest.mark.parametrize("name", ["lstm", "learned_lags"])
def test_targets_agree(name: str, emulated: None) -> None:
    nets = {target: made(name, target, bidirectional=True) for target in ("numpy", "c", "cupy")}
    x = some(4, 2, nets["numpy"].input_size)
    packed = rnn.pack_sequence([x[:, 0], x[:2, 1]])
    for data in (x, packed):
        found = {}
        for target, net in nets.items():
            net.zero_grad()
            results = flat(net(data))
            weigh(results).backward()
            found[target] = [*results, *(p.grad for p in net.parameters())]
        same(found["c"], found["numpy"])
        same(found["cupy"], found["numpy"])


def test_a_target_without_its_device_says_so() -> None:
    with pytest.raises(ValueError, match=r"target cupy needs tensors on a CUDA device, got cpu: .*target='auto'"):
        made("lstm", "cupy")(some(4, 2, 3))


@pytest.mark.parametrize("target", ["numpy", "c"])
@pytest.mark.parametrize("checkpoint", [1, 3, 100, "sqrt"])
def test_checkpoints_change_nothing(target: str, checkpoint: Any) -> None:
    nets = [made("lstm", target, num_layers=2, bidirectional=True, checkpoint=c) for c in (None, checkpoint)]
    x, found = some(7, 2, 3), []
    for data in (x, rnn.pack_sequence([x[:, 0], x[:4, 1]])):
        found = []
        for net in nets:
            net.zero_grad()
            results = flat(net(data, states_of(net, 2)))
            weigh(results).backward()
            found.append([*results, *(p.grad for p in net.parameters())])
        same(*found)
    for wrong in ("half", 0, -1, True, 2.5):
        with pytest.raises(ValueError, match=r'checkpoint: expected None, "sqrt" or a number of steps from 1 on, got'):
            made("lstm", target, checkpoint=wrong)


# resets


def stepwise(net: Recurrent, x: Any, hx: dict[str, Any], resets: Any) -> tuple[Any, list[Any]]:
    """The same by a loop: each step by itself, states set to their start where they are reset."""
    ys, states = [], dict(hx)
    for t in range(len(x)):
        for name, axis in net._axes().items():
            start = net.cell.initial.get(name)
            begin = torch.zeros_like(states[name])
            if start is not None:
                begin = begin + torch.stack([getattr(net, f"{start}{s}") for s in net.suffixes]).view(
                    len(net.sizes), *[1] * (axis), *net._shapes[0][name]
                )
            where = resets[t].view(*[1] * axis, -1, *[1] * len(net._shapes[0][name]))
            states[name] = torch.where(where, begin, states[name])
        y, last = net(x[t : t + 1], states)
        states = dict(zip(net.states, flat(last), strict=True))
        ys.append(y)
    return torch.cat(ys), [states[name] for name in net.states]


RESETS = {
    "none": [],
    "first": [(0, 0), (0, 1)],
    "some": [(0, 1), (2, 0), (3, 0), (4, 2)],
    "all": [(t, b) for t in range(5) for b in range(3)],
}


@pytest.mark.parametrize("places", RESETS.values(), ids=RESETS)
@pytest.mark.parametrize("name", ["lstm", "learned_start", "learned_lags", "matrix_memory"])
def test_resets(name: str, places: list[tuple[int, int]]) -> None:
    net = made(name, num_layers=2 if name in ("lstm", "learned_start") else 1)
    for p in net.parameters():
        p.data += 0.1
    x, hx = some(5, 3, net.input_size).requires_grad_(), states_of(net, 3)
    resets = torch.zeros(5, 3, dtype=torch.bool)
    for t, b in places:
        resets[t, b] = True
    leaves = [x, *hx.values(), *net.parameters()]
    y, last = net(x, hx, resets=resets)
    expected, ends = stepwise(net, x, hx, resets)
    same([y, *flat(last)], [expected, *ends])
    same(torch.autograd.grad(weigh([y, *flat(last)]), leaves, allow_unused=True, materialize_grads=True),
         torch.autograd.grad(weigh([expected, *ends]), leaves, allow_unused=True, materialize_grads=True))  # fmt: skip
    same(net(x, resets=resets), net(x, {n: _begin(net, n, 3) for n in net.states}, resets=resets))


def _begin(net: Recurrent, name: str, batch: int) -> Any:
    zeros = torch.zeros(len(net.sizes), *net._state_shape(name, batch), dtype=torch.float64)
    start = net.cell.initial.get(name)
    if start is None:
        return zeros
    return zeros + torch.stack([getattr(net, f"{start}{s}").expand(zeros.shape[1:]) for s in net.suffixes])


def test_resets_in_other_layouts() -> None:
    net, first = made("lstm"), made("lstm", batch_first=True)
    x, resets = some(5, 3, 3), torch.zeros(5, 3, dtype=torch.bool)
    resets[2, 1] = resets[4, 0] = True
    y, last = net(x, resets=resets)
    turned, ends = first(x.transpose(0, 1), resets=resets.T)
    same([turned.transpose(0, 1), ends], [y, last])
    single, end = net(x[:, 1], resets=resets[:, 1])
    same([single, *end], [y[:, 1], *(s[:, 1] for s in last)])
    assert net(x[:, :0], resets=resets[:, :0])[0].shape == (5, 0, 4)
    net.double()
    assert torch.autograd.gradcheck(lambda x: net(x, resets=resets)[0], some(5, 3, 3).requires_grad_(), fast_mode=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated:DeprecationWarning")
def test_resets_under_torch_func() -> None:
    net, x = made("lstm", batch_first=True), some(3, 5, 3)
    resets = torch.zeros(3, 5, dtype=torch.bool)
    resets[1, 2] = True

    def function(x: Any) -> Any:
        return net(x, resets=resets)[0]

    _, tangent = torch.func.jvp(function, (x,), (x.flip(0),))
    (gradient,) = torch.func.vjp(function, x)[1](torch.ones_like(tangent))
    same(tangent.sum(), (gradient * x.flip(0)).sum())
    same(torch.func.vmap(function)(torch.stack([x, 2 * x])), torch.stack([function(x), function(2 * x)]))
    several = torch.stack([resets, ~resets])
    found = torch.func.vmap(lambda r: net(x, resets=r)[0])(several)
    same(found, torch.stack([net(x, resets=r)[0] for r in several]))


def test_a_module_made_under_torch_func() -> None:
    def function(x: Any) -> Any:
        torch.manual_seed(0)
        return Recurrent("lstm", 3, 4, target="numpy", dtype=torch.float64)(x)[0]

    x = some(4, 2, 3)
    same(torch.func.grad(lambda x: function(x).sum())(x), torch.autograd.grad(function(x.requires_grad_()).sum(), x)[0])


def test_resets_with_all_states() -> None:
    net = made("lstm", num_layers=2)
    x, resets = some(5, 3, 3), torch.zeros(5, 3, dtype=torch.bool)
    resets[2, 1] = True
    y, last, every = net(x, resets=resets, all_states=True)
    same([y, last], net(x, resets=resets))
    same([every["h"], every["c"][-1]], [y, last[1][-1]])
    fresh = net(x[2:, 1:2], all_states=True)[2]
    same(every["c"][2:, 1:2], fresh["c"])


# all states, and steps


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("name", ["lstm", "matrix_memory", "learned_lags", "read_out"])
def test_all_states(name: str, options: dict[str, Any]) -> None:
    if name != "lstm" and "num_layers" in options:
        options = {"bidirectional": True}
    net = made(name, **options)
    lead = (2, 4) if net.batch_first else (4, 2)
    x = some(*lead, net.input_size)
    y, last, every = net(x, all_states=True)
    same([y, last], net(x))
    assert set(every) == {net.cell.output, *net.states}
    same(every[net.cell.output], y)
    for state, end in zip(net.states, flat(last), strict=True):
        steps = every[state].transpose(0, 1) if net.batch_first else every[state]
        width = net._shapes[0][state][-1]
        front = end[-2] if net.bidirectional else end[-1]
        same(steps[-1][..., :width], front[-1] if net._lags[state] > 1 else front)
        if net.bidirectional:
            same(steps[0][..., width:], end[-1][-1] if net._lags[state] > 1 else end[-1])
    packed = rnn.pack_sequence([some(n, net.input_size) for n in (3, 1)])
    y, _, every = net(packed, all_states=True)
    assert all(isinstance(each, rnn.PackedSequence) for each in every.values())
    same(every[net.cell.output], y)


def test_gradients_through_all_states() -> None:
    net, x = made("lstm"), some(4, 2, 3).requires_grad_()
    _, _, every = net(x, all_states=True)
    found = torch.autograd.grad(weigh([every["c"]]), [x, *net.parameters()])
    state, cs = None, []
    for t in range(4):
        _, state = net(x[t : t + 1], state)
        cs.append(state[1])
    same(found, torch.autograd.grad(weigh([torch.cat(cs)]), [x, *net.parameters()]))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", ["lstm", "two_inputs", "learned_lags", "matrix_memory", "read_out", "input_lags"])
def test_steps_are_the_sequence(name: str, grad: bool) -> None:
    net = made(name, num_layers=2 if name == "lstm" else 1)
    x = inputs_of(net, 4, 2)
    with torch.set_grad_enabled(grad):
        y, last = net(x)
        state, ys = None, []
        for t in range(4):
            now = {n: each[t] for n, each in x.items()} if isinstance(x, dict) else x[t]
            step, state = net.step(now, state)
            ys.append(step)
        same([torch.stack(ys), state], [y, last])
        alone = {n: each[0, 0] for n, each in x.items()} if isinstance(x, dict) else x[0, 0]
        step, state = net.step(alone)
        same(step, y[0, 0])
    if grad:
        leaves = [*flat(x), *net.parameters()]
        same(torch.autograd.grad(weigh([torch.stack(ys)]), leaves), torch.autograd.grad(weigh([y]), leaves))


@pytest.mark.parametrize("target", ["numpy", "c"])
def test_steps_in_a_stream_take_tensors_of_any_layout_and_return_their_own(target: str) -> None:
    net, cell = made("lstm", target, num_layers=2), RecurrentCell("lstm", 3, 4, target=target, dtype=torch.float64)
    x, h, c = some(3, 2).T, some(2, 1, 4).expand(2, 2, 4), some(2, 4, 2).transpose(1, 2)
    long = [flat(net.step(x, (h, c))), flat(cell(x, (h[0], c[0])))]
    with torch.no_grad():
        quick = [flat(net.step(x, (h, c))), flat(cell(x, (h[0], c[0])))]
    same(quick, long)
    for results in (*quick, *long):
        seen = [t.untyped_storage().data_ptr() for t in (*results, x, h, c, *net.parameters(), *cell.parameters())]
        assert len(set(seen[: len(results)])) == len(results)
        assert not set(seen[: len(results)]) & set(seen[len(results) :])


# noise


@pytest.mark.parametrize("options", [{"zoneout": 0.4}, {"recurrent_dropout": 0.4}, {"zoneout": {"c": 0.5}},
                                     {"zoneout": 0.2, "recurrent_dropout": {"h": 0.3}}], ids=str)  # fmt: skip
def test_noise_replays_by_its_seed(options: dict[str, Any]) -> None:
    net, x = made("lstm", num_layers=2, bidirectional=True, **options), some(6, 3, 3)
    one = net(x, seed=4)
    same(one, net(x, seed=4))
    assert not torch.equal(flat(net(x, seed=5))[0], flat(one)[0])
    torch.manual_seed(1)
    drawn = net(x)
    torch.manual_seed(1)
    same(net(x), drawn)
    before = torch.get_rng_state()
    net(x, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.autograd.gradcheck(lambda x: net(x, seed=4)[0], x.clone().requires_grad_(), fast_mode=True)
    packed = rnn.pack_sequence([x[:, 0], x[:3, 1]])
    same(net(packed, seed=4), net(packed, seed=4))
    net.eval()
    same(net(x, seed=4), net(x, seed=5))


def test_zoneout_keeps_some_of_a_state() -> None:
    """Units are either those of before or the new ones, as often as the rate says; in use it is the expectation."""
    net = made("lstm", zoneout={"c": 0.25})
    h, c, x = some(1, 500, 4), some(1, 500, 4), some(1, 500, 3)
    _, (_, after) = net(x, (h, c))
    _, (_, new) = made("lstm")(x, (h, c))
    kept = (after - c).abs() < 1e-12
    changed = (after - new).abs() < 1e-12
    assert (kept | changed).all()
    assert kept.double().mean().item() == pytest.approx(0.25, abs=0.05)
    net.eval()
    _, (_, expected) = net(x, (h, c))
    same(expected, 0.25 * c + 0.75 * new)


def test_recurrent_dropout_has_one_mask_over_time() -> None:
    """The same units of h are left out of all products, at all steps; in use none is."""
    net = made("rnn", recurrent_dropout=0.5)
    with torch.no_grad():
        net.W_l0.zero_()
        net.U_l0.copy_(torch.eye(4))
        net.b_l0.fill_(0.1)
    y, _ = net(torch.zeros(6, 50, 3, dtype=torch.float64), seed=1)
    silent = (y[1:] - torch.tanh(torch.tensor(0.1).double())).abs() < 1e-7
    assert (silent.all(0) | ~silent.any(0)).all()
    assert silent[0].double().mean().item() == pytest.approx(0.5, abs=0.15)
    loud = y[1][~silent[0]]
    same(loud, torch.tanh(2 * y[0][~silent[0]] + 0.1), rtol=1e-6, atol=1e-7)
    net.eval()
    same(net(torch.zeros(2, 1, 3).double())[0][1], torch.tanh(torch.tanh(torch.full((1, 4), 0.1).double()) + 0.1),
         rtol=1e-6, atol=1e-7)  # fmt: skip


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_ends_of_the_rates(rate: float) -> None:
    x, h, c = some(3, 2, 3), some(1, 2, 4), some(1, 2, 4)
    zoned, dropped = made("lstm", zoneout=rate), made("lstm", recurrent_dropout=rate)
    if not rate:
        same(zoned(x, (h, c)), made("lstm")(x, (h, c)))
        same(dropped(x, (h, c)), made("lstm")(x, (h, c)))
    else:
        same(zoned(x, (h, c))[1], (h, c))
        assert all(torch.isfinite(t).all() for t in flat(dropped(x, (h, c))))


def test_noise_in_steps() -> None:
    net, x = made("lstm", zoneout=0.5), some(3, 2, 3)
    same(net.step(x[0], seed=1), net.step(x[0], seed=1))
    assert not torch.equal(net.step(x[0], seed=1)[0], net.step(x[0], seed=2)[0])


def test_noise_with_resets() -> None:
    net, x = made("lstm", zoneout=0.3, recurrent_dropout=0.3), some(5, 2, 3)
    resets = torch.zeros(5, 2, dtype=torch.bool)
    resets[2, 0] = True
    same(net(x, resets=resets, seed=1), net(x, resets=resets, seed=1))
    net.eval()
    plain = made("lstm", zoneout=0.3).eval()
    same(net(x, resets=resets), plain(x, resets=resets))


# one step: RecurrentCell


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_cells_of_one_step(kind: str, bias: bool) -> None:
    theirs = getattr(nn, f"{kind}Cell")(3, 4, bias=bias, dtype=torch.float64)
    ours = RecurrentCell(kind.lower(), 3, 4, bias=bias, dtype=torch.float64, target="numpy")
    Twins(theirs, ours).copy()
    x, hx = some(2, 3), [some(2, 4) + k for k in range(len(ours.states))]
    for rows in (slice(None), 0):
        found = []
        for net in (theirs, ours):
            given = [h[rows].clone().requires_grad_() for h in hx]
            leaf = x[rows].clone().requires_grad_()
            for state in (None, given[0] if len(given) == 1 else tuple(given)):
                results = flat(net(leaf, state))
                grads = torch.autograd.grad(weigh(results), [leaf, *(given if state is not None else ())])
                found.append([*results, *grads])
        same(found[0], found[2])
        same(found[1], found[3])
    assert len(flat(ours(x[:0]))[0]) == 0


def test_a_cell_of_one_step_with_an_output_of_its_own() -> None:
    cell = symcell.parse(FEATURES["read_out"], name="reads")
    net = RecurrentCell(cell, 3, 4, K=2, target="numpy", dtype=torch.float64)
    y, h = net(some(2, 3))
    assert (y.shape, h.shape) == ((2, 2), (2, 4))
    same(y, h @ net.V.T + net.c)
    y, h = net(some(3))
    assert (y.shape, h.shape) == ((2,), (4,))


def test_cells_of_one_step_of_other_kinds() -> None:
    for name in ("two_inputs", "learned_lags", "matrix_memory", "lmu"):
        net = made(name)
        others = {n: k for n, k in net.sizes[0].items() if n not in (str(net.cell.inputs[net._main][-1]),
                                                                     str(net.cell.spread))}  # fmt: skip
        constants = {n: getattr(net, f"{n}_l0") for n in net.cell.arrays}
        cell = RecurrentCell(net.cell, net.input_size, net.hidden_size, target="numpy", dtype=torch.float64,
                             constants=constants, **others)  # fmt: skip
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in net.state_dict().items()})
        x = inputs_of(net, 2)
        y, last = net.step(x)
        found = cell(x)
        if net.cell.output in net.states:
            same(found, [each[0] for each in flat(last)])
        else:
            same(found, [y, *(each[0] for each in flat(last))])


def test_zoneout_of_one_step() -> None:
    net = RecurrentCell("gru", 3, 4, zoneout=0.5, target="numpy", dtype=torch.float64)
    x, h = some(2, 3), some(2, 4)
    same(net(x, h, seed=1), net(x, h, seed=1))
    assert not torch.equal(net(x, h, seed=1), net(x, h, seed=2))
    net.eval()
    same(net(x, h), net(x, h))
