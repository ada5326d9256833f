"""The fingerprint of an emitted module: equations, plan, templates and version."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.resources import files
from importlib.resources.abc import Traversable

from symcell.program.model import Kernel, Plan, Program, Stage, Statement
from symcell.version import __version__


def stamp(plan: Plan) -> str:
    """16 hexadecimal digits that change whenever what is emitted may change."""
    parts = [__version__, plan.cell.name, plan.cell.text, repr(plan.parameters), templates_digest()]
    parts += [text for program in plan.programs.values() for text in _texts(program)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _texts(program: Program) -> Iterator[str]:
    """What a program is apart from its equations, which follow from the cell's: the same in every run."""
    yield f"{program.role} {program.profile} {program.enters} {program.leaves} {program.results} {program.tape}"
    yield f"{sorted(program.numbers.items())}"
    for buffer in program.buffers.values():
        members = ", ".join(f"{m.name} {' '.join(map(str, m.shape))}" for m in buffer.members)
        yield f"{replace(buffer, members=())} {members}"
    for region in program.regions:
        yield f"{region.kind} {region.direction} {sorted(region.inputs_only)}"
        yield from map(_stage, region.stages)


def _stage(stage: Stage) -> str:
    if isinstance(stage, Kernel):
        phases = [(len(p.scalars), len(p.body), len(p.reductions), p.barrier, p.turns) for p in stage.phases]
        return f"{stage.name} {stage.rowwise} {phases} {' '.join(map(_statement, stage.statements()))}"
    refs = [(f.name, getattr(stage, f.name)) for f in fields(stage) if f.name not in ("op", "ops", "reads", "calls")]
    ops = getattr(stage, "ops", ()) or (getattr(stage, "op", None),)
    return f"{type(stage).__name__} {[op.out for op in ops if op]} {refs}"


def _statement(statement: Statement) -> str:
    reads = [(operand.name, ref) for operand, ref in statement.reads.items()]
    calls = [getattr(call.function, "__name__", call.function) for call in statement.calls]
    return f"{[op.out for op in statement.ops]} {statement.out} {reads} {calls} {statement.work} {statement.mask}"


@functools.cache
def templates_digest() -> str:
    """A digest of all templates."""
    digest = hashlib.sha256()
    for path, text in sorted(_walk(files("symcell.templates"), "")):
        digest.update(f"{path}\0{text}\0".encode())
    return digest.hexdigest()


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        elif item.name.endswith(".j2"):
            found.append((prefix + item.name, item.read_text(encoding="utf-8")))
    return found
