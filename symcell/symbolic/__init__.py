"""The SymPy vocabulary of a cell: what its equations, graphs and derivations are made of."""
