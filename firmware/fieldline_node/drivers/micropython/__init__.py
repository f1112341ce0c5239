"""The node's ports on MicroPython: the only place that imports machine."""
