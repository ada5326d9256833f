"""Under AddressSanitizer and UBSan an access out of bounds and an overflow end the process, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cuda_sources import DIVERGENT
from grid_sources import LOOP

from symcell.emulate import SanitizerError, load, sanitizer

FAULTS = r"""
extern "C" __global__ void beyond(float* x, long long n) { x[4096 + threadIdx.x] = 1.0f; }
extern "C" __global__ void before(float* x, long long n) { x[(long long)threadIdx.x - 1] = 1.0f; }
extern "C" __global__ void fixed(float* x, long long n) {
    __shared__ float part[4];
    part[threadIdx.x + n] = x[0];
    __syncthreads();
    x[0] = part[0];
}
extern "C" __global__ void dynamic(float* x, long long n) {
    extern __shared__ float part[];
    part[threadIdx.x + n] = x[0];
    __syncthreads();
    x[0] = part[0];
}
extern "C" __global__ void overflow(float* x, long long n) {
    int step = 70000, row = step + threadIdx.x;
    long long i = row * step;
    x[i >= 0 ? 0 : 1] = 1.0f;
}
extern "C" __global__ void fine(float* x, long long n) { __syncthreads(); x[threadIdx.x] = 2.0f; __syncthreads(); }
"""
MODULE = f"""
import cupy as cp
import numpy as np
def main(name, cooperative):
    kernel = cp.RawModule(code={FAULTS!r}, enable_cooperative_groups=cooperative).get_function(name)
    x = cp.ones(4096, np.float32)
    kernel((2,), (4,), (x, 4), shared_mem=16)
    loop = cp.RawModule(code={LOOP!r}, enable_cooperative_groups=True).get_function("loop")
    U, h, count = cp.zeros((24, 24), np.float32), cp.zeros((6, 24), np.float32), cp.zeros(1, np.uint32)
    loop((1, 4), (64,), (U, h, count, np.int32(5), np.int32(24)), shared_mem=96)
    print("finished", x[:4].sum(), count[0])
"""
SCRIPT = """
import sys, pathlib
from symcell.emulate import load
load(pathlib.Path(sys.argv[1]).read_text(), "bad", sanitize=True).main(sys.argv[2], sys.argv[3] == "cooperative")
"""


@pytest.mark.parametrize(
    ("name", "launch", "found"),
    [
        ("beyond", "plain", "heap-buffer-overflow"),
        ("before", "plain", "heap-buffer-overflow"),
        ("fixed", "plain", "index 4 out of bounds"),
        ("dynamic", "plain", "heap-buffer-overflow"),
        ("dynamic", "cooperative", "heap-buffer-overflow"),
        ("overflow", "plain", "signed integer overflow: 70000 * 70000 cannot be represented in type 'int'"),
        ("fine", "plain", "finished 8.0 20"),
    ],
)
def test_what_ends_the_process(tmp_path: Path, name: str, launch: str, found: str) -> None:
    try:
        sanitizer.environment()
    except SanitizerError as error:
        pytest.skip(str(error))
    module, script = tmp_path / "module.py", tmp_path / "script.py"
    module.write_text(MODULE)
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "symcell.emulate", str(script), str(module), name, launch]
    with (tmp_path / "log").open("w") as log:  # no pipe: clang's symbolizer would keep it open
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    assert found in (tmp_path / "log").read_text()
    assert (done.returncode == 0) == (name == "fine")


def test_sanitize_without_its_runtime_explains_itself() -> None:
    module = load(
        "import cupy as cp\nmodule = cp.RawModule(code=CODE)".replace("CODE", repr(DIVERGENT)), "m", sanitize=True
    )
    with pytest.raises(SanitizerError, match=r"python -m symcell.emulate"):
        module.module.get_function("half")
