"""The node's size: .mpy bytes and live heap, each against the board's budget.

Rules: the firmware as it is built for the board, running on an emulated board with fans turning and no gateway, so
that its outbox and its session are at work. The VM's objects have the size that they have on an RP2040.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_boards.spec import BoardSpec
from fieldline_harness.figures import Figure

BOARD = "pico_w"
HZ = 50.0  # 1,500 rpm, two pulses a turn
SETTLE_S, SETTLE_QUICK_S = 30.0, 5.0


def run(quick: bool) -> list[Figure]:
    """node.mpy_bytes and node.heap_bytes, in bytes, beside the budgets in the board's TOML."""
    spec = load_board(BOARD)
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        built = build(spec, Path(scratch) / "firmware")
        heap = asyncio.run(_heap(spec, Path(scratch), SETTLE_QUICK_S if quick else SETTLE_S))
    return [
        Figure("node.mpy_bytes", built.mpy_bytes, "bytes", f"budget {spec.budget.mpy_bytes} ({BOARD})"),
        Figure("node.heap_bytes", heap, "bytes", f"budget {spec.budget.heap_bytes} ({BOARD}, simulated)"),
    ]


async def _heap(spec: BoardSpec, scratch: Path, settle_s: float) -> int:
    """Live heap after a garbage collection, in bytes."""
    home = scratch / "board"
    (home / "files").mkdir(parents=True)
    (home / "files" / "identity.bin").write_bytes(make_identity(bytes(7) + b"\1", 0, bytes(16)))
    async with VmBoard(spec, home, files=scratch / "firmware") as board:
        for sensor in spec.sensors:
            if sensor.kind == "tachometer" and sensor.pin is not None:
                await board.pins.pulse(sensor.pin, HZ)
        await board.power.on()
        await asyncio.sleep(settle_s)
        return await board.heap_used()
