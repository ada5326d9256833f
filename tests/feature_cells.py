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
    # a sum that several products and an input share, of which some come from another step
    "a_shared_sum": "x: D\nh: H\nm: P\nh[t] = tanh(W @ e[t-1])\nm[t] = tanh(U @ e[t-1])\n"
    "e[t] = x[t] + V @ [h[t], m[t]] + V_1 @ h[t]",
    "three_sizes": "h: H\nm: P\ne: D\nm[t] = tanh(U @ h[t] + W_3 @ e[t-1])\n"
    "e[t] = tanh(x[t] + U_0 @ h[t]) * (U_1 @ h[t])\nh[t] = tanh(W @ e[t-1] + U_2 @ m[t-1])",
    # the size of an expression is what the text says, before anything cancels
    "cancelled": "s: scalar\nh: H\nx: D\nW: (H, D)\n"
    "h[t] = tanh(W @ (s*x[t]/(1 + x[t] - x[t])) + sum(s + 0*x[t]) * h[t-1])+ norm(s + x[t] - x[t])"
    " + V @ softmax(s*(2 + x[t]*x[t] - x[t]**2))",
    "a_cancelled_join": "h: H\nx: D\nh[t] = tanh(W @ [1 + 0*x[t], h[t-1]] + U @ (2 + x[t] - x[t]) + V @ x[t])",
    "inputs_of_one_unit": "x: 1\nh: H\ns: 1\nW: (H, 1)\ns[t] = layernorm(softmax(x[t])) + x[t] / (1 + var(x[t]))\n"
    "h[t] = tanh(W @ softmax(x[t]) + U @ h[t-1] + s[t]*b)",
    "powers_of_zero": "x: H\nz: H\nh[t] = tanh(U @ h[t-1] + sign(relu(x[t]))**relu(z[t]) + W @ x[t])",
    "sizes_named_t_and_b": "x: T\nh: B\ns: N\nh[t] = tanh(W @ x[t] + U @ h[t-1])\ns[t] = 0.5*s[t-1] + V @ h[t]\n"
    "y[t] = R @ s[t]\ny: steps",
    "a_size_of_states_alone": "s: K\nh: H\ns[t] = 0.5*s[t-1] + mean(x[t])\nh[t] = tanh(W @ x[t]) * max(s[t])",
    # matrices that vary
    "matrix_memory": "C: (H, K)\nq: K\nk: K\nv: H\nq[t] = W_q @ x[t]\nk[t] = W_k @ x[t]\nv[t] = W_v @ x[t]\n"
    "f[t] = sigmoid(w_f @ x[t])\nf: 1\nC[t] = f[t]*C[t-1] + outer(v[t], k[t])\nh[t] = tanh(C[t] @ q[t])",
    "delta_rule": "S: (H, K)\nk: K\nk[t] = W_k @ x[t] / (1 + norm(W_k @ x[t]))\nb: 1\nb[t] = sigmoid(w_b @ x[t])\n"
    "v: H\nv[t] = W_v @ x[t]\nS[t] = S[t-1] + outer(b[t]*(v[t] - S[t-1] @ k[t]), k[t])\n"
    "h[t] = S[t] @ (W_q @ x[t])",
    "scaled_rows_and_columns": "C: (H, K)\nx: H\nz: K\n"
    "C[t] = diag(sigmoid(a + x[t])) @ C[t-1] @ diag(tanh(z[t])) + outer(x[t], z[t])\n"
    "h[t] = C[t] @ z[t] + tanh(x[t])",
    "matrix_lags": "C: (H, K)\nk: K\nk[t] = tanh(W @ x[t])\n"
    "C[t] = 0.5*C[t-1] + 0.2*C[t-3] + outer(tanh(V @ x[t]), k[t-1])\nh: H\n"
    "h[t] = C[t-2] @ k[t] + tanh(V @ x[t])",
    "matrix_input_and_output": (
        "X: (H, K)\nM: (H, K)\nC: (H, K)\nC[t] = tanh(X[t]) * C[t-1] + 0.5*M - sigmoid(M) * X[t-1]\noutput: C"
    ),
    "matrix_start": "C: (H, K)\nC[0] = C_0\nC_0: (H, K)\nx: K\nC[t] = tanh(0.5*C[t-1] + outer(W @ x[t], x[t]))\n"
    "h[t] = C[t].T @ b\nb: H\nh: K",
    "matrix_scalars": "C: (H, 3)\ns: 1\nalpha: scalar\ns[t] = tanh(w @ x[t])\nw: (1, D)\nx: D\n"
    "C[t] = alpha*C[t-1]*s[t] + relu(outer(W @ x[t], U @ x[t])) / (1 + norm(x[t]))\nh: H\n"
    "h[t] = C[t] @ (sum(x[t])*g)\ng: 3",
    "square_memory": "C: (H, H)\nx: H\nC[t] = 0.5*C[t-1] + outer(x[t], x[t])\n"
    "h[t] = tanh((W - W.T) @ (C[t] @ h[t-1]) + C[t-1].T @ x[t])",
    # what the caller sets, and where parameters start
    "constant_arrays": "A: const(N, N)\nB: const(N)\nm: N\nm[t] = A @ m[t-1] + B * u[t]\nu: 1\n"
    "u[t] = w @ x[t] + v @ h[t-1]\nh: H\nh[t] = tanh(W @ m[t] + V @ x[t])",
    "constant_matrix_elementwise": (
        "A: const(H, K)\nC: (H, K)\nx: K\nC[t] = A * tanh(C[t-1]) + outer(W @ x[t], x[t])\nh[t] = C[t] @ x[t]"
    ),
    "constants_in_every_place": (
        "k: const = 2\nh[t] = tanh(sqrt(k) * (V @ x[t]) + sqrt(2) + 0.7*0.06*h[t-2] + h[t-1]**k + clip(h[t-1], -k, k)"
        " + (W/3 - k*W) @ h[t-1] + 2**k * b)"
    ),
    "named_constants": (
        "eps: const = 0.06\nk: const = 0.7*2\nh[t] = tanh(W @ x[t] + U @ h[t-1]) * k * eps + eps*k*h[t-1]"
    ),
    "many_starts": "W: (H, H) = identity\nU: (H, H) = normal(0.02)\nV: (H, D) = uniform(0.1)\nb: H = normal\nx: D\n"
    "h[t] = tanh(W @ h[t-1] + U @ h[t-2] + V @ x[t] + b)",
}
"""Texts by name."""

AT_A_POLE = ("powers_of_zero",)
"""Cells whose derivative at a point that is tried is a convention: differences say nothing there."""
