"""A character language model, trained with PyTorch: its recurrent layers are ``nn.LSTM``, or any cell of symcell's.

    python -m examples.char_lm train --cell lstm --out /tmp/lstm       # run it again after a kill: it goes on
    python -m examples.char_lm sample --out /tmp/lstm --temperature 0.7
    python -m examples.char_lm compare --out /tmp/runs                 # nn.LSTM, lstm and mycell.cell side by side

From the root of the repository. ``--cell`` takes a cell's name, the path of a ``.cell`` file, or ``nn.LSTM``,
``nn.GRU`` and ``nn.RNN`` for PyTorch's own.
"""
