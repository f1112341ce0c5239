"""Starts the node, and tells it what boot.py chose.

Nothing may follow the last line: on some hosts it returns at once.
"""

import asyncio

import fieldline_board  # pyright: ignore[reportMissingImports] - made by the build
import micropython

if not fieldline_board.DEVELOPMENT:
    micropython.kbd_intr(-1)  # Ctrl-C gives no REPL in the field, from the first line on

from fieldline_node.drivers.micropython.run import run

asyncio.run(run(globals().get("start")))  # none where boot.py chose nothing: then no update is taken
