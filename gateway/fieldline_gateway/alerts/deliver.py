"""One notifier's way through the book: what it was not told yet, once in effect, with patience.

Rules: what goes out is fixed in the book before it is sent, and moves the cursor after the peer took it: a kill in
between repeats the same message under the same key. A peer that refuses is tried again for ever, at most each
RETRY_MOST_S, because an alert that is dropped is an alert that nobody saw. A message an event, as long as there are
tokens; beyond the rate one digest of all that waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fieldline_gateway import logs
from fieldline_gateway.alerts.book import AlertError, Book
from fieldline_gateway.alerts.config import NotifyConfig
from fieldline_gateway.alerts.model import Event, Message
from fieldline_gateway.alerts.notify import NotifyError

T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 600.0
MAX_DIGEST = 2000
"""Events in one message, about a megabyte of JSON: where a whole site falls silent, what comes next must not wait for
hours behind it. Of its text people get model.MAX_LINES."""
MAX_READ = 2 * MAX_DIGEST
"""Events that are looked at together."""


class Delivery:
    """One notifier. `in_thread` runs the book's calls; `sleep` and `clock` are the loop's unless a test says else."""

    def __init__(
        self,
        config: NotifyConfig,
        book: Book,
        gateway: str,
        in_thread: Run,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self._book = book
        self._gateway = gateway
        self._in_thread = in_thread
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(config.per_hour)
        self._at = clock()
        self._retry_s = RETRY_FIRST_S
        self._next_try: float | None = None
        self._wake = asyncio.Event()
        self.last_error = ""

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._wake.clear()
            try:
                message = await self._next()
                if message is None:
                    await self._wake.wait()
                    continue
                await self.config.notifier.deliver(message)
                await self._in_thread(self._settled, message.events[-1].seq, len(message.events))
                self._retry_s, self.last_error, self._next_try = RETRY_FIRST_S, "", None
                logs.event(logs.INFO, "alert-told", notifier=self.config.name, events=len(message.events))
            except (NotifyError, AlertError) as error:
                if not self.last_error:
                    logs.event(logs.WARNING, "alert-not-told", notifier=self.config.name, error=error)
                self.last_error = str(error)
                wait, self._retry_s = self._retry_s, min(self._retry_s * 2, RETRY_MOST_S)
                self._next_try = self._clock() + wait
                await self._sleep(wait)

    def status(self) -> dict[str, Any]:
        wait = None if self._next_try is None else max(0.0, self._next_try - self._clock())
        return {
            "name": self.config.name,
            "kind": self.config.kind,
            "last_error": self.last_error,
            "next_try_s": wait,
        }

    async def _next(self) -> Message | None:
        """What goes out now, fixed in the book; None where there is nothing."""
        name = self.config.name
        if (fixed := await self._in_thread(self._book.sending, name)) is not None:
            events = await self._in_thread(self._book.events, name, MAX_READ)
            chosen = [event for event in self._wanted(events) if fixed[0] <= event.seq <= fixed[1]]
            if chosen:
                return await self._message(chosen)
            await self._in_thread(self._book.delivered, name, fixed[1], 0)  # the filter was changed meanwhile
        while True:
            events = await self._in_thread(self._book.events, name, MAX_READ)
            if not events:
                return None
            wanted = self._wanted(events)
            if not wanted:
                await self._in_thread(self._book.delivered, name, events[-1].seq, 0)
                continue
            if (wait := self._wait_s()) > 0:
                self._next_try = self._clock() + wait
                await self._sleep(wait)
                continue  # what came meanwhile goes with it
            whole = self._tokens < len(wanted)
            self._tokens -= 1
            chosen = wanted[: MAX_DIGEST if whole else 1]
            await self._in_thread(self._book.begin, name, chosen[0].seq, chosen[-1].seq)
            return await self._message(chosen)

    async def _message(self, events: list[Event]) -> Message:
        unsaid = await self._in_thread(self._book.unsaid, self.config.name)
        key = f"{self._book.id}.{self.config.name}.{events[0].seq}-{events[-1].seq}"
        return Message(key, self._gateway, tuple(events), unsaid)

    def _settled(self, last: int, count: int) -> None:
        self._book.delivered(self.config.name, last, count)

    def _wanted(self, events: list[Event]) -> list[Event]:
        return [event for event in events if self.config.filter.wants(event)]

    def _wait_s(self) -> float:
        """Until a message may go."""
        now = self._clock()
        per_s = self.config.per_hour / 3600
        self._tokens = min(float(self.config.per_hour), self._tokens + (now - self._at) * per_s)
        self._at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / per_s
