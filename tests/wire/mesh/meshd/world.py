"""Our nodes and a meshd on one air, in real time plus `ahead`: so that 96 hours can pass in a test."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE, AD_PB_ADV
from fieldline_wire.mesh.node import Node
from tests.wire.mesh.meshd.daemon import WAIT_S, Meshd

_TICK_S = 0.005


class World:
    """`async with World(meshd, node, ...)`: pumps adverts between them; `pb_adv` takes PB-ADV payloads."""

    def __init__(self, meshd: Meshd, *nodes: Node) -> None:
        self.meshd = meshd
        self.nodes = list(nodes)
        self.ahead = 0
        self.theirs: list[tuple[int, bytes]] = []  # what meshd said
        self.ours: list[tuple[Node, int, bytes]] = []
        self.deaf = False  # nothing of meshd's reaches us
        self.polled: list[object] = []  # PB-ADV links of ours: poll(now), receive(now, data)

    def now(self) -> int:
        return time.monotonic_ns() // 1_000_000 + self.ahead

    async def __aenter__(self) -> World:
        self._task = asyncio.create_task(self._pump())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass

    async def until(self, what: object) -> None:
        """Waits until `what()`; the pump's own error counts as a failure at once."""
        async with asyncio.timeout(WAIT_S):
            while not what():  # type: ignore[operator]
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(_TICK_S)

    def pb_adv(self, now: int, data: bytes) -> None:
        self.meshd.inject(AD_PB_ADV, data)

    async def _pump(self) -> None:
        seen: set[bytes] = set()
        while True:
            now = self.now()
            while not self.meshd.heard.empty():
                data = self.meshd.heard.get_nowait()
                if data in seen and data[0] != AD_PB_ADV:  # a link counts on repeats
                    continue
                seen.add(data)
                self.theirs.append((data[0], data[1:]))
                if not self.deaf:
                    self._hear(now, data[0], data[1:])
            for link in self.polled:
                link.poll(now)  # type: ignore[attr-defined]
            for node in self.nodes:
                node.poll(now)
                out = node.air.next(now)
                if out is not None:
                    self.ours.append((node, *out))
                    self.meshd.inject(*out)
                    for other in self.nodes:
                        if other is not node and out[0] == AD_MESSAGE:
                            other.receive(now, out[1])
            await asyncio.sleep(_TICK_S)

    def _hear(self, now: int, kind: int, data: bytes) -> None:
        for node in self.nodes:
            if kind == AD_MESSAGE:
                node.receive(now, data)
            elif kind == AD_BEACON:
                node.receive_beacon(now, data)
        if kind == AD_PB_ADV:
            for link in self.polled:
                link.receive(now, data)  # type: ignore[attr-defined]
