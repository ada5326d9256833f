"""Size inference: what agrees is equal, what is open gets its default name."""

import pytest
from hypothesis import given, strategies as st

from symcell.cell import CellError, Size
from symcell.language import parse
from symcell.language.unify import Length, Lengths, Outcome


def sizes(text):
    cell = parse(text)
    shapes = {**cell.inputs, **cell.signals, **{name: p.shape for name, p in cell.parameters.items()}}
    return {name: "×".join(map(str, shape)) or "scalar" for name, shape in shapes.items()}


TABLE = [
    ("h[t] = W @ x[t] + b", {"x": "D", "h": "H", "W": "H×D", "b": "H"}),
    ("h[t] = tanh(x[t] + b * h[t-1])", {"x": "H", "h": "H", "b": "H"}),
    ("x: K\nh[t] = W @ x[t]", {"x": "K", "h": "H", "W": "H×K"}),
    ("x: H\nh: K\nh[t] = W @ x[t]", {"x": "H", "h": "K", "W": "K×H"}),
    ("x: 3\nh: 4\nh[t] = W @ x[t]", {"x": "3", "h": "4", "W": "4×3"}),
    ("h[t] = W.T @ x[t]", {"x": "D", "h": "H", "W": "D×H"}),
    ("h[t] = (W - W.T) @ h[t-1] + V @ x[t]", {"W": "H×H", "V": "H×D"}),
    ("h[t] = W @ [h[t-1], x[t]]", {"W": "H×D+H"}),
    ("h[t] = W @ [h[t-1], x[t], h[t-2]]", {"W": "H×D+2*H"}),
    ("W: (H, 10)\nh: 4\nh[t] = W @ [h[t-1], x[t]]", None),
    ("W: (4, 10)\nh: 4\nh[t] = W @ [h[t-1], x[t]]", {"x": "6", "W": "4×10"}),
    ("h[t] = V @ (W.T @ [h[t-1], x[t]])", None),
    ("k: K\nk[t] = W.T @ (W @ [h[t-1], x[t]])\nh[t] = V @ x[t]\nz: 2\nz[t] = U @ k[t]", None),
    ("z[t] = W.T @ (W @ [h[t-1], x[t]])\nh: H\nh[t] = V @ x[t]\nW: (4, D + H)", {"z": "D+H", "W": "4×D+H", "x": "D"}),
    ("W: (K, D + H) = orthogonal\nh: H\nx: D\nk[t] = W @ [h[t-1], x[t]]\nh[t] = U @ k[t]", {"k": "K", "U": "H×K"}),
    ("h[t] = W @ x[t] + U @ z[t]\nx: D\nz: E", {"z": "E", "U": "H×E"}),
    ("h[t] = h[t-1] * z[t] + W @ x[t]\nx: D", {"z": "H", "W": "H×D"}),
    ("h[t] = h[t-1] * x[t] + z[t]", {"x": "H", "z": "H", "h": "H"}),
    # one value for all units
    ("s[t] = mean(x[t])\nh[t] = W @ x[t] * s[t]", {"s": "1", "h": "H"}),
    ("s[t] = mean(x[t])\nh[t] = (W @ x[t]) * s[t]", {"s": "1", "h": "H"}),
    ("s[t] = 2 * mean(x[t]) + r[t]\nr[t] = max(x[t])\nh[t] = (W @ x[t]) * s[t-1]", {"s": "1", "r": "1"}),
    ("m[t] = 0.9 * m[t-1] + 0.1 * mean(x[t])\nh[t] = m[t] + W @ x[t]", {"m": "H"}),
    ("m: 1\nm[t] = 0.9 * m[t-1] + 0.1 * mean(x[t])\nh[t] = m[t] + W @ x[t]", {"m": "1", "h": "H"}),
    ("s[t] = 0.5\nh[t] = s[t] * (W @ x[t])", {"s": "1", "h": "H"}),
    ("dt: 1\nx: D\nh[t] = h[t-1] + dt[t] * (W @ x[t])", {"dt": "1", "h": "H"}),
    ("a: scalar\nh[t] = a * (W @ x[t])", {"a": "scalar", "h": "H"}),
    ("a: 1\nh[t] = a * (W @ x[t])", {"a": "1", "h": "H"}),
    ("h[t] = W @ x[t]\ny: 1\ny[t] = V @ h[t]", {"y": "1", "V": "1×H"}),
    ("h[t] = W @ x[t]\nw: (1, H)\ns[t] = w @ h[t]\ng[t] = s[t] * h[t]", {"s": "1", "g": "H"}),
    ("h[t] = W @ mean(x[t]) + h[t-1]", {"W": "H×1", "h": "H"}),
    ("h: H\nh[t] = mean(x[t])", {"h": "H", "x": "D"}),
    ("s[t] = mean(x[t]) * b\nh[t] = x[t] * mean(s[t])", {"s": "H", "b": "H"}),
    # normalisation
    ("h[t] = layernorm(W @ x[t], g, b)", {"g": "H", "b": "H", "h": "H"}),
    ("g: scalar\nh[t] = rmsnorm(W @ x[t], g)", {"g": "scalar", "h": "H"}),
    ("h[t] = softmax(x[t])", {"h": "D"}),
    ("h[t] = layernorm(W @ x[t], 2, 1)", {"h": "H"}),
    ("h[t] = clip(x[t], low, high)", {"low": "D", "high": "D"}),
    ("h[t] = where(x[t] > 0, b, 0)", {"b": "D"}),
    ("h[t] = dot(x[t], x[t-1]) * b + h[t-1]", {"h": "H", "b": "H"}),
]


@pytest.mark.parametrize(("text", "expected"), [row for row in TABLE if row[1] is not None])
def test_inferred_sizes(text, expected):
    """Protects the rules of LANGUAGE.md for sizes that are left open."""
    found = sizes(text)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("text", [row[0] for row in TABLE if row[1] is None])
def test_open_or_contradictory_sizes_are_errors(text):
    """Protects against a guess where more than one answer is possible, or none."""
    with pytest.raises(ValueError, match=r"open|long|×|left of @"):
        parse(text)


def test_order_of_sizes():
    """Protects the argument order of init_params: inputs first, then as the equations name them."""
    assert parse("h: P\nc: H\nc[t] = W @ x[t] + U @ h[t-1]\nh[t] = V @ c[t]").sizes == ("D", "H", "P")
    assert parse("x: E\nh: H\nh[t] = W @ h[t-1] + V @ x[t]").sizes == ("E", "H")


def test_sizes_may_share_their_name_with_a_value():
    """Protects signals called D or H beside the default sizes."""
    cell = parse("H[t] = W @ x[t] + D * H[t-1]\noutput: H")
    assert dict(cell.signals) == {"H": (Size.of("H"),)}
    assert cell.sizes == ("D", "H")


lengths = st.builds(
    lambda unknown, names, fixed: (tuple(sorted(unknown)), sum(map(Size.of, names), Size.of(fixed))),
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(st.sampled_from("DHK"), max_size=2),
    st.integers(0, 3),
).filter(lambda pair: pair[0] or pair[1] != Size())


@given(st.lists(st.tuples(lengths, lengths), max_size=6))
def test_unified_lengths_are_equal(pairs):
    """Protects unification: what it calls equal is equal afterwards, and it always comes to an end."""
    store = Lengths()
    for _ in range(4):
        store.new()
    for left, right in pairs:
        one, other = Length(*left), Length(*right)
        if store.unify(one, other) is Outcome.EQUAL:
            assert store.resolve(one) == store.resolve(other)


@pytest.mark.parametrize(
    "text",
    [
        "h[t] = V @ (W.T @ [h[t-1], x[t]])",
        "z[t] = V @ (W @ x[t])\nh[t] = U @ (Q @ x[t])",
        "y[t] = V @ (A @ (B @ x[t]))",
        "h: H\nh[t] = x[t]\ny[t] = V @ (A @ (B @ x[t]))",
        "y[t] = W @ h[t]\nh[t] = U @ x[t]",
        "C[t] = outer(A @ x[t], B @ x[t])\noutput: C",
    ],
)
def test_advice_that_is_followed_works(text):
    """Protects what to declare where sizes are open: each name once, and enough of them."""
    with pytest.raises(CellError) as caught:
        parse(text)
    advice = caught.value.diagnostics[0].advice.removeprefix("declare ").split(", or ")[0].split(" and ")
    assert len({line.split(":")[0] for line in advice}) == len(advice)
    assert parse("\n".join([text, *advice])).sizes


def test_an_input_of_open_size_and_a_state_under_one_matrix():
    """Protects the rule for slips: a declaration that makes the sizes equal turns it off, whatever the order."""
    for text in ("h[t] = W @ x[t] + W @ h[t-1]", "h[t] = W @ h[t-1] + W @ x[t]", "h: H\nh[t] = W @ h[t-1] + W @ x[t]"):
        with pytest.raises(CellError, match="if x is as long as h, declare x: H"):
            parse(text)
        assert sizes(f"{text}\nx: H")["W"] == "H×H"
        assert sizes(f"{text}\nW: (H, H)")["x"] == "H"
    assert sizes("h[t] = W @ x[t] + W @ h[t-1] + x[t] * h[t-1]")["W"] == "H×H"
    assert sizes("h[t] = W @ x[t] + W @ x[t-1]")["W"] == "H×D"


def test_the_states_keep_the_name_h():
    """Protects the advice for a readout: it is the output's size that wants a name."""
    with pytest.raises(CellError, match="declare y: K"):
        parse("y[t] = V @ h[t] + c\nh[t] = tanh(W @ x[t] + U @ h[t-1] + b)")
