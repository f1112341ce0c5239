"""The world at an emulated board's pins: what drives them, and what the board drove.

Rules: what the world does outlives the board's resets: it is told to each new process anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from fieldline_boards.board import Edge
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import Pin

_EDGES_KEPT = 10_000


class World:
    """Pins, as the Pins port gives them, and what else can be set from outside."""

    def __init__(self, ask: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]) -> None:
        self._ask = ask
        self._standing: dict[tuple[str, Pin], dict[str, Any]] = {}
        self._tell: Callable[[dict[str, Any]], None] = lambda message: None
        self._edges: deque[Edge] = deque(maxlen=_EDGES_KEPT)
        self._news: list[asyncio.Future[None]] = []

    async def read(self, pin: Pin) -> int:
        """Level of `pin`."""
        return int(await self._ask({"type": "pin", "pin": pin}))

    async def drive(self, pin: Pin, level: int | None) -> None:
        """Hold an input at `level`, or let go of it."""
        self._do("pin", pin, {"type": "drive", "pin": pin, "level": level})

    async def pulse(self, pin: Pin, hz: float) -> None:
        """A pulse train at an input; 0 stops it."""
        if hz < 0:
            raise BoardError(f"a pulse train of {hz} Hz cannot be; give 0 to stop it")
        self._do("pin", pin, {"type": "pulse", "pin": pin, "hz": hz})

    async def temperature(self, celsius: float) -> None:
        """The chip's temperature (emulated boards only)."""
        self._do("temperature", 0, {"type": "temperature", "celsius": celsius})

    async def analog(self, channel: int, share: float) -> None:
        """An ADC channel at `share` of full scale, 0 to 1 (emulated boards only)."""
        self._do("analog", channel, {"type": "analog", "channel": channel, "share": share})

    def edges(self, pin: Pin) -> list[Edge]:
        """The recorded changes of an output pin, oldest first."""
        return [edge for edge in self._edges if edge.pin == pin]

    async def edge(self, pin: Pin, level: int, within_s: float, since: float | None = None) -> Edge:
        """The first change of an output pin to `level` at or after `since` (now)."""
        since = asyncio.get_running_loop().time() if since is None else since
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for edge in self.edges(pin):
                        if edge.level == level and edge.time >= since:
                            return edge
                    news = asyncio.get_running_loop().create_future()
                    self._news.append(news)
                    await news
        except TimeoutError:
            raise BoardError(f"pin {pin} did not go to {level} within {within_s} s") from None

    def connect(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """A new process: tell it how the world is."""
        self._tell = tell
        for message in self._standing.values():
            tell(message)

    def record(self, message: dict[str, Any]) -> None:
        """The board changed an output."""
        self._edges.append(Edge(pin=message["pin"], level=message["level"], time=message["at"] / 1e6))
        for news in self._news:
            if not news.done():
                news.set_result(None)
        self._news.clear()

    def _do(self, kind: str, place: Pin, message: dict[str, Any]) -> None:
        self._standing[kind, place] = message
        self._tell(message)
