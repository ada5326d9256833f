"""Recurrent on a CUDA device: the CuPy module on PyTorch's memory, stream and allocator."""

from __future__ import annotations

import copy

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
