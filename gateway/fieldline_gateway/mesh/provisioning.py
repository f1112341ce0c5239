"""Takes devices into the mesh over the air: PB-ADV through the bridges, PB-GATT by bleak.

Rules: one device at a time. Its device key is on disk before it is given the network's: a gateway that dies then
knows the node all the same. What fails before that leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fieldline_gateway import logs
from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.aes import Aes
from fieldline_gateway.mesh.ecdh import EcdhKeyPair
from fieldline_gateway.mesh.errors import NetworkFileError, ProxyError
from fieldline_gateway.mesh.gatt import PROVISIONING, Bluetooth
from fieldline_gateway.mesh.network import Member
from fieldline_gateway.mesh.station import Station, now_ms
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import proxy
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned, node_of
from fieldline_wire.mesh.provisioning import pdus
from fieldline_wire.mesh.provisioning.pbadv import CLOSE_FAIL, CLOSE_SUCCESS, Link
from fieldline_wire.mesh.provisioning.pdus import Data
from fieldline_wire.mesh.provisioning.provisioner import Provisioner

MAX_DEVICES = 200
"""Unprovisioned devices that are remembered: anybody can say such a beacon."""
DEVICE_MS = 60_000
"""How long after its last beacon a device is listed."""
STATIC_BYTES = 16
GATT_S = 60.0
"""For a provisioning over GATT, which has no timers of its own: 5.2.2."""
_STAGES = {
    pdus.INVITE: "it is invited",
    pdus.PUBLIC_KEY: "public keys are exchanged",
    pdus.CONFIRMATION: "both prove that they mean each other",
    pdus.DATA: "it gets the network's key and its address",
}


class _Bearer(Protocol):
    """Carries provisioning PDUs to one device."""

    def send(self, now: int, pdu: bytes) -> None: ...

    def close(self, now: int, ok: bool) -> None: ...


class Provisioning:
    """`joined` is called when network.json has a new member."""

    def __init__(
        self, station: Station, folder: Path, joined: Callable[[], None], bluetooth: Bluetooth
    ) -> None:
        self._station = station
        self._folder = folder
        self._joined = joined
        self._bluetooth = bluetooth
        self._devices: dict[bytes, dict[str, Any]] = {}
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._attempt: _Attempt | None = None
        station.adverts.append(self._advert)
        station.timers.append(self._poll)

    def devices(self) -> list[dict[str, Any]]:
        """Unprovisioned devices heard lately, the newest first."""
        now = now_ms()
        rows = [
            {
                "uuid": uuid.hex(),
                "node": node_of(uuid).hex(),
                "oob": row["oob"],
                "via": row["via"],
                "rssi": row["rssi"],
                "heard_s": (now - row["at"]) / 1000,
            }
            for uuid, row in self._devices.items()
            if now - row["at"] < DEVICE_MS
        ]
        return sorted(rows, key=lambda row: float(row["heard_s"]))

    def start(self, uuid: bytes, node: str, static: bytes) -> None:
        """Begins with the device that says this UUID; UsageError where that cannot be.

        A board of ours says in its UUID which node it is: then `node` may be empty, and a member that had this UUID
        gives way, as it does for others' devices.
        """
        said = node_of(uuid).hex()
        if node and said and node != said:
            raise UsageError(f"{uuid.hex()} says that it is the node {said}, not {node}")
        self._check(node, static)
        if said and (old := network.load(self._folder).member(said)) is not None and old.uuid != uuid.hex():
            raise UsageError(f"{said} is in the mesh by another way; `fieldline mesh remove` it first")
        node = node or said
        if not self._station.bridged:
            raise UsageError(
                "no bridge is open: PB-ADV needs [mesh] bridges; over GATT name the device's address"
            )
        attempt = self._attempt = _Attempt(self._station, self._folder, uuid.hex(), node, static)
        link = Link(
            True,
            uuid,
            lambda now, data: self._station.say(AD_PB_ADV, data),
            attempt.start,
            attempt.receive,
            lambda now, reason: self._closed(attempt, reason),
        )
        self._link = link
        attempt.begin(_PbAdv(link), self._joined)
        link.open(now_ms(), os.urandom(4))
        self._station.work(lambda now: None)

    def start_gatt(self, address: str, node: str, static: bytes) -> None:
        """Begins with the device at a Bluetooth address; UsageError where that cannot be."""
        self._check(node, static)
        attempt = self._attempt = _Attempt(self._station, self._folder, address, node, static)
        self._task = asyncio.create_task(self._over_gatt(address, attempt))

    def status(self) -> dict[str, Any]:
        """How far the last one is: device, stages so far, done, address, error."""
        return self._attempt.status() if self._attempt is not None else {"stages": [], "done": True}

    async def end(self) -> None:
        """Gives up what is under way."""
        if self._link is not None:
            self._link.close(now_ms(), CLOSE_FAIL)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _check(self, node: str, static: bytes) -> None:
        if self._attempt is not None and not self._attempt.done:
            raise UsageError(f"{self._attempt.device} is being provisioned; one at a time")
        if static and len(static) != STATIC_BYTES:
            raise UsageError(f"a static OOB value has {STATIC_BYTES} bytes, not {len(static)}")
        if node and network.load(self._folder).member(node) is not None:
            raise UsageError(f"{node} is in the mesh; `fieldline mesh remove` it first")

    def _advert(self, path: str, kind: int, data: bytes) -> None:
        if kind == AD_PB_ADV and self._link is not None:
            self._link.receive(now_ms(), data)
        elif kind == AD_BEACON:
            try:
                found = Unprovisioned.from_bytes(data)
            except PeerError:
                return
            if found.uuid not in self._devices and len(self._devices) >= MAX_DEVICES:
                del self._devices[min(self._devices, key=lambda uuid: int(self._devices[uuid]["at"]))]
            rssi = self._station.ears.rssi
            self._devices[found.uuid] = {"at": now_ms(), "oob": found.oob, "via": path, "rssi": rssi}

    def _poll(self, now: int) -> int:
        if self._link is None:
            return 3_600_000
        self._link.poll(now)
        return self._link.wait_ms(now) if self._link is not None else 3_600_000

    def _closed(self, attempt: _Attempt, reason: int) -> None:
        self._link = None
        if not attempt.done:
            attempt.failed(
                now_ms(), "the device closed the link" if reason == CLOSE_FAIL else "the device is silent"
            )

    async def _over_gatt(self, address: str, attempt: _Attempt) -> None:
        reader = proxy.Reader()

        def heard(value: bytes) -> None:
            try:
                found = reader.feed(now_ms(), value)
            except PeerError as error:
                attempt.failed(now_ms(), str(error))
                return
            if found is not None and found[0] == proxy.TYPE_PROVISIONING:
                attempt.receive(now_ms(), found[1])

        try:
            async with (
                asyncio.timeout(GATT_S),
                self._bluetooth.connected(address, heard, PROVISIONING) as way,
            ):
                attempt.begin(_PbGatt(way), self._joined)
                attempt.start(now_ms())
                carrying = asyncio.create_task(way.carry())
                ending = asyncio.create_task(attempt.ended.wait())
                try:
                    await asyncio.wait((carrying, ending), return_when=asyncio.FIRST_COMPLETED)
                    if carrying.done() and not attempt.done:
                        carrying.result()
                finally:
                    for task in (carrying, ending):
                        task.cancel()
                    await asyncio.gather(carrying, ending, return_exceptions=True)
        except ProxyError as error:
            attempt.failed(now_ms(), str(error))
        except TimeoutError:
            attempt.failed(now_ms(), "the device is silent")


class _Attempt:
    """One device's provisioning."""

    def __init__(self, station: Station, folder: Path, device: str, node: str, static: bytes) -> None:
        self._station = station
        self._folder = folder
        self._node = node
        self._static = static
        self._stages = ["waits for the device"]
        self._error = ""
        self._address = 0
        self._bearer: _Bearer | None = None
        self._provisioner: Provisioner | None = None
        self.device = device
        self.done = False
        self.ended = asyncio.Event()

    def begin(self, bearer: _Bearer, joined: Callable[[], None]) -> None:
        """The way to the device is there."""
        self._bearer = bearer
        self._joined = joined
        self._provisioner = Provisioner(
            Aes, EcdhKeyPair(), os.urandom, self._static, self._send, self._data, self._complete, self.failed
        )

    def start(self, now: int) -> None:
        """The link is open."""
        assert self._provisioner is not None
        self._provisioner.start(now)

    def receive(self, now: int, pdu: bytes) -> None:
        """A PDU of the device."""
        assert self._provisioner is not None
        self._provisioner.receive(now, pdu)

    def failed(self, now: int, why: str) -> None:
        """It did not come about."""
        if self.done:
            return
        if self._address:
            why += f"; it may have joined all the same: {self._address:04x} is a member, and is asked"
        self._end(now, why)
        logs.event(logs.WARNING, "mesh-not-provisioned", device=self.device, error=why)

    def status(self) -> dict[str, Any]:
        """As plain JSON values."""
        address = f"{self._address:04x}" if self._address else ""
        told = {"device": self.device, "stages": list(self._stages), "done": self.done, "address": address}
        return told | {"node": self._node, "error": self._error}

    def _send(self, now: int, pdu: bytes) -> None:
        assert self._bearer is not None
        if pdu[0] in _STAGES:
            self._stages.append(_STAGES[pdu[0]])
        self._bearer.send(now, pdu)

    def _data(self, elements: int, device_key: bytes) -> Data:
        """What the device is given; the member is on disk then."""
        counters = self._station.node.counters
        try:
            with network.changing(self._folder):
                mesh = network.load(self._folder)
                for old in mesh.members:
                    if old.uuid == self.device:
                        mesh = mesh.without(old.address)
                address = mesh.free_address(elements)
                member = Member(address, device_key, self._node, network.AUTO, elements, self.device)
                network.save(self._folder, mesh.with_member(member))
        except NetworkFileError as error:
            raise PeerError(f"not stored, so not given: {error}") from error
        self._address = address
        return Data(mesh.net_key, 0, counters.iv_index, address, iv_update=counters.updating)

    def _complete(self, now: int, data: Data, device_key: bytes) -> None:
        self._stages.append("it is a node")
        self._end(now, "")
        logs.event(logs.INFO, "mesh-provisioned", device=self.device, address=f"{data.address:04x}")
        self._joined()

    def _end(self, now: int, error: str) -> None:
        self.done, self._error = True, error
        self.ended.set()
        if self._bearer is not None:
            self._bearer.close(now, not error)


class _PbAdv:
    def __init__(self, link: Link) -> None:
        self._link = link

    def send(self, now: int, pdu: bytes) -> None:
        self._link.send(now, pdu)

    def close(self, now: int, ok: bool) -> None:
        self._link.close(now, CLOSE_SUCCESS if ok else CLOSE_FAIL)


class _PbGatt:
    def __init__(self, way: Any) -> None:
        self._way = way

    def send(self, now: int, pdu: bytes) -> None:
        self._way.write(proxy.cut(proxy.TYPE_PROVISIONING, pdu, self._way.mtu))

    def close(self, now: int, ok: bool) -> None:
        """The connection ends with the attempt (7.1)."""
