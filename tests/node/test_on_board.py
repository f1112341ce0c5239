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
    SENSOR_NODE,
)
from fieldline_wire.messages import Command, Config, Hello, Log, Result
from tests.node.board_bench import BoardBench

pytestmark = pytest.mark.vm

Scenario = Callable[[BoardBench], Awaitable[None]]


def play(name: str, folder: Path, scenario: Scenario, bench: BoardBench | None = None) -> None:
    """Runs `scenario` on the firmware for board `name`."""

    async def on_board() -> None:
        async with bench or BoardBench(name, folder).firmware() as on:
            await scenario(on)

    asyncio.run(on_board())
