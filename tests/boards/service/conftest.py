"""A node (SIMULATED) at whose cable a person's tools are used, and then a gateway again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import tests.node.conftest  # noqa: F401 - puts tests/fakes on sys.path
from fieldline_boards import node_cli
from tests.node.board_bench import KEY, BoardBench

Scenario = Callable[[BoardBench], Awaitable[None]]
Play = Callable[..., None]
Tool = Callable[..., Awaitable[int]]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    path.write_text(KEY.hex() + "\n")
    return path


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """play(scenario, development=True): on a Pico W with the node's firmware, its fans turning at 50 Hz."""

    def run(scenario: Scenario, *, development: bool = True) -> None:
        async def on_board() -> None:
            async with BoardBench("pico_w", tmp_path).firmware(development=development) as bench:
                for sensor in bench.spec.sensors:
                    if sensor.pin is not None:
                        await bench.board.pins.pulse(sensor.pin, 50)
                await scenario(bench)

        asyncio.run(on_board())

    return run


@pytest.fixture
def tool(key_file: Path) -> Tool:
    """tool(bench, "config", "get"): the exit status of `fieldline node config PORT --key-file FILE get`."""

    async def run(bench: BoardBench, name: str, *words: str) -> int:
        command = [name, bench.board.port, "--key-file", str(key_file), *words]
        return await asyncio.to_thread(node_cli.main, command)

    return run
