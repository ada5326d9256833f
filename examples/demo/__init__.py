"""From equations to trained networks: derive, generate, verify and train ``rnn``, ``gru`` and ``lstm``.

Run it with ``make demo``, or ``python -m examples.demo`` from the root of the repository. The networks are trained by
the *emitted* modules, imported as the plain files they are.
"""
