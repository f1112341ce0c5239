"""The node's size: .mpy bytes and live heap, each against the board's budget.

Rules: the firmware as it is built for the board, running on an emulated board with fans turning and no gateway, so
that its outbox and its session are at work. The VM's objects have the size that they have on an RP2040. What a real
MicroPython image makes of it, with the node as files and frozen into the image, is measured on the emulated RP2040
where there are such images, and not in a quick run. What MicroPython keeps for itself is not counted.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path

from fieldline_boards.board import Pins
from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install, install_frozen
from fieldline_boards.spec import BoardSpec
from fieldline_harness import bench_node_rp2040
from fieldline_harness.figures import Figure

BOARD = "pico_w"
HZ = 50.0  # 1,500 rpm, two pulses a turn
SETTLE_S, SETTLE_QUICK_S = 30.0, 5.0

REAL_BOARD = "pico"
IDENTITY = make_identity(bytes(7) + b"\1", 0, bytes(16))
WITHIN_S = 300.0

# On the board: when the first message went out, and what is live; MicroPython runs this before the node's main.py.
PROBE = b"""
import asyncio, gc, time
gc.collect()
own = gc.mem_alloc()
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


def run(quick: bool) -> list[Figure]:
    """node.mpy_bytes and node.heap_bytes beside the budgets in the board's TOML; on an RP2040 also ms to a Hello."""
    spec = load_board(BOARD)
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        built = build(spec, Path(scratch) / "firmware")
        heap = asyncio.run(_heap(spec, Path(scratch), SETTLE_QUICK_S if quick else SETTLE_S))
    figures = [
        Figure("node.mpy_bytes", built.mpy_bytes, "bytes", f"budget {spec.budget.mpy_bytes} ({BOARD})"),
        Figure("node.heap_bytes", heap, "bytes", f"budget {spec.budget.heap_bytes} ({BOARD}, simulated)"),
    ]
    return figures if quick else figures + _on_rp2040() + bench_node_rp2040.figures()


async def _heap(spec: BoardSpec, scratch: Path, settle_s: float) -> int:
    """Live heap after a garbage collection, in bytes."""
    home = scratch / "board"
    (home / "files").mkdir(parents=True)
    (home / "files" / "identity.bin").write_bytes(IDENTITY)
    async with VmBoard(spec, home, files=scratch / "firmware") as board:
        await _fans(spec, board.pins)
        await board.power.on()
        await asyncio.sleep(settle_s)
        return await board.heap_used()


async def _fans(spec: BoardSpec, pins: Pins) -> None:
    for sensor in spec.sensors:
        if sensor.kind == "tachometer" and sensor.pin is not None:
            await pins.pulse(sensor.pin, HZ)


def _on_rp2040() -> list[Figure]:
    """The figures of real images; what there is no image for is said and left out."""
    spec = load_board(REAL_BOARD)
    forms: tuple[tuple[str, Callable[[], Path], Callable[[str], object], int], ...] = (
        ("files", lambda: images.find(REAL_BOARD, fetch=False), _put_files, spec.budget.heap_bytes),
        ("frozen", lambda: images.find_frozen(REAL_BOARD), _put_identity, spec.budget.frozen_heap_bytes),
    )
    figures = []
    for form, find, put, budget in forms:
        try:
            image = find()
        except images.ImageMissing as missing:
            print(f"bench node: without node.rp2040_{form}_*: {missing}", file=sys.stderr)
            continue
        ms, heap = asyncio.run(_probed(spec, image, put))
        where = f"{REAL_BOARD}, simulated RP2040, {image.name}"
        figures += [
            Figure(f"node.rp2040_{form}_heap_bytes", heap, "bytes", f"budget {budget} ({where})"),
            Figure(f"node.rp2040_{form}_hello_ms", ms, "ms", f"from reset to the first message ({where})"),
        ]
    return figures


def _put_files(port: str) -> object:
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as firmware:
        build(load_board(REAL_BOARD), Path(firmware))
        (Path(firmware) / "boot.py").write_bytes(PROBE)
        return install(port, Path(firmware), IDENTITY)


def _put_identity(port: str) -> object:
    with BoardFiles(port) as board:
        board.write("boot.py", PROBE, lambda done: None)
    return install_frozen(port, REAL_BOARD, IDENTITY)


async def _probed(spec: BoardSpec, image: Path, put: Callable[[str], object]) -> tuple[int, int]:
    """(ms from reset to the first message, live heap in bytes) of the node that `put` puts there, with the probe."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as home:
        async with Rp2040Board(spec, Path(home), image=image, pace=0, instant_flash=True) as board:
            await board.power.on()
            await asyncio.to_thread(put, board.port)
            await _fans(spec, board.pins)
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
                raise TimeoutError(f"the node on the emulated {REAL_BOARD} said only {said[-200:]!r}")
            said += os.read(fd, 65536)
    finally:
        os.close(fd)
    return int(told[1]), int(told[2])
