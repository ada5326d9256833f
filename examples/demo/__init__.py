"""From equations to trained networks: derive, generate, verify and train ``rnn``, ``gru`` and ``lstm``.

Run it with ``make demo``, or ``python -m examples.demo`` from the root of the repository. The networks are trained by
the *emitted* modules, imported as the plain files they are.
"""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # read when NumPy loads: for products this small, threads only cost time
