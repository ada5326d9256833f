"""What every torch.nn.Module can do, a Recurrent can: states, copies, types, devices, hooks, threads."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_twins import flat, twins  # noqa: E402

from symcell.torch import Recurrent, RecurrentCell  # noqa: E402

CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def made(cell: str = "lstm", layers: int = 2, **options: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 4, layers, **{"target": "numpy", "dtype": torch.float64, **options})


def data(*shape: int, dtype: Any = torch.float64) -> Any:
    torch.manual_seed(1)
    return torch.randn(*(shape or (5, 2, 3)), dtype=torch.float64).to(dtype)


def same(one: Any, other: Any, **close: float) -> None:
    for a, b in zip(flat(one), flat(other), strict=True):
        torch.testing.assert_close(a, b, **(close or CLOSE))


def packs(net: Recurrent) -> bool:
    """Whether the kernels read the parameters of each instance where they lie."""
    from symcell.torch.weights import adjacent

    return all(adjacent([getattr(net, name) for name in names]) for names in net._flat_names)


# states and copies


def test_the_names_of_parameters_and_their_shapes() -> None:
    net = made("gru", bidirectional=True)
    state = net.state_dict()
    suffixes = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    assert list(state) == [f"{name}{suffix}" for suffix in suffixes for name in net.cell.parameters]
    assert state["W_r_l0"].shape == (4, 3)
    assert state["W_r_l1"].shape == (4, 8)
    assert state["b_r_l1"].shape == (4,)
    assert [[tuple(w.shape) for w in layer] for layer in net.all_weights] == [
        [tuple(state[f"{name}{suffix}"].shape) for name in net.cell.parameters] for suffix in suffixes
    ]
    assert list(dict(net.named_parameters())) == list(state)


@pytest.mark.parametrize("assign", [False, True])
def test_a_state_dict_goes_and_comes(assign: bool) -> None:
    one, other, x = made(), made(), data()
    for parameter in other.parameters():
        parameter.data.zero_()
    state = {name: value.clone() for name, value in one.state_dict().items()}
    assert not other.load_state_dict(state, assign=assign).missing_keys
    same(one(x), other(x))
    for net in (one, other):
        net(x)[0].sum().backward()
    same([p.grad for p in one.parameters()], [p.grad for p in other.parameters()])


def test_a_wrong_state_dict_is_refused() -> None:
    net = made()
    state = dict(net.state_dict())
    state["W_i_l0"] = state["W_i_l0"][:2]
    with pytest.raises(RuntimeError, match="size mismatch for W_i_l0"):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"Missing key.*W_i_l0"):
        net.load_state_dict({name: value for name, value in net.state_dict().items() if name != "W_i_l0"})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*weight_ih_l0"):
        net.load_state_dict({**net.state_dict(), "weight_ih_l0": torch.zeros(1)})


def _saved(net: Any) -> Any:
    memory = io.BytesIO()
    torch.save(net, memory)
    memory.seek(0)
    return torch.load(memory, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "torch.save": _saved,
}


@pytest.mark.parametrize("how", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("called", [False, True])
def test_a_copy_is_its_own(how: Any, called: bool) -> None:
    net, x = made(zoneout=0.2), data()
    if called:
        net(x)
    other = how(net)
    assert type(other) is Recurrent
    assert other.extra_repr() == net.extra_repr()
    assert other.cell == net.cell
    same(net(x, seed=1), other(x, seed=1))
    assert packs(net)
    assert packs(other)
    before = flat(net(x, seed=1))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    same(net(x, seed=1), before)
    other(x, seed=1)[0].sum().backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in other.parameters())


def test_a_plain_copy_shares_parameters_as_any_module_does() -> None:
    net, x = made(), data()
    other = copy.copy(net)
    with torch.no_grad():
        net.W_i_l0.zero_()
    same(net(x), other(x))


def test_nothing_keeps_a_module_alive() -> None:
    net = made()
    results = net(data())
    gone = weakref.ref(net)
    del net, results
    assert gone() is None


# types and devices


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types(cell: str, dtype: Any) -> None:
    pair = twins(cell.upper(), 2, dtype=torch.float32, bidirectional=True)
    theirs, ours = (net.to(dtype) for net in pair.both)
    pair.copy()
    x = data(dtype=dtype)
    limits = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
    for one, other in zip(flat(ours(x)), flat(theirs(x)), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=limits[dtype], atol=limits[dtype])
    ours(x)[0].float().square().sum().backward()
    theirs(x)[0].float().square().sum().backward()
    for mine, other in pair.gradients():
        assert mine is not None
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, other, rtol=8 * limits[dtype], atol=8 * limits[dtype])


def test_types_change_and_the_storage_stays_one() -> None:
    net, x = made(dtype=torch.float32), data()
    assert packs(net)
    net.double()
    assert packs(net)
    assert net(x)[0].dtype == torch.float64
    net.half()
    assert packs(net)
    assert net(x.half())[0].dtype == torch.float16
    net.to(torch.float32)
    assert packs(net)
    assert net(x.float())[0].dtype == torch.float32


def test_the_default_type() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        net = Recurrent("gru", 3, 4, target="numpy")
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(p.dtype == torch.float64 for p in net.parameters())
    assert net(data())[0].dtype == torch.float64


def test_meta_and_then_real() -> None:
    net = made(device="meta", zoneout=0.1)
    assert all(p.is_meta for p in net.parameters())
    y, (h, c) = net(data().to("meta"))
    assert y.is_meta
    assert y.shape == (5, 2, 4)
    assert h.shape == c.shape == (2, 2, 4)
    assert net(data().to("meta"), seed=1)[0].is_meta
    with pytest.raises(RuntimeError, match="expected a tensor on meta"):
        net(data())
    net.to_empty(device="cpu")
    torch.manual_seed(0)
    net.reset_parameters()
    assert packs(net)
    same(net.eval()(data()), made(zoneout=0.1).eval()(data()))


def test_meta_and_then_assigned() -> None:
    net = made(device="meta")
    net.load_state_dict(made().state_dict(), assign=True)
    same(net(data()), made()(data()))


def test_a_device_context() -> None:
    with torch.device("meta"):
        assert all(p.is_meta for p in Recurrent("gru", 3, 4, target="numpy").parameters())


def test_skip_init() -> None:
    net = nn.utils.skip_init(Recurrent, "gru", 3, 4, target="numpy")
    assert net(data(dtype=torch.float32))[0].shape == (5, 2, 4)


def test_autocast() -> None:
    pair = twins("LSTM", 2, dtype=torch.float32, bidirectional=True)
    x = data(dtype=torch.float32)
    seen = []
    for net in pair.both:
        with torch.autocast("cpu", torch.bfloat16):
            found = flat(net(x))
        sum(t.float().square().sum() for t in found).backward()
        seen.append(found)
    for theirs, ours in zip(*seen, strict=True):
        assert theirs.dtype == ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
    for ours, theirs in pair.gradients():
        assert ours is not None
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=5e-2, atol=5e-2)


def test_autocast_leaves_doubles_alone() -> None:
    pair = twins("LSTM")
    with torch.autocast("cpu", torch.bfloat16):
        theirs, ours = (net(data()) for net in pair.both)
    assert ours[0].dtype == theirs[0].dtype == torch.float64
    same(ours, theirs)


def test_reset_parameters_draws_from_the_generator() -> None:
    one, other = made(), made()
    same(list(one.parameters()), list(other.parameters()))
    torch.manual_seed(0)
    other.reset_parameters()
    same(list(one.parameters()), list(other.parameters()))
    other.reset_parameters()
    assert not torch.equal(one.W_i_l0, other.W_i_l0)
    assert all(p.abs().max() <= 0.5 for p in one.parameters())


# what is stored for gradients


def quiet(net: Recurrent, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Notes whether each run keeps a tape."""
    from symcell.torch import calls

    seen: list[bool] = []
    run = calls.run
    monkeypatch.setattr(calls, "run", lambda call, tensors, taped: seen.append(taped) or run(call, tensors, taped))
    return seen


def frozen(net: Recurrent) -> Any:
    net.requires_grad_(False)
    return torch.enable_grad()


@pytest.mark.parametrize("how", [lambda _: torch.no_grad(), lambda _: torch.inference_mode(), frozen])
def test_no_tape_where_no_gradient_can_be_asked_for(how: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(bidirectional=True, dropout=0.1)
    seen = quiet(net, monkeypatch)
    with how(net):
        results = net(data())
    assert seen == [False] * 4
    assert all(t.grad_fn is None and not t.requires_grad for t in flat(results))


def test_a_tape_where_one_can(monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(layers=1)
    seen = quiet(net, monkeypatch)
    assert all(t.grad_fn is not None for t in flat(net(data())))
    net.requires_grad_(False)
    net(data().requires_grad_())
    net(data(), (data(1, 2, 4).requires_grad_(), data(1, 2, 4)))
    assert seen == [True] * 3


def test_a_frozen_subset_has_no_gradients() -> None:
    net, x = made(), data()
    whole = made()
    net.W_i_l0.requires_grad_(False)
    net.b_o_l1.requires_grad_(False)
    for each in (net, whole):
        each(x)[0].sum().backward()
    for (name, mine), other in zip(net.named_parameters(), whole.parameters(), strict=True):
        if name in ("W_i_l0", "b_o_l1"):
            assert mine.grad is None
        else:
            same(mine.grad, other.grad)
    assert x.grad is None


def test_inference_tensors_are_inputs_like_others() -> None:
    net = made()
    with torch.inference_mode():
        x = data()
        _y, state = net(x)
        _y, state = net(x, state)
    with torch.no_grad():
        same(net(x)[0], net(data())[0])


# hooks


def test_hooks() -> None:
    net, seen = made(layers=1), []
    net.register_forward_pre_hook(lambda m, args: seen.append("before") or (2 * args[0], *args[1:]))
    net.register_forward_hook(lambda m, args, out: seen.append("after") or (out[0] + 1, out[1]))
    net.register_full_backward_pre_hook(lambda m, grads: seen.append("backward"))
    net.register_full_backward_hook(lambda m, grads, outs: seen.append(grads[0].shape))
    x = data().requires_grad_()
    y, _ = net(x)
    y.sum().backward()
    assert seen == ["before", "after", "backward", (5, 2, 3)]
    plain = made(layers=1)
    same(y, plain(2 * x)[0] + 1)
    called = []
    plain.W_i_l0.register_hook(lambda grad: called.append(grad.shape))
    plain.W_i_l0.register_post_accumulate_grad_hook(lambda p: called.append(p.grad.shape))
    plain(x)[0].sum().backward()
    assert called == [(4, 3), (4, 3)]


# how parameters change


def test_an_optimizer_changes_the_next_call() -> None:
    pair = twins("LSTM", 2, bias=False)
    x, losses = data(), []
    for net in pair.both:
        optimizer = torch.optim.AdamW(net.parameters(), 0.05)
        losses.append([])
        for _ in range(6):
            optimizer.zero_grad()
            loss = net(x)[0].square().sum()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)
    assert losses[0][-1] < 0.9 * losses[0][0]


@pytest.mark.parametrize("foreach", [False, True])
def test_gradients_add_up(foreach: bool) -> None:
    net, x = made(), data()
    net(x)[0].sum().backward()
    once = [p.grad.clone() for p in net.parameters()]
    net(x)[0].sum().backward()
    same([p.grad for p in net.parameters()], [2 * g for g in once])
    torch.optim.SGD(net.parameters(), 0.1, foreach=foreach).step()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_gradients_share_no_memory() -> None:
    """Code that changes one in place changes no other."""
    net, x = made(layers=1), data()
    net(x)[0].sum().backward()
    before = [p.grad.clone() for p in net.parameters()]
    net.W_i_l0.grad.zero_()
    for name, p, known in zip(net.state_dict(), net.parameters(), before, strict=True):
        same(p.grad, torch.zeros_like(known) if name == "W_i_l0" else known)


@pytest.mark.parametrize("how", ["parameter", "data", "in place", "swapped"])
def test_an_assigned_parameter_counts(how: str) -> None:
    net, other, x = made(), made(), data()
    net(x)
    new = torch.full((4, 3), 0.1, dtype=torch.float64)
    if how == "parameter":
        net.W_f_l0 = nn.Parameter(new.clone())
    elif how == "data":
        net.W_f_l0.data = new.clone()
    elif how == "in place":
        net.W_f_l0.data.copy_(new)
    else:
        torch.utils.swap_tensors(net.W_f_l0, nn.Parameter(new.clone()))
    with torch.no_grad():
        other.W_f_l0.copy_(new)
    same(net(x), other(x))
    net(x)[0].sum().backward()
    other(x)[0].sum().backward()
    same([p.grad for p in net.parameters()], [p.grad for p in other.parameters()])


def test_two_layers_share_weights() -> None:
    net = Recurrent("gru", 4, 4, 2, target="numpy", dtype=torch.float64)
    for name in net.cell.parameters:
        setattr(net, f"{name}_l1", getattr(net, f"{name}_l0"))
    assert len(list(net.parameters())) == len(net.cell.parameters)
    x = data(5, 2, 4)
    loose = copy.deepcopy(net)
    for name in net.cell.parameters:
        setattr(loose, f"{name}_l1", nn.Parameter(getattr(net, f"{name}_l0").detach().clone()))
    same(net(x), loose(x))
    net(x)[0].sum().backward()
    loose(x)[0].sum().backward()
    for name in net.cell.parameters:
        total = getattr(loose, f"{name}_l0").grad + getattr(loose, f"{name}_l1").grad
        same(getattr(net, f"{name}_l0").grad, total)
    again = net.float()
    assert again.W_r_l0 is again.W_r_l1
    again(x.float())


def test_one_parameter_in_two_places_of_a_layer() -> None:
    square = Recurrent("rnn", 4, 4, target="numpy", dtype=torch.float64)
    square.W_l0 = square.U_l0
    y, _ = square(data(5, 2, 4))
    y.sum().backward()
    loose = Recurrent("rnn", 4, 4, target="numpy", dtype=torch.float64)
    loose.load_state_dict(square.state_dict())
    loose(data(5, 2, 4))[0].sum().backward()
    same(square.U_l0.grad, loose.U_l0.grad + loose.W_l0.grad)
    same(square.float()(data(5, 2, 4).float())[0], y.float(), rtol=1e-5, atol=1e-6)


PARAMETRIZED = {
    "weight_norm": lambda net: nn.utils.parametrizations.weight_norm(net, "U_i_l0"),
    "spectral_norm": lambda net: nn.utils.parametrizations.spectral_norm(net, "U_i_l0"),
    "orthogonal": lambda net: nn.utils.parametrizations.orthogonal(net, "U_i_l0"),
}


@pytest.mark.parametrize("how", PARAMETRIZED.values(), ids=PARAMETRIZED)
def test_parametrizations(how: Any) -> None:
    net, x = made(layers=1), data()
    how(net)
    net.eval()
    assert "U_i_l0" not in dict(net.named_parameters())
    plain = made(layers=1)
    with torch.no_grad():
        plain.U_i_l0.copy_(net.U_i_l0)
    same(net(x), plain(x))
    net(x)[0].sum().backward()
    plain(x)[0].sum().backward()
    (found,) = torch.autograd.grad(net.U_i_l0, list(net.parametrizations["U_i_l0"].parameters())[-1], plain.U_i_l0.grad)
    same(list(net.parametrizations["U_i_l0"].parameters())[-1].grad, found)
    net.float()
    net.double()
    copy.deepcopy(net)(x)
    nn.utils.parametrize.remove_parametrizations(net, "U_i_l0")
    same(net(x), plain(x), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_older_weight_norm() -> None:
    net, x = made(layers=1), data()
    nn.utils.weight_norm(net, "U_i_l0")
    same(net(x), made(layers=1)(x))
    with torch.no_grad():
        net.U_i_l0_g.mul_(2)
    plain = made(layers=1)
    with torch.no_grad():
        plain.U_i_l0.mul_(2)
    same(net(x), plain(x))
    net(x)[0].sum().backward()
    assert net.U_i_l0_g.grad is not None
    nn.utils.remove_weight_norm(net, "U_i_l0")
    same(net(x), plain(x))


def test_pruning() -> None:
    from torch.nn.utils import prune

    net, x = made(layers=1), data()
    prune.l1_unstructured(net, "U_i_l0", amount=0.5)
    plain = made(layers=1)
    with torch.no_grad():
        plain.U_i_l0.copy_(net.U_i_l0)
    same(net(x), plain(x))


def test_functional_call() -> None:
    net, x = made(), data()
    other = {name: p.detach() + 0.1 for name, p in net.named_parameters()}
    before = flat(net(x))
    found = torch.func.functional_call(net, other, (x,))
    changed = made()
    changed.load_state_dict(other)
    same(found, changed(x))
    same(net(x), before)


def test_vectors_of_parameters() -> None:
    net, x = made(), data()
    vector = nn.utils.parameters_to_vector(net.parameters()).detach()
    nn.utils.vector_to_parameters(vector * 2, net.parameters())
    other = made()
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(2)
    same(net(x), other(x))


def test_shared_memory() -> None:
    net, x = made(), data()
    before = flat(net(x))
    net.share_memory()
    assert all(p.is_shared() for p in net.parameters())
    same(net(x), before)
    with torch.no_grad():
        net.W_i_l0.zero_()
    assert not torch.equal(flat(net(x))[0], before[0])


def test_several_threads_run_one_module() -> None:
    net = made(target="numpy")
    xs = [data(n, 2, 3) for n in (3, 5, 8, 13)]
    expected = [torch.autograd.grad(net(x)[0].square().sum(), list(net.parameters())) for x in xs]
    wrong: list[Any] = []

    def work(k: int) -> None:
        try:
            for _ in range(8):
                same(torch.autograd.grad(net(xs[k])[0].square().sum(), list(net.parameters())), expected[k])
        except Exception as failure:
            wrong.append(failure)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# the rest


def test_what_it_prints() -> None:
    assert repr(made("gru", 2, bidirectional=True, dropout=0.5, bias=False)) == (
        "Recurrent('gru', 3, 4, num_layers=2, bias=False, dropout=0.5, bidirectional=True, target='numpy')"
    )
    assert repr(Recurrent("lstm", 3, 4)) == "Recurrent('lstm', 3, 4)"
    assert repr(RecurrentCell("gru", 3, 4, bias=False)) == "RecurrentCell('gru', 3, 4, bias=False)"
    net = RecurrentCell("projected_lstm", 3, 4, P=2, zoneout=0.1, target="numpy")
    assert repr(net) == "RecurrentCell('projected_lstm', 3, 4, P=2, target='numpy', zoneout=0.1)"
    assert "(0): Recurrent('lstm', 3, 4)" in repr(nn.Sequential(Recurrent("lstm", 3, 4)))


def test_train_and_eval_turn_dropout_on_and_off() -> None:
    net, x = made(dropout=0.5), data()
    assert net.training
    torch.manual_seed(3)
    one = net(x)[0]
    torch.manual_seed(3)
    same(net(x)[0], one)
    assert not torch.equal(net(x)[0], one)
    net.eval()
    same(net(x), net(x))
    same(net(x), made()(x))


def test_dropout_is_torchs() -> None:
    """The same generator, used in the same way: for equal seeds, the same zeros as in nn.LSTM."""
    pair = twins("LSTM", 3, dropout=0.4)
    x = data()
    seen = []
    for net in pair.both:
        torch.manual_seed(9)
        seen.append(net(x))
    same(*seen)


def test_dropout_of_everything() -> None:
    net = made(dropout=1.0)
    y, _ = net(data())
    silent = made()
    with torch.no_grad():
        silent.W_i_l1.zero_(), silent.W_f_l1.zero_(), silent.W_g_l1.zero_(), silent.W_o_l1.zero_()
    same(y, silent(data())[0])


def test_dropout_can_change() -> None:
    net = made(dropout=0.5)
    net.dropout = 0.0
    same(net(data()), made()(data()))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripting_is_a_clear_error() -> None:
    for net in (made(), nn.Sequential(made())):
        with pytest.raises(NotImplementedError, match=r"TorchScript.*torch\.compile.*torch\.export"):
            torch.jit.script(net)
    with pytest.raises(NotImplementedError, match=r"TorchScript.*torch\.compile.*torch\.export"):
        torch.jit.trace(made(), (data(),), check_trace=False)


def test_a_parameter_of_another_type_is_brought_to_that_of_the_others() -> None:
    net, x = Recurrent("lstm", 3, 4, 2), data().float()
    expected = net(x)[0].detach()
    net.U_f_l0 = torch.nn.Parameter(net.U_f_l0.detach().double())
    y, state = net(x)
    y.sum().backward()
    assert net.U_f_l0.grad.dtype == torch.float64
    with torch.no_grad():
        for found in (y, net(x)[0]):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert net.step(x[0], state)[0].dtype == torch.float32
