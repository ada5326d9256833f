"""A certificate as a section of the derivation that it is of."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import sympy

from symcell.derivation.check.certificate import DIGITS, Certificate, Checked, Witness
from symcell.derivation.model import Document, Group, Paragraph, Ref, Section, Table, Value, Words, say


def with_certificate(document: Document, certificate: Certificate) -> Document:
    """The derivation with a last section that says which of its formulas were evaluated, against what, how well."""
    kept = {formula.number for formula in document.formulas()}
    rows = [row for row in certificate.rows if row.number in kept]
    told = say("check.told", digits=sympy.Integer(DIGITS), count=sympy.Integer(len(rows)),
               T=sympy.Integer(certificate.steps), B=sympy.Integer(certificate.batch))  # fmt: skip
    table = Table(tuple(say(f"check.{key}") for key in ("witness", "formulas", "error")), tuple(_rows(rows)))
    whole = say("check.direction", error=_short(certificate.direction))
    section = Section("check", say("check.title"), (Group(None, (Paragraph(told), table, Paragraph(whole))),))
    return replace(document, sections=(*document.sections, section))


def _rows(rows: list[Checked]) -> list[tuple[Value, ...]]:
    out: list[tuple[Value, ...]] = []
    for witness in get_args(Witness):
        mine = [row for row in rows if row.witness == witness]
        if mine:
            name: Words = say(f"check.{witness}")
            out.append((name, Ref(tuple(row.number for row in mine)), _short(max(row.error for row in mine))))
    return out


def _short(error: float) -> sympy.Expr:
    """Two digits of it."""
    return sympy.Float(f"{error:.1e}") if error else sympy.Integer(0)
