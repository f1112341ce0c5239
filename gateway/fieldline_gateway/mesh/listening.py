"""What is heard of the mesh, as people read it: a ring of the last adverts, decoded as far as our keys go.

Rules: bounded; costs nothing to speak of while nobody reads it. Only names and numbers are told, no payload: what is
in a sealed message is nobody's business here, and keys go nowhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.network import GATEWAY
from fieldline_gateway.mesh.station import Station
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import beacon, lower
from fieldline_wire.mesh.access import split
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned
from fieldline_wire.mesh.models import opcodes
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.upper import Seal

MAX_KEPT = 1000
"""Entries: some ten seconds of a busy mesh, for a reader that asks twice a second."""
_NAMES = {
    value: name.replace("_", " ").title()
    for name, value in takewhile(lambda one: one[0] != "SUCCESS", vars(opcodes).items())
    if name.isupper() and isinstance(value, int)
}
"""Opcodes stand before the status codes there."""
_SEALED = {
    0xC1FFFF: "Sealed Data",
    0xC2FFFF: "Sealed In Full",
    0xC3FFFF: "Heard Get",
    0xC4FFFF: "Heard Status",
}
_PB_ADV = {0: "Transaction Start", 1: "Transaction Ack", 2: "Transaction Continuation", 3: "Link Control"}
_PROXY = "proxy"
"""In place of a bridge's port, where a PDU came from a GATT proxy."""

States = Callable[[], Mapping[int, MemberState]]


class Listening:
    """Keeps what `station` hears."""

    def __init__(self, station: Station, states: States, utc_ms: Callable[[], int]) -> None:
        self._station = station
        self._states = states
        self._utc_ms = utc_ms
        self._kept: deque[dict[str, Any]] = deque(maxlen=MAX_KEPT)
        self._count = 0
        station.ears.came.append(self._pdu)
        station.adverts.append(self._advert)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Entries after a number, the oldest first."""
        return [entry for entry in self._kept if entry["number"] > number]

    @property
    def last(self) -> int:
        """The newest entry's number."""
        return self._count

    def _add(self, **entry: Any) -> None:
        self._count += 1
        ears = self._station.ears
        heard = {"via": ears.via or _PROXY, "rssi": ears.rssi}
        self._kept.append({"number": self._count, "at": self._utc_ms(), **heard, **entry})

    def _advert(self, path: str, kind: int, data: bytes) -> None:
        if kind == AD_BEACON:
            self._beacon(data)
        elif kind == AD_PB_ADV and len(data) >= 6:
            self._add(what=f"PB-ADV {_PB_ADV[data[5] & 3]}", link=data[:4].hex())

    def _beacon(self, data: bytes) -> None:
        try:
            found = Unprovisioned.from_bytes(data)
            self._add(what="Unprovisioned Device Beacon", uuid=found.uuid.hex())
            return
        except PeerError:
            pass
        try:
            self._add(what="Secure Network Beacon", network=beacon.network_id(data).hex())
        except PeerError:
            self._add(what="a beacon of another kind")

    def _pdu(self, pdu: NetworkPdu, bearer: int) -> None:
        entry: dict[str, Any] = {
            "src": f"{pdu.src:04x}",
            "dst": f"{pdu.dst:04x}",
            "ttl": pdu.ttl,
            "seq": pdu.seq,
            "hops": self._hops(pdu),
        }
        state = self._states().get(pdu.src)
        if state is not None and state.member.node:
            entry["node"] = state.member.node
        self._add(**entry, what=self._what(pdu))

    def _hops(self, pdu: NetworkPdu) -> int | None:
        """From the TTL that it set out with, where that is known."""
        if pdu.ctl and pdu.transport[0] == lower.OPCODE_HEARTBEAT and len(pdu.transport) == 4:
            return (pdu.transport[1] & 0x7F) - pdu.ttl + 1
        state = self._states().get(pdu.src)
        ttl = state.ttl if state is not None else None
        return ttl - pdu.ttl + 1 if ttl is not None and ttl >= pdu.ttl else None

    def _what(self, pdu: NetworkPdu) -> str:
        data = pdu.transport
        try:
            if pdu.ctl:
                return self._control(data)
            if data[0] & 0x80:
                one = lower.Segment.from_bytes(data)
                key = "AppKey" if lower.is_application(one.key) else "device key"
                return f"Segment {one.offset + 1} of {one.last + 1}, message {one.seq_zero}, {key}"
            code, _ = split(self._open(pdu))
        except PeerError as error:
            return str(error)
        return _NAMES.get(code) or _SEALED.get(code) or f"opcode 0x{code:x}"

    def _control(self, data: bytes) -> str:
        if data[0] == lower.OPCODE_ACK:
            _, zero, block = lower.read_ack(data)
            return f"Segment Acknowledgment, message {zero}, {block.bit_count()} segments"
        if data[0] == lower.OPCODE_HEARTBEAT:
            return f"Heartbeat{', relay' if lower.Heartbeat.from_bytes(data).features & 1 else ''}"
        return f"control opcode {data[0] & 0x7F}"

    def _open(self, pdu: NetworkPdu) -> bytes:
        """The access payload of an unsegmented message, if a key of ours opens it; else PeerError."""
        keys, application = self._station.node.keys, lower.is_application(pdu.transport[0])
        if application:
            blocks = [app.key.block for app in keys.app_keys]
        else:
            ends = [state.key for end in (pdu.src, pdu.dst) if (state := self._states().get(end)) is not None]
            blocks = [*ends, keys.device] if GATEWAY in (pdu.src, pdu.dst) else list(ends)
        for block in blocks:
            try:
                seal = Seal(application, 0, pdu.seq, pdu.src, pdu.dst, pdu.iv_index, b"")
                return seal.open(block, pdu.transport[1:])
            except PeerError:
                continue
        raise PeerError(f"a message under {'an AppKey' if application else 'a device key'} that is not ours")
