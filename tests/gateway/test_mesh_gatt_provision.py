"""PB-GATT: a device at a Bluetooth address is provisioned through bleak's own client."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import gatt, network, provisioning
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.gatt import PROVISIONING, Backends
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_wire.mesh import proxy
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pdus import Data
from tests.fakes.aes import Block
from tests.fakes.mesh_room import FakeAdapter, FakeScanner
from tests.gateway.test_mesh_links import running, until
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY

ADDRESS = "AA:BB:CC:DD:EE:01"


class GattDevice:
    """A device with the Mesh Provisioning Service."""

    def __init__(self, static: bytes = b"", mtu: int = 23) -> None:
        self.mtu = mtu
        self.joined: list[tuple[Data, bytes]] = []
        self.silent_after = 1000
        self.reader = proxy.Reader()
        self.client: Any = None
        self.device = Device(
            Block, PlainKeyPair(os.urandom), os.urandom, 2, static, self._send,
            lambda now, data, key: self.joined.append((data, key)),
        )  # fmt: skip

    def take(self, value: bytes) -> None:
        found = self.reader.feed(0, value)
        if found is not None:
            assert found[0] == proxy.TYPE_PROVISIONING
            self.device.receive(0, found[1])

    def _send(self, now: int, pdu: bytes) -> None:
        self.silent_after -= 1
        if self.silent_after < 0:
            return
        for value in proxy.cut(proxy.TYPE_PROVISIONING, pdu, self.mtu):
            asyncio.get_running_loop().call_soon(self.client.notified, bytearray(value))


def backend(device: GattDevice) -> type[BaseBleakClient]:
    class Backend(BaseBleakClient):
        def __init__(self, address: Any, **kwargs: Any) -> None:
            super().__init__(address, **{k: kwargs[k] for k in ("disconnected_callback", "timeout")})
            self.up = False
            self.notified: NotifyCallback | None = None

        @property
        def mtu_size(self) -> int:
            return device.mtu

        @property
        def is_connected(self) -> bool:
            return self.up

        async def connect(self, pair: bool, **kwargs: Any) -> None:
            if self.address != ADDRESS:
                raise BleakError(f"Device with address {self.address} was not found")
            self.up, device.client = True, self
            self.services = BleakGATTServiceCollection()
            service = BleakGATTService(None, 1, PROVISIONING.uuid)
            self.services.add_service(service)
            for handle, uuid, can in (
                (2, PROVISIONING.data_in, "write-without-response"),
                (4, PROVISIONING.data_out, "notify"),
            ):
                self.services.add_characteristic(
                    BleakGATTCharacteristic(None, handle, uuid, [can], lambda: device.mtu - 3, service)  # type: ignore[list-item]
                )

        async def disconnect(self) -> None:
            self.up = False

        async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
            assert characteristic.uuid == PROVISIONING.data_in and len(data) <= device.mtu - 3
            await asyncio.sleep(0)
            device.take(bytes(data))

        async def start_notify(self, characteristic: Any, callback: NotifyCallback, **kwargs: Any) -> None:
            assert characteristic.uuid == PROVISIONING.data_out
            self.notified = callback

        async def stop_notify(self, characteristic: Any) -> None: ...
        async def pair(self, *args: Any, **kwargs: Any) -> None: ...
        async def unpair(self) -> None: ...
        async def read_gatt_char(self, *args: Any, **kwargs: Any) -> bytearray:
            return bytearray()

        async def read_gatt_descriptor(self, *args: Any, **kwargs: Any) -> bytearray:
            return bytearray()

        async def write_gatt_descriptor(self, *args: Any, **kwargs: Any) -> None: ...

    return Backend


def backends(device: GattDevice) -> Backends:
    """With the device in reach at ADDRESS."""
    there = SimpleNamespace(up=True, is_held=False, is_stale=False)
    room = {"room": SimpleNamespace(scans=0, proxies={ADDRESS: there})}
    scanner, adapter = (type(kind.__name__, (kind,), room) for kind in (FakeScanner, FakeAdapter))
    return Backends(backend(device), scanner, adapter)


def made(tmp_path: Path, device: GattDevice) -> MeshLinks:
    network.save(tmp_path / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16))
    return MeshLinks(tmp_path / "mesh", MeshConfig(("BB",)), lambda link, sealed: None, backends(device))


@pytest.mark.parametrize("mtu", [23, 69])
@pytest.mark.parametrize("static", [b"", bytes(range(16))], ids=["no OOB", "static OOB"])
async def test_a_device_is_provisioned_over_gatt(tmp_path: Path, static: bytes, mtu: int) -> None:
    device = GattDevice(static, mtu)
    links = made(tmp_path, device)
    async with running(links):
        links.provisioning.start_gatt(ADDRESS, "", static)
        with pytest.raises(UsageError, match="one at a time"):
            links.provisioning.start_gatt(ADDRESS, "", static)
        await until(lambda: links.provisioning.status()["done"])
        told = links.provisioning.status()
        assert told["error"] == "" and told["address"] == "0100", told
        data, key = device.joined[0]
        member = network.load(tmp_path / "mesh").member("0100")
        assert member is not None and member.device_key == key and member.elements == 2
        assert data.net_key == NET_KEY and data.iv_index == IV_INDEX
        await until(lambda: not device.client.up), "the connection ends with it"
        assert links.manager.states.keys() == {0x0100}


async def test_a_device_that_is_not_there_or_falls_silent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "GATT_S", 0.5)
    monkeypatch.setattr(gatt, "FIND_S", 0.1)
    device = GattDevice()
    links = made(tmp_path, device)
    async with running(links):
        links.provisioning.start_gatt("AA:BB:CC:DD:EE:02", "", b"")
        await until(lambda: links.provisioning.status()["done"])
        assert "not found" in links.provisioning.status()["error"]
        device.silent_after = 2
        links.provisioning.start_gatt(ADDRESS, "", b"")
        await until(lambda: links.provisioning.status()["done"])
        assert links.provisioning.status()["error"] == "the device is silent"
        assert network.load(tmp_path / "mesh").members == ()
        with pytest.raises(UsageError, match="16 bytes"):
            links.provisioning.start_gatt(ADDRESS, "", b"x")
        with pytest.raises(UsageError, match="no bridge"):
            links.provisioning.start(bytes(16), "", b"")
