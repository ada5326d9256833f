"""The program: a plan's result, and the only thing that printers, the interpreter and the cost report read."""
