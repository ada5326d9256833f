"""``plan``: a thin command over :mod:`symcell.predict`."""

from __future__ import annotations

import re

import pytest

import symcell as library
from symcell.predict import device
from symcell.predict.report import report


def test_plan_predicts_at_the_sizes(symcell):
    found = symcell("plan", "lstm", "--device", "a100", "--sizes", "T=64,B=8", "--sizes", "H=512", "--dtype", "float64")
    plan, sizes = library.plan("lstm", "cupy"), {"D": 256, "H": 512}
    wanted = report(plan, device("a100"), sizes, steps=64, batch=8, dtype="float64")
    assert found.output == f"{wanted}\n"
    assert "T = 64, B = 8, D = 256, H = 512: predicted," in found.output
    assert "* persistent" in found.output


def test_each_way_says_what_it_is_or_why_it_is_not_taken(symcell):
    text = " ".join(symcell("plan", "lstm", "--sizes", "H=512").output.split())
    assert "* persistent 4.6 1.16 4 groups × 32 blocks that wait at a barrier of the grid, 4 samples at once" in text
    assert re.search(r"4 samples at once, 1\d{5} bytes of shared memory a block", text)
    assert "plain 42.0 10.8 not quicker: 2 launches a step" in text
    assert "block – – does not fit: block needs 4292864 bytes of shared memory in a block, which has 232448" in text
    assert "products 512×2048 (4.19 MB of weights), stages 2, meetings of blocks 1" in text


def test_a_strategy_is_forced(symcell):
    text = " ".join(symcell("plan", "lstm", "--sizes", "H=512", "--strategy", "plain").output.split())
    assert "* plain 42.0 10.8 2 launches a step" in text
    assert "persistent 4.6 1.16 what auto takes: 4 groups" in text
    refused = symcell("plan", "lstm", "--sizes", "H=512", "--strategy", "block", status=1).stderr
    assert "forward on H100 SXM5 80 GB: block needs 4292864 bytes of shared memory in a block, which has 232448" in (
        " ".join(refused.split())
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--device", "h42"), "'h42' is none of t4, a100"),
        (("--sizes", "Q=3"), "'Q' is none of T, B, D, H"),
        (("--sizes", "T=3,B"), "'B': expected a size and a positive integer"),
        (("--sizes", "T=3,T=4"), "T is given twice"),
        (("--dtype", "int8"), "'int8' is none of float16, bfloat16, float32, float64"),
        (("--strategy", "quick"), "'quick' is none of auto, plain, block, persistent, graph"),
    ],
)
def test_plan_refuses_what_is_none(symcell, arguments, what):
    assert what in symcell("plan", "lstm", *arguments, status=2).stderr.replace("\n", " ")


def test_sizes_called_t_and_b_count_for_both(symcell, tmp_path):
    (tmp_path / "mine.cell").write_text("x: B\nh: T\nh[t] = tanh(W @ x[t] + U @ h[t-1])\n")
    output = symcell("plan", "mine", "--sizes", "T=32,B=8").output
    assert "T = 32, B = 8" in output
    assert "products 32×32" in output
