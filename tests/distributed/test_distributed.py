"""Two processes train as one does: DistributedDataParallel and FSDP2, gradients accumulated or not."""

import json
import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torch.distributed.fsdp", reason="this PyTorch has no torch.distributed")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no gloo", allow_module_level=True)

from examples.char_lm.options import Options  # noqa: E402
from examples.char_lm.text import Text  # noqa: E402
from examples.distributed.group import Group  # noqa: E402
from examples.distributed.train import Trainer  # noqa: E402

ROOT = Path(__file__).parents[2]
CELLS = ("lstm",)
WAYS = (("ddp", 1), ("ddp", 2), ("fsdp", 1), ("fsdp", 2))
OPTIONS = {"embedding": 8, "hidden": 9, "layers": 2, "batch": 8, "steps": 10, "updates": 6, "warmup": 1, "line": 1}

PROGRAM = """
import json, sys
from dataclasses import astuple
from examples.char_lm.options import Options
from examples.char_lm.text import Text
from examples.distributed.engine import weights
from examples.distributed.group import joined
from examples.distributed.train import Trainer

text = Text.read()
found = []
with joined() as group:
    for cell, engine, accumulate in json.loads(sys.argv[1]):
        trainer = Trainer(Options(cell=cell, dropout=0.0, **json.loads(sys.argv[2])), text, group, engine, accumulate)
        curve = [astuple(update) for update in trainer.updates()]
        held = {name: value.tolist() for name, value in weights(trainer.engine).items()}
        found.append([curve, held])
    if group.rank == 0:
        open(sys.argv[3], "w").write(json.dumps(found))
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The curve and the weights of two processes, by cell, engine and parts of a batch; all in one launch."""
    folder = tmp_path_factory.mktemp("two")
    program, out = folder / "program.py", folder / "found.json"
    program.write_text(PROGRAM, "utf-8")
    asked = [(cell, *way) for cell in CELLS for way in WAYS]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = [str(program), json.dumps(asked), json.dumps(OPTIONS), str(out)]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launch, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(asked, json.loads(out.read_text("utf-8")), strict=True))


@pytest.fixture(scope="module")
def one():
    """The same on one device, in one piece."""
    found = {}
    for cell in CELLS:
        trainer = Trainer(
            Options(cell=cell, dropout=0.0, **OPTIONS), Text.read(), Group(0, 1, torch.device("cpu")), "none"
        )
        curve = [astuple(update) for update in trainer.updates()]
        found[cell] = curve, trainer.engine.module.state_dict()
    return found


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
@pytest.mark.parametrize("cell", CELLS)
def test_two_processes_train_as_one(cell, way, one, two):
    curve, weights = one[cell]
    its_curve, its_weights = two[cell, *way]
    torch.testing.assert_close(torch.tensor(its_curve), torch.tensor(curve), rtol=2e-5, atol=0)
    assert curve[-1][1] < curve[0][1]
    assert its_weights.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(torch.tensor(its_weights[name]), value, rtol=0, atol=2e-5)
