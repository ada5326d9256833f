"""What only the emulator can show of the CUDA kernels: missing barriers, races, and accesses out of bounds."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampled import sampled

import symcell
from symcell.emulate import load, sanitizer
from symcell.emulate.errors import CompilerNotFoundError, SanitizerError
from symcell.pipeline import source

SCRIPT = """
import pathlib, sys
import test_emulated

for path in sys.argv[1:]:
    test_emulated.gradients(pathlib.Path(path).read_text(), sanitize=True)
print("clean")
"""


def gradients(text: str, **how: Any) -> np.ndarray:
    """One pass through an emitted CuPy module, with padding; sizes that fill no block or warp evenly.

    ``how`` it is loaded: ``sanitize``, ``races``, ``order``.
    """
    module = load(text, "module", **how)
    rng = np.random.default_rng(0)
    sizes = dict(zip(module.SIZES, itertools.cycle((5, 37, 3)), strict=False))

    def drawn(*lead: int, shape: tuple[int | str, ...]) -> Any:
        lengths = (eval(str(size), {}, dict(sizes)) for size in shape)
        return module.cp.asarray(rng.standard_normal((*lead, *lengths)))

    arrays = {name: drawn(shape=shape) for name, shape in getattr(module, "CONSTANTS", {}).items()}
    params = module.init_params(seed=1, dtype="float64", **sizes, **arrays)
    x = {name: drawn(3, 2, shape=shape) for name, shape in module.INPUTS.items()}
    y, _, tape = module.forward(params, x, lengths=module.cp.asarray(np.array([2, 3])))
    grads = module.backward(params, tape, module.cp.cos(y))
    found = [grads.params.flat, *grads.state.values(), *(grads.x.values() if isinstance(grads.x, dict) else [grads.x])]
    return np.concatenate([module.cp.asnumpy(a).ravel() for a in found])


@pytest.mark.parametrize("name", sampled())
def test_the_order_of_threads_does_not_matter(name: str) -> None:
    """Threads of a block run first to last, then last to first: a missing barrier would give other numbers.

    And it would be a race, which is looked for as well.
    """
    text = source(symcell.load(name), "cupy")
    try:
        ahead = gradients(text)
    except CompilerNotFoundError as error:
        pytest.skip(str(error))
    assert np.abs(ahead).max() > 0
    np.testing.assert_array_equal(ahead, gradients(text, order="reversed"))
    np.testing.assert_array_equal(ahead, gradients(text, races=True))


def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    """Reductions, broadcasts and several sizes, under AddressSanitizer and UBSan."""
    try:
        sanitizer.environment()
    except (SanitizerError, CompilerNotFoundError) as error:
        pytest.skip(str(error))
    paths = []
    for name in ("layernorm_lstm", "projected_lstm", "narx", "mlstm", "gated_deltanet"):
        paths.append(tmp_path / f"{name}.py")
        paths[-1].write_text(source(symcell.load(name), "cupy"), encoding="utf-8")
    script = tmp_path / "run.py"
    folders = [str(folder) for folder in Path(__file__).parents[:2]]
    script.write_text(f"import sys\nsys.path[:0] = {folders!r}\n{SCRIPT}", encoding="utf-8")
    command = [sys.executable, "-m", "symcell.emulate", str(script), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "clean"), done.stderr
