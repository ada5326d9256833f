"""What an emitted CuPy module will do on a GPU, and how long that takes, before there is one.

``forecasts`` asks the module itself how the steps of its loops would run (``choice``), as it decides on a described
device (``devices``), and adds what runs over the whole sequence at once (``counts``); ``parts`` says what a step's time
is made of.
"""

from symcell.predict.choice import STRATEGIES, WAITS, Loop, Way
from symcell.predict.counts import ASSUMPTIONS, Assumption, Whole, whole
from symcell.predict.devices import DEVICES, Device, device
from symcell.predict.forecast import TYPES, Forecast, forecasts
from symcell.predict.parts import CONSTANTS, Constant, parts, values

__all__ = [
    "ASSUMPTIONS",
    "CONSTANTS",
    "DEVICES",
    "STRATEGIES",
    "TYPES",
    "WAITS",
    "Assumption",
    "Constant",
    "Device",
    "Forecast",
    "Loop",
    "Way",
    "Whole",
    "device",
    "forecasts",
    "parts",
    "values",
    "whole",
]
