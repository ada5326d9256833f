"""The graphs in the language of mermaid, which GitHub draws."""

from __future__ import annotations

from collections.abc import Mapping

from symcell.derivation.figures.model import Arrow, Role, StepGraph, Through
from symcell.derivation.figures.names import split, when
from symcell.derivation.figures.onestep import collapsed, fits, symbols
from symcell.derivation.figures.picture import LOSS, Label, Sign, Symbol
from symcell.derivation.figures.unrolled import STEPS, carried, given, gradients

_SHAPES = {Role.INPUT: '(["{}"])', Role.BEFORE: '(["{}"])', Role.VALUE: '["{}"]', Role.STATE: '[["{}"]]',
           Role.OUTPUT: '[["{}"]]'}  # fmt: skip


def mermaid_step(graph: StepGraph, names: Mapping[str, str]) -> str:
    """One step, from left to right."""
    shown = graph if fits(graph) else collapsed(graph)
    lines = ["flowchart LR"]
    for k, node in enumerate(shown.nodes):
        lines.append(f"  n{k}{_SHAPES[node.role].format(_told(symbols(node.name, node.lag), names))}")
    lines += [f'  n{a.source} -- "{_way(a, names)}" --> n{a.target}' for a in shown.arrows]
    return "\n".join(lines)


def mermaid_unrolled(graph: StepGraph, names: Mapping[str, str]) -> str:
    """Steps t−1, t and t+1, gradients dotted."""
    lines = ["flowchart LR"]
    for k, lag in enumerate(STEPS):
        output, loss = (_told((Symbol(name, lag),), names) for name in (graph.output, LOSS))
        lines += [
            f'  s{k}["{when(lag)}"]',
            f'  x{k}(["{_told(given(graph.inputs, lag), names)}"]) --> s{k}',
            f'  s{k} -- "{output}" --> l{k}(["{loss}"])',
        ]
    for k, lag in enumerate(STEPS[:-1]):
        states = (carried(graph, lag), gradients(graph, lag))
        for there, back in zip(*states, strict=True):
            lines.append(f'  s{k} -- "{_told(there, names)}" --> s{k + 1}')
            lines.append(f'  s{k + 1} -. "{_told(back, names)}" .-> s{k}')
    return "\n".join(lines)


def _way(arrow: Arrow, names: Mapping[str, str]) -> str:
    match arrow.through:
        case Through.MATRIX:
            return _told(tuple(Symbol(m) for m in arrow.matrices) or (Sign("∗"),), names)
        case Through.UNITWISE:
            return "⊙"
        case Through.ADDED:
            return "#43;"


def _told(label: Label, names: Mapping[str, str]) -> str:
    parts = [p.text if isinstance(p, Sign) else _symbol(p, names) for p in label]
    return ", ".join(parts)


def _symbol(symbol: Symbol, names: Mapping[str, str]) -> str:
    head, subscript = split(symbol, names)
    return head + (f"<sub>{subscript}</sub>" if subscript else "")
