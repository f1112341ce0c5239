"""Server-sent events: the whole state once, then what changed, once a second.

Rules: bounded: so many streams, and for each nothing is kept but the version that its client has, so a slow client
gets fewer and larger changes, never a queue. What two clients want at one moment is encoded once. A stream ends when
its token does. Format: WHATWG HTML, 9.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from fieldline_gateway.errors import GatewayError
from fieldline_gateway.operations import Caller, Operations
from fieldline_gateway.slices import dumps, fleeting

MAX_STREAMS = 32
"""Open pages of one gateway; each costs a connection and a second's changes."""
TICK_S = 1.0
"""A person sees no use in more, and a phone's battery does."""
BEAT_S = 5.0
"""Something comes at least so often, so that a page can tell a quiet gateway from a dead line."""


class Events:
    """All streams."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._cached: tuple[int, int, dict[str, Any], bytes] | None = None
        self._open = 0
        self._turn = asyncio.Lock()
        self._closed = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether there is no room for another stream."""
        return self._open >= MAX_STREAMS

    def close(self) -> None:
        """End all streams: the gateway stops."""
        self._closed.set()

    async def stream(self, caller: Callable[[], Caller | None]) -> AsyncIterator[bytes]:
        """The events for one client; `caller` tells who it is, None once the token is no more."""
        self._open += 1
        try:
            since, quiet_s = 0, 0.0
            while not self._closed.is_set():
                who = caller()
                if who is None:
                    yield b"event: out\ndata: {}\n\n"
                    return
                told, data = await self._changes(who, since)
                if told["version"] != since:
                    since, quiet_s = told["version"], 0.0
                    yield data
                elif quiet_s >= BEAT_S:
                    quiet_s = 0.0
                    yield b'event: beat\ndata: {"now_ms":%d}\n\n' % told["now_ms"]
                quiet_s += TICK_S
                await self._pause()
        except GatewayError:
            return  # the client comes again
        finally:
            self._open -= 1

    async def _changes(self, who: Caller, since: int) -> tuple[dict[str, Any], bytes]:
        async with self._turn:  # of two that want the same the second finds it
            tick = int(asyncio.get_running_loop().time() / TICK_S)
            if self._cached is not None and self._cached[:2] == (tick, since):
                return self._cached[2:]
            with fleeting():
                told = await self._operations.call(who, "live", {"since": since})
                data = await dumps(told)
                told = {name: told[name] for name in ("version", "now_ms")}
            self._cached = tick, since, told, b"event: live\ndata: " + data + b"\n\n"
            return self._cached[2:]

    async def _pause(self) -> None:
        """Until the next tick, which is the same moment for all streams."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(TICK_S - now % TICK_S + 0.001):
                await self._closed.wait()
        except TimeoutError:
            pass
