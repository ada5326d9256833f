"""What autograd asks of a Recurrent: tapes, in-place changes, undefined gradients, higher derivatives, forward mode."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from feature_cells import FEATURES  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402
from torch_twins import flat, twins  # noqa: E402

import symcell  # noqa: E402
from symcell.torch import Recurrent  # noqa: E402

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
# torch's own, at its first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated:DeprecationWarning")


def made(cell: Any = "lstm", layers: int = 1, **options: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 4, layers, **{"target": "numpy", "dtype": torch.float64, **options})


def data(*shape: int) -> Any:
    torch.manual_seed(1)
    return torch.randn(*(shape or (4, 2, 3)), dtype=torch.float64)


def same(one: Any, other: Any) -> None:
    for a, b in zip(flat(one), flat(other), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


# the tape


def test_a_graph_goes_once_and_twice_where_it_is_kept() -> None:
    net, x = made(layers=2), data().requires_grad_()
    y, _ = net(x)
    y.sum().backward(retain_graph=True)
    once = [p.grad.clone() for p in net.parameters()]
    y.sum().backward()
    same([p.grad for p in net.parameters()], [2 * g for g in once])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


CHANGES = {
    "input": lambda net, x, hx: x.add_(1),
    "parameter": lambda net, x, hx: net.U_i_l0.add_(1),
    "state": lambda net, x, hx: hx[1].add_(1),
    "optimizer": lambda net, x, hx: _stepped(net),
}


def _stepped(net: Any) -> None:
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(net.parameters(), 0.1).step()


@pytest.mark.parametrize("checkpoint", [None, 2])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_overwritten_before_the_backward_pass_raises(change: Any, checkpoint: Any) -> None:
    net, x = made(checkpoint=checkpoint), data()
    hx = (data(1, 2, 4), data(1, 2, 4))
    y, _ = net(x, hx)
    with torch.no_grad():
        change(net, x, hx)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("which", ["output", "last"])
def test_results_that_are_overwritten_are_right_or_an_error(which: str) -> None:
    """y is on the tape of some cells: autograd's rule is that changing it in place raises, or does not matter."""
    expected = made()
    x = data()
    expected(x)[0].sum().backward()
    net = made()
    y, (h, c) = net(x)
    total = y.sum()
    y.mul_(2) if which == "output" else (h.mul_(2), c.mul_(2))
    try:
        total.backward()
    except RuntimeError as failure:
        if "modified by an inplace operation" not in str(failure):
            raise
    else:
        same([p.grad for p in net.parameters()], [p.grad for p in expected.parameters()])


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "layers": 2}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_results_are_no_views_of_each_other_or_of_inputs(cell: str, options: dict[str, Any], grad: bool) -> None:
    net, x = made(cell, **options), data(1, 1, 3)
    n = len(net.sizes)
    hx = [data(n, 1, 4) for _ in net.states]
    with torch.set_grad_enabled(grad):
        results = flat(net(x, hx[0] if len(hx) == 1 else tuple(hx)))
    inputs = [x, *hx, *net.parameters()]
    for k, one in enumerate(results):
        for other in (*results[:k], *inputs):
            assert one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr()


def test_states_that_pass_through_unchanged_are_copies() -> None:
    """A state that a cell carries on as it is must not be the caller's tensor."""
    net = made(symcell.parse("c: H\nc[t] = c[t-1]\nh[t] = tanh(W @ x[t] + U @ h[t-1] + c[t-1])", name="kept"))
    h, c = data(1, 2, 4), data(1, 2, 4)
    _, (_, last) = net(data(), (h, c))
    same(last, c)
    last.zero_()
    assert c.abs().sum() > 0


def test_gradients_are_no_views_of_each_other() -> None:
    net = made()
    x, h, c = (t.requires_grad_() for t in (data(), data(1, 2, 4), data(1, 2, 4)))
    net(x, (h, c))[0].sum().backward()
    grads = [t.grad for t in (x, h, c, *net.parameters())]
    for k, one in enumerate(grads):
        before = [g.clone() for g in grads]
        one.add_(1)
        same([g for j, g in enumerate(grads) if j != k], [g for j, g in enumerate(before) if j != k])


# which gradients


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2)], ids=str)
@pytest.mark.parametrize("checkpoint", [None, "sqrt"])
def test_only_some_results_are_used(used: tuple[int, ...], checkpoint: Any) -> None:
    pair = twins("LSTM", 2)
    pair.ours.checkpoint = checkpoint
    x, found = data(), []
    for net in pair.both:
        leaf = x.clone().requires_grad_()
        results = flat(net(leaf))
        sum(results[k].square().sum() for k in used).backward()
        found.append(leaf.grad)
    same(*found)
    for ours, theirs in pair.gradients():
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_only_states_want_gradients() -> None:
    pair = twins("LSTM")
    x, found = data(), []
    for net in pair.both:
        net.requires_grad_(False)
        h, c = data(1, 2, 4).requires_grad_(), data(1, 2, 4)
        y, (_, last) = net(x, (h, c))
        found.append(torch.autograd.grad(y.sum() + last.square().sum(), [h]))
        assert not c.requires_grad
    same(*found)


def test_only_the_input_wants_gradients() -> None:
    pair = twins("GRU", 2, bidirectional=True)
    found = []
    for net in pair.both:
        net.requires_grad_(False)
        x = data().requires_grad_()
        net(x)[0].square().sum().backward()
        found.append(x.grad)
    same(*found)


def test_what_does_not_matter_has_zeros_or_nothing() -> None:
    net = made()
    y, _ = net(data())
    unused = torch.zeros(1, requires_grad=True)
    assert torch.autograd.grad(y.sum(), [unused], allow_unused=True) == (None,)
    y, (h, c) = net(data())
    assert torch.autograd.grad((0 * y).sum(), [net.W_i_l0])[0].abs().sum() == 0
    assert not h.is_leaf
    assert not c.is_leaf


def test_gradients_in_any_layout() -> None:
    net, x = made("gru"), data().requires_grad_()
    dense = torch.autograd.grad(net(x)[0], [x, *net.parameters()], torch.ones(4, 2, 4).double())
    same(torch.autograd.grad(net(x)[0].sum(), [x, *net.parameters()]), dense)
    turned = torch.ones(2, 4, 4).double().transpose(0, 1)
    same(torch.autograd.grad(net(x)[0], [x, *net.parameters()], turned), dense)


def test_learned_states_of_a_wrapper() -> None:
    """An initial state that is a parameter of the caller's, expanded over the batch."""
    pair = twins("GRU")
    found = []
    for net in pair.both:
        start = data(1, 1, 4).requires_grad_()
        net(data(), start.expand(1, 2, 4))[0].sum().backward()
        found.append(start.grad)
    same(*found)


# higher derivatives

CELLS: dict[str, Any] = {
    "lstm": "lstm",
    "mlstm": "mlstm",
    "lags": symcell.parse(FEATURES["learned_lags"], name="lags"),
    "input lags": symcell.parse(
        "h[0] = h_0\nh[t] = tanh(W @ x[t] + V @ x[t-2] + U @ h[t-1] + u * (A @ x[t-1]))", name="input_lags"
    ),
    "matrix": symcell.parse(FEATURES["matrix_memory"], name="memory"),
    "starts": symcell.parse(FEATURES["learned_start"], name="starts"),
    "norms": symcell.parse("h[t] = tanh(layernorm(W @ x[t] + U @ h[t-1], g, b))", name="norms"),
    "read out": symcell.parse(FEATURES["read_out"], name="reads"),
}


def whole(net: Recurrent, x: Any, packed: bool = False, states: bool = True) -> tuple[Any, tuple[Any, ...]]:
    """A net as a function of all that has gradients, and where."""
    names = [name for name, _ in net.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in net.parameters()]
    batch = 3 if packed else x.shape[1]
    hx = []
    for name in net.states if states else ():
        lags = net._lags[name]
        shape = (len(net.sizes), *([lags] if lags > 1 else []), batch, *net._shapes[0][name])
        hx.append((0.5 * data(*shape)).requires_grad_())

    def function(x: Any, *rest: Any) -> tuple[Any, ...]:
        given = dict(zip(net.states, rest[: len(hx)], strict=True)) if hx else None
        rows = rnn.PackedSequence(x, torch.tensor([3, 2, 1])) if packed else x
        return tuple(flat(functional_call(net, dict(zip(names, rest[len(hx) :], strict=True)), (rows, given))))

    return function, (x.detach().clone().requires_grad_(), *hx, *values)


def sized(cell: Any, **options: Any) -> Recurrent:
    from symcell.language import as_cell

    known = as_cell(cell)
    torch.manual_seed(0)
    others = {name: 2 for name in known.sizes if name not in ("D", "H")}
    width = 2 if "D" in known.sizes else 3
    return Recurrent(known, width, 3, dtype=torch.float64, target="numpy", **others, **options)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("name", CELLS)
def test_first_and_second_derivatives(name: str, packed: bool) -> None:
    net = sized(CELLS[name])
    width = net.input_size
    function, values = whole(net, data(6, width) if packed else data(3, 2, width), packed)
    assert torch.autograd.gradcheck(function, values, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True)


@pytest.mark.parametrize("options", [("numpy", 2, True), ("c", 1, False)], ids=str)
def test_derivatives_of_a_stack(options: tuple[str, int, bool]) -> None:
    target, layers, bidirectional = options
    net = Recurrent("rnn", 1, 2, layers, bidirectional=bidirectional, dtype=torch.float64, target=target)
    function, values = whole(net, data(2, 1, 1))
    assert torch.autograd.gradcheck(function, values, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True, check_fwd_over_rev=True)


def test_all_entries_of_the_derivatives_of_a_small_cell() -> None:
    net = Recurrent("rnn", 1, 2, dtype=torch.float64, target="numpy")
    function, values = whole(net, data(2, 1, 1))
    assert torch.autograd.gradcheck(function, values, check_forward_ad=True, check_undefined_grad=True)
    assert torch.autograd.gradgradcheck(function, values, check_undefined_grad=True)


@pytest.mark.parametrize("checkpoint", [1, 2, "sqrt"])
def test_derivatives_with_checkpoints(checkpoint: Any) -> None:
    net = Recurrent("lstm", 2, 2, dtype=torch.float64, target="numpy", checkpoint=checkpoint)
    function, values = whole(net, data(5, 2, 2))
    assert torch.autograd.gradcheck(function, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True)
    function, values = whole(net, data(6, 2), packed=True)
    assert torch.autograd.gradcheck(function, values, fast_mode=True)


def test_a_gradient_penalty_as_nn_cannot_have_it_on_a_gpu() -> None:
    pair = twins("LSTM", 2)
    found = []
    for net in pair.both:
        net.zero_grad()
        x = data().requires_grad_()
        (dx,) = torch.autograd.grad(net(x)[0].square().sum(), x, create_graph=True)
        dx.square().sum().backward()
        found.append(x.grad)
    same(*found)
    for ours, theirs in pair.gradients():
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_third_derivatives_are_an_error() -> None:
    net, x = made("rnn"), data().requires_grad_()
    (one,) = torch.autograd.grad(net(x)[0].sum(), x, create_graph=True)
    (two,) = torch.autograd.grad(one.square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first and second derivatives; a third"):
        torch.autograd.grad(two.square().sum(), x)


def test_forward_mode_over_forward_mode_is_an_error() -> None:
    net, x = made("rnn"), data()
    with pytest.raises(NotImplementedError, match="forward mode over forward mode"):
        torch.func.jvp(lambda x: torch.func.jvp(lambda x: net(x)[0], (x,), (x,))[1], (x,), (x,))


# forward mode


def test_forward_mode_as_torch_has_it() -> None:
    net, x = made(layers=2, bidirectional=True), data()
    direction = data(4, 2, 3).flip(0)
    with forward_ad.dual_level():
        y, (h, c) = net(forward_ad.make_dual(x, direction))
        found = [forward_ad.unpack_dual(t).tangent for t in (y, h, c)]
    _, expected = torch.func.jvp(lambda x: tuple(flat(net(x))), (x,), (direction,))
    same(found, expected)
    eps = 1e-6
    ahead, behind = (flat(net(x + s * eps * direction)) for s in (1, -1))
    for a, b, tangent in zip(ahead, behind, found, strict=True):
        torch.testing.assert_close(tangent, (a - b) / (2 * eps), rtol=1e-6, atol=1e-7)


def test_forward_mode_without_tangents_has_none() -> None:
    net = made()
    with forward_ad.dual_level(), torch.no_grad():
        y, _ = net(data())
        assert forward_ad.unpack_dual(y).tangent is None or forward_ad.unpack_dual(y).tangent.abs().sum() == 0


def test_forward_mode_by_a_parameter() -> None:
    net, x = made(), data()
    names = [name for name, _ in net.named_parameters()]
    values = tuple(p.detach() for p in net.parameters())

    def function(*values: Any) -> Any:
        return functional_call(net, dict(zip(names, values, strict=True)), (x,))[0]

    dots = tuple(torch.ones_like(v) for v in values)
    _, tangent = torch.func.jvp(function, values, dots)
    _, pull = torch.func.vjp(function, *values)
    cotangent = data(4, 2, 4)
    reverse = sum((g * d).sum() for g, d in zip(pull(cotangent), dots, strict=True))
    same((tangent * cotangent).sum(), reverse)


# torch.func


def parts(net: Recurrent) -> dict[str, Any]:
    return {name: p.detach() for name, p in net.named_parameters()}


def test_func_grad_is_backward() -> None:
    net, x = made(layers=2), data()
    found = torch.func.grad(lambda p: functional_call(net, p, (x,))[0].square().sum())(parts(net))
    net(x)[0].square().sum().backward()
    same([found[name] for name, _ in net.named_parameters()], [p.grad for p in net.parameters()])


def test_jacobians_and_hessians() -> None:
    net, x = made("gru"), data(2, 1, 3)

    def function(x: Any) -> Any:
        return net(x)[0]

    rev, fwd = torch.func.jacrev(function)(x), torch.func.jacfwd(function)(x)
    same(rev, fwd)
    same(rev, torch.autograd.functional.jacobian(function, x))

    def loss(x: Any) -> Any:
        return net(x)[0].square().sum()

    hessian = torch.func.hessian(loss)(x)
    same(hessian, torch.autograd.functional.hessian(loss, x))
    same(hessian, torch.func.jacrev(torch.func.jacrev(loss))(x))
    flattened = hessian.reshape(6, 6)
    same(flattened, flattened.T)
    theirs = twins("GRU")
    mine = theirs.ours
    same(
        torch.autograd.functional.hessian(lambda x: mine(x)[0].square().sum(), x),
        torch.autograd.functional.hessian(lambda x: theirs.theirs(x)[0].square().sum(), x),
    )


def test_products_with_hessians() -> None:
    net, x = made(), data()
    p = parts(net)
    direction = {name: torch.ones_like(value) for name, value in p.items()}

    def loss(p: Any) -> Any:
        return functional_call(net, p, (x,))[0].square().sum()

    _, forward_over_reverse = torch.func.jvp(torch.func.grad(loss), (p,), (direction,))
    reverse_over_forward = torch.func.grad(lambda p: torch.func.jvp(loss, (p,), (direction,))[1])(p)
    reverse_over_reverse = torch.func.grad(
        lambda p: sum((g * d).sum() for g, d in zip(torch.func.grad(loss)(p).values(), direction.values(), strict=True))
    )(p)
    for name in p:
        same(forward_over_reverse[name], reverse_over_forward[name])
        same(forward_over_reverse[name], reverse_over_reverse[name])


def test_transforms_of_packed_input() -> None:
    net, rows = made("gru", layers=2, bidirectional=True), data(6, 3)

    def function(rows: Any) -> Any:
        return net(rnn.PackedSequence(rows, torch.tensor([3, 2, 1])))[0].data

    same(torch.func.jacfwd(function)(rows), torch.autograd.functional.jacobian(function, rows))
    same(torch.func.vmap(function)(torch.stack([rows, -rows])), torch.stack([function(rows), function(-rows)]))


def test_vmap_over_data() -> None:
    net, x = made(layers=2, bidirectional=True), data(6, 4, 2, 3)
    found = torch.func.vmap(lambda x: tuple(flat(net(x))))(x)
    for k in range(6):
        same([t[k] for t in found], flat(net(x[k])))
    found = torch.func.vmap(lambda x: net(x)[0], in_dims=2, out_dims=1)(x)
    same(found, torch.stack([net(x[:, :, k])[0] for k in range(2)], 1))
    single = torch.func.vmap(lambda x: net(x)[0])(x[:, :, 0])
    same(single, torch.stack([net(each)[0] for each in x[:, :, 0]]))
    twice = torch.func.vmap(torch.func.vmap(lambda x: net(x)[0]))(data(2, 3, 4, 2, 3))
    same(twice[1, 2], net(data(2, 3, 4, 2, 3)[1, 2])[0])


def test_vmap_over_states() -> None:
    net, x, h = made("gru"), data(), data(5, 1, 2, 4)
    same(torch.func.vmap(lambda h: net(x, h)[0])(h), torch.stack([net(x, each)[0] for each in h]))


def test_vmap_over_models() -> None:
    nets = [Recurrent("lstm", 3, 4, 2, target="numpy", dtype=torch.float64) for _ in range(3)]
    x = data()
    params, buffers = torch.func.stack_module_state(nets)
    base = made(layers=2).to("meta")

    def call(p: Any, b: Any, x: Any) -> Any:
        return functional_call(base, (p, b), (x,))[0]

    same(torch.func.vmap(call, (0, 0, None))(params, buffers, x), torch.stack([net(x)[0] for net in nets]))
    xs = data(3, 4, 2, 3)
    same(torch.func.vmap(call)(params, buffers, xs), torch.stack([n(x)[0] for n, x in zip(nets, xs, strict=True)]))
    grads = torch.func.vmap(torch.func.grad(lambda p, x: call(p, {}, x).square().sum()))(params, xs)
    for k, net in enumerate(nets):
        net(xs[k])[0].square().sum().backward()
        same([grads[name][k] for name, _ in net.named_parameters()], [p.grad for p in net.parameters()])


def test_gradients_by_sample() -> None:
    net, xs = made("gru"), data(5, 4, 3)

    def loss(p: Any, x: Any) -> Any:
        return functional_call(net, p, (x,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parts(net), xs)
    for k, x in enumerate(xs):
        single = torch.func.grad(loss)(parts(net), x)
        for name in single:
            same(found[name][k], single[name])


def test_vmap_of_dropout_wants_randomness_named() -> None:
    net, x = made(layers=2, dropout=0.5), data(6, 4, 2, 3)
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(lambda x: net(x)[0])(x)
    found = torch.func.vmap(lambda x: net(x)[0], randomness="different")(x[:1].expand(6, 4, 2, 3))
    assert not torch.equal(found[0], found[1])


def test_vmap_of_zoneout() -> None:
    net, x = made(zoneout=0.5), data(1, 4, 2, 3).expand(6, 4, 2, 3)
    same_masks = torch.func.vmap(lambda x: net(x)[0], randomness="same")(x)
    same(same_masks[0], same_masks[1])
    others = torch.func.vmap(lambda x: net(x)[0], randomness="different")(x)
    assert not torch.equal(others[0], others[1])


def test_gradients_of_several_directions_at_once() -> None:
    """``is_grads_batched`` and ``vectorize`` go through vmap."""
    net, x = made("gru"), data(2, 2, 3).requires_grad_()
    y, _ = net(x)
    directions = data(5, 2, 2, 4)
    wanted = [x, *net.parameters()]
    one_by_one = [torch.autograd.grad(y, wanted, d, retain_graph=True) for d in directions]
    at_once = torch.autograd.grad(y, wanted, directions, is_grads_batched=True, retain_graph=True)
    for k, each in enumerate(one_by_one):
        same([g[k] for g in at_once], each)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    hessian = torch.autograd.grad(first, [x], torch.eye(12).double().view(12, 2, 2, 3), is_grads_batched=True)[0]
    same(hessian.view(12, 12), hessian.view(12, 12).T)


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized_jacobians(strategy: str) -> None:
    net, x = made("gru"), data(2, 1, 3)
    found = torch.autograd.functional.jacobian(lambda x: net(x)[0], x, vectorize=True, strategy=strategy)
    same(found, torch.func.jacrev(lambda x: net(x)[0])(x))
    loss = torch.autograd.functional.hessian(lambda x: net(x)[0].square().sum(), x, vectorize=True)
    same(loss, torch.func.hessian(lambda x: net(x)[0].square().sum())(x))


# around autograd


@pytest.mark.parametrize("reentrant", [False, True])
def test_torchs_checkpoint(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    net, x, found = made(layers=2, dropout=0.3), data().requires_grad_(), []
    for run in (net, lambda x: checkpoint(net, x, use_reentrant=reentrant)):
        torch.manual_seed(4)
        found.append(torch.autograd.grad(run(x)[0].sum(), [x]) if not reentrant else _backward(run, x))
    same(*found)


def _backward(run: Any, x: Any) -> Any:
    x.grad = None
    run(x)[0].sum().backward()
    return x.grad


def test_saved_tensors_can_be_moved() -> None:
    net, x = made(layers=2), data().requires_grad_()
    plain = torch.autograd.grad(net(x)[0].sum(), [x, *net.parameters()])
    packed: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t.clone(), lambda t: t):
        y, _ = net(x)
    same(torch.autograd.grad(y.sum(), [x, *net.parameters()]), plain)
    assert packed
    with torch.autograd.graph.save_on_cpu():
        y, _ = net(x)
    same(torch.autograd.grad(y.sum(), [x, *net.parameters()]), plain)


def test_saved_tensors_may_be_changed_where_torch_allows_it() -> None:
    net, x = made(), data()
    expected = made()
    expected(x)[0].sum().backward()
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        inner = x.clone()
        y, _ = net(inner)
        with torch.no_grad():
            inner.zero_()
        y.sum().backward()
    same([p.grad for p in net.parameters()], [p.grad for p in expected.parameters()])


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_mode() -> None:
    net, x = made(layers=2), data()
    with torch.autograd.detect_anomaly():
        net(x)[0].sum().backward()
        with pytest.raises(RuntimeError, match="returned nan values"):
            net(x * float("nan"))[0].sum().backward()


def test_truncated_backpropagation() -> None:
    pair = twins("LSTM", 2)
    x = data(9, 2, 3)
    for net in pair.both:
        state = None
        for piece in x.split(3):
            y, state = net(piece, state)
            y.square().sum().backward()
            state = tuple(s.detach() for s in state)
    for ours, theirs in pair.gradients():
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_carried_states_carry_gradients() -> None:
    net, x = made(layers=2), data(6, 2, 3).requires_grad_()
    y, last = net(x)
    one, middle = net(x[:2])
    two, end = net(x[2:], middle)
    same([torch.cat([one, two]), end], [y, last])
    wanted = [x, *net.parameters()]
    loss = y.square().sum() + sum(s.sum() for s in last)
    other = one.square().sum() + two.square().sum() + sum(s.sum() for s in end)
    same(torch.autograd.grad(loss, wanted), torch.autograd.grad(other, wanted))


def test_modules_of_nn_around_it() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 3, padding_idx=0)
            self.net = Recurrent("gru", 3, 4, bidirectional=True, batch_first=True, target="numpy")
            self.out = nn.Linear(8, 5)

        def forward(self, tokens: Any, lengths: Any) -> Any:
            packed = rnn.pack_padded_sequence(self.embedding(tokens), lengths, True, enforce_sorted=False)
            rows, _ = rnn.pad_packed_sequence(self.net(packed)[0], True)
            return self.out(rows)

    tokens = torch.tensor([[1, 2, 0, 0], [3, 4, 5, 6], [2, 1, 4, 0]])
    model = Tagger()
    losses = []
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(15):
        logits = model(tokens, torch.tensor([2, 4, 3]))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten() % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
