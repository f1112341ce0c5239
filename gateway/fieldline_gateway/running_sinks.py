"""The sinks while the gateway runs: each in a task of its own, told who is there, and told of in `status`.

Rules: a sink that fails never stops intake nor another sink; it is started again. A sink never sees the store, only
its reader and its notes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fieldline_gateway.presence import Change, Presence
from fieldline_gateway.records import CLASS_NAMES
from fieldline_gateway.sinks.make import AnySink
from fieldline_gateway.slices import encoded_object
from fieldline_gateway.store.reader import StoreReader
from fieldline_gateway.store.store import Store
from fieldline_gateway.tasks import ended

PAUSE_S = 5.0
"""A sink that failed is started again after this."""

log = logging.getLogger(__name__)


class RunningSinks:
    """All sinks of one gateway, in the order of its configuration."""

    def __init__(self, store: Store, silent_ms: int) -> None:
        self._store = store
        self._presence = Presence(silent_ms)
        self.all: list[AnySink] = []

    async def add(self, sink: AnySink) -> None:
        """Before running(); nodes that it told others of in an earlier run, and that are gone, are told to it."""
        self._presence.expect(await sink.told())
        self.all.append(sink)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They run while this is entered."""
        async with AsyncExitStack() as stack:
            for sink in self.all:
                stack.push_async_callback(ended, asyncio.create_task(self._keep(sink)))
            yield

    async def status(self) -> list[dict[str, Any]]:
        """What `fieldline gateway status` shows of them, with the highest number that each node has delivered."""
        told = []
        for sink in self.all:
            reader = self._reader(sink)
            numbers = await encoded_object(list(reader.numbers.items()), _numbers_of)
            told.append({"sink": sink.name, **sink.status(), **reader.status(), "numbers": numbers})
        return told

    def lags(self) -> list[dict[str, Any]]:
        """The same for who looks each second: without the numbers of the nodes."""
        return [{"sink": sink.name, **sink.status(), "lag": self._reader(sink).lag} for sink in self.all]

    async def look(self, nodes: Iterable[tuple[bytes, int]], utc_ms: int) -> None:
        """Tell the sinks which nodes are there: (id, last heard in ms UTC, 0 for never) of each."""
        async for changes in self._presence.look(nodes, utc_ms):
            for node, change in changes:
                for sink in self.all:
                    match change:
                        case Change.HEARD:
                            sink.heard(node)
                        case Change.SILENT:
                            sink.silent(node)
                        case Change.REMOVED:
                            sink.removed(node)

    def _reader(self, sink: AnySink) -> StoreReader:
        return self._store.reader(sink.name, sink.pace)

    async def _keep(self, sink: AnySink) -> None:
        while True:
            try:
                await sink.run(self._reader(sink))
            except Exception:
                log.exception("sink-failed", extra={"fields": {"sink": sink.name, "again_s": PAUSE_S}})
            await asyncio.sleep(PAUSE_S)


def _numbers_of(each: tuple[bytes, Mapping[int, int]]) -> tuple[str, dict[str, int]]:
    node, numbers = each
    return node.hex(), {CLASS_NAMES[cls]: number for cls, number in numbers.items()}


class SinkNotes:
    """What one sink keeps in the store's state: the port of sinks/port.py."""

    def __init__(self, store: Store, sink: str) -> None:
        self._store = store
        self._sink = sink

    async def load(self, name: str) -> bytes | None:
        return await self._store.note(self._sink, name)

    async def save(self, name: str, value: bytes) -> None:
        await self._store.save_note(self._sink, name, value)
