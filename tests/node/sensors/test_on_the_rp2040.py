"""The sensors with MicroPython's own I2C and 1-Wire on an emulated RP2040 (SIMULATED), which makes every edge.

Rules: all times are the board's own, so they do not depend on how busy this machine is.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import read
from fieldline_boards.emulated import images
from fieldline_boards.emulated.chips.fitted import fit
from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.emulated.chips.wired import devices_of
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.repl import RawRepl
from tests.boards.rp2040.picos import SPEC

BOARD = Path(__file__).with_name("sensor_board.toml")
LONGEST_US = 25_000  # of the board's time, that one sample keeps the node

_BEGIN = """
import time
import fieldline_board as board
from fieldline_node.drivers.micropython.hardware import Hardware
from fieldline_node.sensors import make_sensor
hardware = Hardware("rp2")
kept = {}
longest = {}
for number, name, kind, place, _ in board.SENSORS:
    if kind != "tachometer":
        kept[name] = make_sensor(kind, number, place, hardware)

def measure(name):
    sensor = kept[name]
    while True:
        began = time.ticks_us()
        try:
            value = sensor.sample(hardware.now_ms())
        except OSError:
            return None
        longest[name] = max(longest.get(name, 0), time.ticks_diff(time.ticks_us(), began))
        if value is not None:
            return [value] + [other[1] for other in sensor.others]
        time.sleep_ms(sensor.wait_ms)
"""

Say = Callable[[str], Awaitable[Any]]
Scenario = Callable[[Rig, Say], Awaitable[None]]


@pytest.fixture
def image() -> Path:
    """A MicroPython image for the Pico."""
    try:
        return images.find("pico")
    except images.ImageMissing as missing:
        pytest.skip(str(missing))


def install(repl: RawRepl, folder: Path) -> None:
    """The parts of a built firmware that sensors need."""
    repl.exec("import os")
    made = set()
    for file in sorted(folder.rglob("*.mpy")):
        path = file.relative_to(folder)
        if path.parent.name == "fieldline_node" and file.stem != "__init__":
            continue
        for parent in reversed(path.parents[:-1]):
            if parent not in made:
                repl.exec(f"os.mkdir({str(parent)!r})")
                made.add(parent)
        repl.exec(f"f = open({str(path)!r}, 'wb'); f.write({file.read_bytes()!r}); f.close()")


def play(image: Path, folder: Path, scenario: Scenario) -> None:
    """Runs a scenario on a Pico with all sensors of sensor_board.toml; `say` gives what an expression is there."""
    spec = read(BOARD)
    build(spec, folder / "build")
    rig = Rig()
    for sensor in spec.sensors:
        fit(rig, sensor)

    async def on_board() -> None:
        devices = devices_of(rig)
        async with Rp2040Board(SPEC, folder / "board", image=image, pace=0, devices=devices) as board:
            await board.power.on()
            with await asyncio.to_thread(RawRepl, board.port) as repl:

                async def say(expression: str) -> Any:
                    return ast.literal_eval(await asyncio.to_thread(repl.exec, f"print({expression})"))

                await asyncio.to_thread(install, repl, folder / "build")
                await asyncio.to_thread(repl.exec, _BEGIN)
                await scenario(rig, say)

    asyncio.run(on_board())


def set_world(rig: Rig) -> None:
    for name, values in {
        "inlet": {"celsius": -10.125},
        "outlet": {"celsius": 31.4},
        "supply": {"amps": 1.2, "volts": 12.0},
        "room": {"celsius": 23.4, "pascal": 98_765.0, "percent": 45.6},
        "bearing": {"peak": 0.25, "hz": 101.0},
    }.items():
        for attribute, value in values.items():
            setattr(rig.chips[name], attribute, value)


EXPECTED = {  # value and tolerance of each quantity
    "inlet": [(-1012, 1)],
    "outlet": [(3138, 1)],
    "supply": [(12000, 2), (12000, 4), (14400, 10)],
    "room": [(2340, 2), (4560, 10), (98765, 4)],
    "bearing": [(1734, 30)],
}


def right(name: str, values: list[int] | None) -> bool:
    assert values is None or len(values) == len(EXPECTED[name])
    return values is not None and all(
        abs(value - wanted) <= off for value, (wanted, off) in zip(values, EXPECTED[name], strict=True)
    )


def test_every_sensor_reads_the_world_and_keeps_the_node_for_milliseconds(
    image: Path, tmp_path: Path
) -> None:
    async def scenario(rig: Rig, say: Say) -> None:
        set_world(rig)
        for name in EXPECTED:
            values = await say(f"measure({name!r})")
            assert right(name, values), (name, values)
        longest = await say("longest")
        assert max(longest.values()) < LONGEST_US, longest

    play(image, tmp_path, scenario)


def test_what_goes_is_silent_and_comes_back(image: Path, tmp_path: Path) -> None:
    async def scenario(rig: Rig, say: Say) -> None:
        set_world(rig)
        for name in EXPECTED:
            rig.chips[name].unplug()
        assert [await say(f"measure({name!r})") for name in EXPECTED] == [None] * 5
        for name in EXPECTED:
            rig.chips[name].plug()
        for name in EXPECTED:
            values = await say(f"measure({name!r})")
            assert right(name, values), (name, values)
            rig.chips[name].blink()
            values = await say(f"measure({name!r})")
            assert values is None or right(name, values), (name, values)
            assert right(name, await say(f"measure({name!r})")), name

    play(image, tmp_path, scenario)


def test_a_bus_that_hangs_is_freed_by_clock_pulses(image: Path, tmp_path: Path) -> None:
    async def scenario(rig: Rig, say: Say) -> None:
        set_world(rig)
        rig.i2c[0].hang()
        values = await say("measure('room')") or await say("measure('room')")
        assert right("room", values), values
        rig.i2c[0].short = True
        assert await say("measure('room')") is None
        assert await say("measure('supply')") is None
        rig.i2c[0].short = False
        assert right("room", await say("measure('room')"))
        assert right("supply", await say("measure('supply')"))

    play(image, tmp_path, scenario)


def test_micropythons_own_search_finds_the_thermometers(image: Path, tmp_path: Path) -> None:
    """The emulated 1-Wire chips against a master that is not ours."""

    async def scenario(rig: Rig, say: Say) -> None:
        roms = await say(
            "[bytes(rom) for rom in __import__('ds18x20').DS18X20("
            "__import__('onewire').OneWire(__import__('machine').Pin(14))).scan()]"
        )
        assert sorted(roms) == [rig.wires[14].chips[0].rom, rig.wires[14].chips[1].rom]

    play(image, tmp_path, scenario)
