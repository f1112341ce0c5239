"""A TCP proxy that can leave its connections half open: nothing comes through any more and neither end is told.

Rules: bytes are not looked at. New connections always work; what died stays dead until one end closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

_PIECE = 65_536


class Proxy:
    """Listens on 127.0.0.1:`port` (chosen by the system) and connects to the given port, while entered."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._dead = asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()

    def half_open(self) -> None:
        """From now on nothing passes over the connections that there are; later ones are well."""
        self._dead.set()
        self._dead = asyncio.Event()

    def cut(self) -> None:
        """The connections that there are end; later ones are well."""
        for writer in list(self._writers):
            writer.close()

    async def _accept(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        try:
            far, to_far = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            to_near.close()
            return
        dead = self._dead
        self._writers = {writer for writer in self._writers if not writer.is_closing()} | {to_near, to_far}
        for source, sink in ((near, to_far), (far, to_near)):
            pump = asyncio.create_task(_pump(source, sink, dead))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: asyncio.Event) -> None:
    """Carry bytes until the source ends; once `dead`, they are read and let go."""
    try:
        with contextlib.suppress(OSError):
            while piece := await source.read(_PIECE):
                if not dead.is_set():
                    sink.write(piece)
                    await sink.drain()
    finally:
        sink.close()
