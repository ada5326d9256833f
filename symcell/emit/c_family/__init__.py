"""What targets that are compiled from C share: names, expressions of one unit, and the walk over a kernel's units."""
