"""Starts the node. What it does not handle itself ends in a reset: CircuitPython would wait for a person."""

import time
from traceback import print_exception

import microcontroller

PAUSE_S = 10  # in which Ctrl-C on the console still gives the REPL

try:
    from fieldline_node.drivers.circuitpython.run import run

    run()
except Exception as error:  # noqa: BLE001 - nothing is above this
    print_exception(error)
    time.sleep(PAUSE_S)
    microcontroller.reset()
