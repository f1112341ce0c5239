"""Starts the node. Nothing may follow the last line: on some hosts it returns at once."""

import asyncio

from fieldline_node.drivers.micropython.run import run

asyncio.run(run())
