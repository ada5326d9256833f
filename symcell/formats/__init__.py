"""Parameters of other libraries' recurrent layers as the names of equations, and back.

What a library's arrays are made of is data (``symcell/cells/layouts/``); :mod:`symcell.formats.arrays` follows it, for
NumPy arrays and PyTorch tensors alike.
"""

from symcell.formats.arrays import named, pieces, sizes_of, stacked
from symcell.formats.layers import Layer, as_known, from_arrays, to_arrays
from symcell.formats.layouts import ForeignModule, Library, Stack
from symcell.formats.reading import LIBRARIES, LayoutError, library, read
from symcell.formats.recognising import Known, known, recognise

__all__ = [
    "LIBRARIES",
    "ForeignModule",
    "Known",
    "Layer",
    "LayoutError",
    "Library",
    "Stack",
    "as_known",
    "from_arrays",
    "known",
    "library",
    "named",
    "pieces",
    "read",
    "recognise",
    "sizes_of",
    "stacked",
    "to_arrays",
]
