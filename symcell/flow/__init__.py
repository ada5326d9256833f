"""How gradients flow through recurrent cells over time, by the derived one-step Jacobian.

report = symcell.flow.flow(["rnn", "gru", "lstm"], steps=200)
print(report)
"""

from symcell.flow.model import CellFlow, Claim, Cost, Curve, Setting, Singular, Stage, Sweep
from symcell.flow.report import Report
from symcell.flow.study import flow

__all__ = ["CellFlow", "Claim", "Cost", "Curve", "Report", "Setting", "Singular", "Stage", "Sweep", "flow"]
