"""The firmware of every board in the catalog, on its emulated board (SIMULATED): it greets, and reads a fan.

By default one board for each chip that no other test starts; with -m soak all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards.catalog import board_names
from fieldline_wire.codes import KEY_REJECT_US, LIVE, QTY_SPEED, QTY_TEMPERATURE, RESET_POWER_ON
from fieldline_wire.messages import Config, Hello
from tests.node.board_bench import BoardBench

pytestmark = pytest.mark.vm

# rp2040 and esp32 run in test_on_board.py.
QUICK = ("pico2", "esp32s3_devkitc", "esp32c3_devkitm", "esp32c6_devkitc")
REST = tuple(name for name in board_names() if name not in QUICK)


def play(name: str, folder: Path, scenario: Callable[[BoardBench], Awaitable[None]]) -> None:
    async def on_board() -> None:
        async with BoardBench(name, folder).firmware(development=False) as bench:
            await scenario(bench)

    asyncio.run(on_board())


def newest(bench: BoardBench, sensor: int, quantity: int) -> int | None:
    found = [
        value for _, number, what, value in bench.peer.values(LIVE) if (number, what) == (sensor, quantity)
    ]
    return found[-1] if found else None


async def greets_and_reads(bench: BoardBench) -> None:
    fan, chip = bench.spec.sensors[0], bench.spec.sensors[-1]
    assert fan.pin is not None
    await bench.board.pins.pulse(fan.pin, 50)
    await bench.until(lambda: bench.peer.of(Hello), "a Hello")
    hello = bench.peer.of(Hello)[0]
    assert (hello.board, hello.reset_cause) == (bench.spec.name, RESET_POWER_ON)
    assert len(hello.sensors) == len(bench.spec.sensors)
    await bench.until(lambda: abs((newest(bench, fan.number, QTY_SPEED) or 0) - 15_000) <= 150, "1,500 rpm")
    await bench.until(lambda: newest(bench, chip.number, QTY_TEMPERATURE), "the chip's temperature")
    assert abs((newest(bench, chip.number, QTY_TEMPERATURE) or 0) - 2700) < 60, (
        "27 degrees, by the chip's own means"
    )


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.soak) for name in REST)])
def test_a_board_greets_and_reads_a_fan(name: str, tmp_path: Path) -> None:
    play(name, tmp_path, greets_and_reads)


@pytest.mark.parametrize("name", ["esp32c3_devkitm", pytest.param("esp32s3_devkitc", marks=pytest.mark.soak)])
def test_a_fast_fan_is_read_with_and_without_a_pulse_counter(name: str, tmp_path: Path) -> None:
    """A short reject time asks for hardware that counts; an ESP32-C3 has none."""

    async def scenario(bench: BoardBench) -> None:
        fan = bench.spec.sensors[-2]
        assert fan.pin is not None
        await bench.until(lambda: bench.peer.of(Hello), "a Hello")
        await bench.board.pins.pulse(fan.pin, 500)
        bench.peer.send(Config(1, [(fan.number, KEY_REJECT_US, 1000)]))
        await bench.until(lambda: bench.peer.of(Config), "the answer to a Config")
        await bench.until(
            lambda: abs((newest(bench, fan.number, QTY_SPEED) or 0) - 150_000) < 1500, "15,000 rpm"
        )
        assert len({hello.stream for hello in bench.peer.of(Hello)}) == 1, "it never started again"

    play(name, tmp_path, scenario)
