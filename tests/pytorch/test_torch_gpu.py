"""Recurrent on a CUDA device: the CuPy module on PyTorch's memory, stream and allocator."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device for PyTorch", allow_module_level=True)
pytest.importorskip("cupy")

from symcell.torch import Recurrent  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm_lstm"])
@pytest.mark.parametrize("packed", [False, True])
def test_like_the_cpu(cell: str, packed: bool) -> None:
    host = Recurrent(cell, 24, 32, 2, bidirectional=True)
    device = copy.deepcopy(host).cuda()
    x = torch.randn(11, 5, 24)
    results = []
    for net in (host, device):
        given = x.to(next(net.parameters()).device).requires_grad_()
        batch = given
        if packed:
            batch = torch.nn.utils.rnn.pack_padded_sequence(given, torch.tensor([11, 9, 9, 4, 1]))
        y, _ = net(batch)
        rows = y.data if packed else y
        results.append((rows, *torch.autograd.grad(rows.sin().sum(), (given, *net.parameters()))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_16_bits_like_the_cpu(bidirectional: bool, dtype: torch.dtype) -> None:
    """Both round at the same places; autocast is the module in that type."""
    host = Recurrent("lstm", 24, 32, 2, bidirectional=bidirectional, target="numpy", dtype=dtype)
    device = Recurrent("lstm", 24, 32, 2, bidirectional=bidirectional, device="cuda", dtype=dtype)
    device.load_state_dict(host.state_dict())
    wide = copy.deepcopy(device).float()
    x = torch.randn(11, 5, 24).to(dtype)
    results = []
    for net in (host, device, wide):
        given = x.to(next(net.parameters()).device).requires_grad_()
        with torch.autocast("cuda", dtype, enabled=net is wide):
            y, (h, c) = net(given)
        assert y.dtype == h.dtype == c.dtype == dtype
        grads = torch.autograd.grad(y.float().sin().sum(), (given, *net.parameters()))
        assert {grad.dtype for grad in grads[1:]} == {next(net.parameters()).dtype}
        results.append((y, c, *grads))
    limit = {torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    for one, other, cast in zip(*results, strict=True):
        scale = one.float().abs().max().item()
        torch.testing.assert_close(one, other.cpu(), rtol=limit, atol=4 * limit * scale)
        torch.testing.assert_close(other, cast.to(dtype), rtol=0, atol=0)


def test_a_launch_for_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are those of one direction after the other, up to the order of sums."""
    net = Recurrent("lstm", 64, 64, bidirectional=True, device="cuda")
    module = net._kernels[True, False, "h", "cuda"].module
    assert module.STRATEGY == "auto"
    seen, launch = [], module._launch_steps

    def noted(name: str, shares: Any, *rest: Any) -> Any:
        seen.append((name, shares.sweeps))
        return launch(name, shares, *rest)

    monkeypatch.setattr(module, "_launch_steps", noted)
    x, results = torch.randn(50, 8, 64, device="cuda"), []
    for both in (True, False):
        if not both:
            monkeypatch.delattr(module, "forward_both")
        y, _ = net(x)
        results.append((y, *torch.autograd.grad(y.sin().sum(), list(net.parameters()))))
    assert seen[:2] == [("forward_steps", 2), ("backward_steps", 2)]
    assert [sweeps for _, sweeps in seen[2:]] == [1, 1, 1, 1]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_scaler_on_the_device() -> None:
    """A step whose scaled gradients overflow is left out; the next, of a smaller scale, is taken."""
    net = Recurrent("lstm", 8, 8, device="cuda")
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40, backoff_factor=2.0**-32)
    for moves in (False, True):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            y, _ = net(torch.randn(5, 2, 8, device="cuda"))
        scaler.scale(y.float().square().sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True)) != moves


def test_on_the_current_stream() -> None:
    """What stands in the stream before a run is seen by it, and what stands behind it sees its results."""
    net = Recurrent("lstm", 64, 64, device="cuda")
    x = torch.randn(50, 8, 64, device="cuda")
    with torch.no_grad():
        expected = net(x * 2)[0] + 1
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(20_000_000)
            found = net(x * 2)[0] + 1
        torch.cuda.current_stream().wait_stream(stream)
    torch.testing.assert_close(found, expected)


def test_memory_is_pytorchs() -> None:
    net = Recurrent("lstm", 64, 64, device="cuda")
    x = torch.randn(100, 8, 64, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y, _ = net(x)
    assert torch.cuda.memory_allocated() - before > 5 * y.numel() * y.element_size()  # the gates are on the tape


def test_a_host_module_says_what_it_needs() -> None:
    net = Recurrent("lstm", 4, 4, target="c", device="cuda")
    with pytest.raises(ValueError, match="target c needs tensors on the CPU"):
        net(torch.randn(3, 2, 4, device="cuda"))
