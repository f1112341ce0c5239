"""Starts the node of a native image (docs/update.md 8.10): first, the image that this boot is to run.

Nothing may follow the last line: on some hosts it returns at once.
"""

import asyncio
import sys

import fieldline_board  # pyright: ignore[reportMissingImports] - made by the build
import micropython

if not fieldline_board.DEVELOPMENT:
    micropython.kbd_intr(-1)  # Ctrl-C gives no REPL in the field, from the first line on

try:
    from fieldline_node.drivers.micropython.native import select

    start = select()
except Exception as error:  # noqa: BLE001 - the node's first line: whatever it is, the node follows
    sys.print_exception(error)
    start = None

from fieldline_node.drivers.micropython.run import run

asyncio.run(run(start))
