"""What is beyond the kernel's Bluetooth: virtual controllers on a virtual air, and proxies of ours on some of them.

Rules: one controller is the kernel's, by /dev/vhci; each other is a proxy's, with a GATT server whose Mesh Proxy
Service is our ProxyServer. Controllers, air and these GATT servers are bumble's and SIMULATED: no radio, no loss, no
connection interval. bluetoothd is started here, so that it can be stopped.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from types import TracebackType
from typing import Any

from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData
from bumble.device import AdvertisingType, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import (
    Address,
    HCI_ErrorCode,
    HCI_LE_Connection_Complete_Event,
    LeFeatureMask,
    OwnAddressType,
    Role,
)
from bumble.host import Host
from bumble.link import LocalLink
from bumble.ll import TerminateInd
from bumble.transport.common import AsyncPipeSink
from bumble.transport.vhci import open_vhci_transport

from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.proxy_server import Connection, ProxyServer
from tests.fakes.mesh_room import LiveRoom

BLUETOOTHD = "/usr/libexec/bluetooth/bluetoothd"
ADAPTER = "00:AA:01:00:00:42"
SERVICE, DATA_IN, DATA_OUT = UUID.from_16_bits(0x1828), UUID.from_16_bits(0x2ADD), UUID.from_16_bits(0x2ADE)
NETWORK_ID = b"\x00" + bytes(8)  # identification type 0; the gateway goes by address


class Air(LocalLink):
    """bumble's own takes every sender to go by its random address; the kernel connects under its public one."""

    def send_acl_data(
        self, sender_controller: Controller, destination_address: Address, transport: Any, data: bytes
    ) -> None:
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is not None and receiver is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


class KernelController(Controller):
    """The kernel's. It claims no LL Privacy: with it Linux waits for an Enhanced Connection Complete, which bumble
    does not send. A connection that is asked for may be taken back (Core 5.3, 4.E 7.8.13), which bumble does not."""

    le_features = Controller.le_features & ~(LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING)

    def on_hci_le_create_connection_cancel_command(self, command: Any) -> Any:
        if self.pending_le_connection is not None:
            peer = self.pending_le_connection.peer_address
            self.pending_le_connection = None
            self.send_hci_packet(
                HCI_LE_Connection_Complete_Event(
                    status=HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                    connection_handle=0,
                    role=Role.CENTRAL,
                    peer_address_type=peer.address_type,
                    peer_address=peer,
                    connection_interval=0,
                    peripheral_latency=0,
                    supervision_timeout=0,
                    central_clock_accuracy=0,
                )
            )
        return super().on_hci_le_create_connection_cancel_command(command)


class BluezRoom(LiveRoom):
    """Nodes that hear each other, and this machine's BlueZ in the midst of their proxies: `async with`."""

    proxies: dict[str, BumbleProxy]  # type: ignore[assignment]

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.link = Air()
        self._daemon: subprocess.Popen[bytes] | None = None

    def add_proxy(self, address: str, node: Node, mtu: int = 23) -> BumbleProxy:  # type: ignore[override]
        self.proxies[address] = proxy = BumbleProxy(self.link, address, node, mtu)
        return proxy

    async def __aenter__(self) -> BluezRoom:
        self._vhci = await open_vhci_transport(None)
        self.controller = KernelController("BlueZ", self._vhci.source, self._vhci.sink, self.link, ADAPTER)
        self.start_bluetoothd()
        for proxy in self.proxies.values():
            await proxy.start()
        await super().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self.stop_bluetoothd()
        await self._vhci.close()

    def start_bluetoothd(self) -> None:
        debug = ["-d"] if os.environ.get("BLUETOOTHD_DEBUG") else []
        self._daemon = subprocess.Popen(
            [BLUETOOTHD, "-n", *debug], stderr=None if debug else subprocess.DEVNULL
        )

    def stop_bluetoothd(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None


class BumbleProxy:
    """A proxy node: our ProxyServer behind bumble's GATT server. `up`: whether it is on; set by on() and off()."""

    def __init__(self, link: LocalLink, address: str, node: Node, mtu: int) -> None:
        self.server = ProxyServer(node)
        self.written: list[bytes] = []
        self.clients: dict[Any, Connection] = {}
        self._kind = (
            Address.PUBLIC_DEVICE_ADDRESS if address.startswith("00") else Address.RANDOM_DEVICE_ADDRESS
        )
        own = Address(address, self._kind)
        self.controller = Controller(address, link=link, public_address=own)
        if self._kind == Address.PUBLIC_DEVICE_ADDRESS:
            self.controller.random_address = own
        self.device = Device(
            config=DeviceConfiguration(name="Proxy", address=own),
            host=Host(self.controller, AsyncPipeSink(self.controller)),
        )
        self.device.gatt_server.max_mtu = mtu
        write, notify = Characteristic.Properties.WRITE_WITHOUT_RESPONSE, Characteristic.Properties.NOTIFY
        self._out: Characteristic[bytes] = Characteristic(
            DATA_OUT, notify, Characteristic.Permissions(0), b""
        )
        data_in = Characteristic(
            DATA_IN, write, Characteristic.WRITEABLE, CharacteristicValue(write=self._came)
        )
        self.device.add_service(Service(SERVICE, [data_in, self._out]))
        self._out.on(Characteristic.EVENT_SUBSCRIPTION, self._subscribed)
        self.device.on(Device.EVENT_CONNECTION, self._connected)

    async def start(self) -> None:
        await self.device.power_on()
        await self.on()

    async def on(self) -> None:
        """Advertises the Mesh Proxy Service (7.2.2.2)."""
        data = AdvertisingData([
            (AdvertisingData.FLAGS, bytes([6])),
            (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, SERVICE.to_bytes()),
            (AdvertisingData.SERVICE_DATA_16_BIT_UUID, SERVICE.to_bytes() + NETWORK_ID),
        ])  # fmt: skip
        public = self._kind == Address.PUBLIC_DEVICE_ADDRESS
        await self.device.start_advertising(
            AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE,
            own_address_type=OwnAddressType.PUBLIC if public else OwnAddressType.RANDOM,
            auto_restart=True,
            advertising_data=bytes(data),
            advertising_interval_min=100,
            advertising_interval_max=100,
        )

    async def off(self) -> None:
        """Power fails: no adverts, and the connections break."""
        await self.device.stop_advertising()
        self.cut()

    def cut(self) -> None:
        """The radio link breaks: both ends see the supervision timeout."""
        for connection in list(self.controller.le_connections.values()):
            connection.send_ll_control_pdu(TerminateInd(HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR))
            self.controller.on_le_disconnected(connection, HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def notify(self) -> None:
        for bearer, connection in self.clients.items():
            values, connection.out = connection.out, []
            for value in values:
                assert len(value) <= bearer.att_mtu - 3
                task = asyncio.ensure_future(self.device.notify_subscriber(bearer, self._out, value))
                task.add_done_callback(lambda done: done.exception())

    def _connected(self, connection: Any) -> None:
        connection.on(connection.EVENT_DISCONNECTION, lambda _: self._gone(connection))

    def _gone(self, bearer: Any) -> None:
        connection = self.clients.pop(bearer, None)
        if connection is not None:
            self.server.disconnect(connection)

    def _subscribed(self, bearer: Any, notify: bool, indicate: bool) -> None:
        """From now on it can be told something."""
        if not notify:
            self._gone(bearer)
        elif bearer not in self.clients:
            connection = self.server.connect(bearer.att_mtu)
            if connection is not None:
                self.clients[bearer] = connection

    def _came(self, bearer: Any, value: bytes) -> None:
        self.written.append(bytes(value))
        if bearer in self.clients:
            now = int(asyncio.get_running_loop().time() * 1000)
            self.server.receive(now, self.clients[bearer], bytes(value))
