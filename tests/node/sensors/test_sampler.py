"""The sampler with sensors that take time and have several quantities."""

from __future__ import annotations

from itertools import pairwise

from sensor_cases.bench import I2C, WIRE, Bench

from fieldline_boards.emulated.chips import Rig
from fieldline_node.sampler import Sampler
from fieldline_node.sensors import make_sensor
from fieldline_wire.codes import (
    LIVE,
    QTY_CURRENT,
    QTY_HUMIDITY,
    QTY_POWER,
    QTY_PRESSURE,
    QTY_TEMPERATURE,
    QTY_VOLTAGE,
    READING_SATURATED,
    SENSOR_OUT_OF_RANGE,
    SENSOR_SILENT,
    SENSOR_WELL,
)
from tests.node.sensors.host_bench import HostHardware

THERMOMETER, ROOM, SUPPLY = 0, 1, 2
STEP_MS = 10


class Settings:
    """One interval for all."""

    interval = 1000

    def get(self, sensor: int, key: int) -> int:
        return self.interval


class Reflex:
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int | None]] = []

    def judge(self, sensor: object, value: int | None) -> list[int]:
        self.told.append((sensor.number, value))  # type: ignore[attr-defined]
        return []

    def moves(self, sensor: object) -> list[int]:
        return []

    def drive(self) -> None:
        pass


class Tried:
    """A sampler with a thermometer, a BME280 and an INA219."""

    def __init__(self, interval: int = 1000) -> None:
        rig = Rig()
        self.bench = Bench(rig.act, HostHardware(rig), 1)
        self.bench.add("t", "ds18b20", WIRE)
        self.bench.add("b", "bme280", 0)
        self.bench.add("p", "ina219", 0, amps=1.0, volts=12.0)
        hardware = self.bench.hardware
        sensors = [
            make_sensor("ds18b20", THERMOMETER, (WIRE, None, 12), hardware),
            make_sensor("bme280", ROOM, (I2C, 0x76), hardware),
            make_sensor("ina219", SUPPLY, (I2C, 0x40, 100_000, 3_200), hardware),
        ]
        self.settings = Settings()
        self.settings.interval = interval
        self.reflex = Reflex()
        self.kept: list[tuple[int, int, int, int, int]] = []
        self.sampler = Sampler(sensors, self.settings, self.reflex, self._keep)
        self.longest_us = 0

    def _keep(self, cls: int, sensor: int, quantity: int, flags: int, value: int, now: int) -> None:
        assert cls == LIVE
        self.kept.append((sensor, quantity, flags, value, now))

    def run(self, ms: int) -> None:
        """Steps as the top loop does: at least every STEP_MS, sooner where the sampler says so."""
        end = self.bench.now + ms
        while (now := self.bench.now) < end:
            before = self.bench.us
            wait = self.sampler.step(now)
            assert wait > 0
            self.longest_us = max(self.longest_us, self.bench.us - before)
            self.bench.advance(min(wait, STEP_MS))

    def of(self, sensor: int) -> list[tuple[int, int, int, int]]:
        return [reading[1:] for reading in self.kept if reading[0] == sensor]


def test_every_quantity_is_kept_at_every_interval() -> None:
    tried = Tried()
    tried.run(4900)
    assert [quantity for quantity, *_ in tried.of(ROOM)] == [QTY_TEMPERATURE, QTY_HUMIDITY, QTY_PRESSURE] * 5
    assert [quantity for quantity, *_ in tried.of(SUPPLY)] == [QTY_CURRENT, QTY_VOLTAGE, QTY_POWER] * 5
    assert [(quantity, value) for quantity, _, value, _ in tried.of(THERMOMETER)] == [
        (QTY_TEMPERATURE, 2000)
    ] * 5
    assert tried.sampler.states() == [(sensor, SENSOR_WELL) for sensor in (THERMOMETER, ROOM, SUPPLY)]


def test_a_value_comes_when_it_is_there_and_the_interval_is_kept() -> None:
    tried = Tried()
    tried.run(4900)
    times = [at for *_, at in tried.of(THERMOMETER)]
    assert all(750 <= at % 1000 < 850 for at in times), times
    assert [at // 1000 for at in times] == [0, 1, 2, 3, 4]
    times = sorted({at for *_, at in tried.of(SUPPLY)})
    assert all(19 <= at % 1000 < 100 for at in times), times


def test_a_step_says_when_to_come_back_for_a_measurement() -> None:
    tried = Tried()
    assert tried.sampler.step(0) == 1
    assert tried.sampler.step(1) == 10, "the BME280 is the first to be ready"
    assert tried.sampler.step(5) == 6


def test_no_step_waits_for_a_chip() -> None:
    tried = Tried()
    tried.run(3000)
    assert tried.longest_us < 40_000  # what goes over the buses, where all three are due together


def test_an_interval_that_is_shorter_than_the_measurement() -> None:
    tried = Tried(interval=50)
    tried.run(4000)
    times = [at for *_, at in tried.of(THERMOMETER)]
    assert len(times) >= 4
    assert all(750 <= later - earlier < 850 for earlier, later in pairwise(times)), times


def test_silence_is_a_state_and_ends() -> None:
    tried = Tried()
    tried.run(1000)
    tried.bench.call("b", "unplug")
    tried.run(2000)
    assert tried.sampler.states()[ROOM] == (ROOM, SENSOR_SILENT)
    assert (ROOM, None) in tried.reflex.told
    before = len(tried.of(ROOM))
    tried.bench.call("b", "plug")
    tried.run(1100)
    assert tried.sampler.states()[ROOM] == (ROOM, SENSOR_WELL)
    assert len(tried.of(ROOM)) > before
    assert len(tried.of(SUPPLY)) >= 9, "the others went on"


def test_what_is_out_of_range_is_flagged_alone() -> None:
    tried = Tried()
    tried.bench.set("b", "percent", 110.0)
    tried.run(900)
    assert [(quantity, flags) for quantity, flags, _, _ in tried.of(ROOM)] == [
        (QTY_TEMPERATURE, 0),
        (QTY_HUMIDITY, READING_SATURATED),
        (QTY_PRESSURE, 0),
    ]
    assert tried.sampler.states()[ROOM] == (ROOM, SENSOR_OUT_OF_RANGE)
    tried.bench.set("b", "percent", 50.0)
    tried.run(1000)
    assert tried.sampler.states()[ROOM] == (ROOM, SENSOR_WELL)
