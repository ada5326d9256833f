"""What an emitted CuPy module will do on a GPU, and how long that takes, before there is one.

``forecasts`` asks the module itself how the steps of its loops would run (``choice``), as it decides on a described
device (``devices``), and adds what runs over the whole sequence at once (``counts``).
"""

from symcell.predict.choice import STRATEGIES, WAITS, Loop, Way
from symcell.predict.counts import ASSUMPTIONS, Assumption, Whole, whole
from symcell.predict.devices import DEVICES, Device, device
from symcell.predict.forecast import TYPES, Forecast, forecasts

__all__ = [
    "ASSUMPTIONS",
    "DEVICES",
    "STRATEGIES",
    "TYPES",
    "WAITS",
    "Assumption",
    "Device",
    "Forecast",
    "Loop",
    "Way",
    "Whole",
    "device",
    "forecasts",
    "whole",
]
