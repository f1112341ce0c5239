"""The whole firmware on an emulated board (SIMULATED) with emulated chips: what they measure reaches a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import read
from fieldline_boards.emulated.chips import Rig
from fieldline_boards.emulated.chips.fitted import rig_for
from fieldline_boards.emulated.vm import VmBoard, run_script
from fieldline_wire.codes import (
    ALARM,
    CAUSE_SHIFT,
    CAUSE_SILENT,
    CMD_HELLO,
    LIVE,
    QTY_ACCELERATION,
    QTY_CURRENT,
    QTY_HUMIDITY,
    QTY_POWER,
    QTY_PRESSURE,
    QTY_TEMPERATURE,
    QTY_VOLTAGE,
    READING_CLEARED,
    READING_RAISED,
    SENSOR_SILENT,
    SENSOR_WELL,
)
from fieldline_wire.messages import Command, Hello
from tests.node.board_bench import BoardBench

pytestmark = pytest.mark.vm

BOARD = Path(__file__).with_name("sensor_board.toml")
ROOT = BOARD.parents[3]


class SensorBench(BoardBench):
    """The firmware for sensor_board.toml, with its chips."""

    def __init__(self, folder: Path) -> None:
        super().__init__("pico_w", folder)
        self.spec = read(BOARD)
        self.rig = rig_for(self.spec)
        self.rig.analog[0] = 0.5
        self._where = folder / "board"

    async def __aenter__(self) -> SensorBench:
        self.board = VmBoard(self.spec, self._where, files=self.build, rig=self.rig)
        await self.board.__aenter__()
        await self.board.power.on()
        return self

    def chip(self, name: str) -> Any:
        return self.rig.chips[name]

    def last(self, name: str, quantity: int) -> int | None:
        """The newest value of a sensor."""
        number = self.spec.sensor(name).number
        found = [
            value for _, sensor, what, value in self.peer.values(LIVE) if (sensor, what) == (number, quantity)
        ]
        return found[-1] if found else None

    def states(self) -> dict[int, int]:
        """Of the sensors, in the newest Hello."""
        return dict(self.peer.of(Hello)[-1].sensors)


def play(folder: Path, scenario: Callable[[SensorBench], Awaitable[None]]) -> None:
    async def on_board() -> None:
        async with SensorBench(folder).firmware() as bench:
            await scenario(bench)

    asyncio.run(on_board())


def near(bench: SensorBench, name: str, quantity: int, wanted: int, off: int) -> bool:
    value = bench.last(name, quantity)
    return value is not None and abs(value - wanted) <= off


def test_the_build_has_the_sensors_of_the_board_and_fits(tmp_path: Path) -> None:
    report = build(read(BOARD), tmp_path / "build")
    names = {file.path for file in report.files}
    for kind in ("timed", "ds18b20", "ina219", "bme280", "lis3dh", "voltage", "tachometer"):
        assert f"fieldline_node/sensors/{kind}.mpy" in names
    assert report.over == ()


def test_every_quantity_comes_out_at_the_gateway(tmp_path: Path) -> None:
    async def scenario(bench: SensorBench) -> None:
        bench.chip("inlet").celsius = 12.5
        bench.chip("outlet").celsius = 41.0
        bench.chip("supply").amps, bench.chip("supply").volts = 0.75, 12.0
        room = bench.chip("room")
        room.celsius, room.pascal, room.percent = 23.4, 98_765.0, 45.6
        bench.chip("bearing").peak = 0.25
        expected = [
            ("inlet", QTY_TEMPERATURE, 1250, 1),
            ("outlet", QTY_TEMPERATURE, 4100, 1),
            ("supply", QTY_CURRENT, 7500, 2),
            ("supply", QTY_VOLTAGE, 12000, 4),
            ("supply", QTY_POWER, 9000, 5),
            ("room", QTY_TEMPERATURE, 2340, 2),
            ("room", QTY_HUMIDITY, 4560, 10),
            ("room", QTY_PRESSURE, 98765, 4),
            ("bearing", QTY_ACCELERATION, 1734, 60),
            ("battery", QTY_VOLTAGE, 6600, 2),
        ]
        await bench.until(lambda: all(near(bench, *each) for each in expected), "every quantity")
        assert set(bench.states().values()) == {SENSOR_WELL}

    play(tmp_path, scenario)


def test_silence_is_an_alarm_and_a_state_and_goes_away(tmp_path: Path) -> None:
    async def scenario(bench: SensorBench) -> None:
        names = ("inlet", "supply", "room", "bearing")
        numbers = {bench.spec.sensor(name).number for name in names}
        await bench.until(lambda: bench.last("inlet", QTY_TEMPERATURE) is not None, "a first value")

        def alarms(flag: int) -> set[int]:
            wanted = flag | CAUSE_SILENT << CAUSE_SHIFT
            kept = bench.peer.readings[ALARM].values()
            return {reading.sensor for _, reading in kept if reading.flags == wanted}

        def hello(state: int) -> bool:
            bench.peer.send(Command(len(bench.peer.messages) + 1, CMD_HELLO))
            return {number for number, each in bench.states().items() if each == state} >= numbers

        for name in names:
            bench.chip(name).unplug()
        await bench.until(lambda: alarms(READING_RAISED) >= numbers, "silence")
        assert alarms(READING_RAISED) == numbers, "the others are well"
        await bench.until(lambda: hello(SENSOR_SILENT), "the state in a Hello")
        bench.chip("room").celsius = 35.0
        for name in names:
            bench.chip(name).plug()
        await bench.until(lambda: alarms(READING_CLEARED) >= numbers, "the end of silence")
        await bench.until(lambda: near(bench, "room", QTY_TEMPERATURE, 3500, 2), "the value of now")
        await bench.until(lambda: hello(SENSOR_WELL), "the state in a Hello")
        assert bench.peer.of(Hello)[-1].reset_cause == bench.peer.of(Hello)[0].reset_cause, "and no restart"

    play(tmp_path, scenario)


def test_chips_outlive_a_reset_of_the_board(tmp_path: Path) -> None:
    async def scenario(bench: SensorBench) -> None:
        await bench.until(lambda: near(bench, "room", QTY_TEMPERATURE, 2000, 2), "a value")
        bench.rig.i2c[0].hang()
        bench.chip("room").celsius = 30.0
        await bench.board.power.reset()
        await bench.until(lambda: near(bench, "room", QTY_TEMPERATURE, 3000, 2), "a value after the reset")

    play(tmp_path, scenario)


def test_an_esp32_gives_microvolts_of_its_own() -> None:
    rig = Rig()
    rig.analog[34] = 0.5
    script = """
from fieldline_node.drivers.micropython.hardware import Hardware
from fieldline_node.sensors import make_sensor
sensor = make_sensor("voltage", 1, (34, 3300, 0, 1), Hardware("esp32"))
print(sensor.sample(0), sensor.saturated)
"""
    output = run_script(script, paths=[ROOT / "wire", ROOT / "firmware"], chip="esp32", rig=rig)
    assert output == "1550 False\n"
