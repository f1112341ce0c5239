"""A node that lives for long on an emulated Pico (SIMULATED): what it keeps in its heap, and whether that grows.

Rules: the firmware is that of a release, watchdog and all, but for one sensor more, in the place of the chip's
thermometer: it collects garbage and reads gc.mem_alloc(). So the figure comes over the node's own link, like any
reading. Hours are the board's. A plot is an SVG beside the numbers.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fakes.node_peer import UNIX

from fieldline_boards.build import build
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_wire.codes import ALARM, KEY_REPORT_MS, KEY_SAMPLE_MS, LIVE, SENSOR_NODE
from fieldline_wire.messages import Config, Hello
from tests.boards.repl import RawRepl
from tests.boards.rp2040.nodes import FANS, PicoNode, interrupt
from tests.boards.rp2040.picos import SPEC

METER = next(sensor for sensor in SPEC.sensors if sensor.kind == "chip_temperature")
HZ = (50, 40, 33, 25)
_METER_SOURCE = """
import gc
class Meter:
    QUANTITY, KEYS, others = 2, (), ()
    stalled = saturated = False
    wait_ms = 0
    def __init__(self, number):
        self.number = number
    def configure(self, settings):
        pass
    def sample(self, now):
        gc.collect()
        return gc.mem_alloc()

def make(number, pin, hardware):
    return Meter(number)
"""
_SLICE_S = 20.0  # of the board's time, between two looks at the plan
_WIDTH, _HEIGHT, _MARGIN = 900, 360, 60


@dataclass(frozen=True, slots=True)
class Outage:
    """From `begin` to `end`, in shares of the life: the gateway says nothing, or the cable is out."""

    begin: float
    end: float
    pulled: bool


OUTAGES = (Outage(0.125, 0.17, False), Outage(0.375, 0.46, False), Outage(0.625, 0.67, True))


@dataclass(frozen=True, slots=True)
class Life:
    """What came of it. heap: (hours, bytes that gc.mem_alloc() gave after a collection)."""

    hours: float
    heap: tuple[tuple[float, int], ...]
    readings: int
    gaps: int
    starts: tuple[str, ...]
    flash_operations: int

    def settled(self) -> tuple[tuple[float, int], ...]:
        """The heap without the first tenth of the life, in which every path runs for the first time."""
        return tuple(point for point in self.heap if point[0] >= self.hours / 10)

    def slope(self) -> float:
        """Bytes an hour by which the settled heap grows, by least squares."""
        points = self.settled()
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread

    def noise(self) -> float:
        """Standard deviation of the settled heap about its line, in bytes."""
        points, slope = self.settled(), self.slope()
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        return math.sqrt(sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points) / len(points))


async def fit_meter(board: Rp2040Board, folder: Path) -> None:
    """Makes a release of the firmware on a board that is on, with the meter in it, and restarts it."""
    build(SPEC, folder / "release", development=False)
    release = (folder / "release" / "fieldline_board.mpy").read_bytes()
    place = "fieldline_node/sensors/chip_temperature"
    await interrupt(board)
    with await asyncio.to_thread(RawRepl, board.port) as repl:
        await asyncio.to_thread(repl.exec, f"import os; os.remove('{place}.mpy')")
        for path, content in (("fieldline_board.mpy", release), (f"{place}.py", _METER_SOURCE.encode())):
            code = f"f = open({path!r}, 'wb'); f.write({content!r}); f.close()"
            await asyncio.to_thread(repl.exec, code)
    await board.power.reset()


async def live(board: Rp2040Board, hours: float, sample_ms: int, meter_ms: int, log: Path) -> Life:
    """Lets the node live for so many hours, with OUTAGES; a line of JSON in `log` now and then."""
    for fan, hz in zip(FANS, HZ, strict=True):
        assert fan.pin is not None
        await board.pins.pulse(fan.pin, hz, open_drain=True)
    node = PicoNode(board)
    peer = node.peer
    await node.until(lambda: peer.of(Hello), "a Hello")
    began = await node.us()
    settings = [(SENSOR_NODE, KEY_SAMPLE_MS, sample_ms), (SENSOR_NODE, KEY_REPORT_MS, sample_ms)]
    peer.send(Config(1, [*settings, (METER.number, KEY_SAMPLE_MS, meter_ms)]))
    await node.until(lambda: peer.of(Config), "the answer to a Config")
    operations = board.flash.operations
    passed = 0.0
    with log.open("w") as file:
        while passed < 1:
            passed = (await node.us() - began) / 3.6e9 / hours
            await _outages(node, passed)
            await node.run(min(_SLICE_S, hours * 36))
            line = {"hours": passed * hours, "next": peer.next(LIVE), "epoch": peer.epoch}
            file.write(json.dumps(line) + "\n")
            file.flush()
    await _outages(node, -1)
    last = peer.next(LIVE)
    await node.until(lambda: peer.next(LIVE) > last + 5, "readings at the end")
    gaps = len(peer.gaps[LIVE]) + len(peer.gaps[ALARM])
    spent = board.flash.operations - operations
    return Life(hours, tuple(_meter(node)), peer.next(LIVE) - 1, gaps, tuple(board.power.starts), spent)


def plot(life: Life, path: Path) -> None:
    """The heap over the hours, as an SVG."""
    low = min(value for _, value in life.heap) // 1024 * 1024
    high = max(max(value for _, value in life.heap) // 1024 * 1024 + 1024, low + 4096)
    wide, tall = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(hours: float, value: float) -> str:
        x, y = _MARGIN + wide * hours / life.hours, _HEIGHT - _MARGIN - tall * (value - low) / (high - low)
        return f"{x:.1f},{y:.1f}"

    points = " ".join(place(hours, value) for hours, value in life.heap)
    marks = [
        f'<text x="{_MARGIN + wide * share:.0f}" y="{_HEIGHT - _MARGIN + 20}">{life.hours * share:g} h</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    marks += [f'<text x="5" y="{_HEIGHT - _MARGIN}">{low}</text>', f'<text x="5" y="{_MARGIN}">{high}</text>']
    title = f"gc.mem_alloc() after a collection, bytes; simulated RP2040, {life.hours:g} h of its time"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/><text x="{_MARGIN}" y="25">{title}</text>'
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{wide}" height="{tall}" fill="none" stroke="#999"/>'
        f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>{"".join(marks)}</svg>\n',
        encoding="utf-8",
    )


async def _outages(node: PicoNode, passed: float) -> None:
    """Gateway and cable as they should be at this share of the life."""
    now = [outage for outage in OUTAGES if outage.begin <= passed < outage.end]
    node.peer.silent = any(not outage.pulled for outage in now)
    if any(outage.pulled for outage in now) == node.plugged:
        await node.plug(not node.plugged)


def _meter(node: PicoNode) -> Sequence[tuple[float, int]]:
    """(hours by the node's clock, bytes) of each reading of the meter."""
    found = []
    for number in sorted(node.peer.readings[LIVE]):
        report, reading = node.peer.readings[LIVE][number]
        if reading.sensor == METER.number:
            seconds = report.base_time - (UNIX if report.utc else 0) + reading.offset / 100
            found.append((seconds / 3600, reading.value))
    return found
