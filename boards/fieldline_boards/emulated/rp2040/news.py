"""Waiting for something that a report of the machine brings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """Wakes those who wait, each time there is news."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def tell(self) -> None:
        """There is news."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, true: Callable[[], bool], within_s: float) -> None:
        """Wait until `true()`; TimeoutError where it is not within `within_s` seconds."""
        async with asyncio.timeout(within_s):
            while not true():
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
