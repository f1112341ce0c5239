"""How a device says that it waits for a provisioner, and a proxy that it is one (Mesh Profile 1.0.1, 3.9.2, 7).

Rules: bytes and values alone; apart from beacon.py, so that a node that got its keys in the jig does not carry it.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import U16, Value, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.keys import NetworkKey

UNPROVISIONED = const(0)
PROVISIONING_SERVICE = const(0x1827)
PROXY_SERVICE = const(0x1828)


_NODE_MARK = b"F-node"
_NODE_BYTES = const(8)


def node_uuid(node: bytes) -> bytes:
    """The Device UUID of the Fieldline node of this id (8 bytes): version 8 of RFC 9562, 5.8; UsageError."""
    check("bytes of a node's id", len(node), _NODE_BYTES, _NODE_BYTES)
    return node[:6] + bytes((0x8F, node[6], 0x80, node[7])) + _NODE_MARK


def node_of(uuid: bytes) -> bytes:
    """The id of the Fieldline node that says this Device UUID; empty where it is another's. A claim, no proof."""
    node = uuid[:6] + uuid[7:8] + uuid[9:10]
    return node if len(uuid) == 16 and node_uuid(node) == uuid else b""


class Unprovisioned(Value):
    """The beacon of a device that waits for a provisioner (3.9.2). `uri_hash` is empty or 4 bytes."""

    __slots__ = ("oob", "uri_hash", "uuid")

    def __init__(self, uuid: bytes, oob: int = 0, uri_hash: bytes = b"") -> None:
        self.uuid = uuid
        self.oob = oob
        self.uri_hash = uri_hash

    def to_bytes(self) -> bytes:
        """The beacon; UsageError for a field out of range."""
        check("bytes of UUID", len(self.uuid), 16, 16)
        check("OOB information", self.oob, 0, U16)
        return struct.pack(">B16sH", UNPROVISIONED, self.uuid, self.oob) + self.uri_hash

    @classmethod
    def from_bytes(cls, data: bytes) -> "Unprovisioned":
        """PeerError where `data` is none."""
        if len(data) not in (19, 23) or data[0] != UNPROVISIONED:
            raise PeerError("no unprovisioned device beacon")
        return cls(data[1:17], data[17] << 8 | data[18], data[19:])


def provisioning_service_data(uuid: bytes, oob: int) -> bytes:
    """AD payload of a device to be provisioned over GATT (7.1.2.2.1)."""
    return struct.pack("<H", PROVISIONING_SERVICE) + uuid + struct.pack("<H", oob)


def network_service_data(key: "NetworkKey") -> bytes:
    """AD payload of a proxy that says its network (7.2.2.2.2)."""
    return struct.pack("<HB", PROXY_SERVICE, 0) + key.network_id


def node_service_data(key: "NetworkKey", address: int, random8: bytes) -> bytes:
    """AD payload of a proxy that says which node it is, to those who hold `key` (7.2.2.2.3)."""
    block = bytes(6) + random8 + struct.pack(">H", address)
    return struct.pack("<HB", PROXY_SERVICE, 1) + key.identity.ecb(block)[8:] + random8
