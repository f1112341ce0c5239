"""Starts the node of a native image (docs/update.md 8.10): first, the image that this boot is to run.

What fails before the node runs ends in a reset: the chip's loader goes back from an image that was not confirmed, and
from a REPL it would not. Nothing may follow the last line: on some hosts it returns at once.
"""

import asyncio
import sys

try:
    from fieldline_node.drivers.micropython.native import select

    try:
        start = select()
    except OSError as error:  # another partition table than the board's: such a node takes no updates
        sys.print_exception(error)
        start = None

    import fieldline_board  # pyright: ignore[reportMissingImports] - made by the build
    import micropython

    if not fieldline_board.DEVELOPMENT:
        micropython.kbd_intr(-1)  # Ctrl-C gives no REPL in the field, before anything is measured

    from fieldline_node.drivers.micropython.run import run
except Exception as error:  # noqa: BLE001 - the node's first lines, whatever it is
    import time

    import machine

    sys.print_exception(error)
    time.sleep(5)  # in which Ctrl-C gives a person the REPL
    machine.reset()

asyncio.run(run(start))
