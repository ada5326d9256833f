"""Small random cells as text, over the whole language."""

from __future__ import annotations

from hypothesis import strategies as st

UNARY = (
    "sigmoid", "tanh", "relu", "sin", "cos", "erf", "softplus", "silu", "gelu", "elu", "leaky_relu", "softsign",
    "log_sigmoid", "hard_sigmoid", "hard_tanh", "abs", "sign", "softmax", "layernorm", "rmsnorm",
)  # fmt: skip
TEMPLATES = (
    "({0} + {1})", "({0} - {1})", "{0} * {1}", "(1 - {0}) * {1}", "{0} / (1 + {1}**2)", "maximum({0}, {1})",
    "minimum({0}, {1})", "where({0} > {1}, {1}, {0})", "where({0} <= 0.1, {0}, {1})", "clip({0}, -0.5, 0.4)",
    "exp(tanh({0}))", "log(1 + {0}**2)", "sqrt(1 + {0}**2)", "(1 + {0}**2)**{1}", "-{0}", "{0}**2", "0.5*{0}",
    "leaky_relu({0}, 0.2)", "sum({0}) * {1}", "mean({0}) * {1}", "var({0}) + {1}", "max({0}) - {1}",
    "norm({0}) * {1}", "dot({0}, {1}) * {0}", "layernorm({0}, {g}, {b})", "rmsnorm({0}, {g})",
)  # fmt: skip


class Writer:
    """Writes expressions of size H, and keeps the parameters that they use."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.declared: dict[str, str] = {}
        self.signals: list[str] = []

    def parameter(self, shape: str, letter: str) -> str:
        """A fresh parameter, or one that has this shape already."""
        old = [name for name, of in self.declared.items() if of == shape]
        if old and self.draw(st.booleans()):
            return self.draw(st.sampled_from(old))
        name = f"{letter}_{len(self.declared)}"
        self.declared[name] = shape
        return name

    def leaf(self) -> str:
        kinds = ["state", "state", "vector", "input", "recurrent", "joined", "transposed", "lag", "scalar"]
        match self.draw(st.sampled_from([*kinds, *(["signal"] * 2 if self.signals else [])])):
            case "state":
                return f"h[t-{self.draw(st.sampled_from([1, 1, 2, 3]))}]"
            case "vector":
                return self.parameter("H", "a")
            case "scalar":
                return f"{self.parameter('scalar', 's')} * h[t-1]"
            case "input":
                return f"{self.parameter('(H, D)', 'W')} @ x[t]"
            case "lag":
                return f"{self.parameter('(H, D)', 'W')} @ x[t-{self.draw(st.sampled_from([1, 2]))}]"
            case "recurrent":
                return f"{self.parameter('(H, H)', 'U')} @ h[t-1]"
            case "transposed":
                one, other = self.parameter("(H, H)", "U"), self.parameter("(H, H)", "U")
                return self.draw(st.sampled_from([f"{one}.T @ h[t-1]", f"({one} - {other}.T) @ h[t-1]"]))
            case "joined":
                return f"{self.parameter('(H, D + H)', 'V')} @ [x[t], h[t-1]]"
        return f"{self.draw(st.sampled_from(self.signals))}[t{self.draw(st.sampled_from(['', '', '-1']))}]"

    def expression(self, depth: int) -> str:
        if depth == 0 or self.draw(st.integers(0, 5)) == 0:
            return self.leaf()
        if self.draw(st.booleans()):
            return f"{self.draw(st.sampled_from(UNARY))}({self.expression(depth - 1)})"
        template = self.draw(st.sampled_from(TEMPLATES))
        places = {"g": self.parameter("H", "g"), "b": self.parameter("H", "b")} if "{g}" in template else {}
        parts = [self.bracketed(depth - 1) if f"{{{k}}}" in template else "" for k in range(2)]
        return template.format(*parts, **{k: v for k, v in places.items() if f"{{{k}}}" in template})

    def bracketed(self, depth: int) -> str:
        text = self.expression(depth)
        return text if text.isidentifier() else f"({text})"


@st.composite
def cells(draw: st.DrawFn) -> str:
    """A cell's text: up to two signals besides the output h."""
    writer = Writer(draw)
    equations = []
    for signal in draw(st.sampled_from([(), ("p",), ("p", "q")])):
        equations.append(f"{signal}[t] = {writer.expression(draw(st.integers(1, 2)))}")
        writer.signals.append(signal)
    body = f"{writer.expression(3)} + {writer.parameter('(H, D)', 'W')} @ x[t]"
    equations.append(f"h[t] = {draw(st.sampled_from(['tanh', 'sigmoid', 'tanh', 'softsign']))}({body})")
    text = "\n".join(equations)
    declared = [
        f"{name}: {shape}"
        for name, shape in writer.declared.items()
        if f"{name}" in text.replace("[", " ").split() or name in text
    ]
    extra = ["h: H", "h[0] = h_0", "h_0: H"] if draw(st.booleans()) and "h[t-" in text else []
    return "\n".join([*extra[:1], *extra[2:], *extra[1:2], *declared, text]) + "\n"
