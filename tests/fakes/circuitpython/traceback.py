"""traceback, where the interpreter that runs the tests has none (MicroPython): CPython and CircuitPython have."""

import sys


def print_exception(exc, value=None, tb=None):
    sys.print_exception(exc)
