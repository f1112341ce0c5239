"""What the node promises, on an emulated Pico with a real MicroPython image (SIMULATED)."""

from __future__ import annotations

import ast
import asyncio
import statistics
from pathlib import Path
from random import Random

import pytest

from fieldline_boards.build import build
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_wire.codes import (
    HELLO_DEVELOPMENT,
    KEY_PULSES,
    KEY_REJECT_US,
    KEY_STALL_MS,
    LIVE,
    RESET_POWER_ON,
    RESET_WATCHDOG,
)
from fieldline_wire.messages import Hello, Report
from tests.boards.repl import RawRepl
from tests.boards.rp2040.nodes import (
    FANS,
    Cuts,
    PicoNode,
    RawFlash,
    SwitchedFan,
    interrupt,
    reflexes,
    spin,
)
from tests.boards.rp2040.picos import SPEC, Equipped, Play

BOOT_US = 3_000_000  # from power on to the first report
RPM = 1500.0
LATENCY_US = 100_000  # of the reflex


def off_by(values: list[int], rpm: float) -> float:
    """The worst of `values` (0.1 rpm), as a share."""
    return max(abs(value / 10 / rpm - 1) for value in values)


def test_it_reports_soon_counts_right_and_keeps_its_numbers_over_resets(
    play: Play, equipped: Equipped
) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await spin(board, 50)
        node = PicoNode(board)
        peer = node.peer
        await node.until(lambda: peer.of(Report), "the first report")
        assert await node.us() < BOOT_US
        assert node.hello().reset_cause == RESET_POWER_ON
        await node.until(lambda: peer.next(LIVE) > 30, "readings")
        stream = peer.stream
        await board.power.reset()
        node.hang_up()
        before = peer.next(LIVE)
        await node.until(lambda: peer.epoch == 2 and peer.next(LIVE) > before + 10, "readings after a reset")
        assert (peer.stream, peer.gaps[LIVE]) == (stream, {})
        for fan in FANS:
            values = node.values(fan.number)
            assert off_by(values[1:], RPM) < 0.01, (fan.name, values)

    play(scenario, flash=equipped.flash, pace=1)


SIDE_BY_SIDE = """
import rp2, time
from machine import Pin
from fieldline_node.drivers.micropython.edges import TimedEdges
from fieldline_node.drivers.micropython.pio import PioEdges
from fieldline_node.sensors.tachometer import Tachometer
values = {PULSES: 2, REJECT: REJECT_US, STALL: 2000}
class Given:
    def get(self, sensor, key):
        return values[key]
sources = (TimedEdges(2, {"hard": True}), PioEdges(2, 0))
sensors = [Tachometer(0, each) for each in sources]
for each in sensors:
    each.configure(Given())
flash = rp2.Flash(start=0x90000, len=4096)
def measure(erases):
    counts = [each.read()[0] for each in sources]
    found = []
    for _ in range(4):
        for _ in range(erases):
            flash.ioctl(6, 0)
        time.sleep_ms(500)
        found.append([each.sample(time.ticks_ms()) for each in sensors])
    return [b.read()[0] - a for a, b in zip(counts, sources)], found[1:]
print([measure(0), measure(ERASES)])
"""


@pytest.mark.parametrize(
    ("hz", "reject_us", "erases"), [(50, 10000, 9), pytest.param(667, 1000, 9, marks=pytest.mark.soak)]
)
def test_an_interrupt_counts_right_and_pio_does_even_while_flash_is_erased(
    play: Play, equipped: Equipped, hz: float, reject_us: int, erases: int
) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await board.pins.pulse(2, hz, open_drain=True)
        await interrupt(board)
        with await asyncio.to_thread(RawRepl, board.port) as repl:
            code = SIDE_BY_SIDE
            for name, value in (
                ("PULSES", KEY_PULSES),
                ("REJECT_US", reject_us),
                ("REJECT", KEY_REJECT_US),
                ("STALL", KEY_STALL_MS),
                ("ERASES", erases),
            ):
                code = code.replace(name, str(value))
            quiet, busy = ast.literal_eval(await asyncio.to_thread(repl.exec, code))
        (by_irq, by_pio), found = quiet
        assert abs(by_irq - by_pio) <= 1
        for values in zip(*found, strict=True):
            assert off_by(list(values), hz * 30) < 0.01, values
        (by_irq, by_pio), found = busy
        assert by_irq < by_pio * 0.95, "edges that came while interrupts were off are one"
        assert off_by([pio for _, pio in found], hz * 30) < 0.01, found

    play(scenario, flash=equipped.flash)


def test_power_cuts_lose_nothing_and_repeat_no_number(play: Play, equipped: Equipped) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await spin(board, 50)
        cuts = Cuts(PicoNode(board), Random(7))
        for within in (4, 25, 9):
            await cuts.cut(within)
        await cuts.settle()
        assert cuts.wrong == []

    play(scenario, flash=equipped.flash)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_two_hundred_power_cuts(play: Play, equipped: Equipped) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await spin(board, 50)
        cuts = Cuts(PicoNode(board), Random(11))
        while cuts.cases < 210:
            await cuts.cut(60)
            if cuts.cases % 15 == 0:
                await cuts.settle()
        assert cuts.wrong == []

    play(scenario, flash=equipped.flash)


HANGS = """
import time
class Hangs:
    QUANTITY, KEYS, others = 2, (), ()
    stalled = saturated = False
    wait_ms = 0
    def __init__(self, number):
        self.number = number
    def configure(self, settings):
        pass
    def sample(self, now):
        while now > 3000:
            time.sleep(1)
        return 1

def make(number, pin, hardware):
    return Hangs(number)
"""


def test_a_hung_task_is_ended_by_the_watchdog_and_the_node_says_so(
    play: Play, equipped: Equipped, tmp_path: Path
) -> None:
    build(SPEC, tmp_path / "release", development=False)
    release = (tmp_path / "release" / "fieldline_board.mpy").read_bytes()

    async def scenario(board: Rp2040Board) -> None:
        await interrupt(board)
        with await asyncio.to_thread(RawRepl, board.port) as repl:
            for path, content in (
                ("fieldline_board.mpy", release),
                ("fieldline_node/sensors/chip_temperature.py", HANGS.encode()),
            ):
                code = f"f = open({path!r}, 'wb'); f.write({content!r}); f.close()"
                await asyncio.to_thread(repl.exec, code)
            code = "import os; os.remove('fieldline_node/sensors/chip_temperature.mpy')"
            await asyncio.to_thread(repl.exec, code)
        await board.power.reset()
        node = PicoNode(board)
        await node.until(lambda: node.peer.of(Hello), "a Hello")
        assert not node.hello().flags & HELLO_DEVELOPMENT
        await node.until(lambda: node.peer.epoch == 2, "a Hello of the next boot")
        assert node.hello().reset_cause == RESET_WATCHDOG
        assert board.power.starts == ["power", "run", "watchdog"]
        await node.until(lambda: node.peer.next(LIVE) > 10, "readings")
        assert node.peer.gaps[LIVE] == {}

    play(scenario, flash=equipped.flash)


def test_the_reflex_is_fast_while_the_link_is_saturated(play: Play, equipped: Equipped) -> None:
    fan = SwitchedFan()

    async def scenario(board: Rp2040Board) -> None:
        await board.power.off()
        await board.restore(RawFlash(board).filled(6000))
        await board.power.on()
        node = PicoNode(board)
        latencies = await reflexes(node, fan, 10)
        assert max(latencies) < LATENCY_US, latencies
        # A sample interval and a part of a message, not two intervals: a stall ends with the second edge.
        assert statistics.median(latencies) < LATENCY_US / 2, latencies
        assert node.peer.next(LIVE) < 6000, "the backlog lasted"

    play(scenario, flash=equipped.flash, devices=[fan])
