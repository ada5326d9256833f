"""``RecurrentCell``: one step of any cell, as torch.nn.LSTMCell, GRUCell and RNNCell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from symcell.cell import Cell
from symcell.language import as_cell
from symcell.torch import quick
from symcell.torch.arguments import check_options, states_of, step_of
from symcell.torch.base import Instance, Weights
from symcell.torch.masks import Rates
from symcell.torch.sizes import main_input, named_sizes
from symcell.transforms import without_biases


class RecurrentCell(Weights):
    """One step of a cell; arguments as of :class:`symcell.torch.Recurrent`, and parameters by the cell's own names.

    Called with ``input`` (B, input_size) or (input_size,), a dict by name where there are several, and ``hx``: the
    states (B, size), (k, B, size) where k steps are carried; a tensor where the cell has one, else a tuple, the output
    first and the others in the cell's order, or a dict by name. Returns the next states likewise, as torch.nn.LSTMCell
    does; where the output is none of the states, the output and the states.
    """

    def __init__(
        self,
        cell: Cell | str | Path,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        target: str = "auto",
        zoneout: Rates = 0.0,
        constants: Mapping[str, Any] | None = None,
        **sizes: int,
    ) -> None:
        check_options(input_size, hidden_size, 1, bias, False, 0.0, False)
        given = as_cell(cell)
        known = given if bias else without_biases(given)
        numbers = named_sizes(known, input_size, hidden_size, sizes)
        super().__init__(known, [numbers], [""], target, zoneout, 0.0, constants, device, dtype)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._main, self._output = main_input(known), known.output
        self._given_name, self._given_sizes = given.name, dict(sizes)

    def forward(self, input: Any, hx: Any = None, *, seed: int | None = None) -> Any:
        """A step. seed: of the masks of zoneout. Raises TypeError, ValueError or RuntimeError, as torch.nn.LSTMCell."""
        quickly = quick.step(self, input, hx, False)
        if quickly is not None:
            return self._returned(*quickly)
        like = self._like(input)
        shapes = {name: self._shapes[0][name] for name in self.cell.inputs}
        batch = step_of(self._given_name, input, self._main, shapes, like)
        axes = {name: int(lags > 1) for name, lags in self._lags.items()}
        wanted = {name: self._state_shape(name, batch.samples) for name in self.states}
        given = states_of(self.states, hx, wanted, axes, batch, like, ValueError)
        generator = self._generator(seed, like.device)
        ((ys, last),) = self._run([Instance(0, batch.inputs, given)], batch, (self._output,), generator)
        y = ys[self._output][0]
        if not batch.single:
            return self._returned(y, last)
        return self._returned(y[0], [s.squeeze(axes[name]) for name, s in zip(self.states, last, strict=True)])

    def _returned(self, y: Tensor, states: list[Tensor]) -> Any:
        found = states[0] if len(states) == 1 else tuple(states)
        return found if self._output in self.states else (y, found)
