"""A node's firmware on an emulated board (SIMULATED), with a gateway at its serial port."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fakes.node_peer import KEY, NODE, Line, Peer

from fieldline_boards import catalog
from fieldline_boards.build import build
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity

LONGEST_S = 150.0  # for what takes a second or two on a machine that is not busy
_STEP_S = 0.01


class BoardBench:
    """The built firmware on a board that is on; `peer` answers while until() or run() waits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.spec = catalog.load_board(name)
        self.build = folder / "build"
        self._folder = folder
        self.line = Line()
        self.peer = Peer(self.line, lambda: int(asyncio.get_running_loop().time() * 1000))
        self.raw = bytearray()  # all that the board said
        self.board: VmBoard
        self._fd = -1

    def firmware(self, *, development: bool = True) -> Self:
        """Builds the firmware; files in `build` may be changed before the board is opened."""
        build(self.spec, self.build, development=development)
        (self.build / "identity.bin").write_bytes(make_identity(NODE, 0, KEY))
        return self

    async def __aenter__(self) -> Self:
        self.board = VmBoard(self.spec, self._folder / "board", files=self.build)
        await self.board.__aenter__()
        await self.board.power.on()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        await self.board.__aexit__(kind, error, trace)

    def hang_up(self) -> None:
        """Closes the serial port."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Lets node and gateway talk until `true()`; AssertionError after LONGEST_S."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST_S
        while not true():
            assert loop.time() < end, f"{what} did not happen; the board said {bytes(self.raw[-2000:])!r}"
            self._exchange()
            await asyncio.sleep(_STEP_S)

    async def run(self, seconds: float) -> None:
        """Lets node and gateway talk for a while."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await self.until(lambda: loop.time() >= end, "the time")

    def say(self, data: bytes) -> None:
        """Bytes to the board, as a person's terminal sends them."""
        self._open()
        os.write(self._fd, data)

    def _open(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self.board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._fd)

    def _exchange(self) -> None:
        data = self._read()
        if data:
            self.raw += data
            self.line.up.append(data)
        self.peer.step()
        while self.line.down and self._fd >= 0:
            os.write(self._fd, self.line.down.pop(0))

    def _read(self) -> bytes:
        """What came; the port goes away while the board is off, and is another one afterwards."""
        try:
            self._open()
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.hang_up()
        return data
