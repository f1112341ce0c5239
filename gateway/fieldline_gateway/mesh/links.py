"""Mesh nodes as links of the gateway: our own node in the mesh, reached over one or several GATT proxies.

Rules: a link is named mesh:ADDRESS, and carries sealed messages whose content is nobody's business here. Every proxy
that is open is used: what one loses another brings, and the mesh's own caches and replay lists drop what comes twice.
A proxy that fails is said once and tried again, ever more rarely; none slows another.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fieldline_gateway import logs
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.aes import Aes
from fieldline_gateway.mesh.errors import NetworkFileError, ProxyError
from fieldline_gateway.mesh.gatt import Backends, Bluetooth, Proxy
from fieldline_gateway.mesh.network import GATEWAY, Network, Records
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.proxy_client import ProxyClient

SCHEME = "mesh:"
"""Before the address, four hexadecimal digits, it makes the name of a link."""
MAX_PEERS = 2000
"""Nodes that are remembered: their context, what they sent last, their place in the replay list."""
INCOMING = 64
"""Segmented messages that come at once: of a hundred nodes few speak in the same second."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a proxy is tried again; twice as long each time."""
ASK_S = 1.0
"""Between two tries to set a proxy's filter."""
CHECK_S = 30.0
"""A proxy is asked this often whether it is there: one PDU each way, none of them on air."""
CHECKS = 15
"""Times that it is asked, ASK_S apart, before its connection is given up: it may have much to take first."""
IDLE_S = 1.0

Receive = Callable[[str, bytes], None]
"""Takes the name of the link and a sealed message."""


class MeshLinks:
    """All nodes of one mesh: run() keeps the proxies open until cancelled, send() uses them."""

    def __init__(
        self, folder: Path, proxies: tuple[str, ...], receive: Receive, backends: Backends | None = None
    ) -> None:
        self._folder = folder
        self._receive = receive
        self._bluetooth = Bluetooth(backends)
        self._proxies = {address: _Door(address) for address in proxies}
        self._stir = asyncio.Event()
        self._counts: dict[str, list[int]] = {}
        self._faults = 0
        self._model = SealedModel(SEALED_GATEWAY, self._came, MAX_PEERS)
        self._node = _node(self._model, Records(folder))
        self._node.network.proxy = self._emit

    async def run(self) -> None:
        """Takes up our node and keeps the proxies open; NetworkFileError where there is no mesh."""
        _join(self._node, self._model, network.load(self._folder), _now())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._drive())
                for door in self._proxies.values():
                    tasks.create_task(self._keep(door))
        finally:
            self._work(lambda now: self._node.replay.settle())

    def send(self, link: str, sealed: bytes) -> bool:
        """Queue one sealed message; False where the link is none of ours, no proxy is open or too many wait."""
        if not link.startswith(SCHEME) or not any(door.open for door in self._proxies.values()):
            return False
        if not self._work(self._model.send, int(link.removeprefix(SCHEME), 16), sealed):
            return False
        self._count(link)[1] += 1
        self._stir.set()
        return True

    def status(self) -> list[dict[str, object]]:
        """One entry a proxy and one a node that spoke, as plain JSON values."""
        network_counts = self._node.network.counts
        shared = {"pdus_in": network_counts["in"], "pdus_out": network_counts["out"], "faults": self._faults}
        doors = [door.status() | shared for door in self._proxies.values()]
        is_open = any(door.open for door in self._proxies.values())
        return doors + [
            {"link": link, "open": is_open, "messages_in": came, "messages_out": went}
            for link, (came, went) in self._counts.items()
        ]

    def _came(self, now: int, address: int, sealed: bytes) -> None:
        link = f"{SCHEME}{address:04x}"
        self._count(link)[0] += 1
        self._receive(link, sealed)

    def _count(self, link: str) -> list[int]:
        counts = self._counts.setdefault(link, [0, 0])
        if len(self._counts) > MAX_PEERS:
            del self._counts[next(iter(self._counts))]
        return counts

    def _emit(self, pdu: NetworkPdu, data: bytes) -> None:
        """What our node says; what it would pass on from one proxy to another the mesh passes on itself."""
        if pdu.src != self._node.settings.address:
            return
        for door in self._proxies.values():
            if door.proxy is not None and door.client is not None:
                door.proxy.write(door.client.values(data))

    async def _drive(self) -> None:
        """The node's timers."""
        while True:
            self._work(self._node.poll)
            self._stir.clear()
            wait = min(self._node.wait_ms(_now()) / 1000, IDLE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for() of 3.11 may lose a cancellation
                    await self._stir.wait()

    async def _keep(self, door: _Door) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with self._bluetooth.connected(door.address, door.heard(self._heard)) as proxy:
                    await self._use(door, proxy)
            except* ProxyError as group:
                error = group.exceptions[0]
                if door.open:
                    pause = FIRST_PAUSE_S
                door.closed(str(error))
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _use(self, door: _Door, proxy: Proxy) -> None:
        client = ProxyClient(self._node, proxy.mtu, [GATEWAY])
        door.opened(proxy, client)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self._ask(proxy, client))
            try:
                await proxy.carry()
            finally:
                asking.cancel()

    async def _ask(self, proxy: Proxy, client: ProxyClient) -> None:
        """Sets the proxy's filter until it says so: one that has just started may take our numbers for old.

        Then asks now and then: where bluetoothd was killed, nobody says that the connection is gone.
        """
        while not client.ready:
            await self._say(proxy, client.start)
        while True:
            await asyncio.sleep(CHECK_S)
            answers = client.answers
            for _ in range(CHECKS):
                await self._say(proxy, client.ask)
                if client.answers != answers:
                    break
            else:
                raise ProxyError("it answers no more")

    async def _say(self, proxy: Proxy, what: Callable[[int], list[bytes]]) -> None:
        proxy.write(self._work(what) or [])
        self._stir.set()
        await asyncio.sleep(ASK_S)

    def _heard(self, door: _Door, value: bytes) -> None:
        if door.client is not None:
            self._work(door.client.feed, value)
            self._stir.set()

    def _work(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a part of the stack; None where the disk did not take a record: then nothing was sent."""
        try:
            return call(_now(), *arguments)
        except OSError as error:
            self._faults += 1
            logs.event(logs.ERROR, "mesh-record-failed", folder=self._folder, error=error)
            return None


class _Door:
    """A proxy of the configuration: open or not, and what is said of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.proxy: Proxy | None = None
        self.client: ProxyClient | None = None
        self._error = ""
        self._opened = 0

    @property
    def open(self) -> bool:
        return self.proxy is not None

    def heard(self, take: Callable[[_Door, bytes], None]) -> Callable[[bytes], None]:
        return lambda value: take(self, value)

    def opened(self, proxy: Proxy, client: ProxyClient) -> None:
        self.proxy, self.client, self._error = proxy, client, ""
        self._opened += 1
        logs.event(logs.INFO, "proxy-open", proxy=self.address, mtu=proxy.mtu)

    def closed(self, why: str) -> None:
        if self.open or why != self._error:
            todo = "is the proxy on and near, and is Bluetooth of this machine on?"
            logs.event(logs.WARNING, "proxy-closed", proxy=self.address, error=why, todo=todo)
        self.proxy = self.client = None
        self._error = why

    def status(self) -> dict[str, object]:
        found: dict[str, object] = {
            "link": f"proxy {self.address}",
            "open": self.open,
            "opened": self._opened,
        }
        if self.client is not None and self.proxy is not None:
            found |= {"ready": self.client.ready, "node": f"{self.client.proxy:04x}", "mtu": self.proxy.mtu}
            found |= {"dropped": self.proxy.dropped, **self.client.counts}
        return found | ({"error": self._error} if self._error else {})


def _node(model: SealedModel, records: Records) -> Node:
    """Our own node: it has no advertising bearer."""
    elements = [Element([])]
    composition = Composition(COMPANY, 2, 1, MAX_PEERS, 0, elements)
    elements[0].models = [ConfigurationServer(composition), HealthServer(COMPANY), model]
    return Node(Aes, os.urandom, records, elements, replays=MAX_PEERS, incoming=INCOMING, adverts=0)


def _join(node: Node, model: SealedModel, mesh: Network, now: int) -> None:
    """Takes up what was stored, or begins."""
    try:
        if node.load(now) and node.network.subnets[0].key.key == mesh.net_key:
            return
    except PeerError as error:
        raise NetworkFileError(f"a record of our node is damaged: {error}") from error
    node.join(now, GATEWAY, mesh.device_key, mesh.net_key, 0, mesh.iv_index)
    node.settings.beacon = False
    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Aes, mesh.app_key)))
    model.state.binds.append(0)
    node.save()


def _now() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
