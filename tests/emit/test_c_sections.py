"""The C target's sections: what runs together, and that threads share it without a trace in the results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from c_modules import module as c_module, rendered

import symcell
from symcell.emit.c import PROFILE
from symcell.emit.c.launch import C
from symcell.emit.c.sections import SectionView
from symcell.emit.python.function import single, sweep
from symcell.emit.python.scope import Module
from symcell.pipeline import plan
from symcell.program.model import Plan
from symcell.verify.targets import compiler_missing

needs_compiler = pytest.mark.skipif(compiler_missing() is not None, reason="no C compiler")


def sections(found: Plan) -> dict[str, SectionView]:
    """The sections of a plan's functions by name."""
    dialect = C(found)
    module = Module(found, dialect.xp, dialect.keeps, dialect)
    for program in (found.forward, found.backward):
        sweep(program, module, dialect)
    single(found.forward, module, dialect)
    return {view.name: view for view in dialect.sections}


def test_a_sweep_is_one_call() -> None:
    """Python calls C once for a sweep, whatever its length; the loop is in C, and so are all sums."""
    found = sections(plan("lstm", "c"))
    assert list(found) == ["run_forward", "run_backward", "run_step"]
    assert [part.kind for part in found["run_forward"].parts] == ["rows", "forward"]
    assert [part.kind for part in found["run_backward"].parts] == ["backward", "rows", "results", "results", "results"]
    assert {part.kind for part in found["run_step"].parts} == {"rows"}


def test_a_product_and_what_follows_it_are_one_pass() -> None:
    """The input's product and the bias: a piece of rows is in the cache for both."""
    first = sections(plan("lstm", "c"))["run_forward"].parts[0]
    assert len(first.calls) == 2


def test_a_run_ends_where_rows_of_other_steps_are_read() -> None:
    """What another thread may not have computed yet is read behind a meeting."""
    cell = symcell.parse("u[t] = tanh(W @ x[t])\nh[t] = sigmoid(V @ u[t-1] + z[t])\nz[t] = u[t]*c", name="lagged")
    parts = sections(plan(cell, "c"))["run_forward"].parts
    assert [part.kind for part in parts] == ["rows", "rows"]
    assert not parts[0].split
    assert parts[1].split


def test_a_matrix_is_packed_once_a_call_and_not_for_a_single_step() -> None:
    found = sections(plan("lstm", "c"))
    assert [pack.name for pack in found["run_forward"].packs] == ["packed_W_i_to_W_g", "packed_U_i_to_U_g"]
    backward = {pack.name: pack.inputs_only for pack in found["run_backward"].packs}
    assert backward == {"packed_U_i_to_U_g": False, "packed_W_i_to_W_g": True}
    assert found["run_step"].packs == ()


def test_rows_of_two_widths_share_no_memory_within_a_step() -> None:
    """Threads are at different samples at one time: where one still has a row of one width, another has a wider one."""
    for name in ("layernorm_lstm", "mlstm", "nas", "slstm"):
        for program in plan(name, "c").programs.values():
            shared: dict[str, set[object]] = {}
            for buffer in program.buffers.values():
                if buffer.slot and buffer.extent == "local":
                    shared.setdefault(buffer.slot, set()).add(buffer.width)
            assert all(len(widths) == 1 for widths in shared.values())
    assert PROFILE.paced
    assert replace(PROFILE, paced=False) != PROFILE


@needs_compiler
@pytest.mark.parametrize(("name", "dtype"), [
    ("lstm", "float32"), ("layernorm_lstm", "float32"), ("mlstm", "float32"), ("mlstm", "float16"),
    pytest.param("lstm", "bfloat16", marks=pytest.mark.whole),
])  # fmt: skip
@pytest.mark.parametrize("lengths", [None, [100, 3, 0, 77, 100, 1, 25]])
def test_any_number_of_threads_gives_the_same_bits(
    name: str, dtype: str, lengths: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = symcell.compile(name, target="c")
    sizes = dict.fromkeys(module.SIZES, 48)
    params = module.init_params(**sizes, dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 7, 48)).astype(params.flat.dtype)  # more than a stretch
    dy = rng.standard_normal((100, 7, 48)).astype(params.flat.dtype)
    found: list[list[Any]] = []
    for threads in ("1", "2", "3", "5"):
        monkeypatch.setenv("SYMCELL_NUM_THREADS", threads)
        y, last, tape = module.forward(params, x, lengths=lengths)
        grads = module.backward(params, tape, dy)
        found.append([y, *last.values(), grads.params.flat, grads.x, *grads.state.values()])
    assert all(np.array_equal(one, other) for run in found[1:] for one, other in zip(found[0], run, strict=True))
    assert np.abs(found[0][0]).max() > 0.1


@needs_compiler
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", ["lstm", "projected_lstm", "mamba", "rwkv4", "qrnn", "narx"])
@pytest.mark.parametrize("lengths", [None, [260, 0, 40, 259, 260]])
def test_stretches_leave_no_trace(name: str, lengths: list[int] | None) -> None:
    """The results of a long sequence are those of NumPy, which keeps all rows."""
    c, numpy = symcell.compile(name, target="c"), symcell.compile(name)
    sizes = dict.fromkeys(c.SIZES, 5)
    params = c.init_params(**sizes, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((260, 5, *(5 for _ in next(iter(c.INPUTS.values())))))
    y, last, tape = c.forward(params, x, lengths=lengths)
    dy = rng.standard_normal(y.shape)
    grads = c.backward(params, tape, dy)
    wanted_y, wanted_last, tape = numpy.forward(params, x, lengths=lengths)
    wanted = numpy.backward(params, tape, dy)
    pairs = [(y, wanted_y), (grads.params.flat, wanted.params.flat), (grads.x, wanted.x)]
    pairs += [(value, wanted_last[key]) for key, value in last.items()]
    pairs += [(value, wanted.state[key]) for key, value in grads.state.items()]
    for found, exact in pairs:
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11 * max(1, np.abs(exact).max(initial=0)))


def test_threads_meet_where_memory_collides() -> None:
    """Sums and products that read the same gradients need not wait for each other; the loop must have ended."""
    parts = sections(plan("lstm", "c"))["run_backward"].parts
    assert [part.meets for part in parts] == [False, True, False, False, False]


SHARES = """
int shares(long long *record, long long threads) {
    struct team team = {.record = 0};
    for (long long k = 0; k < threads; ++k) {
        const struct member me = {.number = k, .count = threads, .team = &team};
        share_samples((const long long *)record[0], record[1], &me, (long long *)record[2] + 2 * k,
                      (long long *)record[2] + 2 * k + 1);
    }
    return 0;
}
"""


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("lengths", [[], [5], [9, 9, 9, 9], [100, 1, 1, 1, 1], [8, 7, 6, 5, 4, 3, 2, 1], [0, 0]])
def test_samples_are_shared_by_their_rows(lengths: list[int], threads: int) -> None:
    """Every sample has one thread, and none has more rows than its share and one sample."""
    texts = ("#include <stdlib.h>\n#include <string.h>", *map(rendered, ("team.c", "vectors.c", "share.c")), SHARES)
    function = c_module("\n".join(texts), ["shares"])._library("float").shares
    counts = np.array([sum(n > t for n in lengths) for t in range(max(lengths, default=0))], np.int64)
    found = np.full((threads, 2), -1, np.int64)
    record = np.array([counts.ctypes.data, len(counts), found.ctypes.data], np.int64)
    function(record.ctypes.data, threads)
    running = int(counts[0]) if len(counts) else 0
    assert found[0, 0] == 0
    assert found[-1, 1] == running
    assert (found[1:, 0] == found[:-1, 1]).all()
    ordered = sorted(lengths, reverse=True)
    rows = [sum(ordered[lo:hi]) for lo, hi in found]
    assert sum(rows) == sum(lengths)
    assert max(rows) <= sum(lengths) / threads + max(lengths, default=0)
