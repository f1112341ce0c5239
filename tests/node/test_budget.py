"""What the node's firmware takes of a board's flash and heap, against the budgets in boards/catalog.

The heap of the VM counts as a chip's does (32-bit objects), so its live bytes mean something. MicroPython loads
.mpy files into the heap: that share is bounded by the budget for their size (a byte of .mpy takes 1.4 to 1.5 of
heap) and is told apart here from what the running node keeps, which is what `heap_bytes` is for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards.build import build
from fieldline_wire.codes import LIVE
from tests.node.board_bench import BoardBench

BOARDS = catalog.board_names()
CODE_IN_HEAP = 1.6  # bytes of heap a byte of .mpy, at most

ONLY_CODE = """
import asyncio
import fieldline_node.drivers.micropython.run
import fieldline_node.sensors.chip_temperature
import fieldline_node.sensors.tachometer

async def wait():
    while True:
        await asyncio.sleep(1)

asyncio.run(wait())
"""


@pytest.mark.parametrize("name", BOARDS)
def test_the_firmware_fits(name: str, tmp_path: Path) -> None:
    report = build(catalog.load_board(name), tmp_path)
    print(f"{name}: {report.mpy_bytes} bytes of .mpy")
    assert report.over == ()


@pytest.mark.vm
@pytest.mark.parametrize("name", BOARDS)
def test_the_running_node_fits(name: str, tmp_path: Path) -> None:
    async def measure(folder: Path, main: str | None) -> tuple[int, BoardBench]:
        bench = BoardBench(name, folder).firmware()
        if main is not None:
            (bench.build / "main.py").write_text(main)
        async with bench:
            if main is None:
                await bench.until(lambda: bench.peer.next(LIVE) > 20, "readings")
            else:
                await bench.run(1)
            return await bench.board.heap_used(), bench

    code, _ = asyncio.run(measure(tmp_path / "code", ONLY_CODE))
    total, bench = asyncio.run(measure(tmp_path / "node", None))
    budget = bench.spec.budget
    print(f"{name}: {code} bytes of heap for code, {total - code} for the running node")
    assert 0 < total - code <= budget.heap_bytes
    assert code <= budget.mpy_bytes * CODE_IN_HEAP
