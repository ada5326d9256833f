"""Small cells that between them use the whole language; each one tries what its name says."""

from __future__ import annotations

FEATURES = {
    "joined": "h[t] = tanh(W @ [h[t-1], x[t]] + b)",
    "joined_gates": "i[t] = sigmoid(W_i @ [h[t-1], x[t]] + b_i)\nf[t] = sigmoid(W_f @ [h[t-1], x[t]] + b_f)\n"
    "c[t] = f[t]*c[t-1] + i[t]*tanh(W_c @ [h[t-1], x[t]])\nh[t] = tanh(c[t])",
    "joined_transposed": "W: (D+H, H)\nh[t] = tanh(W.T @ [x[t], h[t-1]])",
    "joined_twice": "h[t] = tanh((W - V) @ [h[t-1], h[t-1]] + U @ x[t])",
    "shared_matrix": "h: D\nW: (D, D)\nh[t] = tanh(W @ x[t] + U.T @ h[t-1] + W.T @ (W @ h[t-1]))",
    "two_inputs": "x: D\nz: E\nh[t] = tanh(W @ x[t] + V @ z[t] + U @ h[t-1])",
    "input_lags": "h: D\nh[t] = tanh(W @ x[t] + V @ x[t-2] + U @ h[t-1] + u*x[t-1])",
    "learned_start": "h_0: H = zeros\nh[0] = h_0\nh[t] = tanh(W @ x[t] + U @ h[t-1])",
    "learned_lags": "h[0] = h_0\nh[t] = tanh(W @ x[t] + U @ h[t-3] + a*h[t-1])",
    "no_parameters": "h[t] = 0.5*h[t-1] + x[t]",
    "read_out": "y: K\nh[t] = tanh(W @ x[t] + U @ h[t-1])\ny[t] = V @ h[t] + c",
    "feed_forward": "y: K\ny[t] = V @ softplus(W @ x[t] + b)",
    "over_units": "h[t] = softmax(W @ x[t] + U @ h[t-1]) * max(h[t-1]) + norm(h[t-1])*a + var(x[t])",
    "scalars": "alpha: scalar = 0.5\ns: 1\ns[t] = 0.9*s[t-1] + sum(h[t-1])*alpha\nh[t] = tanh(W @ x[t] + s[t]*b)",
    "kinks": "x: D\nz: H\nh[t] = relu(W @ x[t]) - leaky_relu(U @ h[t-1]) + elu(a*h[t-1]) + clip(h[t-1], -0.5, 0.3)"
    " + maximum(b, h[t-1]) * minimum(z[t], hard_tanh(h[t-1])) + hard_sigmoid(c*h[t-1]) + abs(h[t-1])"
    " + where(h[t-1] > b, sin(h[t-1]), cos(z[t])) + sign(h[t-1])",
    "smooth": "h[t] = gelu(W @ x[t]) * silu(U @ h[t-1]) + erf(b*h[t-1]) + softsign(h[t-1]) + log_sigmoid(c*h[t-1])"
    " + log(1 + exp(h[t-1])) + sqrt(1 + h[t-1]**2) + (2 + h[t-1]**2)**p / (1 + d**2)",
    "signal_lags": "u[t] = tanh(W @ x[t])\nh[t] = sigmoid(V @ u[t-1] + R @ h[t-1]) * u[t-2]",
    "unread_input": "y: D\ny[t] = x[t] + 0*x[t-1]",
    "constant_signal": "k[t] = b\nh[t] = tanh(W @ x[t] + U @ h[t-1]) + k[t-1]",
    "gate_of_input": "f[t] = sigmoid(W_f @ x[t] + b_f)\nh[t] = f[t]*h[t-1] + (1-f[t])*(W @ x[t])",
    "normalised": "h[t] = rmsnorm(W @ x[t] + U @ layernorm(h[t-1], g, b), q) + mean(h[t-1])*dot(a, h[t-1])",
    "fixed_values": "v: K\nh[t] = tanh(W @ (norm(v)*v) + V @ x[t] + U @ h[t-1])",
    "sign": "h[t] = W @ x[t] + sign(h[t-1])",
    "unread_state": "z[t] = 0.5*z[t-1] + W @ x[t]\nh[t] = tanh(W @ x[t] + b)",
    "reserved_names": "h[t] = tanh(np @ x[t] + T @ h[t-1] + B*S[t] + E + I + params + self + int + double*threadIdx)\n"
    "S[t] = sigmoid(state @ x[t] + real*n*batch + dtype*t2*x_rows)",
    "sent_on_from_one_step": "s: H\nM: (H, H)\ns[t] = tanh(W @ x[t] + h[t-1])\nh[t] = tanh(M.T @ s[t] + N.T @ s[t-1])",
    "a_gradient_read_again": "h: H\nx: H\nh[t] = tanh((M0 @ x[t]) * (h[t-1] * x[t] + (M1 - M2.T) @ x[t]))",
    "idle_output": "s: H\nx: H\nh: H\ns[t] = tanh(x[t] + s[t-3] + h[t-1])\nh[t] = tanh(s[t] - s[t])",
    "functions_of_one_unit": "s: 1\nh: H\ns[t] = mean(softmax(norm(h[t-1]))) + max(mean(x[t]))\n"
    "h[t] = tanh(W @ x[t] + s[t] * b)",
    "constant_arguments": "x: H\nh[t] = exp(x[t] - x[t] + 1) * tanh(W @ x[t] + U @ h[t-1]) + maximum(b - b, h[t-1])\n"
    "y[t] = h[t] * (gelu(x[t] - x[t] + 1) + erf(b - b + 1))",
    "greek_names": "h[t] = tanh(σ_w @ x[t] + Ü @ h[t-1] + β)",
}
"""Texts by name."""
