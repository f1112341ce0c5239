"""The node's firmware as it is built and installed, on emulated boards (SIMULATED): real MicroPython, real .mpy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards.board import Tear
from fieldline_wire.codes import (
    ALARM,
    CAUSE_SHIFT,
    CAUSE_STALL,
    CMD_RESTART,
    HELLO_CLOCK_SET,
    HELLO_DEVELOPMENT,
    KEY_REJECT_US,
    KEY_SAMPLE_MS,
    LIVE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    READING_CLEARED,
    READING_RAISED,
    RESET_FAULT,
    RESET_HARD,
    RESET_POWER_ON,
    RESET_WATCHDOG,
    SENSOR_NODE,
)
from fieldline_wire.messages import Command, Config, Hello, Log, Result
from tests.boards.tools import mpremote
from tests.node.board_bench import BoardBench

pytestmark = pytest.mark.vm

Scenario = Callable[[BoardBench], Awaitable[None]]


def play(name: str, folder: Path, scenario: Scenario, bench: BoardBench | None = None) -> None:
    """Runs `scenario` on the firmware for board `name`."""

    async def on_board() -> None:
        async with bench or BoardBench(name, folder).firmware() as on:
            await scenario(on)

    asyncio.run(on_board())


def values(bench: BoardBench, sensor: int) -> list[int]:
    """What `sensor` read, oldest first."""
    return [value for _, number, _, value in bench.peer.values(LIVE) if number == sensor]


HANGS = """
class Hangs:
    QUANTITY, KEYS, others = 2, (), ()
    stalled = saturated = False
    wait_ms = 0
    def __init__(self, number):
        self.number = number
    def configure(self, settings):
        pass
    def sample(self, now):
        while now > 2000:
            pass
        return 1

def make(number, pin, hardware):
    return Hangs(number)
"""


def replace_sensor(bench: BoardBench, source: str) -> None:
    """Puts a chip_temperature of the test's own into the build."""
    folder = bench.build / "fieldline_node" / "sensors"
    (folder / "chip_temperature.mpy").unlink()
    (folder / "chip_temperature.py").write_text(source)


@pytest.mark.parametrize("name", ["pico_w", "esp32_devkitc"])
def test_four_fans_are_read_as_fast_as_they_turn(name: str, tmp_path: Path) -> None:
    speeds_hz = (50.0, 40.0, 33.0, 25.0)

    async def scenario(bench: BoardBench) -> None:
        fans = [sensor for sensor in bench.spec.sensors if sensor.kind == "tachometer"]
        for fan, hz in zip(fans, speeds_hz, strict=True):
            assert fan.pin is not None
            await bench.board.pins.pulse(fan.pin, hz)
        await bench.until(lambda: len(values(bench, fans[-1].number)) >= 3, "three readings of each fan")
        hello = bench.peer.of(Hello)[0]
        assert (hello.board, hello.reset_cause) == (name, RESET_POWER_ON)
        for fan, hz in zip(fans, speeds_hz, strict=True):
            # Two pulses a turn, 0.1 rpm; the newest, as a fan may be seen standing before its pulses come.
            assert abs(values(bench, fan.number)[-1] - hz * 300) <= hz * 3, (
                fan.name,
                values(bench, fan.number),
            )
        quantities = {(sensor, quantity) for _, sensor, quantity, _ in bench.peer.values(LIVE)}
        assert quantities == {(fan.number, QTY_SPEED) for fan in fans} | {
            (s.number, QTY_TEMPERATURE) for s in bench.spec.sensors if s.kind == "chip_temperature"
        }
        assert bench.peer.gaps[LIVE] == {}

    play(name, tmp_path, scenario)


@pytest.mark.parametrize("name", ["pico_w", "esp32_devkitc"])
def test_a_server_fan_at_20000_rpm_is_read_rightly_once_set_so(name: str, tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        fan = bench.spec.sensors[0]
        assert fan.pin is not None
        await bench.until(lambda: bench.peer.of(Hello), "a Hello")
        await bench.board.pins.pulse(fan.pin, 20000 / 60 * 2)
        bench.peer.send(Config(1, [(fan.number, KEY_REJECT_US, 1000)]))
        await bench.until(lambda: bench.peer.of(Config), "the answer to a Config")
        seen = len(values(bench, fan.number))
        await bench.until(lambda: len(values(bench, fan.number)) >= seen + 4, "four more readings")
        assert abs(values(bench, fan.number)[-1] - 200000) < 2000, values(bench, fan.number)

    play(name, tmp_path, scenario)


def test_a_stall_moves_the_reflex_pin_and_is_an_alarm(tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        fans = [sensor for sensor in bench.spec.sensors if sensor.kind == "tachometer"]
        for fan in fans:
            assert fan.pin is not None
            await bench.board.pins.pulse(fan.pin, 50)
        reflex = bench.spec.reflex
        first = fans[0]
        assert reflex is not None and first.pin is not None
        await bench.until(lambda: values(bench, first.number)[-1:] == [15000], "1,500 rpm")
        cleared = len(bench.peer.readings[ALARM])
        await bench.board.pins.pulse(first.pin, 0)
        await bench.until(lambda: len(bench.peer.readings[ALARM]) > cleared, "the alarm")
        assert await bench.board.pins.read(reflex) == 1
        await bench.board.pins.pulse(first.pin, 50)
        await bench.until(lambda: len(bench.peer.readings[ALARM]) > cleared + 1, "its end")
        assert await bench.board.pins.read(reflex) == 0
        flags = [bench.peer.readings[ALARM][cleared + i][1].flags for i in (1, 2)]
        stall = CAUSE_STALL << CAUSE_SHIFT
        assert flags == [READING_RAISED | stall, READING_CLEARED | stall]

    play("pico_w", tmp_path, scenario)


@pytest.mark.parametrize(("operation", "tear"), [(1, "half"), (3, "almost"), (14, "random"), (77, "after")])
def test_the_power_may_go_at_any_flash_operation(operation: int, tear: Tear, tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        peer = bench.peer
        await bench.until(lambda: peer.of(Hello), "a Hello")
        peer.send(Config(1, [(SENSOR_NODE, KEY_SAMPLE_MS, 100)]))
        await bench.until(lambda: peer.next(LIVE) > 20, "readings")
        await bench.board.power.cut_at(operation, tear)
        await bench.until(lambda: not bench.board.power.is_on, "the cut")
        before, epoch = peer.next(LIVE), peer.epoch
        await bench.board.power.on()
        await bench.until(lambda: peer.epoch > epoch and peer.next(LIVE) > before + 20, "readings again")
        # What a cut tore is one number that was never given out; nothing that was kept is gone.
        assert len(peer.gaps[LIVE]) <= 1 and len(peer.gaps[ALARM]) <= 1
        assert peer.of(Hello)[-1].config_version == 1

    play("pico_w", tmp_path, scenario)


def test_a_restart_is_told_as_one(tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        peer = bench.peer
        await bench.until(lambda: peer.of(Hello), "a Hello")
        peer.send(Command(1, CMD_RESTART))
        await bench.until(lambda: len(peer.of(Hello)) >= 2 and peer.epoch == 2, "a Hello of the next boot")
        assert peer.of(Result)[0].id == 1
        assert peer.of(Hello)[-1].reset_cause == RESET_HARD
        assert not peer.of(Hello)[-1].flags & HELLO_CLOCK_SET

    play("pico_w", tmp_path, scenario)


def test_a_person_gets_the_repl_and_the_node_goes_on_afterwards(tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.next(LIVE) > 3, "readings")
        bench.peer.silent = True
        bench.raw.clear()
        bench.say(b"\x00\r\x03")
        await bench.until(lambda: b">>>" in bench.raw, "the prompt")
        bench.say(b"6*7\r\n")
        await bench.until(lambda: b"42" in bench.raw, "an answer")
        bench.say(b"\x04")
        bench.peer.silent = False
        await bench.until(lambda: bench.peer.epoch == 2, "the next boot")

    play("pico_w", tmp_path, scenario)


def test_plain_mpremote_stops_a_development_node_and_lets_it_go_on(tmp_path: Path) -> None:
    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.next(LIVE) > 3, "readings")
        bench.hang_up()
        said = await mpremote(bench.board.port, "exec", "print(6 * 7)", "+", "ls")
        assert said.startswith("42\n") and "main" in said
        await mpremote(bench.board.port, "reset")
        await bench.until(lambda: bench.peer.epoch == 2, "the next boot")

    play("pico_w", tmp_path, scenario)


def test_a_release_build_gives_no_repl_and_its_watchdog_ends_a_hang(tmp_path: Path) -> None:
    bench = BoardBench("pico_w", tmp_path).firmware(development=False)
    replace_sensor(bench, HANGS)

    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.of(Hello), "a Hello")
        bench.say(b"\x00\r\x03")
        await bench.until(lambda: bench.peer.epoch == 2, "a Hello of the next boot")
        assert [hello.reset_cause for hello in bench.peer.of(Hello)][-1] == RESET_WATCHDOG
        assert not bench.peer.of(Hello)[-1].flags & HELLO_DEVELOPMENT
        assert b">>>" not in bench.raw

    play("pico_w", tmp_path, scenario, bench)


def test_after_three_exceptions_in_a_row_a_node_only_talks(tmp_path: Path) -> None:
    bench = BoardBench("pico_w", tmp_path).firmware()
    replace_sensor(
        bench, "def make(number, pin, hardware):\n    raise ValueError('sensor %d is mad' % number)\n"
    )

    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.of(Hello), "a Hello of safe mode")
        hello = bench.peer.of(Hello)[-1]
        assert (hello.reset_cause, hello.sensors) == (RESET_FAULT, [])
        assert bench.peer.epoch == 4
        await bench.until(lambda: len(bench.peer.of(Log)) >= 3, "its log")
        assert "ValueError: sensor 4 is mad" in bench.peer.of(Log)[1].text

    play("pico_w", tmp_path, scenario, bench)


def test_a_node_without_identity_says_what_to_do(tmp_path: Path) -> None:
    bench = BoardBench("pico_w", tmp_path).firmware()
    (bench.build / "identity.bin").unlink()

    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: b"never provisioned" in bench.raw and b">>>" in bench.raw, "the REPL")

    play("pico_w", tmp_path, scenario, bench)
