"""The node's size: .mpy bytes and live heap, each against the board's budget.

Rules: the firmware as it is built for the board, running on an emulated board with fans turning and no gateway, so
that its outbox and its session are at work. The VM's objects have the size that they have on an RP2040. What a real
MicroPython image makes of it, with the node as files and frozen into the image, is measured on the emulated RP2040
where there are such images, and not in a quick run. What MicroPython keeps for itself is not counted.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install, install_frozen
from fieldline_boards.spec import BoardSpec
from fieldline_harness import bench_node_rp2040
from fieldline_harness.figures import Figure
from fieldline_harness.node_probe import PROBE, probed, turn_fans

BOARD = "pico_w"
SETTLE_S, SETTLE_QUICK_S = 30.0, 5.0

REAL_BOARD = "pico"
IDENTITY = make_identity(bytes(7) + b"\1", 0, bytes(16))


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
        await turn_fans(spec, board.pins)
        await board.power.on()
        await asyncio.sleep(settle_s)
        return await board.heap_used()


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
        ms, heap = asyncio.run(probed(spec, image, put))
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
