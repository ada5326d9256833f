"""The order in which parameters and cotangents lie in memory, so that stacked products need no copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from symcell.adjoint import Adjoint
from symcell.graph import Combine, Graph, Op, Operand, Outer, Pointwise, Reduce, Total, name_of
from symcell.plan.consecutive import chains
from symcell.plan.stages import Schedule, Stack
from symcell.symbolic.nodes import At, Param


def cotangent_chains(backward: Schedule, lines: Mapping[str, int] | None = None) -> list[list[str]]:
    """The cotangents that stacked products read together, each chain to be one buffer.

    ``lines``: the places of the matrices in memory, if these are settled (with a gap between two buffers): chains
    follow them then, where else matrices follow the chains.
    """
    groups: dict[frozenset[str], None] = {}
    made = backward.graph.producer()
    beside: dict[str, set[int]] = {}
    for _, stage in backward.all():
        if isinstance(stage, Stack) and len(stage.operands) > 1:
            for part in _parts(stage, lines or {}):
                if len(part.operands) > 1 and _stackable(part, backward.graph, set(made)):
                    groups[frozenset(name_of(o) for o in part.operands)] = None
                    for matrix, operand in zip(part.matrices, part.operands, strict=True):
                        beside.setdefault(name_of(operand), set()).add((lines or {}).get(matrix.name, 0))
    ranked = sorted(groups, key=lambda g: (-len(g), sorted(g)))
    if lines is None:
        return chains(ranked, _like_with_like(backward.graph))
    return chains(ranked, lambda name: (min(beside[name]), 0), lambda chain: _neighbours(chain, beside))


def _neighbours(chain: list[str], beside: Mapping[str, set[int]]) -> int:
    """How often the matrix behind one is that of the cotangent behind it."""
    return sum(1 for one, other in pairwise(chain) for k in beside[one] if k + 1 in beside[other])


def _parts(stage: Stack, lines: Mapping[str, int]) -> list[Stack]:
    """A sum of products, parted where its matrices lie in several buffers."""
    runs: list[list[int]] = []
    last = 0
    for k in sorted(range(len(stage.matrices)), key=lambda k: lines.get(stage.matrices[k].name, 0)):
        place = lines.get(stage.matrices[k].name, 0)
        if not runs or not set(range(last + 1, place)) <= {*lines.values()}:
            runs.append([])
        runs[-1].append(k)
        last = place
    return [Stack(stage.ops, tuple(stage.matrices[k] for k in r), tuple(stage.operands[k] for k in r)) for r in runs]


def _stackable(stage: Stack, graph: Graph, made: set[str]) -> bool:
    names = [m.name for m in stage.matrices]
    operands = [name_of(o) for o in stage.operands]
    return (
        len(set(names)) == len(names)
        and len(set(operands)) == len(operands)
        and all(m.transposed for m in stage.matrices)
        and len({(m.block, graph.shape(m.name)[1]) for m in stage.matrices}) == 1
        and all(isinstance(o, At) and o.lag == 0 and o.signal in made for o in stage.operands)
        and not any(name in graph.carried for name in operands)
    )


def _like_with_like(graph: Graph) -> Callable[[str], tuple[int, int]]:
    """A sort key that puts cotangents computed by the same formula side by side: their ufuncs run as one."""
    first: dict[object, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for k, op in enumerate(graph.steps):
        if isinstance(op, Pointwise):
            place[op.out] = (first.setdefault(formula(op), k), -k)
    return lambda name: place.get(name, (len(graph.steps), 0))


def formula(op: Op) -> object:
    """What a step does with its operands' names taken out."""
    if isinstance(op, Reduce):
        return op.kind, op.axis
    if not isinstance(op, Pointwise):
        return type(op)
    operands = op.operands()
    blank: dict[Operand, Operand] = {
        a: Param("_", a.axis) if isinstance(a, Param) else At("_", a.lag, a.axis) for a in operands
    }
    return len(operands), op.body.xreplace(blank)


def targets(adjoint: Adjoint) -> dict[str, str]:
    """For each parameter the cotangent that its gradient is made from (the first where there are several)."""
    made = adjoint.graph.producer()
    found = {}
    for parameter in adjoint.forward.fixed:
        op: Op | None = made.get(adjoint.gradients.get(parameter, ""))
        if isinstance(op, Combine):
            op = made.get(op.terms[0].matrix.name)
        if isinstance(op, Total) and isinstance(op.arg, At):
            outer = made.get(op.arg.signal)
            found[parameter] = name_of(outer.left) if isinstance(outer, Outer) else op.arg.signal
    return found


def parameter_order(
    adjoint: Adjoint, parameters: tuple[str, ...], forward: Schedule, ordered: list[list[str]]
) -> tuple[str, ...]:
    """All parameters in the order of the flat buffer: stacked matrices, then vectors in their stacks' order."""
    place = {name: (c, k) for c, chain in enumerate(ordered) for k, name in enumerate(chain)}
    target = targets(adjoint)
    last = (len(ordered), 0)
    flat: dict[str, None] = {}
    for stack in (*_matrix_stacks(forward, parameters), *vector_stacks(adjoint, parameters)):
        flat |= dict.fromkeys(sorted(stack, key=lambda p: place.get(target.get(p, ""), last)))
    return tuple(flat | dict.fromkeys(parameters))


def _matrix_stacks(forward: Schedule, parameters: tuple[str, ...]) -> list[list[str]]:
    known = set(parameters)
    return [
        [m.name for m in stage.matrices]
        for _, stage in forward.all()
        if isinstance(stage, Stack) and len(stage.ops) > 1 and all(m.name in known for m in stage.matrices)
    ]


def vector_stacks(adjoint: Adjoint, parameters: tuple[str, ...]) -> list[list[str]]:
    """Vectors that stand at one place of one formula go together: the biases, the gains of three gates."""
    first: dict[str, Op] = {}
    for step in adjoint.forward.steps:
        for operand in step.operands():
            if isinstance(operand, Param):
                first.setdefault(operand.signal, step)
    stacks: dict[object, list[str]] = {}
    for p in parameters:
        op = first.get(p)
        if isinstance(op, Pointwise) and len(adjoint.forward.shape(p)) == 1:
            order = [name_of(o) for o in op.order or op.operands()]
            key = (formula(op), order.index(p), str(adjoint.forward.shape(p)))
            stacks.setdefault(key, []).append(p)
    return list(stacks.values())
