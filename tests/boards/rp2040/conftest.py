"""Emulated Picos for tests: skipped, with the reason, where there is no MicroPython image."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install
from tests.boards.rp2040.picos import KEY, NODE, SPEC, Equipped, Play, Scenario


@pytest.fixture(scope="session")
def image() -> Path:
    """A MicroPython image for the Pico."""
    try:
        return images.find("pico")
    except images.ImageMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def equipped(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Equipped:
    """Made once: half a minute of work for the emulated chip."""
    folder = tmp_path_factory.mktemp("equipped")
    build(SPEC, folder / "build")
    identity = make_identity(NODE, 0, KEY)
    said: list[str] = []

    async def put() -> bytes:
        async with Rp2040Board(SPEC, folder / "board", image=image, pace=0, instant_flash=True) as board:
            await board.power.on()
            await asyncio.to_thread(
                install, board.port, folder / "build", identity, lambda step: None, said.append
            )
            await board.power.off()
            return board.snapshot()

    return Equipped(asyncio.run(put()), folder / "build", identity, tuple(said))


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
