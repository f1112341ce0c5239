"""The node's ports on CircuitPython 9 and 10, with the names of drivers/micropython."""
