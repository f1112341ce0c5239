"""A serial line between simulated nodes and a gateway's process: a pty whose far end the gateway opens by its path.

Rules: it never blocks the loop. A line has no memory to speak of: what the gateway does not read is lost, as on a
UART, unless the writer waits for it.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Self


class Line:
    """The nodes' end. `received` takes what comes down; `path` is where the gateway finds the other end."""

    def __init__(self, path: Path, received: Callable[[bytes], None]) -> None:
        self.path = path
        self._received = received
        self._master = self._slave = -1

    def __enter__(self) -> Self:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink()
        os.close(self._slave)
        os.close(self._master)

    def offer(self, data: bytes) -> int:
        """Write what fits; how many bytes that was."""
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    async def send(self, data: bytes) -> None:
        """Write all of it, as fast as the gateway reads."""
        loop = asyncio.get_running_loop()
        while data := data[self.offer(data) :]:
            room = loop.create_future()
            loop.add_writer(self._master, _once, room)
            try:
                await room
            finally:
                loop.remove_writer(self._master)

    def _read(self) -> None:
        self._received(os.read(self._master, 65_536))


def _once(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
