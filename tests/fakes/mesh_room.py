"""A mesh in one event loop, bleak's way to its proxies (a backend of bleak's own interface), bridges on ptys.

Rules: what stands between BleakClient and a proxy's ATT server is made up here; everything on both sides of it
ships. A value longer than ATT_MTU - 3 is an error, as it is on air.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from fieldline_gateway.mesh.gatt import DATA_IN, DATA_OUT, SERVICE, Backends
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE, AD_PB_ADV
from fieldline_wire.mesh.bridge import WANT_RSSI, BridgeState, advert, heard, read_advert
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.proxy_server import Connection, ProxyServer
from fieldline_wire.serial import BRIDGE_KINDS, KIND_ADVERT, KIND_BRIDGE, KIND_HEARD, Reader, encode

STEP_S = 0.002
Hears = Callable[[Node, Node], bool]


class LiveRoom:
    """Nodes that hear each other, in real time: `async with`."""

    def __init__(self, *nodes: Node, hears: Hears = lambda sender, receiver: True) -> None:
        self.nodes = list(nodes)
        self.hears = hears
        self.proxies: dict[str, LiveProxy] = {}
        self.scans = 0
        self.bridges: list[LiveBridge] = []
        self.devices: list[Any] = []  # PB-ADV links of devices, with receive() and poll()
        self.said: dict[int, int] = {}  # adverts by the address of who said them; 0: a bridge
        self.rssi: dict[int, int] = {}  # dBm at every bridge, by the address of who is heard
        self.deaf: set[int] = set()  # addresses that neither hear nor are heard: switched off

    def add_bridge(self, at: Node | None = None) -> LiveBridge:
        """A bridge where `at` is, None: that hears all; its port is `path`."""
        self.bridges.append(bridge := LiveBridge(at))
        return bridge

    def add_proxy(self, address: str, node: Node, mtu: int = 23) -> LiveProxy:
        self.proxies[address] = proxy = LiveProxy(node, mtu)
        return proxy

    def backends(self) -> Backends:
        """What bleak takes as its backends."""
        kinds = (FakeBackend, FakeScanner, FakeAdapter)
        return Backends(*(type(kind.__name__, (kind,), {"room": self}) for kind in kinds))

    async def __aenter__(self) -> LiveRoom:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for bridge in self.bridges:
            bridge.close()

    async def _run(self) -> None:
        while True:
            now = int(asyncio.get_running_loop().time() * 1000)
            for node in self.nodes:
                if node.settings.address in self.deaf:
                    continue
                node.poll(now)
                out = node.air.next(now)
                if out is not None:
                    self.say(now, node, *out)
            for device in self.devices:
                device.poll(now)
            for bridge in self.bridges:
                for kind, data in bridge.read():
                    self.say(now, bridge, kind, data)
            for proxy in self.proxies.values():
                proxy.notify()
            await asyncio.sleep(STEP_S)

    def say(self, now: int, who: Any, kind: int, data: bytes) -> None:
        """An advert of a node, a bridge or a device (None) goes to all that hear it."""
        place = who.at if isinstance(who, LiveBridge) else who
        address = who.settings.address if isinstance(who, Node) else 0
        self.said[address] = self.said.get(address, 0) + 1
        for other in self.nodes:
            if other is who or other.settings.address in self.deaf:
                continue
            if place is None or self.hears(place, other):
                if kind == AD_MESSAGE:
                    other.receive(now, data)
                elif kind == AD_BEACON:
                    other.receive_beacon(now, data)
        for bridge in self.bridges:
            if bridge is not who and (bridge.at is None or place is None or self.hears(place, bridge.at)):
                bridge.write(kind, data, self.rssi.get(address, -50))
        if kind == AD_PB_ADV and who is not None:
            for device in self.devices:
                device.receive(now, data)


class LiveBridge:
    """A bridge board: a serial port (pty) of which the other end is the room's air."""

    def __init__(self, at: Node | None) -> None:
        self.at = at
        self.is_old = False  # its firmware cannot tell the RSSI
        self.tells_rssi = False
        self._reader = Reader(64, BRIDGE_KINDS)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        # A name of its own: the system gives the pty's to the next that is opened, maybe by another process's test.
        self._folder = tempfile.mkdtemp(prefix="bridge")
        self.path = f"{self._folder}/tty"
        Path(self.path).symlink_to(os.ttyname(self._slave))

    def read(self) -> list[tuple[int, bytes]]:
        try:
            found = self._reader.feed(os.read(self._master, 4096))
        except (BlockingIOError, OSError):
            return []
        for kind, payload in found:
            if kind == KIND_BRIDGE and not payload:
                self.state()
            elif kind == KIND_BRIDGE and payload == WANT_RSSI:
                self.tells_rssi = not self.is_old
        return [read_advert(payload) for kind, payload in found if kind == KIND_ADVERT]

    def state(self) -> None:
        """Says how it is, as it does every 5 s."""
        self.raw(encode(KIND_BRIDGE, BridgeState(1, 0, 0, 0, 0, 32, "fake").to_bytes()))

    def write(self, kind: int, data: bytes, rssi: int = -50) -> None:
        if self.tells_rssi:
            self.raw(encode(KIND_HEARD, heard(kind, data, rssi)))
        else:
            self.raw(encode(KIND_ADVERT, advert(kind, data)))

    def raw(self, data: bytes) -> None:
        with suppress(BlockingIOError, OSError):
            os.write(self._master, data)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for fd in (self._master, self._slave):
            with suppress(OSError):
                os.close(fd)


class LiveProxy:
    """A proxy node with its ATT server."""

    def __init__(self, node: Node, mtu: int) -> None:
        self.mtu = mtu
        self.server = ProxyServer(node)
        self.clients: list[FakeBackend] = []
        self.written: list[bytes] = []
        self.up = True
        self.is_mute = False  # calls to the system's Bluetooth get no answer, as from a bluetoothd that hangs
        self.has_service = True
        self.is_deaf = False  # the connection is gone and nobody says so, as after bluetoothd was killed
        self.is_held = False  # this machine is connected already, so it does not advertise
        self.is_stale = False  # it is taken for held and is not

    def notify(self) -> None:
        for client in self.clients:
            assert client.connection is not None
            values, client.connection.out = client.connection.out, []
            for value in values:
                assert len(value) <= self.mtu - 3
                if not self.is_deaf and client.notified is not None:
                    client.notified(bytearray(value))

    def cut(self) -> None:
        """The radio link breaks."""
        for client in list(self.clients):
            client.lost()


class FakeScanner(BaseBleakScanner):
    """A scan of the room: a second one at a time is refused, as by BlueZ."""

    room: LiveRoom

    def __init__(self, *arguments: Any, **kwargs: Any) -> None:
        super().__init__(arguments[0], arguments[1])
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self.room.scans:
            raise BleakError("[org.bluez.Error.InProgress] Operation already in progress")
        self.room.scans += 1
        self._task = asyncio.create_task(self._hear())

    async def stop(self) -> None:
        if self._task is not None:
            self.room.scans -= 1
            self._task.cancel()
            self._task = None

    async def _hear(self) -> None:
        while True:
            for address, proxy in self.room.proxies.items():
                if proxy.up and not proxy.is_held:
                    advert = AdvertisementData(None, {}, {}, [SERVICE], None, -50, ())
                    self.call_detection_callbacks(BLEDevice(address, None, None), advert)
            await asyncio.sleep(STEP_S)


class FakeAdapter(BaseBleakAdapter):
    """Knows what this machine is connected to."""

    room: LiveRoom

    @classmethod
    async def get(cls, **kwargs: Any) -> FakeAdapter:
        return cls()

    async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
        proxies = self.room.proxies.items()
        return [BLEDevice(address, None, "held") for address, one in proxies if one.is_held or one.is_stale]


class FakeBackend(BaseBleakClient):
    """A backend of bleak for the proxies of one room."""

    room: LiveRoom

    def __init__(self, address: Any, **kwargs: Any) -> None:
        super().__init__(address, **{k: kwargs[k] for k in ("disconnected_callback", "timeout")})
        self.is_held = isinstance(address, BLEDevice) and address.details == "held"
        self.proxy: LiveProxy | None = None
        self.connection: Connection | None = None
        self.notified: NotifyCallback | None = None

    @property
    def mtu_size(self) -> int:
        return 23  # as bleak's own says on Linux, whatever was agreed

    @property
    def is_connected(self) -> bool:
        return self.connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        proxy = self.room.proxies.get(self.address)
        if proxy is None or not proxy.up or (self.is_held and not proxy.is_held):
            raise BleakError(f"Device with address {self.address} was not found")
        connection = proxy.server.connect(proxy.mtu)
        if connection is None:
            raise BleakError("connection refused")
        self.proxy, self.connection = proxy, connection
        proxy.clients.append(self)
        self.services = BleakGATTServiceCollection()
        if not proxy.has_service:
            return
        service = BleakGATTService(None, 1, SERVICE)
        self.services.add_service(service)
        for handle, uuid, can in ((2, DATA_IN, "write-without-response"), (4, DATA_OUT, "notify")):
            self.services.add_characteristic(
                BleakGATTCharacteristic(None, handle, uuid, [can], lambda: proxy.mtu - 3, service)  # type: ignore[list-item]
            )

    async def disconnect(self) -> None:
        await self._answer()
        if self.proxy is not None and self.connection is not None:
            self.proxy.server.disconnect(self.connection)
            self.proxy.clients.remove(self)
            self.connection = None

    async def _answer(self) -> None:
        await asyncio.sleep(3600 if self.proxy is not None and self.proxy.is_mute else 0)

    def lost(self) -> None:
        assert self.proxy is not None and self.connection is not None
        self.proxy.server.disconnect(self.connection)
        self.proxy.clients.remove(self)
        self.connection = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: Any, response: bool
    ) -> None:
        if self.proxy is None or self.connection is None:
            raise BleakError("Not connected")
        assert characteristic.uuid == DATA_IN and not response and len(data) <= self.proxy.mtu - 3
        await self._answer()
        if self.proxy.is_deaf:
            return
        self.proxy.written.append(bytes(data))
        now = int(asyncio.get_running_loop().time() * 1000)
        self.proxy.server.receive(now, self.connection, bytes(data))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        assert characteristic.uuid == DATA_OUT
        await self._answer()
        self.notified = callback

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        self.notified = None

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(self, *args: Any, **kwargs: Any) -> bytearray:
        raise NotImplementedError

    async def read_gatt_descriptor(self, *args: Any, **kwargs: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_descriptor(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError
