"""The order in which parameters and cotangents lie in memory, so that stacked products need no copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from symcell.adjoint import Adjoint
from symcell.cell import ONE
from symcell.graph import Combine, Graph, Matrix, Operand, Outer, Pointwise, Total, name_of
from symcell.plan.schedule import Gemm, Gradient, Schedule, Stage, Sums
from symcell.symbolic.nodes import At, Param


def chains(groups: Iterable[frozenset[str]], key: Callable[[str], tuple[int, int]]) -> list[list[str]]:
    """Sequences in which as many groups as can be stand side by side (the consecutive-ones problem, greedily).

    Groups come most important first; one that does not fit the sequences made so far is left out. Within what the
    groups leave open, members are sorted by ``key``.
    """
    made: list[list[set[str]]] = []
    for group in groups:
        touched = [chain for chain in made if any(group & block for block in chain)]
        if not touched:
            made.append([set(group)])
        elif len(touched) == 1:
            fitted = _fit(touched[0], set(group))
            if fitted is not None:
                made[made.index(touched[0])] = fitted
    return [[name for block in chain for name in sorted(block, key=key)] for chain in made]


def _fit(chain: list[set[str]], group: set[str]) -> list[set[str]] | None:
    """``chain`` with ``group`` made consecutive, or None where that would tear an earlier group apart."""
    touched = [k for k, block in enumerate(chain) if block & group]
    first, last = touched[0], touched[-1]
    new = group - set().union(*chain)
    if len(touched) != last - first + 1 or any(chain[k] - group for k in touched[1:-1]):
        return None
    left_over, right_over = chain[first] - group, chain[last] - group
    if first == last:
        inside = [chain[first] & group]
        if not new:
            middle = [left_over, *inside]
        elif last == len(chain) - 1:
            middle = [left_over, *inside, new]
        elif first == 0:
            middle = [new, *inside, left_over]
        else:
            return None
        return [b for b in (*chain[:first], *middle, *chain[last + 1 :]) if b]
    middle = [left_over, chain[first] & group, *chain[first + 1 : last], chain[last] & group, right_over]
    if new:
        if not right_over and last == len(chain) - 1:
            middle.append(new)
        elif not left_over and first == 0:
            middle.insert(0, new)
        else:
            return None
    return [b for b in (*chain[:first], *middle, *chain[last + 1 :]) if b]


def cotangent_chains(backward: Schedule) -> list[list[str]]:
    """The cotangents that stacked products read together, each chain to be one buffer."""
    groups: dict[frozenset[str], None] = {}
    for _, stage in backward.stages():
        if isinstance(stage, Gemm) and len(stage.operands) > 1 and _stackable(stage, backward.graph):
            groups[frozenset(name_of(o) for o in stage.operands)] = None
    ranked = sorted(groups, key=lambda g: (-len(g), sorted(g)))
    return chains(ranked, _like_with_like(backward.graph))


def _stackable(stage: Gemm, graph: Graph) -> bool:
    names = [m.name for m in stage.matrices]
    operands = [name_of(o) for o in stage.operands]
    made = graph.producer()
    return (
        len(set(names)) == len(names)
        and len(set(operands)) == len(operands)
        and all(m.transposed for m in stage.matrices)
        and len({(m.block, graph.values[m.name].shape[1]) for m in stage.matrices}) == 1
        and all(isinstance(o, At) and o.lag == 0 and o.signal in made for o in stage.operands)
    )


def _like_with_like(graph: Graph) -> Callable[[str], tuple[int, int]]:
    """A sort key that puts cotangents computed by the same formula side by side: their ufuncs run as one."""
    first: dict[str, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for k, op in enumerate(graph.steps):
        if isinstance(op, Pointwise):
            place[op.out] = (first.setdefault(formula(op), k), -k)
    return lambda name: place.get(name, (len(graph.steps), 0))


def formula(op: Pointwise) -> str:
    """The body of a step with its operands' names taken out."""
    operands = op.operands()
    blank: dict[Operand, Operand] = {a: Param("_") if isinstance(a, Param) else At("_", a.lag) for a in operands}
    return f"{len(operands)}: {op.body.xreplace(blank)}"


def targets(adjoint: Adjoint) -> dict[str, str]:
    """For each parameter the cotangent that its gradient is made from (the first where there are several)."""
    made = adjoint.graph.producer()
    found = {}
    for parameter in adjoint.forward.fixed:
        op = made.get(adjoint.gradients.get(parameter, ""))
        if isinstance(op, Combine):
            op = made.get(op.terms[0].matrix.name)
        if isinstance(op, Outer):
            found[parameter] = name_of(op.left)
        elif isinstance(op, Total):
            found[parameter] = name_of(op.arg)
    return found


def parameter_order(adjoint: Adjoint, forward: Schedule, ordered: list[list[str]]) -> tuple[str, ...]:
    """All parameters in the order of the flat buffer: stacked matrices, then vectors in their stacks' order."""
    place = {name: (c, k) for c, chain in enumerate(ordered) for k, name in enumerate(chain)}
    target = targets(adjoint)
    last = (len(ordered), 0)
    flat: dict[str, None] = {}
    for stack in (*_matrix_stacks(forward), *_vector_stacks(adjoint, target)):
        flat |= dict.fromkeys(sorted(stack, key=lambda p: place.get(target.get(p, ""), last)))
    return tuple(flat | dict.fromkeys(adjoint.forward.fixed))


def _matrix_stacks(forward: Schedule) -> list[list[str]]:
    parameters = forward.graph.fixed
    return [
        [m.name for m in stage.matrices]
        for _, stage in forward.stages()
        if isinstance(stage, Gemm) and len(stage.outs) > 1 and all(m.name in parameters for m in stage.matrices)
    ]


def _vector_stacks(adjoint: Adjoint, target: dict[str, str]) -> list[list[str]]:
    """Vectors with different cotangents go together; a second vector of one cotangent starts another stack."""
    stacks: list[dict[str, str]] = []
    values = adjoint.forward.values
    for p in adjoint.forward.fixed:
        if p not in target or len(values[p].shape) != 1 or values[p].size == ONE:
            continue
        stack = next((s for s in stacks if target[p] not in s), None)
        if stack is None:
            stacks.append(stack := {})
        stack[target[p]] = p
    return [list(s.values()) for s in stacks]


def settle(
    graph: Graph, stages: tuple[Stage, ...], flat: Sequence[str], ordered: list[list[str]], owner: dict[str, str]
) -> tuple[Stage, ...]:
    """Stacked stages in memory order, split where their members do not lie side by side.

    ``owner`` maps a gradient value to the parameter whose place in the flat buffer it takes.
    """
    chained = {name: (f"chain {c}", k) for c, chain in enumerate(ordered) for k, name in enumerate(chain)}
    settler = _Settler(graph, {p: k for k, p in enumerate(flat)}, chained, owner)
    return tuple(s for stage in stages for s in settler.settled(stage))


Place = tuple[str, int] | None
"""A line of memory and the position in it; None for what lies alone."""


@dataclass(frozen=True)
class _Settler:
    graph: Graph
    flat: dict[str, int]
    chained: dict[str, tuple[str, int]]
    owner: dict[str, str]

    def matrix(self, matrix: Matrix) -> Place:
        if matrix.name not in self.flat:
            return None
        kind = f"{matrix.transposed} {matrix.block} {self.graph.values[matrix.name].shape[1]}"
        return kind, self.flat[matrix.name]

    def gradient(self, out: str) -> Place:
        owner = self.owner.get(out)
        return None if owner is None else (str(self.graph.values[out].shape[1:]), self.flat[owner])

    def vector(self, operand: Operand) -> Place:
        return self.chained.get(name_of(operand)) if isinstance(operand, At) and not operand.lag else None

    def settled(self, stage: Stage) -> list[Stage]:
        match stage:
            case Gemm(outs, matrices) if len(outs) > 1:
                runs = _runs([((self.matrix(m),), (o, m)) for o, m in zip(outs, matrices, strict=True)])
                return [Gemm(*_columns(run), stage.operands) for run in runs]
            case Gemm(_, matrices, operands) if len(operands) > 1:
                pairs = zip(matrices, operands, strict=True)
                runs = _runs([((self.matrix(m), self.vector(v)), (m, v)) for m, v in pairs])
                return [Gemm(stage.outs, *_columns(run), k > 0) for k, run in enumerate(runs)]
            case Gradient(outs, lefts, right):
                pieces = zip(outs, lefts, strict=True)
                runs = _runs([((self.gradient(o), self.vector(v)), (o, v)) for o, v in pieces])
                return [Gradient(*_columns(run), right) for run in runs]
            case Sums(outs, args):
                runs = _runs([((self.gradient(o), self.vector(a)), (o, a)) for o, a in zip(outs, args, strict=True)])
                return [Sums(*_columns(run)) for run in runs]
        return [stage]


Row = tuple[tuple[Place, ...], tuple[Any, Any]]
"""Where the two members of a pair lie, and the pair."""


def _columns(run: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    return tuple(first for first, _ in run), tuple(second for _, second in run)


def _runs(rows: Iterable[Row]) -> list[list[tuple[Any, Any]]]:
    """Pairs sorted by place, cut wherever one of their places does not follow the one before."""
    ranked = sorted(rows, key=lambda row: [p or ("~", 0) for p in row[0]])
    runs: list[list[tuple[Any, Any]]] = []
    for k, (places, pair) in enumerate(ranked):
        if k and all(map(_follows, ranked[k - 1][0], places)):
            runs[-1].append(pair)
        else:
            runs.append([pair])
    return runs


def _follows(before: Place, after: Place) -> bool:
    return before is not None and after is not None and after == (before[0], before[1] + 1)
