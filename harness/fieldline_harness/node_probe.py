"""Looks into a node on an emulated RP2040 (SIMULATED) with a real MicroPython image: live heap, first message.

Rules: MicroPython runs the probe as boot.py, before the node's main.py. What MicroPython keeps before is not counted.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import tempfile
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path

from fieldline_boards.board import Pins
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.spec import BoardSpec

HZ = 50.0  # 1,500 rpm, two pulses a turn
WITHIN_S = 300.0

# On the board: when the first message went out, and what is live; MicroPython runs this before the node's main.py.
PROBE = b"""
import asyncio, gc, time
gc.collect()
own = gc.mem_alloc()
said = 0
from fieldline_node.drivers.micropython.console import Console
write = Console.write
def first(self, data):
    global said
    said = time.ticks_ms()
    Console.write = write
    write(self, data)
Console.write = first
async def tell():
    while True:
        await asyncio.sleep(30)
        gc.collect()
        print("probe", said, gc.mem_alloc() - own, "end")
asyncio.create_task(tell())
"""
TOLD = re.compile(rb"probe (\d+) (\d+) end")


async def turn_fans(spec: BoardSpec, pins: Pins) -> None:
    """All fans of the board turn."""
    for sensor in spec.sensors:
        if sensor.kind == "tachometer" and sensor.pin is not None:
            await pins.pulse(sensor.pin, HZ)


async def probed(spec: BoardSpec, image: Path, put: Callable[[str], object]) -> tuple[int, int]:
    """(ms from reset to the first message, live heap in bytes) of the node that `put` puts there, with the probe."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as home:
        async with Rp2040Board(spec, Path(home), image=image, pace=0, instant_flash=True) as board:
            await board.power.on()
            await asyncio.to_thread(put, board.port)
            await turn_fans(spec, board.pins)
            await board.power.off()
            await board.power.on()
            return await asyncio.to_thread(_told, board.port)


def _told(port: str) -> tuple[int, int]:
    """What the probe says, between the node's messages; TimeoutError where it does not."""
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(fd, termios.TCSANOW)  # what came already stays
        said = b""
        end = time.monotonic() + WITHIN_S
        while (told := TOLD.search(said)) is None:
            if not select.select([fd], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the node on the emulated RP2040 said only {said[-200:]!r}")
            said += os.read(fd, 65536)
    finally:
        os.close(fd)
    return int(told[1]), int(told[2])
