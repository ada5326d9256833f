"""Graphs that hold a Recurrent: torch.compile, torch.export, make_fx, fake tensors, and the operators in them."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from feature_cells import FEATURES  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402
from torch_twins import flat  # noqa: E402

import symcell  # noqa: E402
from symcell.language import as_cell  # noqa: E402
from symcell.torch import Recurrent, RecurrentCell, recorded  # noqa: E402
from symcell.torch.calls import Call  # noqa: E402

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
# what PyTorch itself does
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*is deprecated:DeprecationWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf",
)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def made(cell: Any = "lstm", layers: int = 1, **options: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 4, layers, **{"target": "numpy", "dtype": torch.float64, **options})


def data(*shape: int) -> Any:
    torch.manual_seed(1)
    return torch.randn(*(shape or (5, 2, 3)), dtype=torch.float64)


def same(one: Any, other: Any) -> None:
    for a, b in zip(flat(one), flat(other), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def compiled(function: Any, **options: Any) -> Any:
    return torch.compile(function, **{"fullgraph": True, "backend": "aot_eager", **options})


def gradients(net: Any, run: Any, *args: Any, **named: Any) -> tuple[list[Any], list[Any]]:
    """Results of a run, and the gradients of a number made of them."""
    net.zero_grad()
    leaves = [a.detach().clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in args]
    results = flat(run(*leaves, **named))
    sum(t.square().sum() for t in results).backward()
    found = [leaf.grad for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return results, [*found, *(p.grad.clone() for p in net.parameters())]


COMPILED: dict[str, dict[str, Any]] = {
    "lstm": {},
    "stack": {"cell": "gru", "layers": 2, "bidirectional": True, "batch_first": True},
    "checkpoint": {"checkpoint": "sqrt"},
    "matrix": {"cell": symcell.parse(FEATURES["matrix_memory"], name="memory"), "K": 2},
    "starts": {"cell": symcell.parse(FEATURES["learned_lags"], name="lags")},
    "zoneout off": {"zoneout": 0.3},
}


@pytest.mark.parametrize("options", COMPILED.values(), ids=COMPILED)
def test_compiled_whole(options: dict[str, Any]) -> None:
    net = made(**options).train("zoneout" not in options)
    same(gradients(net, compiled(net), data()), gradients(net, net, data()))


def test_compiled_by_inductor() -> None:
    net = made("rnn")

    def function(x: Any) -> Any:
        y, h = net(x.sin())
        return y.cos(), h + 1

    same(gradients(net, compiled(function, backend="inductor"), data()), gradients(net, function, data()))


def test_compiled_with_states_and_without_gradients() -> None:
    net = made(layers=2)
    hx = (data(2, 2, 4), data(2, 2, 4).flip(0))
    run = compiled(net)
    same(run(data(), hx), net(data(), hx))
    with torch.no_grad():
        same(run(data(), hx), net(data(), hx))
    leaves = [s.clone().requires_grad_() for s in hx]
    same(torch.autograd.grad(run(data(), tuple(leaves))[0].sum(), leaves),
         torch.autograd.grad(net(data(), tuple(leaves))[0].sum(), leaves))  # fmt: skip


def test_a_third_length_is_not_compiled_again() -> None:
    net, counts = made(), itertools.count()
    seen: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(next(counts))
        return graph.forward

    run = torch.compile(net, fullgraph=True, backend=backend)
    for steps in (5, 7, 9, 11, 4):
        same(run(data(steps, 2, 3)), net(data(steps, 2, 3)))
    assert len(seen) == 2
    for batch in (3, 4, 5):
        run(data(6, batch, 3))
    assert len(seen) <= 3


def test_changed_weights_count_in_a_compiled_net() -> None:
    net, x = made(), data()
    run = compiled(net)
    run(x)
    with torch.no_grad():
        net.U_i_l0.mul_(2)
    same(run(x), net(x))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        run(x)[0].sum().backward()
        optimizer.step()
        same(run(x), net(x))


def test_compiled_twice_in_one_model() -> None:
    """Two modules of one cell, one after the other, with different sizes."""
    one, other = made("gru"), Recurrent("gru", 4, 5, target="numpy", dtype=torch.float64)
    both = torch.nn.ModuleList([one, other])

    def function(x: Any) -> Any:
        return other(one(x)[0])[0]

    same(gradients(both, compiled(function), data()), gradients(both, function, data()))


@pytest.mark.parametrize("options", [{"dropout": 0.5, "layers": 2}, {"recurrent_dropout": 0.3},
                                     pytest.param({"zoneout": 0.3}, marks=pytest.mark.whole)], ids=str)  # fmt: skip
def test_compiled_training_with_noise(options: dict[str, Any]) -> None:
    net, x = made(**options), data(8, 4, 3)
    run = compiled(net)
    results, grads = gradients(net, run, x)
    assert all(torch.isfinite(t).all() for t in (*results, *grads))
    torch.manual_seed(5)
    one = flat(run(x))
    torch.manual_seed(5)
    same(run(x), one)
    assert not torch.equal(flat(run(x))[0], one[0])
    if "layers" not in options:
        broken = compiled(net, fullgraph=False)  # a graph cannot make a generator
        same(broken(x, seed=3), net(x, seed=3))


def test_compiled_packed_input() -> None:
    net = made("gru", 2, bidirectional=True)

    def function(packed: Any, hx: Any) -> Any:
        y, h = net(packed, hx)
        return y.data, h

    run, hx = compiled(function), data(4, 3, 4)
    for order in ((2, 5, 3), (4, 4, 1)):
        packed = rnn.pack_sequence([data(n, 3) for n in order], enforce_sorted=False)
        same(gradients(net, run, packed, hx), gradients(net, function, packed, hx))

    def from_padded(x: Any, lengths: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return rnn.pad_packed_sequence(net(packed)[0])[0]

    lengths = torch.tensor([2, 5])
    same(compiled(from_padded, fullgraph=False)(data(), lengths), from_padded(data(), lengths))


def test_compiled_resets_break_the_graph_and_are_right() -> None:
    net = made()
    resets = torch.zeros(5, 2, dtype=torch.bool)
    resets[2, 0] = resets[3, 1] = True
    run = compiled(lambda x: net(x, resets=resets), fullgraph=False)
    same(gradients(net, run, data()), gradients(net, lambda x: net(x, resets=resets), data()))


def test_compiled_steps() -> None:
    net = made()
    run = compiled(lambda x, h, c: net.step(x, (h, c)))
    h, c = data(1, 2, 4), data(1, 2, 4)
    same(gradients(net, run, data(2, 3), h, c), gradients(net, lambda x, h, c: net.step(x, (h, c)), data(2, 3), h, c))
    cell = RecurrentCell("gru", 3, 4, target="numpy", dtype=torch.float64)
    same(gradients(cell, compiled(cell), data(2, 3)), gradients(cell, cell, data(2, 3)))


def test_compiled_in_several_types() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        net = made(dtype=dtype)
        run = compiled(net)
        found = run(data().to(dtype))
        assert found[0].dtype == dtype
        for a, b in zip(flat(found), flat(net(data().to(dtype))), strict=True):
            torch.testing.assert_close(a, b)
    net = made(dtype=torch.float32)

    def cast(x: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return net(x)

    found = compiled(cast)(data().float())
    assert found[0].dtype == torch.bfloat16
    torch.testing.assert_close(found[0], cast(data().float())[0])


TRANSFORMS: dict[str, Any] = {
    "grad": lambda f: lambda x: torch.func.grad(lambda x: f(x).square().sum())(x),
    "jvp": lambda f: lambda x: torch.func.jvp(f, (x,), (x.flip(0),)),
    "vmap": lambda f: lambda x: torch.func.vmap(f, in_dims=1)(x),
    "hessian": lambda f: lambda x: torch.func.hessian(lambda x: f(x).square().sum())(x),
    "dual": lambda f: lambda x: _dual(f, x),
}


def _dual(function: Any, x: Any) -> Any:
    from torch.autograd import forward_ad

    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(x, x.flip(0))))


TRIED = [pytest.param(name, marks=pytest.mark.whole if name == "hessian" else ()) for name in TRANSFORMS]


@pytest.mark.parametrize("name", TRIED)
def test_transforms_in_a_compiled_function(name: str) -> None:
    """Where a graph cannot hold them they run outside; with ``fullgraph`` they are right, or an error."""
    net, x = made("rnn"), data(3, 2, 3)
    function = TRANSFORMS[name](lambda x: net(x)[0])
    expected = function(x)
    same(compiled(function, fullgraph=False)(x), expected)
    torch._dynamo.reset()
    try:
        found = compiled(function)(x)
    except torch._dynamo.exc.TorchDynamoException:
        assert name != "vmap"
    else:
        same(found, expected)


@pytest.mark.parametrize("name", TRIED)
def test_transforms_of_a_compiled_function(name: str) -> None:
    net, x = made("rnn"), data(3, 2, 3)
    expected = TRANSFORMS[name](lambda x: net(x)[0])(x)
    run = TRANSFORMS[name](compiled(lambda x: net(x)[0], fullgraph=False))
    if name == "dual":  # torch.compile has no forward mode
        with pytest.raises(NotImplementedError, match="jvp"):
            run(x)
    else:
        same(run(x), expected)


def test_a_compiled_step_goes_back_through_what_ran_outside() -> None:
    net = made()

    def backward(y: Any) -> Any:
        y.square().sum().backward()
        return y + 1

    _, expected = gradients(net, lambda x: net(x)[0], data())
    net.zero_grad()
    compiled(backward, fullgraph=False)(net(data())[0])
    same([p.grad for p in net.parameters()], expected[1:])


def test_many_models_in_a_graph() -> None:
    nets = [made(layers=2), Recurrent("lstm", 3, 4, 2, target="numpy", dtype=torch.float64)]
    params, _ = torch.func.stack_module_state(nets)

    def function(params: Any, x: Any) -> Any:
        return torch.func.vmap(lambda p, x: torch.func.functional_call(nets[0], p, (x,))[0])(params, x)

    xs = data(2, 5, 2, 3)
    same(compiled(function)(params, xs), torch.stack([net(x)[0] for net, x in zip(nets, xs, strict=True)]))


# torch.export


@pytest.mark.filterwarnings("ignore:No complete tensor found")  # parameters are views of one storage
@pytest.mark.parametrize("free", [("T",), ("B",), ("T", "B")], ids=str)
@pytest.mark.parametrize("options", [{"layers": 2, "bidirectional": True}, {"cell": "gru", "batch_first": True}],
                         ids=str)  # fmt: skip
def test_exported_with_free_sizes(options: dict[str, Any], free: tuple[str, ...]) -> None:
    net = made(**options).eval()
    places = {"T": 1, "B": 0} if net.batch_first else {"T": 0, "B": 1}
    shapes = {places[name]: torch.export.Dim(name, min=2) for name in free}
    program = torch.export.export(net, (data(),), dynamic_shapes={"input": shapes})
    other = [5, 2, 3]
    for name in free:
        other[places[name]] += 4
    same(program.module()(data(*other)), net(data(*other)))
    memory = io.BytesIO()
    torch.export.save(program, memory)
    memory.seek(0)
    same(torch.export.load(memory).module()(data(*other)), net(data(*other)))


def test_a_program_of_an_unknown_cell_says_so() -> None:
    call = Call(symcell_kernel("rnn"), {"D": 3, "H": 4})
    tensors = operands("rnn", call)
    args = list(recorded.about(call, tensors))
    args[0] = "nothing"
    with pytest.raises(LookupError, match="no cell of this process has the kernel 'nothing': make a Recurrent"):
        torch.ops.symcell.run(*args, False)


# the operators


def symcell_kernel(cell: Any) -> Any:
    from symcell.torch.kernel import kernel_of

    return kernel_of(as_cell(cell), "numpy")


def operands(cell: Any, call: Call, rows: int | None = None) -> list[Any]:
    known = as_cell(cell)
    lead = [3, 2] if rows is None else [rows]
    torch.manual_seed(3)

    def some(*shape: Any) -> Any:
        return (0.5 * torch.randn(*shape, dtype=torch.float64)).requires_grad_()

    return [
        *(some(*(n.value(call.sizes) for n in p.shape)) for p in known.parameters.values()),
        *(some(*(n.value(call.sizes) for n in shape)).detach() for shape in known.arrays.values()),
        *(some(*lead, *(n.value(call.sizes) for n in shape)) for shape in known.inputs.values()),
        *(some(*call.kernel.state_shape(name, 2, call.sizes)) for name in call.states),
    ]


OPERATORS = {
    "gru": ("gru", ("h",)),
    "lstm": ("lstm", ()),
    "lags": (symcell.parse(FEATURES["learned_lags"], name="lags"), ("h",)),
    "memory": (symcell.parse(FEATURES["matrix_memory"], name="memory"), ("C",)),
    "constants": (symcell.parse(FEATURES["constant_arrays"], name="constants"), ()),
    "two inputs": (symcell.parse(FEATURES["two_inputs"], name="two"), ("h",)),
}


CHECKED = ("gru padded", "memory packed", "lags packed", "constants padded")


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        pytest.param(name, packed, id=label, marks=() if label in CHECKED else pytest.mark.whole)
        for name in OPERATORS
        for packed in (False, True)
        for label in [f"{name} {'packed' if packed else 'padded'}"]
    ],
)
def test_opcheck(name: str, packed: bool) -> None:
    cell, states = OPERATORS[name]
    kernel = symcell_kernel(cell)
    lengths = torch.tensor([3, 1]) if packed else None
    sizes = {size: 3 + k % 2 for k, size in enumerate(kernel.cell.sizes)}
    call = Call(kernel, sizes, states, lengths, traced=True)
    tensors = operands(cell, call, 4 if packed else None)
    about = recorded.about(call, tensors)
    ops = torch.ops.symcell
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    with torch.no_grad():
        found = ops.run(*about, True)
    results, tape = found[: call.results], found[call.results :]
    grads = [torch.ones_like(r).requires_grad_() for r in results]
    dots = [torch.ones_like(t).requires_grad_() if t.requires_grad else None for t in tensors]
    torch.library.opcheck(ops.run, (*about, True), test_utils=tests)
    torch.library.opcheck(ops.run, (*about, False), test_utils=tests)
    for inputs in (True, False):
        torch.library.opcheck(ops.back, (*about, grads, tape, inputs), test_utils=tests)
    torch.library.opcheck(ops.back, (*about, [grads[0], *[None] * (len(grads) - 1)], [], True), test_utils=tests[:3])
    torch.library.opcheck(ops.tangent, (*about, dots), test_utils=tests)
    with torch.no_grad():
        torch.library.opcheck(ops.second, (*about, dots, grads), test_utils=("test_schema", "test_faketensor"))


# modes


def test_make_fx_and_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    net = made(layers=2)
    for mode in ("real", "fake", "symbolic"):
        graph = make_fx(lambda x: net(x)[0], tracing_mode=mode, _allow_non_fake_inputs=True)(data())
        same(graph(data()), net(data())[0])
    names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert sum("symcell.run" in name for name in names) == 2
    with FakeTensorMode(allow_non_fake_inputs=True):
        y, (h, c) = net(torch.empty(5, 2, 3, dtype=torch.float64))
    assert (y.shape, h.shape, c.shape) == ((5, 2, 4), (2, 2, 4), (2, 2, 4))


def test_modes_that_watch_operators_see_a_run() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    net, seen = made(), []
    expected = gradients(net, net, data())
    with Watch():
        same(gradients(net, net, data()), expected)
    assert any("symcell.run" in name for name in seen)
    assert any("symcell.back" in name for name in seen)


def test_flops_are_counted_of_what_is_around() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    net, linear = made(), torch.nn.Linear(4, 5, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        linear(net(data())[0]).sum().backward()
    assert counter.get_total_flops() > 0
