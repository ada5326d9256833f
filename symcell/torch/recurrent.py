"""``Recurrent``: any cell as a module that stands where torch.nn.LSTM, GRU or RNN stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from symcell.cell import Cell
from symcell.language import as_cell
from symcell.torch import quick
from symcell.torch.arguments import batch_of, check_checkpoint, check_options, states_of, step_of
from symcell.torch.base import Instance, Weights
from symcell.torch.batches import Batch, reset_batch
from symcell.torch.converting import Converted
from symcell.torch.masks import Rates
from symcell.torch.sizes import main_input, named_sizes
from symcell.transforms import without_biases


class Recurrent(Converted, Weights):
    """Layers of a cell over sequences; arguments, shapes and results are those of torch.nn.LSTM.

    cell: a name, a path or a Cell. hidden_size: the cell's H, or the length of its output. Other sizes of the cell are
    given by name (``K=16``). bias: False leaves out the parameters that are only added to matrix products. target:
    ``"auto"`` (CuPy for tensors on a GPU, else C, or NumPy where there is no compiler), ``"numpy"``, ``"c"`` or
    ``"cupy"``. checkpoint: as the emitted ``forward`` takes it: states alone are kept for the gradients, every so many
    steps, or ``"sqrt"``. zoneout (Krueger et al. 2017), recurrent_dropout (Gal & Ghahramani 2016, one mask for all
    steps): a rate for all states, or rates by state. constants: the cell's constant arrays by name.

    Raises TypeError or ValueError for arguments that do not fit, as torch.nn.LSTM does, and CellError.
    """

    def __init__(
        self,
        cell: Cell | str | Path,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        target: str = "auto",
        checkpoint: int | str | None = None,
        zoneout: Rates = 0.0,
        recurrent_dropout: Rates = 0.0,
        constants: Mapping[str, Any] | None = None,
        **sizes: int,
    ) -> None:
        check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        check_checkpoint(checkpoint)
        bidirectional = bool(bidirectional)  # 0 or 1 will do, as for torch.nn.LSTM
        given = as_cell(cell)
        known = given if bias else without_biases(given)
        directions = 1 + bidirectional
        first = named_sizes(known, input_size, hidden_size, sizes)
        output = known.shape_of(known.output)[-1].value(first)
        every = [first] * directions
        for _ in range(num_layers - 1):
            every += [named_sizes(known, directions * output, hidden_size, sizes)] * directions
        suffixes = [f"_l{layer}{'_reverse' * turned}" for layer in range(num_layers) for turned in range(directions)]
        super().__init__(known, every, suffixes, target, zoneout, recurrent_dropout, constants, device, dtype)
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.checkpoint = float(dropout), bidirectional, checkpoint
        self._given = given
        self._inputs = tuple(known.inputs)
        self._main, self._output = main_input(known), known.output
        self._given_name, self._given_sizes = given.name, dict(sizes)

    def forward(
        self, input: Any, hx: Any = None, *, resets: Any = None, all_states: bool = False, seed: int | None = None
    ) -> Any:
        """Run all layers.

        input: (T, B, input_size), (B, T, input_size) where batch_first, (T, input_size), or a PackedSequence; a dict of
        such by name where the cell has several inputs. hx: the initial states, each (layers·directions, B, size), or
        (layers·directions, k, B, size) where k steps are carried; a tensor where the cell has one state, else a tuple,
        the output first and the others in the cell's order, or a dict by name; what is missing begins at its start.
        resets: (T, B) truths, laid like the input: all states are set to their start before such a step. seed: of the
        masks of zoneout and recurrent dropout; None draws them from PyTorch's generator.

        Returns the output (T, B, directions·size) in the form of the input, and the last states in that of ``hx``;
        where all_states, also a dict with every state of the last layer at every step, in the form of the output (it
        takes a run of that layer for each state besides the output). Raises TypeError, ValueError or RuntimeError, as
        torch.nn.LSTM does.
        """
        elaborate = self.bidirectional or self.batch_first or self.checkpoint is not None or all_states
        if not (elaborate or resets is not None or (self.training and self.dropout)):
            quickly = quick.sweep(self, input, hx)
            if quickly is not None:
                return quickly[0], _one_or_all(quickly[1])
        like = self._like(input)
        batch = batch_of(self._given_name, input, self._main, self._input_shapes(), self.batch_first, like)
        given = self._initial(hx, batch, like)
        if resets is not None:
            if self.bidirectional:
                raise ValueError("resets: expected none where bidirectional, as a reset has one direction in time")
            batch = reset_batch(batch, resets, self.batch_first, self._depth, like)
        generator = self._generator(seed, like.device)
        rows, ends, every = batch.inputs[self._main], [], {}
        for layer in range(self.num_layers):
            shown = (self._output, *self._others(all_states and layer == self.num_layers - 1))
            found = self._sweep(self._numbers(layer), rows, batch, given, shown, generator)
            ends += [last for _, last in found]
            every = {name: _side_by_side([ys[name] for ys, _ in found]) for name in shown}
            rows = every[self._output]
            if self.dropout and layer < self.num_layers - 1:
                rows = functional.dropout(rows, self.dropout, self.training)
        results = batch.returned(rows), self._final(ends, batch)
        return (*results, {name: batch.returned(y) for name, y in every.items()}) if all_states else results

    def step(self, input: Any, hx: Any = None, *, seed: int | None = None) -> tuple[Tensor, Any]:
        """One step, for streams: input (B, input_size), or (input_size,), a dict where there are several; ``hx`` as
        :meth:`forward` takes and returns it. Returns the output (B, size) and the next states.

        Raises ValueError where the module is bidirectional, else like :meth:`forward`.
        """
        if self.bidirectional:
            raise ValueError("step: expected a module of one direction, and this one is bidirectional")
        quickly = None if self.training and self.dropout else quick.step(self, input, hx, True)
        if quickly is not None:
            return quickly[0], _one_or_all(quickly[1])
        like = self._like(input)
        batch = step_of(self._given_name, input, self._main, self._input_shapes(), like)
        given = self._initial(hx, batch, like)
        generator = self._generator(seed, like.device)
        rows, ends = batch.inputs[self._main], []
        for layer in range(self.num_layers):
            ((ys, last),) = self._sweep([layer], rows, batch, given, (self._output,), generator)
            ends.append(last)
            rows = ys[self._output]
            if self.dropout and layer < self.num_layers - 1:
                rows = functional.dropout(rows, self.dropout, self.training)
        return batch.returned(rows), self._final(ends, batch)

    # one layer

    def _sweep(
        self,
        numbers: Iterable[int],
        rows: Tensor,
        batch: Batch,
        given: Mapping[str, Tensor],
        shown: tuple[str, ...],
        generator: Any,
    ) -> list[tuple[dict[str, Tensor], list[Tensor]]]:
        """What each instance of a layer shows, and its last states."""
        whole = {**batch.inputs, self._main: rows}
        instances = []
        for number in numbers:
            inputs = {name: batch.reversed(x) for name, x in whole.items()} if self._is_turned(number) else whole
            instances.append(Instance(number, inputs, {name: state[number] for name, state in given.items()}))
        found = self._run(instances, batch, shown, generator, self.checkpoint)
        return [
            ({name: batch.reversed(y) for name, y in ys.items()} if self._is_turned(number) else ys, last)
            for (number, _, _), (ys, last) in zip(instances, found, strict=True)
        ]

    def _is_turned(self, number: int) -> bool:
        """Whether an instance runs from the last step to the first."""
        return self.bidirectional and number % 2 == 1

    def _numbers(self, layer: int) -> range:
        """The instances of a layer: one for each direction."""
        directions = 1 + self.bidirectional
        return range(layer * directions, (layer + 1) * directions)

    def _others(self, wanted: bool) -> tuple[str, ...]:
        """The states besides the output, where they are wanted."""
        others = (name for name in self.states if name != self._output and name not in self._inputs)
        return tuple(others) if wanted else ()

    def _input_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: self._shapes[0][name] for name in self._inputs}

    # states

    def _initial(self, hx: Any, batch: Batch, like: Tensor) -> dict[str, Tensor]:
        if hx is None:
            return {}
        shapes = {name: (len(self.sizes), *self._state_shape(name, batch.samples)) for name in self.states}
        return states_of(self.states, hx, shapes, self._axes(), batch, like)

    def _axes(self) -> dict[str, int]:
        """Where the samples are in a state (instances, …)."""
        return {name: 1 + (lags > 1) for name, lags in self._lags.items()}

    def _final(self, ends: list[list[Tensor]], batch: Batch) -> Any:
        axes = self._axes()
        found = []
        for name, parts in zip(self.states, zip(*ends, strict=True), strict=True):
            state = torch.stack(parts) if len(parts) > 1 else parts[0].unsqueeze(0)
            state = batch.ended(state, axes[name])
            found.append(state.squeeze(axes[name]) if batch.single else state)
        return _one_or_all(found)


def _one_or_all(states: list[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def _side_by_side(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)
