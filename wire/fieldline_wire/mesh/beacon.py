"""Mesh beacons and the service data of proxy adverts (Mesh Profile 1.0.1, 3.9 and 7.2).

Rules: a secure network beacon is judged by the key whose Network ID it names; nothing is taken before its tag.
"""

import struct

from fieldline_wire.ccm import same
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import U16, Value, check
from fieldline_wire.mesh.crypto import cmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.keys import NetworkKey

UNPROVISIONED = const(0)
SECURE = const(1)
FLAG_KEY_REFRESH = const(1)
FLAG_IV_UPDATE = const(2)
PROVISIONING_SERVICE = const(0x1827)
PROXY_SERVICE = const(0x1828)

_SECURE_SIZE = const(22)


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


class SecureNetwork(Value):
    """What a secure network beacon says (3.9.3)."""

    __slots__ = ("flags", "iv_index")

    def __init__(self, flags: int, iv_index: int) -> None:
        self.flags = flags
        self.iv_index = iv_index


def secure(key: "NetworkKey", flags: int, iv_index: int) -> bytes:
    """A secure network beacon under `key`."""
    body = struct.pack(">B8sI", flags, key.network_id, iv_index)
    return bytes((SECURE,)) + body + cmac(key.beacon, body)[:8]


def network_id(data: bytes) -> bytes:
    """The Network ID that a secure network beacon names; PeerError where it is none."""
    if len(data) != _SECURE_SIZE or data[0] != SECURE:
        raise PeerError("no secure network beacon")
    return data[2:10]


def read_secure(key: "NetworkKey", data: bytes) -> SecureNetwork:
    """The beacon whose network_id() is `key`'s; PeerError where the tag is wrong."""
    if network_id(data) != key.network_id or not same(cmac(key.beacon, data[1:14])[:8], data[14:]):
        raise PeerError("the beacon's tag is wrong")
    return SecureNetwork(data[1] & 3, struct.unpack_from(">I", data, 10)[0])


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
