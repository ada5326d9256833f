"""symcell at home in PyTorch.

    from symcell.torch import Recurrent

    net = Recurrent("lstm", 128, 256, num_layers=2)      # wherever nn.LSTM(128, 256, num_layers=2) stands
    y, (h, c) = net(x)

Importing it needs PyTorch (the extra ``torch``).
"""

from symcell.torch.converting import difference, equivalent
from symcell.torch.one_step import RecurrentCell
from symcell.torch.recurrent import Recurrent
from symcell.torch.saving import load, save

__all__ = ["Recurrent", "RecurrentCell", "difference", "equivalent", "load", "save"]
