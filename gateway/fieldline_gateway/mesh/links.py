"""Mesh nodes as links of the gateway: sealed messages in and out over our own node in the mesh.

Rules: a link is named mesh:ADDRESS, and carries sealed messages whose content is nobody's business here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.gatt import Backends, Bluetooth
from fieldline_gateway.mesh.listening import Listening
from fieldline_gateway.mesh.manager import Manager
from fieldline_gateway.mesh.model import GatewayModel
from fieldline_gateway.mesh.operations import MeshOperations
from fieldline_gateway.mesh.provisioning import Provisioning
from fieldline_gateway.mesh.station import MAX_PEERS, Station

SCHEME = "mesh:"
"""Before the address, four hexadecimal digits, it makes the name of a link."""

Receive = Callable[[str, bytes], None]
"""Takes the name of the link and a sealed message."""


class MeshLinks:
    """All nodes of one mesh: run() keeps our node and its members' settings until cancelled, send() uses it."""

    def __init__(
        self, folder: Path, config: MeshConfig, receive: Receive, backends: Backends | None = None
    ) -> None:
        self._folder = folder
        self._receive = receive
        self._counts: dict[str, list[int]] = {}
        bluetooth = Bluetooth(backends)
        self._model = GatewayModel(self._came, MAX_PEERS)
        self.station = Station(folder, config, self._model, bluetooth)
        self.manager = Manager(folder, config, self.station, self._model)
        self.provisioning = Provisioning(self.station, folder, self.manager.reread, bluetooth)
        listening = Listening(self.station, lambda: self.manager.states, lambda: time.time_ns() // 1_000_000)
        self.operations = MeshOperations(
            folder, self.station, self.manager, listening, self.provisioning, self._traffic
        )

    async def run(self) -> None:
        """Takes up our node and works; NetworkFileError where there is no mesh."""
        mesh = network.load(self._folder)
        self.station.take_up(mesh)
        self.manager.take_up(mesh)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.station.run())
            tasks.create_task(self.manager.run())
            try:
                await asyncio.Event().wait()
            finally:
                await self.operations.paths.end()
                await self.provisioning.end()

    def send(self, link: str, sealed: bytes) -> bool:
        """Queue one sealed message; False where the link is none of ours, no way is open or too many wait."""
        if not link.startswith(SCHEME) or not self.station.open:
            return False
        if not self.station.work(self._model.send, int(link.removeprefix(SCHEME), 16), sealed):
            return False
        self._count(link)[1] += 1
        return True

    def idle(self, link: str) -> bool:
        """Whether nothing waits or is under way on a link: what is sent now goes on air. True for another's."""
        if not link.startswith(SCHEME):
            return True
        return self.station.open and not self._model.waiting(int(link.removeprefix(SCHEME), 16))

    def status(self) -> list[dict[str, object]]:
        """One entry a bridge, a proxy, and a node that spoke, as plain JSON values."""
        is_open = self.station.open
        return self.station.status() + [
            {"link": link, "open": is_open, "messages_in": came, "messages_out": went}
            for link, (came, went) in self._counts.items()
        ]

    def _came(self, now: int, address: int, sealed: bytes) -> None:
        link = f"{SCHEME}{address:04x}"
        self._count(link)[0] += 1
        self._receive(link, sealed)

    def _traffic(self, address: int) -> tuple[int, int]:
        came, went = self._counts.get(f"{SCHEME}{address:04x}", (0, 0))
        return came, went

    def _count(self, link: str) -> list[int]:
        counts = self._counts.setdefault(link, [0, 0])
        if len(self._counts) > MAX_PEERS:
            del self._counts[next(iter(self._counts))]
        return counts
