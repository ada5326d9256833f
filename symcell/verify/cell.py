"""All witnesses on one cell."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from symcell.pipeline import graphs, plan as plan_of
from symcell.verify import differences, halves, programs, pytorch, second, torch_cells
from symcell.verify.case import Array, Case, Result, each_alone
from symcell.verify.cases import KINDS, Kind, case_where
from symcell.verify.reference import reference
from symcell.verify.report import CellReport, Column, Row
from symcell.verify.targets import Target, run
from symcell.verify.tolerances import TOLERANCES, error, largest, real, scale_of
from symcell.verify.trial import Subject

_T = TypeVar("_T")

DERIVED = Column("the derived adjoint and the complex step, 50 digits", ("adjoint", "–step"), "derived")


def verify_cell(subject: Subject, seed: int = 0, dtypes: tuple[str, ...] = ()) -> CellReport:
    """Ask every witness about one cell; ``seed``: of the random numbers; ``dtypes``: of 16 bits, which are tried."""
    return _Verifier(subject, seed, dtypes).report()


class _Verifier:
    """Collects the worst error per tensor and column over all cases."""

    def __init__(self, subject: Subject, seed: int, dtypes: tuple[str, ...]) -> None:
        self.subject, self.seed, self.dtypes = subject, seed, dtypes
        self.cell = cell = subject.cell
        self.errors: dict[str, dict[str, float]] = {}
        self.problems: dict[str, None] = {}
        self.notes: dict[str, None] = dict.fromkeys(subject.notes)
        self.alive: set[str] = set()
        self.graph, self.adjoint = graphs(cell)
        self.known = None if pytorch.missing() else torch_cells.recognise(cell)
        self.targets = subject.targets
        self.modules: dict[str, types.ModuleType] = {}
        first = self.targets[0]
        if self.known is not None:
            self.notes[f"the same cell as torch.nn.{self.known.module.name}, which is a witness too"] = None
        self.step = Column(f"{first.title} and the complex step", (first.name, "–step"), "complex")
        self.central = Column(f"{first.title} and its own central difference", (first.name, "–diff"), "central")
        self.torch = Column(f"{first.title} and PyTorch", (first.name, "–torch"), "torch", pytorch.missing() or "")
        own = (c for t in self.targets for c in (_column(t, "float64"), _column(t, "float32")))
        self.programs = {
            t.name: Column(f"the program for {t.name}, interpreted, and the reference", (t.name, "program"), "float64")
            for t in (self.targets if subject.fresh else ())
        }
        self.second = {
            t.name: Column(f"{t.title}, second derivatives, and differences of gradients", (t.name, "2nd"), "second")
            for t in (self.targets if subject.order == 2 else ())
        }
        narrow = (c for d in dtypes for c in (*(_column(t, d) for t in self.targets), *self._apart(d)))
        self.columns = (*own, *narrow, *self.programs.values(), *self._apart(), DERIVED, self.step, self.central,
                        self.torch, *self.second.values())  # fmt: skip

    def _apart(self, dtype: str = "float64") -> tuple[Column, ...]:
        """Targets against the first."""
        first, *others = self.targets
        if dtype == "float64":
            heads = {t.name: (t.name, f"–{first.name}") for t in others}
            return tuple(Column(f"{t.title} and {first.title}", heads[t.name], "apart", t.missing) for t in others)
        heads = {t.name: (f"{t.name}–{first.name}", _short(dtype)) for t in others}
        return tuple(Column(f"{t.title} and {first.title}, {dtype}", heads[t.name], dtype, t.missing) for t in others)

    def report(self) -> CellReport:
        for target in (t for t in self.targets if not t.missing):
            module = self.tried(target.title, partial(target.build, self.cell))
            if module is not None:
                self.modules[target.name] = module
        self.plans = {
            name: plan
            for name in self.programs
            if (plan := self.tried(f"the plan for {name}", partial(plan_of, self.cell, name)))
        }
        for kind in KINDS:
            self.case(kind)
        for tensor in (t for t in self.errors if t not in self.alive):
            self.notes[f"{tensor} is zero in every case, which says little about it"] = None
        rows = tuple(Row(tensor, errors) for tensor, errors in self.errors.items())
        return CellReport(self.subject.title, self.columns, rows, tuple(self.problems), tuple(self.notes))

    def tried(self, what: str, make: Callable[[], _T]) -> _T | None:
        """What ``make`` gives; a witness that breaks down is a problem to report, not the end of the report."""
        try:
            return make()
        except Exception as problem:
            self.problems[f"{what}: {type(problem).__name__}: {str(problem).strip()[:300]}"] = None
            return None

    def case(self, kind: Kind) -> None:
        case = case_where(self.cell, kind, self.defined, self.seed)
        if case is None:
            note = f"{kind.title}: no point was found where all values are finite"
            (self.problems if kind is KINDS[0] else self.notes)[note] = None
            return
        exact = self.exact
        wanted = {name: real(value) for name, value in exact.tensors().items()}
        self.alive |= {name for name, value in wanted.items() if value.any()}
        float64: dict[str, Result] = {}
        for target in (t for t in self.targets if t.name in self.modules):
            for dtype in ("float64", "float32"):
                module = self.modules[target.name]
                found = self.tried(f"{target.title} {dtype}, {kind.title}", partial(run, module, case, dtype))
                if found is not None:
                    self.compare(_column(target, dtype), found, wanted, exact)
                    float64 |= {target.name: found} if dtype == "float64" else {}
        for name, plan in self.plans.items():
            interpreted = self.tried(f"the program for {name}, {kind.title}", partial(programs.run, plan, case))
            if interpreted is not None:
                self.compare(self.programs[name], interpreted, wanted, exact)
        first = float64.pop(self.targets[0].name, None)
        if first is None:
            return
        for column, target in zip(self._apart(), self.targets[1:], strict=True):
            if target.name in float64:
                self.compare(column, float64[target.name], first.tensors(), exact)
        for dtype in self.dtypes:
            self.half(kind, halves.rounded(case, dtype), dtype)
        self.torched(kind, case, first, exact)
        if kind.lengths is None:
            self.tried(f"differences, {kind.title}", partial(self.stepped, kind, case, first, exact))
        for name, column in self.second.items() if kind.given else ():
            self.tried(f"second derivatives, {kind.title}", partial(self.twice, column, self.modules[name], case))

    def half(self, kind: Kind, case: Case, dtype: str) -> None:
        """Every target in 16 bits, against the reference at the same numbers and against the first."""
        exact = reference(self.cell, case, graph=self.graph, derived=self.adjoint)
        wanted = {name: real(value) for name, value in exact.tensors().items()}
        results: dict[str, Result] = {}
        for target in (t for t in self.targets if t.name in self.modules):
            module = self.modules[target.name]
            found = self.tried(f"{target.title} {dtype}, {kind.title}", partial(run, module, case, dtype))
            if found is not None:
                self.compare(_column(target, dtype), found, wanted, exact)
                results[target.name] = found
        first = results.pop(self.targets[0].name, None)
        for column, target in zip(self._apart(dtype), self.targets[1:], strict=True):
            if first is not None and target.name in results:
                self.compare(column, results[target.name], first.tensors(), exact)
                alike = halves.alike(results[target.name], first)
                if not alike.ok:  # each is near the reference, or has failed
                    note = f"{column.title}, {kind.title}: {alike}: one rounds what the other does not"
                    self.notes[note] = None

    def defined(self, case: Case) -> bool:
        """Whether all is finite and of a size that float32 can square and exponentiate; keeps the reference."""
        self.exact = reference(self.cell, case, graph=self.graph, derived=self.adjoint)
        values, gradients = self.exact.values().values(), self.exact.gradients().values()
        return all(largest(real(v)) < 50 for v in values) and all(largest(real(v)) < 1e6 for v in gradients)

    def note(self, column: Column, tensor: str, value: float) -> None:
        if column.tolerance.unit == "ulp":
            value = value / column.tolerance.spacing
        errors = self.errors.setdefault(tensor, {})
        errors[column.title] = max(value, errors.get(column.title, 0.0))

    def compare(self, column: Column, found: Result, wanted: dict[str, Array], exact: Result) -> None:
        """Every tensor of ``found`` against what is wanted."""
        for group, values in ((exact.values(), found.values()), (exact.gradients(), found.gradients())):
            reals = {name: real(v) for name, v in group.items()}
            for name in reals:
                scale = scale_of(reals[name], reals, column.tolerance.small)
                self.note(column, name, error(values.get(name), wanted.get(name), scale))
            for name in values.keys() - reals.keys():
                self.note(column, name, float("inf"))

    def twice(self, column: Column, module: types.ModuleType, case: Case) -> None:
        """How values and gradients move in a direction."""
        towards = second.random_direction(case)
        exact = second.differenced(self.cell, case, self.adjoint, towards)
        found, _ = second.run(module, case, towards, "float64")
        self.compare(column, found, {name: real(value) for name, value in exact.tensors().items()}, exact)

    def torched(self, kind: Kind, case: Case, first: Result, exact: Result) -> None:
        if self.torch.missing:
            return
        ways: dict[str, Callable[[Case], Result]] = {"autograd": partial(pytorch.run, self.cell)}
        if self.known is not None and kind.lengths is None:
            ways[f"torch.nn.{self.known.module.name}"] = partial(torch_cells.run, self.cell, known=self.known)
        for way, ask in ways.items():
            run_case = partial(ask, case) if case.lengths is None else partial(each_alone, case, ask)
            found = self.tried(f"PyTorch ({way}), {kind.title}", run_case)
            if found is not None:
                self.compare(self.torch, found, first.tensors(), exact)

    def stepped(self, kind: Kind, case: Case, first: Result, exact: Result) -> None:
        """Directional derivatives against the reference's gradients and the kernels'."""
        derived, gradients = exact.gradients(), first.gradients()
        reals = {name: real(v) for name, v in derived.items()}
        for name in (n for n in case.tensors() if n in gradients and np.shape(gradients[n]) == np.shape(derived[n])):
            scale = scale_of(reals[name], reals)
            wanted = differences.along(derived[name], case, name)
            value = differences.complex_step(self.cell, case, self.graph, name)
            if not abs(value - wanted) <= TOLERANCES["derived"].limit * scale:
                central = differences.central_difference(self.cell, case, self.graph, name)
                if abs(central - wanted) <= TOLERANCES["derived"].limit * scale:
                    self.notes[f"{name}, {kind.title}: at a kink, so differenced from both sides"] = None
                    value = central
            self.note(DERIVED, name, float(abs(value - wanted)) / scale)
            self.note(self.step, name, float(abs(value - differences.along(gradients[name], case, name))) / scale)
            if kind is KINDS[0]:
                value = differences.kernel_difference(self.modules[self.targets[0].name], case, name)
                apart = abs(value - differences.along(gradients[name], case, name))
                self.note(self.central, name, float(apart) / scale)


def _column(target: Target, dtype: str) -> Column:
    return Column(f"{target.title} {dtype} and the reference", (target.name, _short(dtype)), dtype, target.missing)


def _short(dtype: str) -> str:
    return dtype.replace("float", "f") + (" ULP" if TOLERANCES[dtype].unit == "ulp" else "")
