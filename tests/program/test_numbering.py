"""Comments of emitted code cite the formulas of the derivation: each step has its own number or its reader's."""

import symcell
from symcell.pipeline import TARGETS, emitter, plan
from symcell.program.numbering import numbered

NUMBERS = {"a": 1, "h": 2, "dh": 3, "da": 4, "dU": 5}


def _plan(target):
    return plan(symcell.parse("a[t] = W @ x[t] + U @ h[t-1] + b\nh[t] = tanh(a[t]) * exp(b)", name="tried"), target)


def test_a_step_has_its_number_or_that_of_the_first_that_reads_it():
    found = numbered(_plan("numpy"), NUMBERS)
    ahead, back = found.forward.numbers, found.backward.numbers
    assert {ahead["a"], ahead["U_h"], ahead["W_x"]} == {1}
    assert {ahead["h"], ahead["tanh_a"]} == {2}
    assert (back["dh"], back["dh_back"], back["da"], back["dU"]) == (3, 3, 4, 5)
    assert "db" not in back


def test_what_is_computed_again_has_its_number_in_forward():
    found = plan("lstm", "numpy")
    assert "tanh_c" in found.again
    assert numbered(found, {"h": 2, "dc": 7}).backward.numbers["tanh_c"] == 2


def test_the_plan_that_came_in_is_as_it_was():
    given = _plan("numpy")
    before = dict(given.forward.numbers)
    assert numbered(given, {"h": 99}).forward.numbers != before
    assert given.forward.numbers == before


def test_every_target_prints_them():
    for target in TARGETS:
        text = emitter(target).emit(numbered(_plan(target), NUMBERS))
        lines = [line.strip() for line in text.splitlines()]
        for comment in ("U_h[t] = U @ h[t-1] (1)", "dU = sum of outer(da[t], h[t-1]) (5)"):
            assert any(line.lstrip("#/ ") == comment for line in lines), (target, comment)
