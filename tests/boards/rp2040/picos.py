"""What the tests of the emulated Pico share."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.repl import RawRepl, run

NODE, KEY = bytes.fromhex("0123456789abcdef"), bytes(range(16))  # as tests/fakes/node_peer.py
SPEC = dataclasses.replace(load_board("pico_w"), name="pico", title="Raspberry Pi Pico")
WITHIN_S = 240.0  # of the host's time, for what takes some seconds on a machine that is not busy


@dataclass(frozen=True, slots=True)
class Equipped:
    """A Pico with the firmware that `fieldline node install` put there: its flash, and what the install said."""

    flash: bytes
    build: Path
    identity: bytes
    said: tuple[str, ...]


Scenario = Callable[[Rp2040Board], Awaitable[None]]
Play = Callable[..., None]
"""play(scenario, **options of Rp2040Board)"""


async def python(board: Rp2040Board, code: str) -> str:
    """Output of `code` on the board."""
    return await asyncio.to_thread(run, board.port, code)


async def start(board: Rp2040Board, code: str) -> None:
    """Begin `code` and leave. No answer is waited for: the power may be gone before it."""

    def begin() -> None:
        with RawRepl(board.port) as repl:
            repl.send(code.encode() + b"\x04")

    await asyncio.to_thread(begin)
