"""Emulated Picos for tests: skipped, with the reason, where there is no MicroPython image."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.picos import SPEC, Play, Scenario


@pytest.fixture
def image() -> Path:
    """A MicroPython image for the Pico."""
    try:
        return images.find("pico")
    except images.ImageMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def play(image: Path, tmp_path: Path) -> Play:
    """Runs a scenario on an emulated Pico that is switched on; the same one each time.

    As fast as possible by default: emulated seconds of waiting cost nothing.
    """

    async def on_board(scenario: Scenario, options: dict[str, Any]) -> None:
        async with Rp2040Board(SPEC, tmp_path / "board", image=image, **{"pace": 0, **options}) as board:
            await board.power.on()
            await scenario(board)

    return lambda scenario, **options: asyncio.run(on_board(scenario, options))
