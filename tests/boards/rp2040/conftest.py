"""Emulated Picos for tests: skipped, with the reason, where there is no MicroPython image."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.picos import SPEC, Equipped, Play, Scenario
from tests.once import once

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests/fakes, as on a board


@pytest.fixture(scope="session")
def image() -> Path:
    """A MicroPython image for the Pico."""
    try:
        return images.find("pico")
    except images.ImageMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def equipped(image: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Equipped:
    """Made once."""
    from tests.boards.rp2040.nodes import equip  # when sys.path has tests/fakes

    return once(tmp_path_factory, pytestconfig, "equipped", lambda folder: asyncio.run(equip(image, folder)))


@pytest.fixture
def play(image: Path, tmp_path: Path) -> Play:
    """Runs a scenario on an emulated Pico that is switched on, with `flash` in it; the same one each time.

    As fast as possible by default: emulated seconds of waiting cost nothing.
    """

    async def on_board(scenario: Scenario, options: dict[str, Any]) -> None:
        flash = options.pop("flash", None)
        async with Rp2040Board(SPEC, tmp_path / "board", image=image, **{"pace": 0, **options}) as board:
            if flash:
                await board.restore(flash)
            await board.power.on()
            await scenario(board)

    return lambda scenario, **options: asyncio.run(on_board(scenario, options))
