"""The node on an emulated RP2040 (SIMULATED): power cuts, speed, boot, reflex; and the cuts of its outbox in memory.

Rules: judged by the scenarios of the tests, which a checkout has beside this package; without it, or without an image
of MicroPython, figures are left out and that is said. Times are the emulated chip's own: core cycles without cache
misses, typical times of flash.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_harness.figures import Figure
from fieldline_wire.codes import LIVE
from fieldline_wire.messages import Report

ROOT = Path(__file__).parents[2]
CUTS = 200
WITHIN = 60  # flash operations: a cut falls into the start of the node as often as into its work
SETTLE_EVERY = 20  # cuts; then the gateway gets all that is kept
READINGS = 200  # over which the speed is judged
REFLEXES = 100
BACKLOG = 11000  # readings that keep the link busy meanwhile; the outbox holds 12,000
HZ, RPM = 50.0, 1500.0
SIMULATED = "simulated RP2040, MicroPython v1.23.0"


def figures() -> list[Figure]:
    """node.cut_cases, node.violations, node.rp2040_cuts, node.rpm_error, node.boot_ms, node.reflex_p99_ms."""
    if not (ROOT / "tests" / "boards" / "rp2040").is_dir():
        print("bench node: without node.cut_cases and the rest: no tests beside it", file=sys.stderr)
        return []
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "node")]
    cases, wrong = _outbox_cuts()
    found = [Figure("node.cut_cases", cases, "cuts", "each flash operation in five ways, in memory")]
    try:
        image = images.find("pico", fetch=False)
    except images.ImageMissing as missing:
        print(f"bench node: without node.rp2040_cuts and the rest: {missing}", file=sys.stderr)
    else:
        measured, wrong_there = asyncio.run(_on_rp2040(image))
        wrong += wrong_there
        found += measured
    found.append(Figure("node.violations", wrong, "cases", "0: a reading lost or a number given twice"))
    return found


def _tests(name: str) -> Any:
    return importlib.import_module(name)


def _outbox_cuts() -> tuple[int, int]:
    """(cases, wrong ones) of the outbox over a flash in memory."""
    cuts = _tests("tests.node.test_power_cuts")
    cutters = [cuts.cut(run, nested=307) for run in cuts.RUNS.values()]
    return sum(each.cases for each in cutters), sum(len(each.wrong) for each in cutters)


async def _on_rp2040(image: Path) -> tuple[list[Figure], int]:
    """(figures, violations)."""
    nodes = _tests("tests.boards.rp2040.nodes")
    spec = _tests("tests.boards.rp2040.picos").SPEC
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        folder = Path(scratch)
        flash = (await nodes.equip(image, folder / "equipped")).flash
        boot_ms, error = await _service(nodes, Rp2040Board(spec, folder / "service", image=image), flash)
        fan = nodes.SwitchedFan()
        board = Rp2040Board(spec, folder / "reflex", image=image, pace=0, devices=[fan])
        latencies = await _reflex(nodes, board, flash, fan)
        cuts = await _cuts(nodes, Rp2040Board(spec, folder / "cuts", image=image, pace=0), flash)
    p99 = (
        sorted(latencies)[min(len(latencies) - 1, len(latencies) * 99 // 100)] / 1000
    )  # the worst, of a hundred
    return [
        Figure("node.rp2040_cuts", cuts.cases, "cuts", SIMULATED),
        Figure("node.rpm_error", error, "share", f"worst of {READINGS} readings at {RPM:g} rpm, {SIMULATED}"),
        Figure("node.boot_ms", boot_ms, "ms", f"power on to the first report; limit 3000; {SIMULATED}"),
        Figure(
            "node.reflex_p99_ms",
            p99,
            "ms",
            f"worst of {REFLEXES} pin to pin, link busy, limit 100; {SIMULATED}",
        ),
    ], len(cuts.wrong)


async def _service(nodes: Any, board: Rp2040Board, flash: bytes) -> tuple[float, float]:
    """(ms from power on to the first report, worst error of the speed as a share)."""
    async with board:
        await board.restore(flash)
        await board.power.on()
        await nodes.spin(board, HZ)
        node = nodes.PicoNode(board)
        await node.until(lambda: node.peer.of(Report), "the first report")
        boot_ms = await node.us() / 1000
        await node.until(lambda: node.peer.next(LIVE) > READINGS, "readings", within_s=600)
        values = [value for fan in nodes.FANS for value in node.values(fan.number)[1:]]
        return boot_ms, max(abs(value / 10 / RPM - 1) for value in values)


async def _reflex(nodes: Any, board: Rp2040Board, flash: bytes, fan: Any) -> list[int]:
    async with board:
        await board.restore(flash)
        await board.restore(nodes.RawFlash(board).filled(BACKLOG))
        await board.power.on()
        latencies: list[int] = await nodes.reflexes(nodes.PicoNode(board), fan, REFLEXES, within_s=3600)
        return latencies


async def _cuts(nodes: Any, board: Rp2040Board, flash: bytes) -> Any:
    async with board:
        await board.restore(flash)
        await board.power.on()
        await nodes.spin(board, HZ)
        cuts = nodes.Cuts(nodes.PicoNode(board), Random(11))
        while cuts.cases < CUTS:
            await cuts.cut(WITHIN)
            if cuts.cases % SETTLE_EVERY == 0:
                await cuts.settle()
        return cuts
