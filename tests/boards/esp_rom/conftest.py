"""Boards and the real tools, which run as processes of their own, never inside this one (esptool is GPL)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated.esp_rom import EspRomEmulator

TOOL_TIMEOUT_S = 120


@dataclass(frozen=True)
class Run:
    """How a tool ended, with all that it said."""

    code: int
    text: str


Tool = Callable[..., Run]

# For runs that lose the chip on the way: esptool's own settings, so that it gives up in seconds.
IMPATIENT = """[esptool]
timeout = 1.5
erase_write_timeout_per_mb = 1
write_block_attempts = 1
connect_attempts = 1
"""


def run_tool(module: str, *arguments: object, config: Path | None = None) -> Run:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; it is in the dev group (pip install 'esptool==5.6.*')")
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        env=os.environ | ({"ESPTOOL_CFGFILE": str(config)} if config else {}),
    )
    return Run(done.returncode, done.stdout)


@pytest.fixture
def start_board() -> Iterator[Callable[..., EspRomEmulator]]:
    """Start boards that are stopped when the test ends."""
    started: list[EspRomEmulator] = []

    def start(chip: str, **options: object) -> EspRomEmulator:
        board = EspRomEmulator(chip, **options)  # type: ignore[arg-type]
        board.start()
        started.append(board)
        return board

    yield start
    for board in started:
        board.stop()


@pytest.fixture
def impatient(tmp_path: Path) -> Path:
    path = tmp_path / "impatient.cfg"
    path.write_text(IMPATIENT)
    return path


@pytest.fixture
def esptool() -> Tool:
    """esptool(board, *arguments): as a user calls it, on the board's port."""

    def tool(board: EspRomEmulator, *arguments: object, config: Path | None = None) -> Run:
        return run_tool("esptool", "--port", board.serial_url, *arguments, config=config)

    return tool


@pytest.fixture
def espefuse() -> Tool:
    """espefuse(board, *arguments), with the confirmation given."""

    def tool(board: EspRomEmulator, *arguments: object, config: Path | None = None) -> Run:
        chip = board.title.split()[1].lower().replace("-", "")
        return run_tool(
            "espefuse",
            *("--port", board.serial_url, "--chip", chip, "--do-not-confirm"),
            *arguments,
            config=config,
        )

    return tool


@pytest.fixture
def summary(espefuse: Tool, tmp_path: Path) -> Callable[[EspRomEmulator], dict[str, Any]]:
    """espefuse's view of all fields, by name: value, readable, writeable."""

    def read(board: EspRomEmulator) -> dict[str, Any]:
        path = tmp_path / "summary.json"
        run = espefuse(board, "summary", "--format", "json", "--file", path)
        assert run.code == 0, run.text
        fields: dict[str, Any] = json.loads(path.read_text())
        return fields

    return read


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file of 100,000 bytes, half of which compress well."""
    path = tmp_path / "image.bin"
    noise = bytes((n * n * 31 + n // 7) & 0xFF for n in range(50_000))
    path.write_bytes(noise + bytes(50_000))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.bin"
    path.write_bytes(bytes(range(1, 33)))
    return path
