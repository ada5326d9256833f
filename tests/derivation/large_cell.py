"""A cell of as many equations as one likes."""


def large(equations: int) -> str:
    """Its text: a chain of gates, each of which also reads an earlier one and the state."""
    lines = ["a0[t] = tanh(W @ x[t] + U @ h[t-1] + b)"]
    lines += [f"a{k}[t] = sigmoid(a{k - 1}[t] * a{max(0, k - 3)}[t] + v_{k} * h[t-1])" for k in range(1, equations - 1)]
    return "\n".join([*lines, f"h[t] = tanh(a{equations - 2}[t] + a0[t])", ""])
