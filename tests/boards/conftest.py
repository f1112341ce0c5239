"""Emulated boards for the tests of the VM."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards.emulated.vm import VmBoard

Scenario = Callable[[VmBoard], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """play(scenario, name="pico_w", **files): runs `scenario` on a board that is on and has `files` (name=text)."""

    def run(scenario: Scenario, name: str = "pico_w", **files: str) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for file, text in files.items():
            (source / file.replace("_py", ".py")).write_text(text)

        async def on_board() -> None:
            async with VmBoard(catalog.load_board(name), tmp_path / "board", files=source) as board:
                await board.power.on()
                await scenario(board)

        asyncio.run(on_board())

    return run
