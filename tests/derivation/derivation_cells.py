"""Cells that reach every corner of a derivation; the shipped ones are tested too."""

TEXTS = {
    "joined": "h[t] = tanh(W @ [h[t-1], x[t]] + b)\nh[0] = h_0",
    "joined_twice":
    "z[t] = W @ [h[t-1], x[t]]\nh[t] = tanh(W @ [z[t], x[t]] + (W @ [h[t-1], x[t]])**2 + b)\nW: (H, H+D)",
    "names_taken": "dh[t] = tanh(W @ x[t] + U @ h[t-1])\nh_2[t] = sigmoid(h[t-1])*dh[t]\nh[t] = h_2[t] + dh[t]*x2[t]\n"
    "x: D\nx2: H",
    "late_input": "h[t] = tanh(W @ x[t-1] + V @ x[t-3] + U @ h[t-1])\ny[t] = h[t-1]",
    "only_carried": "c[t] = f[t]*c[t-1] + x[t]\nf[t] = sigmoid(w*x[t])\ny[t] = c[t-1]",
    "reductions": "s[t] = softmax(W @ x[t] + U @ h[t-1])\nm[t] = max(s[t] * h[t-1])\n"
    "h[t] = s[t] * m[t] + norm(h[t-1]) * mean(x2[t]) + var(x2[t])\nx: D\nx2: H\nh: H",
    "scalars": "g[t] = sigmoid(dot(w, h[t-1]) + beta)\nh[t] = g[t]*tanh(W@x[t]) + (1-g[t])*h[t-1] + exp(alpha)*v\n"
    "alpha: scalar\nbeta: scalar\nh[0]=h_0",
    "fixed": "p: H\nh[t] = tanh(U @ (p + exp(p)) + U.T @ h[t-1] + W@x[t]) * (p + exp(p)) - 3*p",
    "unchanged": "u[t] = W @ x[t]\nv[t] = u[t] + h[t-1]\nh[t] = v[t]",
    "kinks": "h[t] = where(x[t] > h[t-1], gelu(x[t]), leaky_relu(W @ h[t-1]) / (1 + exp(-b))) ** 2"
    " + clip(x[t], -1, 1e-7)*maximum(h[t-1], b)",
    "without_output": "h[t] = tanh(W@x[t]+b)\nq[t] = V @ h[t] + q[t-1]\nq: K\nh: H",
    "no_influence": "h[t] = tanh(W@x[t] + h[t-1])\nq[t] = V @ h[t]\nq: K\nh: H",
    "combined": "h[t] = (W - W.T + 2*V) @ (h[t-1]*x[t]) + 0.5*x[t]/norm(b)\nb: D\nx: D",
}
