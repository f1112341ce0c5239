"""The emulated boards' `bluetooth` on the simulated air in real time (SIMULATED), as MicroPython v1.23 has it."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards.emulated.air.live import ADV_NONCONN_IND, ADV_SCAN_IND, Heard, LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from tests.boards.repl import RawRepl, run

PATIENCE_S = 60.0
MESH = bytes((4, 0x2A, 1, 2, 3))
LISTEN = """
import bluetooth
ble = bluetooth.BLE()
assert ble is bluetooth.BLE()
got, kept = [], []
def irq(event, data):
    if event == 5:
        kind, address, adv_type, rssi, view = data
        got.append((kind, bytes(address), adv_type, rssi, bytes(view)))
        kept.append((address, view))
ble.irq(irq)
ble.active(True)
ble.gap_scan(0, 30000, 30000)
"""


async def until(true: Callable[[], object], what: str) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while not true():
        assert loop.time() < end, what
        await asyncio.sleep(0.01)


def heard_by(air: LiveAir, name: str, *, scanning: bool = True) -> list[Heard]:
    found: list[Heard] = []
    station = air.station(name)
    station.hear = found.append
    if scanning:
        station.scan(30_000, 30_000)
    return found


def play(scenario: Callable[[LiveAir], Awaitable[None]]) -> None:
    async def on_air() -> None:
        air = LiveAir(seed=3)
        try:
            await scenario(air)
        finally:
            air.close()

    asyncio.run(on_air())


def test_who_is_near_hears_and_who_is_far_or_silent_does_not() -> None:
    async def scenario(air: LiveAir) -> None:
        for name, x in (("here", 0.0), ("near", 10.0), ("deaf", 10.0), ("far", 2000.0)):
            air.place(name, x, 0.0)
        near, far, deaf = heard_by(air, "near"), heard_by(air, "far"), heard_by(air, "deaf", scanning=False)
        air.station("here").advertise(20_000, MESH)
        await until(lambda: len(near) >= 5, "the near one hears")
        assert {one.data for one in near} == {MESH}
        assert {one.kind for one in near} == {ADV_NONCONN_IND}
        assert {one.sender for one in near} == {air.station("here").address}
        assert far == [] and deaf == []
        assert air.heard_from["near"] == {"here": len(near)}

    play(scenario)


def test_a_board_is_moved_taken_away_and_brought_back_while_it_speaks() -> None:
    async def scenario(air: LiveAir) -> None:
        air.place("here", 0, 0)
        air.place("there", 10, 0)
        there = heard_by(air, "there")
        air.station("here").advertise(20_000, MESH)
        await until(lambda: there, "it hears")
        for away, back in (
            (lambda: air.place("here", 3000, 0), lambda: air.place("here", 5, 5)),
            (lambda: air.remove("there"), lambda: air.link("here", "there", -50)),
            (lambda: air.link("here", "there", None), lambda: air.place("there", 10, 0)),
        ):
            away()
            await asyncio.sleep(0.05)  # what is on air ends
            count = len(there)
            await asyncio.sleep(0.3)
            assert len(there) == count
            back()
            await until(lambda count=count: len(there) > count, "it hears again")

    play(scenario)


def test_two_that_speak_at_once_collide_and_who_sends_is_deaf() -> None:
    async def scenario(air: LiveAir) -> None:
        for one, other in (("a", "m"), ("b", "m"), ("a", "b")):
            air.link(one, other, -60)
        heard_by(air, "m")
        speaker = heard_by(air, "a")
        for _ in range(200):
            air.station("a").advertise(20_000, MESH)
            air.station("b").advertise(20_000, MESH)
            air.station("a").stop()
            air.station("b").stop()
            await asyncio.sleep(0.004)
        assert air.counts["sent"] == 400
        assert air.counts["collisions"] > 50
        assert (
            len(speaker) < 100
        )  # as half of b's events overlap its own, and three channels are one at a time

    play(scenario)


def test_a_controller_refuses_what_is_no_legacy_advert() -> None:
    async def scenario(air: LiveAir) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            air.station("a").advertise(20_000, bytes(32))
        with pytest.raises(ValueError, match="10000 us"):
            air.station("a").advertise(10_000, MESH)

    play(scenario)


def on_a_board(
    tmp_path: Path, scenario: Callable[[LiveAir, VmBoard], Awaitable[None]], name: str = "pico_w"
) -> None:
    async def on_air(air: LiveAir) -> None:
        air.link("board", "host", -50)
        board = VmBoard(catalog.load_board(name), tmp_path / "board", air=air.station("board"))
        async with board:
            await board.power.on()
            await scenario(air, board)

    play(on_air)


@pytest.mark.vm
@pytest.mark.parametrize("name", ["pico_w", "esp32_devkitc"])
def test_a_board_hears_and_what_an_interrupt_gave_expires(tmp_path: Path, name: str) -> None:
    async def scenario(air: LiveAir, board: VmBoard) -> None:
        def session() -> str:
            with RawRepl(board.port) as repl:
                repl.exec(LISTEN)
                return repl.exec(
                    "import time\n"
                    "end = time.ticks_ms() + 20000\n"
                    "while len(got) < 3 and time.ticks_ms() < end: time.sleep_ms(10)\n"
                    "print((got[0], bytes(kept[0][0]), bytes(kept[0][1])))"
                )

        air.station("host").advertise(20_000, MESH, ADV_SCAN_IND)
        said = await asyncio.to_thread(session)
        got = (1, air.station("host").address, 2, -50, MESH)
        stale = b"\xa5" * 6, b"\xa5" * len(MESH)
        assert ast.literal_eval(said.strip()) == (got, *stale)

    on_a_board(tmp_path, scenario, name)


@pytest.mark.vm
def test_a_board_advertises_as_the_ports_do_and_stops(tmp_path: Path) -> None:
    async def scenario(air: LiveAir, board: VmBoard) -> None:
        host = heard_by(air, "host")
        begin = (
            "import bluetooth\nble=bluetooth.BLE()\nble.active(True)\n"
            f"ble.gap_advertise(20000, {MESH!r}, connectable=False)"
        )
        await asyncio.to_thread(run, board.port, begin)
        await until(lambda: len(host) > 3, "the host hears")
        assert {(one.kind, one.data) for one in host} == {(ADV_SCAN_IND, MESH)}
        with_repl = "import bluetooth\nbluetooth.BLE().gap_advertise(None)"
        await asyncio.to_thread(run, board.port, with_repl)
        await asyncio.sleep(0.1)
        count = len(host)
        await asyncio.sleep(0.3)
        assert len(host) == count
        await asyncio.to_thread(run, board.port, "import bluetooth\nbluetooth.BLE().gap_advertise(20000)")
        await until(lambda: len(host) > count, "what was said before is said again")
        await board.power.off()
        await asyncio.sleep(0.1)
        count = len(host)
        await asyncio.sleep(0.3)
        assert len(host) == count, "a board without power is silent"

    on_a_board(tmp_path, scenario)


@pytest.mark.vm
def test_errors_are_the_ports_own_and_a_handler_that_raises_is_switched_off(tmp_path: Path) -> None:
    tries = """
import bluetooth
ble = bluetooth.BLE()
def said(call, *args, **named):
    try:
        return call(*args, **named)
    except Exception as error:
        return repr(error)
print(said(ble.gap_scan, 0), said(ble.gap_advertise, 20000, b'x'))
ble.active(True)
print(said(ble.gap_advertise, 20000, bytes(32)), said(ble.gap_advertise, 10000, b'x'))
print(said(ble.gap_scan, 0, 30000, 40000), said(ble.config, nonsense=1), said(ble.gap_connect, 0, bytes(6)))
print(ble.config('mac'), ble.active())
import time
calls = []
def bad(event, data):
    calls.append(event)
    raise ValueError('mine')
ble.irq(bad)
ble.gap_scan(0, 30000, 30000)
time.sleep_ms(1000)
print(len(calls))
"""

    async def scenario(air: LiveAir, board: VmBoard) -> None:
        air.station("host").advertise(20_000, MESH)
        lines = (await asyncio.to_thread(run, board.port, tries)).splitlines()
        assert lines[0] == "OSError(19,) OSError(19,)"
        assert lines[1] == "OSError(22,) OSError(22,)"
        assert lines[2].startswith("OSError(22,) ValueError(")
        assert lines[2].endswith("OSError(95,)")
        assert lines[3] == f"(1, {air.station('board').address!r}) True"
        assert "Uncaught exception in IRQ callback handler" in lines
        assert "ValueError: mine" in lines
        assert lines[-1] == "1"

    on_a_board(tmp_path, scenario)


@pytest.mark.vm
def test_a_board_without_a_radio_has_no_bluetooth(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with VmBoard(catalog.load_board("pico"), tmp_path / "board") as board:
            await board.power.on()
            code = "try:\n import bluetooth\nexcept ImportError as error:\n print(error)"
            assert await asyncio.to_thread(run, board.port, code) == "no module named 'bluetooth'\n"

    asyncio.run(scenario())
    with pytest.raises(BoardError, match="has no Bluetooth radio"):
        VmBoard(catalog.load_board("pico"), tmp_path / "other", air=LiveAir().station("x"))
