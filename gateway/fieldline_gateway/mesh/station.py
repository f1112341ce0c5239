"""Our own node in the mesh and its ways on air: serial bridges and GATT proxies.

Rules: every way that is open is used: what one loses another brings, and the mesh's own caches and replay lists drop
what comes twice. A proxy that fails is said once and tried again, ever more rarely; none slows another. What the disk
does not take is not sent.
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
from fieldline_gateway.mesh.aes import Aes
from fieldline_gateway.mesh.bridge import Bridges
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.ears import Ears
from fieldline_gateway.mesh.errors import NetworkFileError, ProxyError
from fieldline_gateway.mesh.gatt import Bluetooth, Proxy
from fieldline_gateway.mesh.network import GATEWAY, Network, Records
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friendship import FEATURE_FRIEND, NO_RSSI
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.sealed import COMPANY, SealedModel
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.proxy_client import ProxyClient

MAX_PEERS = 2000
"""Nodes that are remembered: their context, what they sent last, their place in the replay list."""
INCOMING = 64
"""Segmented messages that come at once: of a hundred nodes few speak in the same second."""
ADVERTS = 256
"""That wait to go out over bridges: some three seconds of a radio that does nothing else."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a proxy is tried again; twice as long each time."""
ASK_S = 1.0
"""Between two tries to set a proxy's filter."""
CHECK_S = 30.0
"""A proxy is asked this often whether it is there: one PDU each way, none of them on air."""
CHECKS = 15
"""Times that it is asked, ASK_S apart, before its connection is given up: it may have much to take first."""
EVENT_MS = 12
"""Between two events handed to the bridges: three channels, and the controller started and stopped."""
IDLE_S = 1.0
LPNS, FRIEND_QUEUE, FRIEND_WINDOW_MS = 64, 64, 250
"""Low-power nodes of which we are the friend, PDUs held for each, and so late is an answer over a bridge at most."""
WIDE_TTL = 10
"""Where it is not known how far a node is."""

Advert = Callable[[str, int, bytes], None]


class Station:
    """Our node: run() keeps its ways open until cancelled. `adverts` are told of each that a bridge hears."""

    def __init__(self, folder: Path, config: MeshConfig, model: SealedModel, bluetooth: Bluetooth) -> None:
        self._folder = folder
        self._bluetooth = bluetooth
        self._doors = {address: Door(address) for address in config.proxies}
        self._bridges = Bridges(config.bridges, config.baud, self._advert)
        self._has_bridges = bool(config.bridges)
        self._model = model
        self._stirred = asyncio.Event()
        self._send_at = 0
        self.faults = 0
        self.ears = Ears(MAX_PEERS)
        self.adverts: list[Advert] = []
        self.timers: list[Callable[[int], int]] = []
        """Called with now, give the ms until they are to be called again."""
        self.node = _node(model, Records(folder), ADVERTS if config.bridges else 0)
        self.node.network.heard = self.ears
        if self._doors:
            self.node.network.proxy = self._emit

    @property
    def open(self) -> bool:
        """Whether any way is open."""
        return self._bridges.open or any(door.open for door in self._doors.values())

    def roots(self) -> set[int]:
        """Addresses at which the mesh ends with us: our own where bridges are open, those of proxies."""
        found = {GATEWAY} if self._bridges.open else set()
        return found | {
            door.client.proxy for door in self._doors.values() if door.client and door.client.ready
        }

    def take_up(self, mesh: Network) -> None:
        """Our node as it was stored, or a new one of this mesh; NetworkFileError where a record is damaged."""
        node = self.node
        try:
            known = node.load(now_ms()) and node.network.subnets[0].key.key == mesh.net_key
        except PeerError as error:
            raise NetworkFileError(f"a record of our node is damaged: {error}") from error
        if not known:
            node.join(now_ms(), GATEWAY, mesh.device_key, mesh.net_key, 0, mesh.iv_index)
            node.settings.beacon = False
            node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Aes, mesh.app_key)))
            self._model.state.binds.append(0)
            node.save()
        if node.is_friend != self._has_bridges:  # friends speak by adverts alone
            node.set_friend(self._has_bridges)
        node.transport.default_ttl = WIDE_TTL
        node.transport.heartbeats_of = (0, GATEWAY)

    async def run(self) -> None:
        """Keeps bridges and proxies open."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._drive())
                tasks.create_task(self._bridges.run())
                for door in self._doors.values():
                    tasks.create_task(self._keep(door))
        finally:
            self.work(lambda now: self.node.replay.settle())

    def work(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a part of the stack; None where the disk did not take a record: then nothing was sent."""
        self._stirred.set()
        try:
            return call(now_ms(), *arguments)
        except OSError as error:
            self.faults += 1
            logs.event(logs.ERROR, "mesh-record-failed", folder=self._folder, error=error)
            return None

    def say(self, kind: int, data: bytes) -> None:
        """Queues an advert of ours that is no network PDU for the bridges, once.

        PB-ADV repeats by itself, and a copy that comes behind the next transaction is a fault to bluetooth-meshd.
        """
        self.node.air.put(now_ms(), kind, data, 1, 0, True)
        self._stirred.set()

    @property
    def bridged(self) -> bool:
        """Whether a bridge is open: what say() says goes on air."""
        return self._bridges.open

    def status(self) -> list[dict[str, object]]:
        """One entry a bridge and a proxy, as plain JSON values."""
        counts = self.node.network.counts
        shared = {"pdus_in": counts["in"], "pdus_out": counts["out"], "faults": self.faults}
        doors = [door.status() for door in self._doors.values()]
        return [each | shared for each in self._bridges.status() + doors]

    def _advert(self, path: str, kind: int, data: bytes, rssi: int | None) -> None:
        self.node.friend.rssi = NO_RSSI if rssi is None else rssi
        with self.ears.over(path, rssi):
            if kind == AD_MESSAGE:
                self.work(self.node.receive, data)
            elif kind == AD_BEACON:
                self.work(self.node.receive_beacon, data)
            for tell in self.adverts:
                tell(path, kind, data)

    def _emit(self, pdu: NetworkPdu, data: bytes) -> None:
        """What our node says; what it would pass on from one proxy to another the mesh passes on itself."""
        if pdu.src != self.node.settings.address:
            return
        for door in self._doors.values():
            if door.proxy is not None and door.client is not None:
                door.proxy.write(door.client.values(data))

    async def _drive(self) -> None:
        """The node's timers, and what it says over the bridges."""
        while True:
            self._stirred.clear()
            self.work(self.node.poll)
            now = now_ms()
            timers = [int(IDLE_S * 1000), *(timer(now) for timer in self.timers)]
            self._speak(now)
            self._stirred.clear()
            wait = min(max(self.node.wait_ms(now), self._send_at - now, 1), *timers)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait / 1000):  # wait_for() of 3.11 may lose a cancellation
                    await self._stirred.wait()

    def _speak(self, now: int) -> None:
        """Hands the next advert to the bridges; where none is open nothing is kept for them."""
        while now >= self._send_at and (out := self.node.air.next(now)) is not None:
            if self._bridges.open:
                self._bridges.send(*out)
                self._send_at = now + EVENT_MS

    async def _keep(self, door: Door) -> None:
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

    async def _use(self, door: Door, proxy: Proxy) -> None:
        client = ProxyClient(self.node, proxy.mtu, [GATEWAY])
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
        proxy.write(self.work(what) or [])
        await asyncio.sleep(ASK_S)

    def _heard(self, door: Door, value: bytes) -> None:
        if door.client is not None:
            self.work(door.client.feed, value)


class Door:
    """A proxy of the configuration: open or not, and what is said of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.proxy: Proxy | None = None
        self.client: ProxyClient | None = None
        self._error = ""
        self._opened = 0

    @property
    def open(self) -> bool:
        """Whether there is a connection."""
        return self.proxy is not None

    def heard(self, take: Callable[[Door, bytes], None]) -> Callable[[bytes], None]:
        """Who takes the values that come through it."""
        return lambda value: take(self, value)

    def opened(self, proxy: Proxy, client: ProxyClient) -> None:
        """There is a connection now."""
        self.proxy, self.client, self._error = proxy, client, ""
        self._opened += 1
        logs.event(logs.INFO, "proxy-open", proxy=self.address, mtu=proxy.mtu)

    def closed(self, why: str) -> None:
        """There is none any more."""
        if self.open or why != self._error:
            todo = "is the proxy on and near, and is Bluetooth of this machine on?"
            logs.event(logs.WARNING, "proxy-closed", proxy=self.address, error=why, todo=todo)
        self.proxy = self.client = None
        self._error = why

    def status(self) -> dict[str, object]:
        """As plain JSON values."""
        found: dict[str, object] = {
            "link": f"proxy {self.address}",
            "open": self.open,
            "opened": self._opened,
        }
        if self.client is not None and self.proxy is not None:
            found |= {"ready": self.client.ready, "node": f"{self.client.proxy:04x}", "mtu": self.proxy.mtu}
            found |= {"dropped": self.proxy.dropped, **self.client.counts}
        return found | ({"error": self._error} if self._error else {})


def _node(model: SealedModel, records: Records, adverts: int) -> FriendNode:
    """Our own node; without bridges it has no advertising bearer."""
    elements = [Element([])]
    composition = Composition(COMPANY, 2, 1, MAX_PEERS, FEATURE_FRIEND, elements)
    elements[0].models = [FriendConfigurationServer(composition), HealthServer(COMPANY), model]
    sizes = {"replays": MAX_PEERS, "incoming": INCOMING, "adverts": adverts}
    sizes |= {"lpns": LPNS, "queue": FRIEND_QUEUE, "window": FRIEND_WINDOW_MS}
    return FriendNode(Aes, os.urandom, records, elements, **sizes)


def now_ms() -> int:
    """The event loop's time."""
    return int(asyncio.get_running_loop().time() * 1000)
