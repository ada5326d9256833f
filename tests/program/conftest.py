"""The small cell whose programs are written out by hand."""

from __future__ import annotations

import pytest
from small_programs import rnn

from symcell.program.model import Plan


@pytest.fixture(scope="session")
def plan() -> Plan:
    """A tanh recurrent network, both ways."""
    return rnn()
