"""A document with every block, and a text that means something to every form."""

import sympy

from symcell.derivation.figures import step_graph
from symcell.derivation.model import (
    Algorithm,
    Condition,
    Display,
    Do,
    Document,
    Figure,
    Formula,
    Group,
    Literal,
    Loop,
    Meaning,
    Paragraph,
    Quoted,
    Ref,
    Section,
    Symbols,
    Table,
    say,
)
from symcell.language import load
from symcell.symbolic.nodes import At, Hadamard

HOSTILE = (
    r"""it's "so" */ {{ x }} {% y %} <script>alert(1)</script> \write18{ls} $a_b$ 100% #1 & ~^ `code` [a](b) """
    "変 ẞ é ∑ 🙂 -- ,, ?` \\end{document}"
)


def every_block(name: str = "c", text: str = "cell state") -> Document:
    c, f = At(name), At("f")
    formulas = (
        Formula(1, c, Hadamard(f, At(name, 1)), label=text),
        Formula(2, c, sympy.Integer(1), via=(f,), cites=(1,), condition=Condition("last", 1)),
        Formula(3, f, Hadamard(*(At(f"long_{name}_{k}") for k in range(12))), note=say("functions.kink"), cites=(1, 2)),
    )
    lines = (Do(say("algorithm.zero")), Loop(say("algorithm.forward", T=sympy.Symbol("T")), (Do(say("loss.column")),)))
    graph = step_graph(load("gru"))
    blocks = (
        Quoted(text),
        Symbols((Meaning((name, "f"), (sympy.Symbol("H"),), True, Literal(text)),)),
        Paragraph(say("algorithm.learned", gradient=c, ref=Ref((1, 2, 3)))),
        Display(formulas),
        Figure("step", graph, say("graph.unrolled")),
        Figure("unrolled", graph, say("graph.unrolled")),
        Algorithm(say("algorithm.bptt"), lines),
        Table((say("cost.quantity"), say("cost.formula")), ((say("loss.column"), c), (Literal(text), (c, f)))),
    )
    section = Section("every", say("chain.title"), (Group(say("forward.equations"), blocks),))
    return Document(text, "every", text, "c", {}, "n", (section,), {})
