"""Cells from cells: with regularizers on their states, without biases, in textbook form: equations like all."""

from symcell.transforms.biases import biases, without_biases
from symcell.transforms.outputs import with_output
from symcell.transforms.recurrent_dropout import with_recurrent_dropout
from symcell.transforms.resets import Resettable, with_resets
from symcell.transforms.textbook import textbook
from symcell.transforms.transformed import Mask, Transformed
from symcell.transforms.zoneout import with_zoneout

__all__ = [
    "Mask",
    "Resettable",
    "Transformed",
    "biases",
    "textbook",
    "with_output",
    "with_recurrent_dropout",
    "with_resets",
    "with_zoneout",
    "without_biases",
]
